"""Operations of an update of continuous CrossQ, and how many of them the machine does in a second.

A critic has C = sum of products of successive widths, from observation and action to one value; the policy
P likewise, to a mean and a deviation for each number of an action. Forwards a row costs as many
multiply-adds; backwards once more for weights and once more for inputs. An update is

    critics, observations and next ones in one pass, forwards and backwards:   E 2B 3C
    policy, forwards for the next actions:                                      B P
    policy, forwards and backwards; critics, forwards and for inputs:          (B 3P + E B 2C) / delay

multiply-adds, two operations each, with B rows in a batch, E critics. What normalisations, Adam and random
numbers cost is not in it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_OPERATIONS_MEASURED = 2e10


class Sizes(NamedTuple):
    """What both sides have in common."""

    observation_size: int = 17
    action_size: int = 6
    policy_width: int = 256
    batch_size: int = 256
    buffer_size: int = 100_000
    num_critics: int = 2
    policy_delay: int = 3


def operations(sizes: Sizes, width: int) -> float:
    """Operations of an update on average: policy updates count for their share."""
    critic = _products((sizes.observation_size + sizes.action_size, width, width, 1))
    hidden = sizes.policy_width
    policy = _products((sizes.observation_size, hidden, hidden, 2 * sizes.action_size))
    batch = sizes.batch_size
    joint = sizes.num_critics * 2 * batch * 3 * critic
    delayed = batch * 3 * policy + sizes.num_critics * batch * 2 * critic
    return 2 * (joint + batch * policy + delayed / sizes.policy_delay)


def _products(widths: Sequence[int]) -> int:
    return sum(wide * next_wide for wide, next_wide in itertools.pairwise(widths))


def product_rate(rows: int, width: int) -> Callable[[], float]:
    """What measures operations per second of `[rows, width]` times `[width, width]`, one after the other."""
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
