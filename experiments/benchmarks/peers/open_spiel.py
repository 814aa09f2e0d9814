"""OpenSpiel's psro_v2 and its evaluation in Python, with their output to the terminal suppressed."""

from __future__ import annotations

import contextlib
import importlib
import io
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyspiel

from acme_psro.commands import command_line

with contextlib.redirect_stdout(io.StringIO()):
    # The import prints on standard output which optional games are missing.
    from open_spiel.python import policy
    from open_spiel.python.algorithms import exploitability, policy_aggregator

_PSRO = "open_spiel.python.algorithms.psro_v2"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context manager that suppresses what the peer prints on standard output."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def require(*names: str) -> list[Any]:
    """Imports modules of psro_v2, or ends the program with one line and exit code 2.

    The modules need packages that OpenSpiel's wheel does not require.
    """
    modules = []
    for name in names:
        try:
            with quiet():
                modules.append(importlib.import_module(f"{_PSRO}.{name}"))
        except ImportError as error:
            command_line.refuse(
                f"OpenSpiel's psro_v2.{name}, which this is measured against, cannot be imported ({error}): "
                "pip install -e .[benchmarks] -c constraints.txt"
            )
    return modules


def seed_everything(seed: int) -> None:
    """Seeds both global random generators, because psro_v2 draws from both and accepts no seed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


def make_solver(
    game: pyspiel.Game, oracle: Any, initial: Sequence[policy.Policy], sims_per_entry: int
) -> Any:
    """Makes a `psro_v2.PSROSolver` with the Nash meta-solver, otherwise as in OpenSpiel's own example.

    Like the example it samples from marginals. The default, sampling from the joint strategy, fails with
    the reinforcement learning oracle.
    """
    (psro_v2,) = require("psro_v2")
    with quiet():
        return psro_v2.PSROSolver(
            game,
            oracle,
            initial_policies=list(initial),
            sims_per_entry=sims_per_entry,
            training_strategy_selector="probabilistic",
            meta_strategy_method="nash",
            sample_from_marginals=True,
        )


class _Remembered(policy.Policy):
    """Policy that caches the action probabilities of another policy by information state."""

    def __init__(self, game: pyspiel.Game, asked: policy.Policy) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._asked = asked
        self._answers: dict[tuple[int, str], dict[int, float]] = {}

    def action_probabilities(self, state: pyspiel.State, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        key = (player, state.information_state_string(player))
        if key not in self._answers:
            self._answers[key] = self._asked.action_probabilities(state, player)
        return self._answers[key]


class Evaluator:
    """Evaluates mixtures of a `PSROSolver` with OpenSpiel's exploitability."""

    def __init__(self, game: pyspiel.Game) -> None:
        self._game = game
        self._remembered: dict[policy.Policy, _Remembered] = {}

    def exploitability(self, policies: Sequence[Sequence[policy.Policy]], marginals: Any) -> float:
        """Returns NashConv divided by the number of players, of the mixture weighted by reach probabilities.

        Args:
          policies: the population of each player.
          marginals: meta-strategy of each player, `[P]` arrays `[n_p]`.
        """
        remembered = [[self._remember(each) for each in population] for population in policies]
        aggregator = policy_aggregator.PolicyAggregator(self._game)
        mixture = aggregator.aggregate(range(self._game.num_players()), remembered, list(marginals))
        return nash_conv(self._game, mixture) / self._game.num_players()

    def _remember(self, asked: policy.Policy) -> _Remembered:
        if asked not in self._remembered:
            self._remembered[asked] = _Remembered(self._game, asked)
        return self._remembered[asked]


def nash_conv(game: pyspiel.Game, evaluated: policy.Policy) -> float:
    """Returns NashConv as computed by OpenSpiel's Python code."""
    return float(exploitability.nash_conv(game, evaluated))


def tabular_policy(
    game: pyspiel.Game, keys: Sequence[str], probabilities: np.ndarray
) -> policy.TabularPolicy:
    """Converts a policy table to the tabular policy of OpenSpiel's Python code.

    Args:
      game: the game.
      keys: information state strings, `[I]`.
      probabilities: action probabilities, `[I, A]`.
    """
    tabular = policy.TabularPolicy(game)
    rows = [tabular.state_lookup[key] for key in keys]
    tabular.action_probability_array[rows] = probabilities
    return tabular


def uniform_policies(game: pyspiel.Game) -> list[policy.TabularPolicy]:
    """Returns one uniform policy for each player."""
    return [policy.TabularPolicy(game) for _ in range(game.num_players())]
