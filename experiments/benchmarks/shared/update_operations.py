"""Number of arithmetic operations of an update, and the rate at which the machine performs them.

`count_products` counts the operations of the matrix products of any function. `operations` is a formula for
continuous CrossQ that holds for every implementation. A critic has C weights: the sum of the products of
successive widths, from observation and action to one value. The policy has P weights, counted in the same
way, with a mean and a deviation for each component of an action as its output. The forward pass of one row
costs one multiply-add for each weight. The backward pass costs as many for the gradients of the weights, and
again as many for those of the inputs. An update is

    critics, observations and next ones in one pass, forwards and backwards:   E 2B 3C
    policy, forwards for the next actions:                                      B P
    policy, forwards and backwards; critics, forwards and for inputs:          (B 3P + E B 2C) / delay

multiply-adds, each of two operations, with B rows in a batch and E critics. Normalisation, Adam and random
numbers are not counted.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_OPERATIONS_MEASURED = 2e10


class Sizes(NamedTuple):
    """Sizes of the task, the networks and the replay buffer, common to both sides."""

    observation_size: int = 17
    action_size: int = 6
    policy_width: int = 256
    batch_size: int = 256
    buffer_size: int = 100_000
    num_critics: int = 2
    policy_delay: int = 3


def operations(sizes: Sizes, width: int) -> float:
    """Returns the mean number of operations of an update; policy updates count with their frequency."""
    critic = _products((sizes.observation_size + sizes.action_size, width, width, 1))
    hidden = sizes.policy_width
    policy = _products((sizes.observation_size, hidden, hidden, 2 * sizes.action_size))
    batch = sizes.batch_size
    joint = sizes.num_critics * 2 * batch * 3 * critic
    delayed = batch * 3 * policy + sizes.num_critics * batch * 2 * critic
    return 2 * (joint + batch * policy + delayed / sizes.policy_delay)


def _products(widths: Sequence[int]) -> int:
    """Returns the number of weights of a network with these layer widths."""
    return sum(wide * next_wide for wide, next_wide in itertools.pairwise(widths))


def count_products(function: Callable[..., Any], *arguments: Any, share_of_dearest: float = 1.0) -> float:
    """Counts the operations of the matrix products that the results of a function depend on.

    Args:
      function: a function that JAX can trace.
      *arguments: its arguments, trees of arrays.
      share_of_dearest: the fraction of calls in which a conditional takes its most expensive branch instead
        of its cheapest one.
    """
    return _of_program(jax.make_jaxpr(function)(*arguments), share_of_dearest)


def _of_program(program: Any, share: float) -> float:
    """Returns the operations of a jaxpr."""
    jaxpr = getattr(program, "jaxpr", program)
    needed, total = set(map(id, jaxpr.outvars)), 0.0
    # Backwards from the outputs, so that equations that no output depends on are skipped, as XLA does.
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(map(id, equation.outvars)):
            needed.update(map(id, equation.invars))
            total += _of_equation(equation, share)
    return total


def _of_equation(equation: Any, share: float) -> float:
    """Returns the operations of one equation of a jaxpr."""
    params = equation.params
    if equation.primitive.name == "dot_general":
        (summed, _), _ = params["dimension_numbers"]
        depth = math.prod(equation.invars[0].aval.shape[axis] for axis in summed)
        return 2.0 * depth * math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "cond":
        branches = [_of_program(branch, share) for branch in params["branches"]]
        return min(branches) + share * (max(branches) - min(branches))
    inner = [value for value in params.values() if hasattr(value, "eqns") or hasattr(value, "jaxpr")]
    # Only a scan has a length; all other equations run their inner programs once.
    return params.get("length", 1) * sum(_of_program(program, share) for program in inner)


def product_rate(rows: int, width: int) -> Callable[[], float]:
    """Makes a measurement of the operations per second of matrix products.

    The products are `[rows, width]` times `[width, width]`, each depending on the one before.
    """
    rng = np.random.default_rng(0)
    matrix = jnp.asarray(rng.standard_normal((width, width), np.float32) / np.sqrt(width))
    inputs = jnp.asarray(rng.standard_normal((rows, width), np.float32))
    needed = 2 * rows * width * width
    times = max(2, round(_OPERATIONS_MEASURED / needed))
    chain = jax.jit(lambda inputs: jax.lax.fori_loop(0, times, lambda _, each: each @ matrix, inputs))
    chain(inputs).block_until_ready()

    def measure() -> float:
        began = time.perf_counter()
        chain(inputs).block_until_ready()
        return times * needed / (time.perf_counter() - began)

    return measure
