"""Networks of one shape that are evaluated in one call, as a mixture of many members needs it.

Dimensions: `K` networks, `m` of them that are asked, `n` states of each, `A` actions, `D` numbers in an
observation, `C` numbers of context.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.policies.networks import NetworkPolicy, check_probabilities, round_up
from agents.core import Observation

# Numbers of networks and of states to which calls are padded, so that few shapes are compiled.
_NETWORKS = (2, 8, 32, 128)
_STATES = (4, 16, 64, 256, 1024)


def join(policies: Sequence[BatchPolicy]) -> None:
    """Lets policies that are networks of one shape be evaluated together, see `JointCall`.

    Args:
      policies: policies of one player. Those that are no networks stay as they are.
    """
    groups: dict[Hashable, list[NetworkPolicy]] = {}
    for policy in policies:
        if isinstance(policy, NetworkPolicy):
            shape = (policy.network.probs, policy.network.greedy, len(policy.network.context))
            groups.setdefault(shape, []).append(policy)
    for members in groups.values():
        if len(members) > 1:
            call = _JointNetworks(members)
            for number, policy in enumerate(members):
                policy.joint = (call, number)


class _JointNetworks:
    """The joint call of several networks.

    Args:
      members: the networks, all of one shape and in one game.
    """

    def __init__(self, members: Sequence[NetworkPolicy]) -> None:
        self._members = tuple(members)
        self._probs = _compile(members[0].network.probs)

    @functools.cached_property
    def _variables(self) -> Any:
        """Arrays `[K, ..]` of all networks. They are stacked once, when several are first asked."""
        return jax.tree.map(lambda *each: jnp.stack(each), *(policy.variables for policy in self._members))

    def __call__(
        self, numbers: Sequence[int], states: Sequence[Sequence[Any]], player: int
    ) -> list[np.ndarray]:
        """Returns the probabilities `[n, A]` of the networks with these numbers, each in its own states.

        Raises:
          StoredPolicyError: a network gives no probabilities.
        """
        answers: list[np.ndarray] = []
        for start in range(0, len(numbers), _NETWORKS[-1]):
            part = slice(start, start + _NETWORKS[-1])
            answers += self._ask(numbers[part], states[part], player)
        return answers

    def _ask(self, numbers: Sequence[int], states: Sequence[Sequence[Any]], player: int) -> list[np.ndarray]:
        counts = [len(own) for own in states]
        if max(counts) > _STATES[-1]:
            return [self._members[number](own, player) for number, own in zip(numbers, states, strict=True)]
        # Observed in one call too: making arrays of few states costs as much as of many.
        seen = self._members[0].observe([state for own in states for state in own], player)
        info_state, legal = np.asarray(seen.info_state), np.asarray(seen.legal_actions)
        width, depth = round_up(len(numbers), _NETWORKS), round_up(max(counts), _STATES)
        index = (np.repeat(np.arange(len(numbers)), counts), np.concatenate([np.arange(n) for n in counts]))
        # In padding all actions are legal, so that a softmax over them is defined.
        padded_info_state = np.zeros((width, depth, info_state.shape[1]), np.float32)
        padded_legal = np.ones((width, depth, legal.shape[1]), bool)
        padded_info_state[index], padded_legal[index] = info_state, legal
        chosen = np.zeros(width, np.int32)
        chosen[: len(numbers)] = numbers
        contexts = np.stack([self._members[number].network.context for number in chosen])
        contexts = np.broadcast_to(contexts[:, None], (width, depth, contexts.shape[-1]))
        arrays: tuple[Any, ...] = (padded_info_state, padded_legal, contexts)
        found = np.asarray(self._probs(self._variables, chosen, Observation(*arrays)), np.float64)[index]
        whole = check_probabilities(self._members[0].network, found, legal)
        return np.split(whole, np.cumsum(counts)[:-1])


@functools.cache
def _compile(probs: Callable[[Any, Observation], jax.Array]) -> Callable[..., jax.Array]:
    """Returns `(variables [K, ..], numbers [m], Observation [m, n, ..]) -> [m, n, A]`, compiled."""

    def several(variables: Any, numbers: jax.Array, observation: Observation) -> jax.Array:
        return jax.vmap(probs)(jax.tree.map(lambda each: each[numbers], variables), observation)

    return jax.jit(several)
