"""Policies of Kuhn poker as files, and their simulation in this process."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.meta_game import simulation
from acme_psro.meta_game.sampled import SampledMetaGame, SimulationConfig
from acme_psro.policies import decoders, stored
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.solvers import get_solver

CONFIG = SimulationConfig(payoff_episodes=50, extra_payoff_episodes=150, gain_episodes=120, payoff_workers=1)


def simulate(
    game: str, paths: Sequence[Sequence[pathlib.Path]], profiles: np.ndarray, *numbers: Any
) -> simulation.SampledReturns:
    """Simulates as workers do, in this process."""
    policies = [[decoders.decode_table(stored.read(path)) for path in own] for own in paths]
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
) -> tuple[tuple[stored.PolicyFile, ...], ...]:
    directory = tmp_path_factory.mktemp("policies")
    return tuple(
        tuple(
            stored.write_file(
                directory / f"{player}_{k}.npz", decoders.from_tree_policy(tree, player, policy)
            )
            for k, policy in enumerate(own)
        )
        for player, own in enumerate(tables)
    )


def make_game(tree: GameTree, config: SimulationConfig = CONFIG, seed: int = 0) -> SampledMetaGame:
    return SampledMetaGame(
        tree.game_string, simulate, config, get_solver("nash"), seed, lambda player, index: pathlib.Path()
    )
