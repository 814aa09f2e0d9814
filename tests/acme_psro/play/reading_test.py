"""Tests of acme_psro.play.reading: every kind of run plays as its files say; what is none is refused."""

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

import acme_psro
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.compile_graph import compile_graph
from acme_psro.games.graph import INFORMATION_STATES
from acme_psro.play import reading, session
from acme_psro.play.opponents import Opponents
from acme_psro.play.session import Setting
from acme_psro.policies import decoders, mixture_files
from acme_psro.policies.meta_strategy import BehaviouralStrategy, ProductStrategy
from acme_psro.policies.mixtures import Mixture
from acme_psro.self_play_runs.games import write_policies
from acme_psro.storage import run_directory
from acme_psro.storage.run_config import write_config
from tests.acme_psro.play.runs import (
    JOINT,
    PRODUCT,
    pure_populations,
    random_policy,
    write_graph_run,
    write_sampled_run,
    write_tree_run,
)

ROOT = pathlib.Path(__file__).parents[3]
OLD_RUNS = ROOT / "tests" / "data" / "runs_of_0_1"


def _read(directory: pathlib.Path, player: int = 0) -> Opponents:
    return reading.read(directory, player, pytest.fail)


def _write_product(directory: pathlib.Path) -> None:
    write_tree_run(directory, "kuhn_poker", PRODUCT)


def _write_behavioural(directory: pathlib.Path) -> None:
    tree = compile_game("kuhn_poker")
    tables = tuple(random_policy(tree, player, 7).table for player in range(2))
    write_tree_run(directory, "kuhn_poker", BehaviouralStrategy(tables))


def _write_joint(directory: pathlib.Path) -> None:
    write_tree_run(directory, "kuhn_poker(players=3)", JOINT)


def _write_graph(directory: pathlib.Path) -> None:
    # Kuhn poker's tree has 58 nodes, its graph 29.
    write_graph_run(directory, compile_graph("kuhn_poker"), max_nodes=40)


def _write_self_play(directory: pathlib.Path, max_nodes: int = 1000) -> None:
    game = compile_game("kuhn_poker") if max_nodes > 58 else compile_graph("kuhn_poker")
    weights = game.legal_actions * np.arange(1.0, 1 + game.num_actions)
    write_policies(game, weights / weights.sum(axis=1, keepdims=True), directory / "policies")
    config = {"game": "kuhn_poker", "algorithm": "mmd", "max_nodes": max_nodes}
    write_config(directory, config)


def _write_self_play_on_graph(directory: pathlib.Path) -> None:
    _write_self_play(directory, max_nodes=40)


def _write_sampled(directory: pathlib.Path) -> None:
    write_sampled_run(directory)


WRITERS: dict[str, Callable[[pathlib.Path], None]] = {
    "product": _write_product,
    "behavioural": _write_behavioural,
    "joint": _write_joint,
    "graph": _write_graph,
    "sampled": _write_sampled,
    "self_play": _write_self_play,
    "self_play_on_graph": _write_self_play_on_graph,
}


def mean_return(opponents: Opponents, player: int, games: int) -> tuple[float, float]:
    """Returns the mean and its standard error if the person plays as the run would."""
    setting, rng = Setting(opponents, player, seed=1), np.random.default_rng(2)
    now = session.begin(setting)
    for _ in range(games):
        while not now.state.is_terminal():
            chosen = now.lineup.behaviour(now.state, player)
            now = session.act(setting, now, int(rng.choice(list(chosen), p=list(chosen.values()))))
        now = session.new_game(setting, now)
    assert len(now.results) == games
    return float(np.mean(now.results)), float(np.std(now.results) / games**0.5)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_run_plays_to_the_value_that_it_tells(tmp_path: pathlib.Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    opponents = _read(tmp_path)
    values = opponents.values()
    assert values is not None
    assert sum(values.returns) == pytest.approx(0.0, abs=1e-9)
    assert (values.standard_errors is None) == (kind != "sampled")
    mean, error = mean_return(opponents, 0, games=800)
    assert abs(mean - values.returns[0]) < 4 * error
    assert 0 < error < 0.1


@pytest.mark.parametrize("kind", ["product", "behavioural", "self_play"])
def test_one_policy_a_player_is_that_of_load_policy(tmp_path: pathlib.Path, kind: str) -> None:
    WRITERS[kind](tmp_path)
    opponents, policy = _read(tmp_path), acme_psro.load_policy(tmp_path)
    lineup = opponents.draw(np.random.default_rng(0))
    assert lineup.notes == ("", "")
    for history in ((0, 1), (2, 0, 1), (1, 2, 0), (0, 2, 0, 1)):
        state = opponents.game.new_initial_state()
        for action in history:
            state.apply_action(action)
        player = state.current_player()
        assert lineup.behaviour(state, player) == pytest.approx(policy.action_probabilities(state, player))


def test_values_are_those_of_the_evaluation(tmp_path: pathlib.Path) -> None:
    tree = write_tree_run(tmp_path, "kuhn_poker", PRODUCT)
    run = run_directory.read(tmp_path)
    assert isinstance(run, run_directory.StoredExactRun)
    expected = evaluate_mixture(tree, run.record.state.populations, PRODUCT).expected_returns
    values = _read(tmp_path).values()
    assert values is not None
    np.testing.assert_allclose(values.returns, expected, atol=1e-12)


def test_a_joint_distribution_is_not_taken_for_its_marginals(tmp_path: pathlib.Path) -> None:
    game = "kuhn_poker(players=3)"
    tree = compile_game(game)
    populations = pure_populations(tree)
    write_tree_run(tmp_path, game, JOINT, populations)
    values = _read(tmp_path).values()
    assert values is not None
    tables = [np.concatenate([own[index].table for own in populations]) for index in range(2)]
    returns = [traverse.expected_returns(tree, traverse.realisation_plan(tree, table)) for table in tables]
    # All pass, or all bet, whatever they hold: nobody gains by it on average.
    np.testing.assert_allclose(values.returns, 0.25 * returns[0] + 0.75 * returns[1], atol=1e-12)
    opponents = _read(tmp_path, player=2)
    setting = Setting(opponents, 2, seed=0)
    first_actions = []
    now = session.begin(setting)
    for _ in range(200):
        actions = {move.action for move in now.moves if move.player >= 0}
        # Both others play the same profile.
        assert len(actions) == 1
        first_actions += actions
        now = session.new_game(setting, now)
    assert np.mean(first_actions) == pytest.approx(0.75, abs=0.1)


def test_graphs_are_seen_as_their_policies_see_them(tmp_path: pathlib.Path) -> None:
    graph = compile_graph("kuhn_poker")
    _write_graph(tmp_path / "graph")
    assert _read(tmp_path / "graph").seen_by == graph.seen_by != INFORMATION_STATES
    _write_self_play_on_graph(tmp_path / "self_play")
    assert _read(tmp_path / "self_play").seen_by == graph.seen_by
    _write_product(tmp_path / "tree")
    assert _read(tmp_path / "tree").seen_by == INFORMATION_STATES


@pytest.mark.parametrize("kind", ["table", "sampled"])
def test_runs_of_an_earlier_release_can_be_played(kind: str) -> None:
    opponents = _read(OLD_RUNS / kind, player=1)
    assert opponents.name == "kuhn_poker()"
    assert np.isfinite(mean_return(opponents, 1, games=5)[0])


def test_a_mixture_directory_can_be_played_by_who_has_no_policies_in_it(tmp_path: pathlib.Path) -> None:
    tree = compile_game("kuhn_poker")
    own = tuple(decoders.from_tree_policy(tree, 0, policy) for policy in pure_populations(tree)[0])
    strategy = ProductStrategy((np.array([0.0, 1.0]), np.zeros(0)))
    mixture_files.write(tmp_path, Mixture(tree.game_string, (own, ()), strategy))
    opponents = _read(tmp_path, player=1)
    now = session.begin(Setting(opponents, 1, seed=0))
    # The drawn policy always bets.
    assert [move.action for move in now.moves if move.player == 0] == [1]
    assert now.lineup.notes[0] == "policy 1 of 2, drawn with probability 1.000"
    assert opponents.values() is None
    with pytest.raises(ValueError, match=r"has no policies of player 1: play as --player=1\.$"):
        _read(tmp_path, player=0)
    with pytest.raises(ValueError, match="has no player 2: choose one of 0 to 1"):
        _read(tmp_path, player=2)


def test_the_manner_of_playing_is_said(tmp_path: pathlib.Path) -> None:
    manners = {}
    for kind, write in WRITERS.items():
        write(tmp_path / kind)
        manners[kind] = _read(tmp_path / kind).manner
    drawn = "policies of the mixture after iteration 1, drawn for each game"
    assert manners == {
        "product": "the mixture of the run after iteration 1, as the one policy equivalent to it",
        "behavioural": "the policy of the run after iteration 1, which mixes actions",
        "joint": "policies drawn together for each game, by the joint distribution after iteration 1 over 2 "
        "profiles",
        "graph": drawn,
        "sampled": drawn,
        "self_play": "the policy of the run at its newest evaluation",
        "self_play_on_graph": "the policy of the run at its newest evaluation",
    }


def test_what_cannot_be_played_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"there is no run in .*nowhere"):
        _read(tmp_path / "nowhere")
    for seed in (3, 5):
        _write_product(tmp_path / "seeds" / f"seed_{seed}")
    with pytest.raises(ValueError, match=r"runs of several seeds: name one of them, .*seed_3, seed_5\.$"):
        _read(tmp_path / "seeds")
    with pytest.raises(ValueError, match="is a run of run_agent"):
        _read(OLD_RUNS / "agent")
    empty = tmp_path / "empty"
    write_config(empty, {"game": "kuhn_poker", "oracle": "exact"})
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        _read(empty)
    shutil.rmtree(empty)
    write_config(empty, {"game": "kuhn_poker", "algorithm": "mmd", "max_nodes": 100})
    with pytest.raises(ValueError, match="has no policy yet"):
        _read(empty)


@pytest.mark.parametrize("player", [-1, 2, 7])
def test_a_player_whom_the_game_lacks_is_refused_before_the_run_is_read(
    tmp_path: pathlib.Path, player: int
) -> None:
    write_config(tmp_path, {"game": "kuhn_poker", "oracle": "exact"})
    with pytest.raises(ValueError, match=f"^kuhn_poker has no player {player}: choose one of 0 to 1\\.$"):
        _read(tmp_path, player)
    with pytest.raises(ValueError, match=r"^catch has no player 1: its only one is 0"):
        reading.check_player("catch", 1)


def test_exact_runs_are_read_without_jax(tmp_path: pathlib.Path) -> None:
    _write_product(tmp_path)
    script = (
        "import json, pathlib, sys\n"
        "from acme_psro.play import reading, terminal\n"
        "opponents = reading.read(pathlib.Path(sys.argv[1]), 0, print)\n"
        "opponents.values()\n"
        "print(json.dumps(sorted({'jax', 'numba', 'tensorflow', 'acme'} & set(sys.modules))))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
