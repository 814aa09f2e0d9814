"""Opponents that play the mixture of a PSRO run or of a mixture directory."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.games import batch_policies
from acme_psro.games.batch_policies import BatchOpponents, BatchPolicy
from acme_psro.games.identity import name_game
from acme_psro.games.loading import load_game
from acme_psro.policies import mixture_files, mixtures
from acme_psro.policies.as_openspiel import table_policy
from acme_psro.policies.decoders import DECODERS
from acme_psro.policies.meta_strategy import JointStrategy, require_weights
from acme_psro.storage import run_directory

if TYPE_CHECKING:
    from acme_psro.games import environment

# OpenSpiel announces optional modules that it lacks.
with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy


def read(directory: str, game: str, *, trembling: bool = False) -> environment.DrawOpponents:
    """Reads the policies of the other players, for one game at a time.

    Args:
      directory: directory of a run, or mixture directory.
      game: OpenSpiel's name of the game, with its parameters.
      trembling: True to draw with the trembles of a mixture directory, as only a learner does.

    Returns:
      A function that draws the policies of an episode.

    Raises:
      ValueError: the directory holds neither a run nor a mixture, or it belongs to another game.
    """
    # Imported here, because it needs dm_env, which many games that are stepped together do without.
    from acme_psro.games import environment

    found = _find(Path(directory), game, trembling)
    return environment.fixed(found) if isinstance(found, Policy) else _for_one_game(found, game)


def read_batched(directory: str, game: str, *, trembling: bool = False) -> BatchOpponents:
    """Reads the policies of the other players, for many games that are stepped together.

    Args:
      directory: directory of a run, or mixture directory.
      game: OpenSpiel's name of the game, with its parameters.
      trembling: True to draw with the trembles of a mixture directory, as only a learner does.

    Returns:
      The policies of each player, and the distribution from which the policies of an episode are drawn.

    Raises:
      ValueError: the directory holds neither a run nor a mixture, or it belongs to another game.
    """
    found = _find(Path(directory), game, trembling)
    if not isinstance(found, Policy):
        return found
    return batch_policies.fixed([batch_policies.of_openspiel(found)] * found.game.num_players())


def _find(directory: Path, game: str, trembling: bool) -> Policy | BatchOpponents:
    """Reads a directory's mixture in its cheapest form.

    Returns:
      For a run that stores a table of the mixture, one policy that plays like the mixture. For others, and
      for joint distributions, the policies from which those of an episode are drawn.
    """
    if mixture_files.exists(directory):
        return mixture_files.read(directory, DECODERS, game, trembling=trembling)
    run, expected = run_directory.read(directory), name_game(game)
    if run.game != expected:
        raise ValueError(f"the run in {directory} plays {run.game}, not {expected}: choose another.")
    is_joint = isinstance(run.record.state.meta_strategy, JointStrategy)
    if isinstance(run, run_directory.StoredExactRun) and not is_joint:
        return table_policy(run.tree, run.mixture_table())
    # A policy that plays like the mixture would weigh all policies by their reach probabilities, at every
    # decision. If a policy is drawn for each episode, a decision needs only this one.
    state = run.record.state
    if isinstance(run, run_directory.StoredGraphRun):
        loaded = mixtures.of_graph(run.graph, run.record.state.populations, state.meta_strategy)
    elif isinstance(run, run_directory.StoredExactRun):
        strategy = require_weights(state.meta_strategy)
        loaded = mixtures.of_tree(run.tree, run.record.state.populations, strategy)
    else:
        strategy = require_weights(state.meta_strategy)
        loaded = mixtures.of_populations(run.game, run.record.state.populations, strategy)
    return mixtures.opponents_of(loaded, DECODERS)


def _for_one_game(opponents: BatchOpponents, game: str) -> environment.DrawOpponents:
    """Converts opponents of many games to opponents of one game at a time, with the same distribution.

    Args:
      opponents: the policies of each player and their distribution.
      game: OpenSpiel's name of the game, with its parameters.
    """
    loaded = load_game(game)
    policies = [[_OnePolicy(loaded, policy) for policy in own] for own in opponents.policies]

    def draw(rng: np.random.Generator) -> Sequence[Policy | None]:
        drawn = opponents.draw(rng, 1)[0].tolist()
        return [own[index] if own else None for own, index in zip(policies, drawn, strict=True)]

    return draw


class _OnePolicy(Policy):
    """A batched policy as an OpenSpiel policy, which evaluates one state at a time."""

    def __init__(self, game: Any, policy: BatchPolicy) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._policy = policy

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        row = self._policy([state], player)[0]
        return {action: float(row[action]) for action in state.legal_actions(player)}
