"""Opponents from directories: the mixture of a run of PSRO, or a mixture directory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_psro import load_policy, mixtures
from acme_psro.games import batched, environment
from acme_psro.games.loading import load_game
from experiments.policy_decoders import DECODERS

# OpenSpiel announces optional modules that it lacks.
with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy


def read(directory: str, game: str) -> environment.Opponents:
    """What the others play in one game, from either kind of directory.

    Raises:
      ValueError: neither a run nor a mixture, or one of another game.
    """
    if mixtures.exists(Path(directory)):
        return one_game(mixtures.read(Path(directory), DECODERS, game), game)
    expected, policy = str(load_game(game)), load_policy(directory)
    if str(policy.game) != expected:
        raise ValueError(f"the run in {directory} plays {policy.game}, not {expected}: choose another.")
    return environment.fixed(policy)


def one_game(opponents: batched.Opponents, game: str) -> environment.Opponents:
    """The same opponents for one game at a time."""
    loaded = load_game(game)
    policies = [[_OnePolicy(loaded, policy) for policy in own] for own in opponents.policies]

    def draw(rng: np.random.Generator) -> Sequence[Policy | None]:
        drawn = opponents.draw(rng, 1)[0].tolist()
        return [own[index] if own else None for own, index in zip(policies, drawn, strict=True)]

    return draw


class _OnePolicy(Policy):
    """A batch policy, asked for one state."""

    def __init__(self, game: Any, policy: batched.BatchPolicy) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._policy = policy

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        row = self._policy([state], player)[0]
        return {action: float(row[action]) for action in state.legal_actions(player)}
