"""Fixtures for fast runs, which learn almost nothing."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from acme_psro.agent_runs import launch
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Record
from acme_psro.storage.run_config import write_config

# Small, because compiling takes most of the time.
AGENT = {"critic_hidden_sizes": [8], "policy_hidden_sizes": [8]}
CROSSQ = AGENT | {"num_critics": 1, "policy_delay": 1}
REPLAY = {"batch_size": 16, "min_replay_size": 40, "samples_per_insert": 16.0}
KUHN = "openspiel:kuhn_poker"


@pytest.fixture(scope="session")
def small() -> Callable[..., AgentRunConfig]:
    """`(**changes) -> AgentRunConfig`: CrossQ in Kuhn poker, 120 decisions, evaluated every 40 by default."""

    def make(**changes: Any) -> AgentRunConfig:
        agent = changes.pop("agent", "crossq")
        usual = CROSSQ if agent == "crossq" else AGENT
        settings = {
            "agent": agent,
            "environment": KUHN,
            "actor_steps": 120,
            "evaluate_every": 40,
            "agent_settings": usual | changes.pop("agent_settings", {}),
            "replay_settings": REPLAY | changes.pop("replay_settings", {}),
        }
        return AgentRunConfig(**settings | changes)

    return make


@pytest.fixture(scope="session")
def compiled() -> pathlib.Path:
    """Directory in which all tests share XLA's compiled code."""
    return pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


@pytest.fixture(scope="package")
def run(compiled: pathlib.Path) -> Callable[[AgentRunConfig, pathlib.Path], int]:
    """Runs a configuration in this process and returns the exit code."""
    return lambda config, directory: launch.run(config, directory, time.monotonic())


@pytest.fixture(scope="session")
def checkpoint_of() -> Callable[[pathlib.Path, AgentRunConfig], Any]:
    """`(directory, config) -> Saved`: the newest checkpoint of a run."""

    def read(directory: pathlib.Path, config: AgentRunConfig) -> Any:
        import jax

        from acme_psro.agent_runs.checkpoints import open_checkpoints

        with open_checkpoints(directory / "checkpoints") as checkpoints:
            saved = checkpoints.restore(jax.eval_shape(_make_core(config).init, jax.random.PRNGKey(0)))
        assert saved is not None
        return saved

    return read


@pytest.fixture(scope="session")
def own_value(checkpoint_of: Callable[..., Any]) -> Callable[[pathlib.Path, AgentRunConfig, Any], float]:
    """`(directory, config, others) -> float`: return of a stored policy against a table of policies."""

    def value(directory: pathlib.Path, config: AgentRunConfig, others: np.ndarray) -> float:
        from agents.core import Observation

        tree = compile_game(config.environment.partition(":")[2], cache=False)
        agent, table = _make_core(config), others.copy()
        rows = tree.infosets_of(config.player)
        info_state = tree.info_state[rows].astype(np.float32)
        context = np.zeros((len(info_state), 0), np.float32)
        observation = Observation(info_state, tree.legal_actions[rows], context)
        table[rows] = agent.probs(agent.variables(checkpoint_of(directory, config).state), observation)
        plan = traverse.realisation_plan(tree, table)
        return float(traverse.expected_returns(tree, plan)[config.player])

    return value


def _make_core(config: AgentRunConfig) -> Any:
    from acme_psro.agent_runs.parts import make_parts

    parts = make_parts(config)
    return parts.agent.make_core(parts.agent.network_factory(parts.spec))


@pytest.fixture(scope="session")
def kuhn_mixture(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of PSRO in Kuhn poker that is close to the equilibrium, but has not reached it."""
    directory = tmp_path_factory.mktemp("psro") / "kuhn"
    tree = compile_game("kuhn_poker", cache=False)

    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver("nash"))
    state = loop.initialise(meta_game, psro)
    *_, state = loop.run(
        state,
        seed=0,
        iterations=2,
        oracle=exact.make_oracle(tree),
        meta_game=meta_game,
        loop=psro,
        converged=lambda state: False,
    )
    write_config(directory, {"game": "kuhn_poker"})
    record = Record(state, [{"iteration": 0}], [state.meta_strategy])
    checkpoint.save(directory / "checkpoints", record, formats.of_tree(tree))
    return directory


@pytest.fixture
def broken_package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An environment whose reward is NaN after 300 steps of a process, importable by all processes."""
    (tmp_path / "broken_environment.py").write_text(_BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "gymnasium:broken_environment:Broken-v0"
    sys.modules.pop("broken_environment", None)


_BROKEN = """
import gymnasium
import numpy as np


class Broken(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 8
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.left -= 1
        Broken.steps += 1
        reward = float("nan") if Broken.steps > 300 else float(action)
        return np.zeros(2, np.float32), reward, self.left == 0, False, {}


gymnasium.registry.pop("Broken-v0", None)
gymnasium.register("Broken-v0", Broken)
"""
