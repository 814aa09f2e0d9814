"""Fixtures for NeuPL's program: four members of Kuhn poker whose policies are tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from agents.core import Observation

if sys.version_info >= (3, 11):
    collect_ignore_glob = ["*_test.py"]

# Rows of members 0 to 3, by which the table of a member is recognised.
GRAPH = np.array(
    [
        [[0, 0, 0, 0], [1, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 0.5, 0.5, 0]],
        [[0, 0, 0, 0], [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0]],
    ]
)
# Small, because compiling takes most of the time.
AGENT = {"critic_hidden_sizes": [8], "policy_hidden_sizes": [8]}
REPLAY = {"batch_size": 16, "min_replay_size": 40, "samples_per_insert": 16.0}


@pytest.fixture(scope="session")
def tree() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


@pytest.fixture(scope="session")
def graph() -> np.ndarray:
    """`[2, 4, 4]`, with rows that differ."""
    return GRAPH.copy()


@pytest.fixture(scope="session")
def tables(tree: GameTree, pure_table: Callable[[GameTree, int], np.ndarray]) -> np.ndarray:
    """`[4, I, A]`: the sink, uniform, and three members of each player, far from deterministic."""
    uniform = tree.uniform_policy()
    return np.stack([uniform, *(0.9 * pure_table(tree, seed) + 0.1 * uniform for seed in (1, 2, 12))])


@pytest.fixture(scope="session")
def probs(tree: GameTree, tables: np.ndarray) -> Callable[[Any, Observation], np.ndarray]:
    """A stand-in for the network: the member's table, recognised by its context."""

    def find(variables: Any, observation: Observation) -> np.ndarray:
        assert variables == "newest"
        seen, contexts = np.asarray(observation.info_state), np.asarray(observation.context)
        answers = np.zeros(np.asarray(observation.legal_actions).shape)
        for answer, info_state, context in zip(answers, seen, contexts, strict=True):
            rows = tree.infosets_of(int(context[-1]))
            member = np.abs(GRAPH[int(context[-1])] - context[:-1]).sum(axis=1).argmin()
            row = np.abs(tree.info_state[rows] - info_state).sum(axis=1).argmin()
            answer[:] = tables[member, rows][row]
        return answers

    return find


@pytest.fixture(scope="session")
def small() -> Callable[..., NeuPLProgramConfig]:
    """`(**changes) -> NeuPLProgramConfig`: a short program in Kuhn poker with four members."""

    def make(**changes: Any) -> NeuPLProgramConfig:
        settings = {
            "game": "kuhn_poker",
            "epochs": 2,
            "epoch_steps": 20,
            "neupl": {"population_size": 4} | changes.pop("neupl", {}),
            "agent_settings": AGENT | changes.pop("agent_settings", {}),
            "replay_settings": REPLAY | changes.pop("replay_settings", {}),
            "evaluation_games": 16,
            "min_outcomes": 30,
            "stored_outcomes": 1000,
            "estimator": {"hidden_sizes": [16], "batch_size": 32},
            "games_per_actor": 8,
        }
        return NeuPLProgramConfig(**settings | changes)

    return make
