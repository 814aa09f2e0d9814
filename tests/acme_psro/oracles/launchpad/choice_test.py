"""The choice of the best of several policies by simulation: what is taken, and in which games."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.tree import GameTree
from acme_psro.oracles.launchpad import choice
from acme_psro.oracles.launchpad.choice import Choice, choose
from acme_psro.policies import decoders, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import Policy, make_policy, mixture_plan
from tests.acme_psro.simulated_kuhn import make_game
from tests.acme_psro.simulated_kuhn import populations as populations
from tests.acme_psro.simulated_kuhn import tables as tables
from tests.acme_psro.simulated_kuhn import tree as tree

PLAYER = 1
STRATEGY = ProductStrategy((np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.3, 0.6])))
Populations = tuple[tuple[PolicyFile, ...], ...]


@pytest.fixture
def best(tree: GameTree, tables: list[list[Policy]]) -> Policy:
    plan = mixture_plan(tree, [tuple(own) for own in tables], STRATEGY.marginals)
    table = traverse.best_response(tree, plan, PLAYER).table[tree.infosets_of(PLAYER)]
    return make_policy(tree, PLAYER, table)


@pytest.fixture
def worst(tree: GameTree, best: Policy) -> Policy:
    return make_policy(tree, PLAYER, best.table[:, ::-1])


def write(directory: pathlib.Path, tree: GameTree, policies: Sequence[Policy]) -> list[pathlib.Path]:
    paths = [directory / f"{index}.npz" for index in range(len(policies))]
    for path, policy in zip(paths, policies, strict=True):
        stored.write(path, decoders.from_tree_policy(tree, PLAYER, policy))
    return paths


@pytest.mark.parametrize(("order", "chosen"), [("bww", 0), ("wbw", 1), ("wwb", 2), ("wb", 1), ("bw", 0)])
def test_what_is_clearly_best_is_taken_wherever_it_stands(
    order: str,
    chosen: int,
    tree: GameTree,
    best: Policy,
    worst: Policy,
    populations: Populations,
    tmp_path: Any,
) -> None:
    candidates = write(tmp_path, tree, [{"b": best, "w": worst}[name] for name in order])
    for seed in range(3):
        found = choose(make_game(tree), candidates, PLAYER, populations, STRATEGY, seed)
        assert found == Choice(chosen, choice.EPISODES * len(candidates))


def test_equal_policies_play_the_same_games_and_the_last_is_taken(
    tree: GameTree, best: Policy, populations: Populations, tmp_path: pathlib.Path
) -> None:
    game, played = make_game(tree), []
    simulate = game.simulate

    def record(*arguments: Any) -> Any:
        played.append(simulate(*arguments))
        return played[-1]

    game.simulate = record  # type: ignore[method-assign]
    candidates = write(tmp_path, tree, [best] * 3)
    assert choose(game, candidates, PLAYER, populations, STRATEGY, 7).place == 2
    assert len(played) == 3
    for each in played:
        assert each.episodes.sum() == choice.EPISODES
        np.testing.assert_array_equal(each.mean, played[0].mean)
    choose(game, candidates, PLAYER, populations, STRATEGY, 8)
    assert (played[-1].mean != played[0].mean).any()


def test_a_single_policy_costs_no_games(
    tree: GameTree, worst: Policy, populations: Populations, tmp_path: pathlib.Path
) -> None:
    candidates = write(tmp_path, tree, [worst])
    assert choose(make_game(tree), candidates, PLAYER, populations, STRATEGY, 0) == Choice(0, 0)


def test_noise_alone_does_not_take_a_worse_policy(
    tree: GameTree,
    best: Policy,
    populations: Populations,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slightly_worse = make_policy(tree, PLAYER, 0.97 * best.table + 0.03 * best.table[:, ::-1])
    candidates = write(tmp_path, tree, [slightly_worse, best])

    def places() -> list[int]:
        game = make_game(tree)
        return [choose(game, candidates, PLAYER, populations, STRATEGY, seed).place for seed in range(6)]

    assert places() == [1] * 6
    # The plain maximum does.
    monkeypatch.setattr(choice, "BETTER_ERRORS", 0.0)
    assert 0 in places()
