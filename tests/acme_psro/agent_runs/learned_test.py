"""Tests of loaded agents: they act as in evaluations, and loading leaves the run as it was."""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import numpy as np

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.directory import policy_file
from acme_psro.agent_runs.export import export
from acme_psro.agent_runs.learned import LearnedAgent, load_agent
from acme_psro.policies import stored

pytestmark = pytest.mark.usefixtures("quick_module")

MakeConfig = Callable[..., AgentRunConfig]
Run = Callable[[AgentRunConfig, pathlib.Path], int]
PENDULUM = "gymnasium:Pendulum-v1"


@pytest.fixture(scope="module")
def game_run(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig, run: Run) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("game")
    assert run(small(actor_steps=80, evaluate_every=80, evaluation_episodes=1), directory) == 0
    return directory


@pytest.fixture(scope="module")
def control_run(tmp_path_factory: pytest.TempPathFactory, small: MakeConfig, run: Run) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("control")
    config = small(environment=PENDULUM, actor_steps=200, evaluate_every=200, evaluation_episodes=1)
    assert run(config, directory) == 0
    return directory


def content(directory: pathlib.Path) -> dict[str, bytes]:
    """Returns all files of a run."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def play(agent: LearnedAgent, seed: int) -> list[np.ndarray]:
    """Returns the actions of one episode."""
    environment, actions = agent.make_environment(seed), []
    timestep = environment.reset()
    while not timestep.last():
        actions.append(agent.select_action(timestep.observation))
        timestep = environment.step(actions[-1])
    return actions


@pytest.mark.parametrize("kind", ["game", "control"])
def test_loading_twice_gives_the_same_actions_and_writes_nothing(
    kind: str, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue(f"{kind}_run")
    before = content(directory)
    loaded = [load_agent(directory, seed=3) for _ in range(2)]
    episodes = [[play(agent, seed) for seed in range(3)] for agent in loaded]
    for one, other in zip(*episodes, strict=True):
        np.testing.assert_array_equal(one, other)
    assert content(directory) == before


def test_continuous_actions_do_not_depend_on_the_seed_and_fit_the_specification(
    control_run: pathlib.Path,
) -> None:
    agents_ = [load_agent(control_run, seed) for seed in range(2)]
    one, other = (play(agent, 0) for agent in agents_)
    np.testing.assert_array_equal(one, other)
    for action in one:
        agents_[0].spec.actions.validate(action)
    assert agents_[0].counts["actor_steps"] == 200


def test_discrete_actions_are_sampled_from_the_exported_policy(game_run: pathlib.Path) -> None:
    agent = load_agent(game_run)
    environment = agent.make_environment()
    timestep = environment.reset()
    actions = np.array([int(agent.select_action(timestep.observation)) for _ in range(500)])
    from acme_psro.policies import networks

    state: Any = environment.state  # type: ignore[attr-defined]
    expected = networks.decode(export(game_run))([state], agent.config.player)[0]
    frequencies = np.bincount(actions, minlength=len(expected)) / len(actions)
    assert np.abs(frequencies - expected).max() < 5 * np.sqrt(0.25 / len(actions))


def test_a_local_run_in_a_game_leaves_its_policy(game_run: pathlib.Path, control_run: pathlib.Path) -> None:
    written, exported = stored.read(policy_file(game_run)), export(game_run)
    assert written.about == exported.about
    for name, array in exported.arrays.items():
        np.testing.assert_array_equal(written.arrays[name], array)
    assert not policy_file(control_run).exists()


def test_a_loaded_agent_is_an_actor_of_acme(control_run: pathlib.Path) -> None:
    agent = load_agent(control_run)
    result = acme.EnvironmentLoop(agent.make_environment(), agent).run_episode()
    assert result["episode_length"] == 200


def test_directories_without_such_a_run_are_refused_in_one_line(
    tmp_path: pathlib.Path, kuhn_mixture: pathlib.Path, small: MakeConfig
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text(json.dumps(small().to_json()))
    cases = {
        tmp_path / "none": "there is no run in",
        kuhn_mixture: "name a directory of run_agent",
        tmp_path / "new": "has no checkpoint yet",
    }
    for directory, reason in cases.items():
        with pytest.raises(ValueError, match=reason) as refusal:
            load_agent(directory)
        assert "\n" not in str(refusal.value)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.json"]
