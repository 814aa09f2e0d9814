"""What policies from files earn by play: whom a response meets, what it gains, and how well that is known."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro import simulation, stored_policies, stored_populations
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_strategy import MetaStrategy
from acme_psro.oracles.base import BestResponseTask
from acme_psro.population import Policy, make_policy, mixture, replace
from acme_psro.sampled_payoffs import SampledPayoffs, empty
from acme_psro.simulated_games import SimulatedGame, SimulationConfig, draw_profiles, mixture_values
from acme_psro.solvers import get_solver

CONFIG = SimulationConfig(payoff_episodes=50, extra_payoff_episodes=150, gain_episodes=120, payoff_workers=1)


def simulate(
    game: str, paths: Sequence[Sequence[pathlib.Path]], profiles: np.ndarray, *numbers: Any
) -> simulation.SampledReturns:
    """What workers do, in this process."""
    policies = [[stored_policies.decode_table(stored_policies.read(path)) for path in own] for own in paths]
    return simulation.simulate(game, policies, profiles, *numbers)


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


@pytest.fixture(scope="module")
def tables(tree: GameTree, random_table: Any) -> list[list[Policy]]:
    """Three policies a player."""
    return [
        [make_policy(tree, p, random_table(tree, 3 * p + k)[tree.infosets_of(p)]) for k in range(3)]
        for p in range(2)
    ]


@pytest.fixture(scope="module")
def populations(
    tree: GameTree, tables: list[list[Policy]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[stored_populations.PolicyFile, ...], ...]:
    directory = tmp_path_factory.mktemp("policies")
    return tuple(
        tuple(
            stored_populations.write(
                directory / f"{player}_{k}.npz", stored_policies.from_tree_policy(tree, player, policy)
            )
            for k, policy in enumerate(own)
        )
        for player, own in enumerate(tables)
    )


def make_game(tree: GameTree, config: SimulationConfig = CONFIG, seed: int = 0) -> SimulatedGame:
    return SimulatedGame(tree.game_string, simulate, config, get_solver("nash"), seed)


def test_everybody_is_met_as_often_as_drawn_to_within_one() -> None:
    strategy = MetaStrategy((np.array([0.5, 0.5]), np.array([0.301, 0.0, 0.699]), np.array([0.25, 0.75])))
    profiles, counts = draw_profiles(strategy, 0, 1000, np.random.default_rng(0))
    assert counts.sum() == 1000 and (profiles[:, 0] == 0).all()
    assert len(np.unique(profiles, axis=0)) == len(profiles) == 4
    for player in (1, 2):
        met = np.bincount(profiles[:, player], counts, len(strategy.marginals[player]))
        assert (np.abs(met - 1000 * strategy.marginals[player]) <= 1).all()
    # The two others draw for themselves.
    both = counts[(profiles == [0, 0, 0]).all(axis=1)][0]
    assert abs(both - 1000 * 0.301 * 0.25) < 4 * np.sqrt(75)


def test_rare_policies_are_met_as_often_in_the_mean() -> None:
    strategy = MetaStrategy((np.ones(1), np.array([0.013, 0.987])))
    met = [draw_profiles(strategy, 0, 20, np.random.default_rng(seed))[1].tolist() for seed in range(2000)]
    rare = sum(counts[0] for counts in met if len(counts) == 2) / (2000 * 20)
    assert abs(rare - 0.013) < 4 * np.sqrt(0.013 / 40_000)


def test_what_a_mixture_earns_follows_from_the_payoffs() -> None:
    mean = np.array([[[1.0, 2.0, np.nan], [3.0, 4.0, np.nan]], [[0.0, 0.0, np.nan], [0.0, 8.0, np.nan]]])
    error = np.full((2, 2, 3), 0.1)
    payoffs = SampledPayoffs(mean, np.full((2, 3), 9), error)
    strategy = MetaStrategy((np.array([0.5, 0.5]), np.array([0.2, 0.8, 0.0])))
    first, second = mixture_values(payoffs, strategy)
    assert first.value == pytest.approx(0.1 * 1 + 0.4 * 2 + 0.1 * 3 + 0.4 * 4)
    assert second.value == pytest.approx(3.2)
    assert first.standard_error == pytest.approx(0.1 * np.sqrt(0.34))
    # Of populations as they were.
    before = mixture_values(payoffs, MetaStrategy((np.ones(1), np.array([0.5, 0.5]))))
    assert [each.value for each in before] == [1.5, 0.0]


def test_gains_are_exact_within_errors_that_are_not_too_small(
    tree: GameTree, tables: list[list[Policy]], populations: Any
) -> None:
    """Over runs of other seeds, payoffs included."""
    strategy = MetaStrategy((np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.0, 0.4])))
    plan = mixture(tree, tables, strategy.marginals)
    answered = traverse.expected_returns(tree, replace(tree, plan, 1, tables[1][1]))
    exact = float(answered[1] - traverse.expected_returns(tree, plan)[1])
    scores = []
    small = SimulationConfig(payoff_episodes=20, extra_payoff_episodes=0, gain_episodes=60, payoff_workers=1)
    for seed in range(30):
        game = make_game(tree, small, seed)
        payoffs = game.payoffs(populations, empty(2))
        task = BestResponseTask(1, populations, strategy, payoffs)
        gain = game.gain(populations[1][1].path, task, 1000 + seed)
        scores.append((gain.value - exact) / gain.standard_error)
    assert abs(np.mean(scores)) < 3.5 / np.sqrt(30)
    assert 0.5 < np.std(scores) < 1.35


def test_payoffs_are_filled_and_refined_and_the_same_again(tree: GameTree, populations: Any) -> None:
    game = make_game(tree)
    small = game.payoffs([own[:2] for own in populations], empty(2))
    assert small.episodes.sum() == 4 * 50 + 150 and small.episodes.min() == 50
    grown, again = (game.payoffs(populations, small) for _ in range(2))
    assert (grown.episodes[:2, :2] >= small.episodes).all()
    assert grown.episodes.sum() == small.episodes.sum() + 5 * 50 + 150
    for one, other in zip(grown, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "least"),
    [("payoff_episodes", 2), ("extra_payoff_episodes", 0), ("gain_episodes", 2), ("payoff_workers", 1)],
)
def test_budgets_that_say_nothing_are_refused(name: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"^--{name} must be at least {least}, not {least - 1}.$"):
        SimulationConfig(**{name: least - 1})
    assert getattr(SimulationConfig(**{name: least}), name) == least


def test_there_are_as_many_workers_as_cores_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "acme_psro.system.cores.os.sched_getaffinity", lambda process: {3, 4, 5}, raising=False
    )
    assert SimulationConfig().payoff_workers == 3
