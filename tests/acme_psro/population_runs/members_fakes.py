"""A stand-in for the program that trains members, in a game small enough for exact results."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.agent_runs import installed
from acme_psro.agent_runs.neupl_program import background, exact_figures, launch
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games.tree import GameTree
from acme_psro.neupl.interaction_graph import make_graph
from acme_psro.neupl.sinks import read_sinks
from acme_psro.oracles.base import Counts
from acme_psro.policies import networks
from acme_psro.system.jobs import Event
from agents import conditional_mpo as mpo
from agents.core import Observation

SIZE = 4
FLAGS = (
    "--game=kuhn_poker",
    "--oracle=launchpad",
    "--payoffs=sampled",
    f"--population_size={SIZE}",
)
_CONFIG = mpo.ConditionalMPOConfig(policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), mixture_size=SIZE + 1)


class FakeProgram:
    """Makes an epoch of new random members after each row of the run, with exact payoffs as estimates.

    Attributes:
      populations: those so far, which another launch goes on from.
      launches: the number of launches.
    """

    def __init__(self, tree: GameTree) -> None:
        self._tree = tree
        example: Any = (tree.info_state[:1], tree.legal_actions[:1], np.zeros((1, SIZE + 1), np.float32))
        self._core = mpo.make_core(mpo.make_networks(Observation(*example), 2, _CONFIG), _CONFIG)
        self.populations: list[NeuPLPopulation] = []
        self.launches = 0

    def __call__(self, config: NeuPLProgramConfig, directory: pathlib.Path, **calls: Any) -> None:
        self.launches += 1
        calls["on_event"](Event("program", "started"))
        if self.populations:
            calls["on_epoch"](self.populations[-1])
        while len(self.populations) < config.epochs:
            while self._rows(directory) <= len(self.populations):
                calls["on_poll"]()
                time.sleep(0.005)
            self.populations.append(self._train(config))
            calls["on_epoch"](self.populations[-1])

    def _rows(self, directory: pathlib.Path) -> int:
        metrics = directory.parent / "metrics.csv"
        return len(metrics.read_bytes().splitlines()) - 1 if metrics.exists() else 0

    def _train(self, config: NeuPLProgramConfig) -> NeuPLPopulation:
        epoch = len(self.populations) + 1
        before = self.populations[-1].payoffs if self.populations else np.zeros((2, SIZE, SIZE))
        noise = np.random.default_rng(epoch)
        made = self._core.variables(self._core.init(jax.random.PRNGKey(epoch)))
        variables = jax.tree.map(lambda leaf: leaf + noise.normal(size=leaf.shape).astype(np.float32), made)
        population = NeuPLPopulation(
            epoch,
            networks.about_network("kuhn_poker()", 0, "conditional_mpo", _CONFIG),
            networks.to_arrays(variables),
            make_graph(config.members.graph, before, config.members.row_tolerance),
            before,
            Counts(100 * epoch, 300 * epoch, 20 * epoch),
            40 * epoch,
            read_sinks(config.members, "kuhn_poker()"),
        )
        return population._replace(payoffs=exact_figures.measure(self._tree, population).payoffs)


@contextlib.contextmanager
def faked_program(tree: GameTree) -> Iterator[FakeProgram]:
    """Replaces the program's processes; the packages that they need may be missing."""
    program = FakeProgram(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run", program)
        patch.setattr(background, "_POLL_SECONDS", 0.005)
        patch.setattr(installed, "check_acme_layer", lambda user: None)
        yield program
