"""Tests of exported policies: what a run has learned, as data, plays as the run's own agent does."""

import json
import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.export import export
from acme_psro.agent_runs.parts import make_parts
from acme_psro.games.compile import compile_game
from acme_psro.policies import networks, stored
from acme_psro.policies.as_table import make_table
from agents.core import Observation

pytestmark = pytest.mark.usefixtures("quick_module")

MakeConfig = Callable[..., AgentRunConfig]
Run = Callable[[AgentRunConfig, pathlib.Path], int]
AGENTS = ("crossq", "conditional_mpo")


def config_of(agent: str, small: MakeConfig) -> AgentRunConfig:
    """A short run that still learns something. The learner is player 1, because 0 is the default."""
    return small(agent=agent, player=1, actor_steps=80, evaluate_every=80, evaluation_episodes=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig, run: Run) -> dict[str, pathlib.Path]:
    directory = tmp_path_factory.mktemp("runs")
    for agent in AGENTS:
        assert run(config_of(agent, small), directory / agent) == 0
    return {agent: directory / agent for agent in AGENTS}


@pytest.mark.parametrize("agent", AGENTS)
def test_the_exported_policy_is_the_agents(
    agent: str, runs: dict[str, pathlib.Path], small: MakeConfig, checkpoint_of: Any, tmp_path: pathlib.Path
) -> None:
    stored.write(tmp_path / "policy.npz", export(runs[agent]))
    policy = stored.read(tmp_path / "policy.npz")
    assert {name: policy.about[name] for name in ("kind", "game", "player", "agent", "context")} == {
        "kind": "network",
        "game": "kuhn_poker()",
        "player": 1,
        "agent": agent,
        "context": [],
    }
    config = config_of(agent, small)
    parts = make_parts(config)
    core = parts.agent.make_core(parts.agent.network_factory(parts.spec))
    saved = checkpoint_of(runs[agent], config)
    assert saved.state.step > 0
    tree = compile_game("kuhn_poker", cache=False)
    rows = tree.infosets_of(1)
    seen = Observation(tree.info_state[rows], tree.legal_actions[rows], np.zeros((6, 0), np.float32))
    expected = jax.jit(core.probs)(core.variables(saved.state), seen)
    np.testing.assert_allclose(make_table(tree, policy), expected, atol=1e-6)
    assert networks.config_of(policy.about) == parts.agent.make_core.config


def test_the_newest_checkpoint_is_exported(
    runs: dict[str, pathlib.Path], small: MakeConfig, run: Run, tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(runs["crossq"], tmp_path / "run")
    assert run(config_of("crossq", small), copy) == 0
    before = export(copy)
    for path in sorted((copy / "checkpoints").iterdir(), key=lambda path: int(path.name))[:-1]:
        shutil.rmtree(path)
    after = export(copy)
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(array, after.arrays[name])


def test_a_directory_without_such_a_run_is_refused_in_one_line(
    runs: dict[str, pathlib.Path], small: MakeConfig, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=r"^there is no run in .* \(no config\.json\)\.$"):
        export(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(small().to_json()))
    with pytest.raises(ValueError, match=r"^the run in .* has no checkpoint yet: let it run longer\.$"):
        export(tmp_path)
    path.write_text(json.dumps(small(environment="dm_control:cartpole:balance").to_json()))
    with pytest.raises(
        ValueError, match=r"only policies of games are exported, and .* is of dm_control:cartpole"
    ):
        export(tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match="it is truncated or altered"):
        export(tmp_path)


def test_a_run_whose_settings_were_changed_by_hand_is_refused(
    runs: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    copy = shutil.copytree(runs["crossq"], tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    config["agent_settings"]["policy_hidden_sizes"] = [9]
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^checkpoint \d+ is of another agent or of other networks; "):
        export(copy)
