"""Tests of what a run consists of: settings by name, and what is refused before anything is written."""

import dataclasses
import pickle
import sys
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import numpy as np

from acme_psro.agent_runs import parts
from acme_psro.agent_runs.config import AgentRunConfig
from agents import conditional_mpo
from agents.crossq.config import PRESETS
from agents.registry import AGENTS

CONTROL, KUHN = "dm_control:cartpole:balance", "openspiel:kuhn_poker"


def settings_of(**changes: Any) -> Any:
    """Returns the configuration of the agent of a run."""
    config = AgentRunConfig(**{"agent": "crossq", "environment": CONTROL, "actor_steps": 1000} | changes)
    return parts.make_agent(config).network_factory.config  # type: ignore[attr-defined]


def replay_of(**changes: Any) -> Any:
    config = AgentRunConfig(**{"agent": "crossq", "environment": CONTROL, "actor_steps": 1000} | changes)
    return parts.make_agent(config).builder.replay


def test_the_kind_of_environment_decides_on_the_preset() -> None:
    assert settings_of().critic_hidden_sizes == PRESETS["default"].critic_hidden_sizes
    assert settings_of(environment="openspiel:kuhn_poker").q_reduction == PRESETS["games"].q_reduction
    assert settings_of(preset="paper").critic_hidden_sizes == (2048, 2048)


@pytest.mark.parametrize("agent", ["crossq", "conditional_mpo", "vmpo"])
def test_every_agent_takes_discrete_actions_by_default(agent: str) -> None:
    config = AgentRunConfig(agent, "gymnasium:CartPole-v1", 1000)
    made = parts.make_parts(config)
    assert made.spec.actions.num_values == 2
    chosen = made.agent.network_factory.config  # type: ignore[attr-defined]
    if agent == "crossq":
        assert chosen.critic_entropy is False and chosen.critic_hidden_sizes == (256, 256)
    else:
        assert chosen.policy_hidden_sizes == settings_of(agent=agent).policy_hidden_sizes


def test_schedules_fall_over_the_whole_run() -> None:
    replay = {"batch_size": 100, "samples_per_insert": 50.0}
    assert settings_of(replay_settings=replay).horizon == 500
    assert settings_of(replay_settings=replay, agent_settings={"horizon": 7}).horizon == 7


def test_schedules_of_agents_that_learn_in_epochs_fall_over_decisions() -> None:
    chosen = settings_of(agent="ppo", environment=KUHN, actor_steps=9000)
    assert chosen.horizon == 9000
    # Kuhn poker pays 2 at most.
    assert chosen.reward_scale == 0.5


def test_infinity_can_be_said() -> None:
    name = "samples_per_insert_tolerance_rate"
    assert getattr(replay_of(replay_settings={name: "inf"}), name) == float("inf")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("learning_rate", "abc", "crossq's learning_rate must be a number, such as 0.001, not 'abc'."),
        ("learning_rate", -1.0, "learning_rate must be above 0, not -1.0"),
        ("learning_rate", float("nan"), "learning_rate must be above 0, not nan"),
        ("critic_hidden_sizes", [0], "hidden sizes must be above 0, not 0"),
        ("q_reduction", "max", "no q_reduction named 'max'"),
        ("colour", "red", "crossq has no setting 'colour'; it has critic_hidden_sizes, "),
    ],
)
def test_other_types_and_values_are_refused_in_one_line(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        settings_of(agent_settings={name: value})
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_size", "many", "replay's batch_size must be a whole number, such as 256, not 'many'."),
        ("batch_size", 0, "batch_size must be above 0"),
        ("min_replay_size", 2_000_000, "must not exceed its max_replay_size"),
        ("size", 1, "replay has no setting 'size'; it has batch_size, "),
    ],
)
def test_the_replays_settings_are_checked_too(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        replay_of(replay_settings={name: value})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("agent", "names"),
    [
        ("crossq", "default, paper, sbx, discrete, games"),
        ("conditional_mpo", "default, acme, games"),
        ("vmpo", "default, games, short"),
    ],
)
def test_an_unknown_preset_is_refused(agent: str, names: str) -> None:
    # MPO's table has a preset of this name, of another agent.
    with pytest.raises(ValueError, match=rf"^no preset named 'vmpo_games'; {agent} has {names}\.$"):
        settings_of(agent=agent, preset="vmpo_games")


@pytest.mark.parametrize(
    ("agent", "environment", "preset"),
    [
        ("conditional_mpo", CONTROL, "default"),
        ("conditional_mpo", KUHN, "games"),
        ("vmpo", CONTROL, "vmpo"),
        ("vmpo", KUHN, "vmpo_games"),
    ],
)
def test_mpo_and_v_mpo_have_presets_of_their_own(agent: str, environment: str, preset: str) -> None:
    chosen = settings_of(agent=agent, environment=environment, agent_settings={"horizon": 1, "discount": 0.5})
    expected = conditional_mpo.PRESETS[preset]
    # A game's returns are brought into [-1, 1], others are left alone.
    scale = 0.5 if environment == KUHN else 1.0
    assert chosen == dataclasses.replace(expected, horizon=1, discount=0.5, reward_scale=scale)
    assert chosen.on_policy == (agent == "vmpo")


@pytest.mark.parametrize(("environment", "batch"), [(CONTROL, 64), (KUHN, 256)])
def test_v_mpo_makes_many_updates_of_the_few_decisions_of_control(environment: str, batch: int) -> None:
    replay = replay_of(agent="vmpo", environment=environment, replay_settings={})
    assert (replay.batch_size, replay.min_replay_size, replay.queue) == (batch, batch, True)
    # Runs of earlier versions that set a batch of their own go on.
    assert replay_of(agent="vmpo", environment=environment, replay_settings={"batch_size": 256}).queue


@pytest.mark.parametrize("environment", [CONTROL, KUHN])
@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_s_own_settings_are_allowed(agent: str, environment: str) -> None:
    config = AgentRunConfig(agent, environment, 1000)
    if AGENTS[agent].learns_from_rollouts and environment == CONTROL:
        with pytest.raises(ValueError, match=r"^the self-play agent has discrete actions only"):
            parts.make_parts(config)
        return
    made = parts.make_parts(config)
    usual = 1.0 if AGENTS[agent].learns_from_rollouts else 0.99
    assert made.agent.builder.discount == config.agent_overrides().get("discount", usual)
    assert dataclasses.asdict(made.agent.builder.replay).items() >= config.replay_overrides().items()


@pytest.mark.parametrize(
    ("agent", "environment", "agent_settings", "replay_settings", "expected"),
    [
        ("crossq", KUHN, {}, {"sequence_length": 8}, "CrossQ .* sequence_length must be 1, not 8"),
        ("conditional_mpo", KUHN, {"retrace": True}, {}, "sequence_length above 1, with n_step 1"),
        ("conditional_mpo", CONTROL, {"retrace": True}, {"sequence_length": 8}, "n_step must be 1, not 5"),
        (
            "conditional_mpo",
            CONTROL,
            {"retrace": True, "exploration": 0.1},
            {"sequence_length": 8, "n_step": 1},
            "set exploration=0 or retrace=False",
        ),
        (
            "vmpo",
            KUHN,
            {"retrace": True},
            {"sequence_length": 8, "n_step": 1},
            "V-MPO has no action values for Retrace",
        ),
        ("vmpo", KUHN, {"exploration": 0.1}, {}, "exploration must be 0, not 0.1"),
        ("vmpo", KUHN, {"on_policy": False, "retrace": True}, {}, "sequence_length above 1"),
        ("conditional_mpo", KUHN, {"num_members": 2}, {}, "0 numbers of context, .* ask for 1"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_begins(
    agent: str, environment: str, agent_settings: dict, replay_settings: dict, expected: str
) -> None:
    config = AgentRunConfig(
        agent, environment, 1000, agent_settings=agent_settings, replay_settings=replay_settings
    )
    with pytest.raises(ValueError, match=expected) as caught:
        parts.make_parts(config)
    assert "\n" not in str(caught.value)


def test_each_stream_of_a_seed_gives_other_episodes() -> None:
    def start(seed: int, stream: int) -> list[float]:
        config = AgentRunConfig("crossq", "gymnasium:Pendulum-v1", 1000, seed=seed)
        return np.asarray(parts.make_run_environment(config, stream).reset().observation).tolist()

    starts = [start(*which) for which in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert starts[0] == starts[3]
    assert len({tuple(each) for each in starts}) == 3


@pytest.mark.parametrize("name", AGENTS)
def test_what_processes_are_sent_can_be_pickled(name: str) -> None:
    """Launchpad pickles what its nodes are made of, by name."""
    agent = parts.make_agent(AgentRunConfig(name, CONTROL, 1000))
    for factory in (agent.network_factory, agent.make_core):
        assert pickle.loads(pickle.dumps(factory)) == factory
