"""Tests of the games of one actor. They have the same settings and opponents as the environment."""

import dataclasses
import pathlib
import sys
import types
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.evaluation import make_exact_evaluation
from acme_psro.agent_runs.parts import make_run_environment
from acme_psro.agent_runs.program.game_batches import FiniteGames, make_game_batch
from acme_psro.agent_runs.program.layout import EnvironmentFactory
from acme_psro.environments import opponents
from acme_psro.environments.wrappers import NonFiniteError
from acme_psro.games import playing, traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.policies import decoders, mixture_files, mixtures
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.tabular import combine, make_policy, uniform_policy
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import run_directory
from acme_psro.storage.record import Record
from agents.core import Observation

CONFIG = AgentRunConfig("crossq", "openspiel:kuhn_poker", 1000, player=1, games_per_actor=40)


def mean_return(games: FiniteGames, steps: int) -> tuple[float, float]:
    """Returns the mean return of a player that acts uniformly, with its standard error."""
    rng = np.random.default_rng(99)
    seen, returns, account = games.reset(), [], np.zeros(games.num_games)
    for _ in range(steps):
        legal = np.asarray(seen.legal_actions, np.float64)
        actions = playing.draw_each(rng, legal / legal.sum(axis=1, keepdims=True))
        seen, reward, last = games.step(actions)
        account += reward
        returns += account[last].tolist()
        account[last] = 0
    return float(np.mean(returns)), float(np.std(returns) / np.sqrt(len(returns)))


def test_games_are_as_many_as_configured_and_as_the_seed_has_them() -> None:
    def seen(seed: int) -> bytes:
        observation = make_game_batch(CONFIG, seed).reset()
        assert observation.info_state.shape[0] == 40
        return np.asarray(observation.info_state).tobytes()

    assert seen(3) == seen(3) != seen(4)


def test_opponents_of_a_mixture_are_drawn_as_it_says(tmp_path: pathlib.Path, pure_table: Any) -> None:
    tree = compile_game("kuhn_poker", cache=False)
    own = [make_policy(tree, 0, pure_table(tree, seed)[tree.infosets_of(0)]) for seed in (1, 12)]
    stored = tuple(decoders.from_tree_policy(tree, 0, policy) for policy in own)
    weights = ProductStrategy((np.array([0.25, 0.75]), np.array([])))
    mixture_files.write(tmp_path, mixtures.Mixture(tree.game_string, (stored, ()), weights))
    games = make_game_batch(dataclasses.replace(CONFIG, opponent=str(tmp_path)), seed=0)
    plans = [combine(tree, [policy.plan, uniform_policy(tree, 1).plan]) for policy in own]
    earned = [traverse.expected_returns(tree, plan)[1] for plan in plans]
    assert abs(earned[0] - earned[1]) > 0.2
    mean, error = mean_return(games, 300)
    assert abs(mean - (0.25 * earned[0] + 0.75 * earned[1])) < 4 * error


def test_actors_meet_trembles_and_evaluations_do_not(tmp_path: pathlib.Path, pure_table: Any) -> None:
    tree = compile_game("kuhn_poker", cache=False)
    own = [make_policy(tree, 0, pure_table(tree, seed)[tree.infosets_of(0)]) for seed in (1, 12)]
    stored = tuple(decoders.from_tree_policy(tree, 0, policy) for policy in own)
    # The mixture is the first policy alone. A tremble draws either.
    weights = ProductStrategy((np.array([1.0, 0.0]), np.array([])))
    mixture = mixtures.Mixture(tree.game_string, (stored, ()), weights, trembles=1.0)
    mixture_files.write(tmp_path, mixture)
    config = dataclasses.replace(CONFIG, opponent=str(tmp_path))
    plans = [combine(tree, [policy.plan, uniform_policy(tree, 1).plan]) for policy in own]
    earned = [float(traverse.expected_returns(tree, plan)[1]) for plan in plans]
    assert abs(earned[0] - earned[1]) > 0.2
    mean, error = mean_return(make_game_batch(config, seed=0), 300)
    assert abs(mean - np.mean(earned)) < 4 * error < abs(earned[0] - earned[1]) / 2
    # As an actor of one game at a time, and as an evaluation.
    for environment, expected in (
        (EnvironmentFactory(config)(np.uint32(0)), np.mean(earned)),
        (make_run_environment(config, 0), earned[0]),
    ):
        returns = [episode_return(environment, seed) for seed in range(1500)]
        assert abs(np.mean(returns) - expected) < 4 * np.std(returns) / np.sqrt(len(returns))
    exact = make_exact_evaluation(config, make_fake_core(tree))
    assert exact is not None
    assert exact(None).policy == pytest.approx(earned[0], abs=1e-6)


def episode_return(environment: Any, seed: int) -> float:
    """Plays an episode uniformly."""
    rng, timestep, total = np.random.default_rng(seed), environment.reset(), 0.0
    while not timestep.last():
        timestep = environment.step(rng.choice(np.flatnonzero(timestep.observation.legal_actions)))
        total += float(timestep.reward)
    return total


def make_fake_core(tree: GameTree) -> Any:
    """Returns an agent that plays uniformly."""
    table = tree.uniform_policy()[tree.infosets_of(1)]
    return types.SimpleNamespace(probs=lambda variables, observations: table)


def test_opponents_of_no_run_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="there is no run in"):
        make_game_batch(dataclasses.replace(CONFIG, opponent=str(tmp_path)), seed=0)


@pytest.mark.parametrize("field", ["reward", "observation.info_state"])
def test_games_stop_at_what_is_no_number(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    games = make_game_batch(CONFIG, seed=0)
    seen = games.reset()
    look, pay = games._games._observe, games._games._pay

    def blind(states: Any, player: int) -> Observation:
        observation = look(states, player)
        return observation._replace(info_state=np.asarray(observation.info_state) * np.nan)

    if field == "reward":
        monkeypatch.setattr(games._games, "_pay", lambda index: pay(index) * np.float32(np.inf))
    else:
        monkeypatch.setattr(games._games, "_observe", blind)
    with pytest.raises(NonFiniteError, match=rf"openspiel:kuhn_poker: {field} is NaN or infinite"):
        for _ in range(5):
            seen, _, _ = games.step(np.asarray(seen.legal_actions).argmax(axis=1))


def test_the_opponents_of_a_run_are_its_mixture(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one policy for both players, and for the run's game only."""
    tree = compile_game("kuhn_poker", cache=False)

    meta_game = ExactMetaGame(tree)
    state = loop.initialise(meta_game, meta_solving.make_loop(meta_game, get_solver("uniform")))
    record = Record(state, [{"iteration": 0}], [state.meta_strategy])
    run = run_directory.StoredExactRun({}, tree.game_string, tree, record)
    monkeypatch.setattr(opponents.run_directory, "read", lambda directory: run)
    config = dataclasses.replace(CONFIG, opponent=str(tmp_path))
    games = make_game_batch(config, seed=0)._games
    assert [len(policies) for policies in games._policies] == [1, 1]
    elsewhere = dataclasses.replace(config, environment="openspiel:leduc_poker")
    with pytest.raises(ValueError, match=r"plays kuhn_poker\(\), not leduc_poker\(\): choose another"):
        make_game_batch(elsewhere, seed=0)
