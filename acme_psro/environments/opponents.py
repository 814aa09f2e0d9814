"""Opponents from directories: the mixture of a run of PSRO, or a mixture directory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acme_psro.games import batched, environment
from acme_psro.games.loading import load_game
from acme_psro.policies import mixture_files
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.decoders import DECODERS
from acme_psro.storage import run_directory

# OpenSpiel announces optional modules that it lacks.
with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy


def read(directory: str, game: str) -> environment.Opponents:
    """What the others play in one game, from either kind of directory.

    Raises:
      ValueError: neither a run nor a mixture, or one of another game.
    """
    found = _find(Path(directory), game)
    return environment.fixed(found) if isinstance(found, Policy) else one_game(found, game)


def read_batched(directory: str, game: str) -> batched.Opponents:
    """What the others play in many games side by side, from either kind of directory.

    Raises:
      ValueError: neither a run nor a mixture, or one of another game.
    """
    found = _find(Path(directory), game)
    if not isinstance(found, Policy):
        return found
    return batched.fixed([batched.of_openspiel(found)] * found.game.num_players())


def _find(directory: Path, game: str) -> Policy | batched.Opponents:
    """The one policy that plays like the mixture, where there is a table of it; else what is drawn."""
    if mixture_files.exists(directory):
        return mixture_files.read(directory, DECODERS, game)
    run, expected = run_directory.read(directory), str(load_game(game))
    if run.game != expected:
        raise ValueError(f"the run in {directory} plays {run.game}, not {expected}: choose another.")
    if isinstance(run, run_directory.StoredExactRun):
        return table_policy(run.tree, run.mixture_table())
    # Drawing a policy for an episode asks one where weighing them by reach asks all, at every decision.
    state = run.record.state
    loaded = mixture_files.of_populations(run.game, state.populations, state.meta_strategy)
    return mixture_files.opponents_of(loaded, DECODERS)


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
