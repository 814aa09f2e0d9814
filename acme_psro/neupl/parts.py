"""Records of the training of members: its parts that never change, its plan and its state.

Dimensions: as in `acme_psro.neupl.playing`; `R` rounds in the buffer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax

from acme_psro.games.compiled import CompiledGame
from acme_psro.games.device_arrays import GameArrays
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.estimation import Estimating, Estimation
from acme_psro.neupl.seats import Seats, make_contexts
from acme_psro.neupl.spreading import Spread
from acme_psro.oracles.device.ring import Ring
from agents.core import AgentCore, Observation


class Plan(NamedTuple):
    """The part of an epoch that depends on what has been learned before it.

    Attributes:
      graph: `[P, N, N]` float32, the interaction graph.
      share: `[P, N]` float32, each player's distribution over its members that learn.
      is_fixed: `[P, N]` bool, True for members that do not change any more, the sink among them.
      fixed: `[N, I, A]` float32, their policies for all players; arbitrary for other members.
    """

    graph: jax.Array
    share: jax.Array
    is_fixed: jax.Array
    fixed: jax.Array


class NeuPLState(NamedTuple):
    """Everything that an epoch needs from the epochs before it.

    Attributes:
      agent: the agent's state.
      buffer: the decisions of the last rounds.
      drawn: `[R, P, S, N]` float32, the mixtures that were drawn in these rounds.
      rounds: `[]` int32, the number of rounds so far.
      estimation: what is known of payoffs; None if they are computed exactly.
    """

    agent: Any
    buffer: Ring
    drawn: jax.Array
    rounds: jax.Array
    estimation: Estimation | None = None


class Parts(NamedTuple):
    """Parts of an epoch that do not change.

    Attributes:
      game: the compiled game.
      seats: the players as the network sees them.
      core: the agent.
      config: the population and the budget.
      num_decisions: `D`, decisions of a game in a round; every game that is begun can end.
      held_rounds: `R`, rounds in the buffer.
      utility_scale: the game's largest return, by which rewards are divided.
      estimating: learns payoffs from games; None if they are computed exactly.
      is_on_policy: True if the agent learns from the decisions of the newest round alone.
      spread: the devices over which games are spread; None for one device.
    """

    game: GameArrays
    seats: Seats
    core: AgentCore
    config: NeuPLConfig
    num_decisions: int
    held_rounds: int
    utility_scale: float
    estimating: Estimating | None = None
    is_on_policy: bool = False
    spread: Spread | None = None

    @property
    def per_round(self) -> int:
        """Returns the decisions of a round, of both players."""
        return 2 * self.config.num_envs * self.num_decisions


def make_parts(
    compiled: CompiledGame,
    game: GameArrays,
    seats: Seats,
    core: AgentCore,
    config: NeuPLConfig,
    estimating: Estimating | None = None,
    is_on_policy: bool = False,
) -> Parts:
    """Returns the parts of an epoch in a two-player game, a tree or a graph."""
    num_decisions = compiled.most_decisions
    held_rounds = max(1, config.buffer_size // (2 * config.num_envs * num_decisions))
    if is_on_policy:
        # Decisions of earlier rounds come from other policies.
        held_rounds = 1
    scale = compiled.utility_scale
    return Parts(game, seats, core, config, num_decisions, held_rounds, scale, estimating, is_on_policy)


def observe(parts: Parts, infoset: jax.Array, rows: jax.Array) -> Observation:
    """Returns observations at information states `[B]` of policies with mixtures `[B, N]`."""
    chex.assert_rank([infoset, rows], [1, 2])
    context = make_contexts(rows, parts.seats.context[infoset])
    seen = parts.game.info_state[parts.seats.seen[infoset]]
    return Observation(seen, parts.game.legal_actions[infoset], context)
