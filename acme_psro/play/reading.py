"""Reading of run directories, and of mixture directories, as opponents.

Runs may still be running: the newest whole checkpoint is read. Nothing is changed, and no code of the run is
executed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from acme_psro.games import traverse
from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.on_graph import expected_returns
from acme_psro.meta_game.payoffs import value
from acme_psro.play.opponents import Opponents, Values, fixed, of_batch_policies, of_tables
from acme_psro.policies import as_openspiel, decoders, stored
from acme_psro.policies.meta_strategy import (
    BehaviouralStrategy,
    JointStrategy,
    PopulationStrategy,
    require_weights,
)
from acme_psro.policies.tabular import meta_strategy_plan
from acme_psro.population_runs.seed_directories import check_names_one
from acme_psro.self_play_runs import result as self_play
from acme_psro.self_play_runs.games import compile_any, policy_file
from acme_psro.storage import run_directory
from acme_psro.storage.run_config import read_config

# As in `acme_psro.policies.mixture_files`, which imports JAX.
_MIXTURE_FILE = "mixture.json"


def read(directory: Path, player: int, warn: Callable[[str], None]) -> Opponents:
    """Reads the opponents of a person.

    Args:
      directory: the directory of a population run or a self-play run, or a mixture directory.
      player: the person's player.
      warn: called with one line for every checkpoint that is skipped.

    Raises:
      ValueError: there is no such run or none that can be read, there are those of several seeds, or the game
        has no such player.
    """
    check_names_one(directory)
    if (directory / _MIXTURE_FILE).is_file():
        return _of_mixture(directory, player)
    path = directory / "config.json"
    game = read_config(path).get("game") if path.is_file() else None
    if isinstance(game, str):
        # Before the run is read, as its game may take long to compile.
        check_player(game, player)
    if self_play.is_self_play(directory):
        return _of_self_play(directory)
    run = run_directory.read(directory, warn)
    if isinstance(run, run_directory.StoredExactRun):
        return _of_tree(run)
    if isinstance(run, run_directory.StoredGraphRun):
        return _of_graph(run)
    return _of_files(run)


def check_player(game: str, player: int) -> None:
    """Checks that a game has a player.

    Raises:
      GameError: it has not, or there is no such game.
    """
    players = load_game(game).num_players()
    if not 0 <= player < players:
        allowed = f"choose one of 0 to {players - 1}" if players > 1 else "its only one is 0"
        raise GameError(f"{game} has no player {player}: {allowed}.")


def _of_tree(run: run_directory.StoredExactRun) -> Opponents:
    tree, state = run.tree, run.record.state
    strategy, game = state.meta_strategy, load_game(run.game)
    if isinstance(strategy, JointStrategy):
        draw = of_tables(tree, game, state.populations, strategy)
        return Opponents(
            game,
            run.game,
            _drawn(strategy, _after(state.iteration)),
            draw,
            lambda: Values(value(state.payoffs, strategy).tolist()),
        )
    policy = as_openspiel.table_policy(tree, run.mixture_table())
    if isinstance(strategy, BehaviouralStrategy):
        manner = _mixes_actions(state.iteration)
    else:
        manner = f"the mixture of the run {_after(state.iteration)}, as the one policy equivalent to it"

    def values() -> Values:
        plan = meta_strategy_plan(tree, state.populations, strategy)
        return Values(traverse.expected_returns(tree, plan).tolist())

    return Opponents(game, run.game, manner, fixed(policy.action_probabilities, tree.num_players), values)


def _of_graph(run: run_directory.StoredGraphRun) -> Opponents:
    # It imports JAX, which tables on trees do without.
    from acme_psro.policies import mixtures

    state = run.record.state
    mixture = mixtures.of_graph(run.graph, state.populations, state.meta_strategy)
    manner = _drawn(mixture.meta_strategy, _after(state.iteration))
    if isinstance(state.meta_strategy, BehaviouralStrategy):
        manner = _mixes_actions(state.iteration)
    policies = mixtures.opponents_of(mixture, decoders.DECODERS).policies
    return Opponents(
        load_game(run.game),
        run.game,
        manner,
        of_batch_policies(policies, mixture.meta_strategy),
        lambda: Values(expected_returns(run.graph, state.payoffs, state.meta_strategy).tolist()),
        run.graph.seen_by,
    )


def _of_files(run: run_directory.StoredSampledRun) -> Opponents:
    from acme_psro.evaluation import sampled
    from acme_psro.policies import mixtures

    state = run.record.state
    strategy = require_weights(state.meta_strategy)
    mixture = mixtures.of_populations(run.game, state.populations, strategy)

    def values() -> Values:
        if isinstance(strategy, JointStrategy):
            returns = value(state.payoffs.mean, strategy).tolist()
            return Values(returns, [math.nan] * len(returns))
        estimates = sampled.mixture_values(state.payoffs, strategy)
        return Values([each.value for each in estimates], [each.standard_error for each in estimates])

    return Opponents(
        load_game(run.game),
        run.game,
        _drawn(strategy, _after(state.iteration)),
        of_batch_policies(mixtures.opponents_of(mixture, decoders.DECODERS).policies, strategy),
        values,
    )


def _of_self_play(directory: Path) -> Opponents:
    policy = self_play.load_policy(directory)
    players = policy.game.num_players()
    policies = [stored.read(policy_file(directory / "policies", player)) for player in range(players)]
    config = read_config(directory / "config.json")

    def values() -> Values:
        from acme_psro.games import sweeps

        compiled = compile_any(config["game"], config["max_nodes"], lambda line: None)
        if isinstance(compiled, GameTree):
            table = np.concatenate([decoders.table_on_tree(compiled, own) for own in policies])
            plan = traverse.realisation_plan(compiled, table)
            return Values(traverse.expected_returns(compiled, plan).tolist())
        table = np.concatenate([decoders.table_on_graph(compiled, own) for own in policies])
        return Values(sweeps.expected_returns(compiled, table).tolist())

    return Opponents(
        policy.game,
        policies[0].about["game"],
        "the policy of the run at its newest evaluation",
        fixed(policy.action_probabilities, players),
        values,
        policies[0].about.get("seen_by", INFORMATION_STATES),
    )


def _of_mixture(directory: Path, player: int) -> Opponents:
    from acme_psro.policies import mixture_files, mixtures

    mixture = mixture_files.load(directory)
    check_player(mixture.game, player)
    for other, own in enumerate(mixture.policies):
        if other != player and not own:
            raise ValueError(
                f"the mixture in {directory} has no policies of player {other}: play as --player={other}."
            )
    policies = mixtures.opponents_of(mixture, decoders.DECODERS).policies
    return Opponents(
        load_game(mixture.game),
        mixture.game,
        _drawn(mixture.meta_strategy, "in its directory"),
        of_batch_policies(policies, mixture.meta_strategy),
        lambda: None,
    )


def _drawn(strategy: PopulationStrategy, when: str) -> str:
    """Returns the manner of players whose policies are drawn."""
    if isinstance(strategy, JointStrategy):
        count = int((strategy.probabilities > 0).sum())
        return (
            f"policies drawn together for each game, by the joint distribution {when} over {count} profiles"
        )
    return f"policies of the mixture {when}, drawn for each game"


def _mixes_actions(iteration: int) -> str:
    return f"the policy of the run {_after(iteration)}, which mixes actions"


def _after(iteration: int) -> str:
    return f"after iteration {iteration}"
