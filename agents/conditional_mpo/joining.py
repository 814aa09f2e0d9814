"""Joining: a new member begins in the hidden layers that earlier members have learned.

Only one member learns at a time. So the network has room for one, and whoever keeps the members keeps their
embeddings beside it: a population may grow without the program being compiled again.

The last layers of policy and critic begin anew, and so do optimisers and duals. A last layer that has learned
holds a policy that hardly plays anything but its old actions, and KL constraints let it change slowly. Hidden
layers alone say which situations are alike, which holds for every opponent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from agents.conditional_mpo.state import MPOState
from agents.core import Joining, Key, Left

# Names of modules in the networks' parameters, see `agents.conditional_mpo.networks`.
_EMBEDDING, _LAST = "embed", "head"

Params = Mapping[str, Any]


def make_joining(init: Callable[[Key], MPOState]) -> Joining:
    """Returns the functions by which members join a network of one member.

    Args:
      init: makes the state before learning, with random networks.
    """

    def join(key: Key, left: Left) -> MPOState:
        fresh = init(key)
        policy = _assemble(fresh.policy, left.network["policy"], left.member["policy"])
        critic = _assemble(fresh.critic, left.network["critic"], left.member["critic"])
        # V-MPO has no target critic.
        target_critic = critic if jax.tree.leaves(fresh.target_critic) else fresh.target_critic
        return fresh._replace(policy=policy, target_policy=policy, critic=critic, target_critic=target_critic)

    return Joining(_leave, join)


def _leave(state: MPOState) -> Left:
    """Returns the hidden layers, and the only member's embeddings `[E]` in policy and critic."""
    networks: dict[str, Params] = {"policy": state.policy, "critic": state.critic}
    return Left(
        {name: _hidden(params) for name, params in networks.items()},
        {name: params[_EMBEDDING]["embeddings"][0] for name, params in networks.items()},
    )


def _hidden(params: Params) -> dict[str, Any]:
    return {name: module for name, module in params.items() if name not in (_EMBEDDING, _LAST)}


def _assemble(fresh: Params, hidden: Params, embedding: jax.Array) -> dict[str, Any]:
    """Returns parameters with a fresh last layer."""
    return {**fresh, **hidden, _EMBEDDING: {"embeddings": embedding[None]}}
