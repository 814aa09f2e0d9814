"""OpenSpiel's psro_v2 with its DQN oracle, set up as in OpenSpiel's own example, with two changes.

Every response gets its own seed, because without this change all networks of a run have the same initial
parameters. In addition, training episodes are counted.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pyspiel
from absl import logging

from experiments.benchmarks.peers import open_spiel as open_spiel_peers
from experiments.benchmarks.shared.curves import Point

_MODULES = ("rl_oracle", "rl_policy", "psro_v2")


class Budget(NamedTuple):
    """Budget of a psro_v2 run.

    Attributes:
      episodes: no iteration begins after this number of training episodes.
      episodes_per_response: minimum number of training episodes of a response.
      sims_per_entry: the number of episodes simulated for a cell of the payoff matrix.
    """

    episodes: int
    episodes_per_response: int
    sims_per_entry: int


class DQNSettings(NamedTuple):
    """Settings of DQN with OpenSpiel's names and the values of its `psro_v2_example.py`."""

    hidden_layers_sizes: tuple[int, ...] = (256, 256, 256, 256)
    batch_size: int = 32
    learning_rate: float = 1e-2
    update_target_network_every: int = 1000
    learn_every: int = 10
    optimizer_str: str = "adam"


class _Counted:
    """Callable that counts the calls of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.calls = 0
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self._function(*args, **kwargs)


class Outcome(NamedTuple):
    """Results of a psro_v2 run.

    Attributes:
      points: the mixtures before the first iteration and after each iteration.
      simulations: the number of episodes simulated for payoffs, in addition to those in training.
    """

    points: list[Point]
    simulations: int


@functools.cache
def _load() -> tuple[list[Any], float]:
    """Imports the modules that psro_v2's DQN needs, or ends the program with exit code 2.

    Returns:
      The modules, and the seconds that the import took.
    """
    began = time.perf_counter()
    modules = open_spiel_peers.require(*_MODULES)
    return modules, time.perf_counter() - began


def check(game: pyspiel.Game) -> None:
    """Checks that psro_v2's DQN is installed and supports the game.

    Raises:
      ValueError: the game has no information state tensor, which psro_v2's policies need.
    """
    if not game.get_type().provides_information_state_tensor:
        raise ValueError(f"psro_v2's DQN needs information state tensors, which {game} has not.")
    _load()


def run(game: pyspiel.Game, budget: Budget, settings: DQNSettings, seed: int) -> Outcome:
    """Runs psro_v2 until the budget is used up. Evaluation does not count as time."""
    modules, taken = _load()
    evaluator = open_spiel_peers.Evaluator(game)
    began = time.perf_counter()
    open_spiel_peers.seed_everything(seed)
    oracle, initial = _make_oracle(game, modules, budget, settings, seed)
    oracle.sample_episode = played = _Counted(oracle.sample_episode)
    solver = open_spiel_peers.make_solver(game, oracle, initial, budget.sims_per_entry)
    taken += time.perf_counter() - began
    points: list[Point] = []

    def note() -> None:
        """Evaluates the current mixture and appends it to the points."""
        worth = evaluator.exploitability(solver.get_policies(), solver.get_meta_strategies())
        points.append(Point(taken, played.calls, worth))
        print(
            f"psro_v2: {played.calls:,} episodes, {taken:,.0f} s, exploitability {worth:.4f}",
            file=sys.stderr,
            flush=True,
        )

    note()
    while played.calls < budget.episodes:
        began = time.perf_counter()
        with open_spiel_peers.quiet():
            solver.iteration()
        taken += time.perf_counter() - began
        note()
    cells = solver.get_meta_game()[0].size
    return Outcome(points, int(cells) * budget.sims_per_entry)


def _make_oracle(
    game: pyspiel.Game, modules: list[Any], budget: Budget, settings: DQNSettings, seed: int
) -> tuple[Any, list[Any]]:
    """Makes the oracle and the untrained policies that the example starts from."""
    from open_spiel.python import rl_environment

    rl_oracle, rl_policy, _ = modules
    # The environment logs the name of the game.
    logging.set_verbosity(logging.WARNING)
    environment = rl_environment.Environment(game)
    environment.seed(seed)
    common = {
        "state_representation_size": environment.observation_spec()["info_state"][0],
        "num_actions": environment.action_spec()["num_actions"],
        **settings._asdict(),
        "hidden_layers_sizes": list(settings.hidden_layers_sizes),
    }
    seeds = itertools.count(1000 * seed)

    def make_policy(player: int) -> Any:
        return rl_policy.DQNPolicy(environment, player, **common, seed=next(seeds))

    def make_policies(training_parameters: list[list[dict[str, Any]]]) -> list[list[Any]]:
        return [
            [make_policy(player) for _ in parameters] for player, parameters in enumerate(training_parameters)
        ]

    oracle = rl_oracle.RLOracle(
        environment, rl_policy.DQNPolicy, common, number_training_episodes=budget.episodes_per_response
    )
    # The oracle's own method copies a policy's arguments, including the seed, so all networks would begin
    # with the same parameters.
    oracle.generate_new_policies = make_policies
    initial = [make_policy(player) for player in range(game.num_players())]
    for policy in initial:
        policy.freeze()
    return oracle, initial
