"""Tests of agents.conditional_mpo.builder: defaults, refused configurations, and members with contexts.

`tests.agents.acme_layer.builders_test` runs the builder with all kinds of actions.
"""

import dataclasses
import importlib.util
import pathlib
import sys
import tempfile
from typing import Any

import jax
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
from acme import specs

from agents.acme_layer.replay import ReplayConfig
from agents.conditional_mpo import PRESETS, ConditionalMPOConfig, conditioning, make_core
from agents.conditional_mpo.builder import (
    DEFAULT_REPLAY,
    ON_POLICY_REPLAY,
    ConditionalMPOBuilder,
    make_networks,
)
from agents.core import Observation
from tests.agents.rows import Rows
from tests.agents.small_agents import SMALL_AGENTS

SEQUENCES = ReplayConfig(sequence_length=4)
MEMBERS = dataclasses.replace(
    SMALL_AGENTS["conditional_mpo"].configs["discrete"], num_members=2, embedding_size=4
)


def test_defaults_are_those_of_the_agent_and_of_replay() -> None:
    assert ConditionalMPOBuilder().replay == DEFAULT_REPLAY
    assert ReplayConfig(n_step=5) == DEFAULT_REPLAY
    assert ConditionalMPOBuilder(ConditionalMPOConfig(on_policy=True)).replay == ON_POLICY_REPLAY
    assert ConditionalMPOBuilder().discount == ConditionalMPOConfig().discount
    assert ConditionalMPOBuilder(ConditionalMPOConfig(discount=0.5)).discount == 0.5


def test_on_policy_replay_is_a_short_queue() -> None:
    assert ON_POLICY_REPLAY.queue
    assert ON_POLICY_REPLAY.max_replay_size <= 10 * ON_POLICY_REPLAY.batch_size


@pytest.mark.parametrize(
    ("settings", "length", "extras"),
    [
        ({"on_policy": True}, 1, {"drawn"}),
        ({"retrace": True}, 4, {"drawn", "log_prob"}),
        ({}, 4, {"log_prob"}),
        ({}, 1, set()),
    ],
    ids=["V-MPO", "Retrace", "sequences", "transitions"],
)
def test_replay_keeps_draws_where_the_agent_takes_their_densities(
    settings: dict[str, bool], length: int, extras: set[str]
) -> None:
    config = dataclasses.replace(SMALL_AGENTS["conditional_mpo"].configs["continuous"], **settings)
    spec = acme.make_environment_spec(ContinuousMembers())
    spec = spec._replace(observations=spec.observations.info_state)
    builder = ConditionalMPOBuilder(config, ReplayConfig(batch_size=4, sequence_length=length))
    networks = make_networks(spec, config)
    policy = builder.make_policy(networks, spec)
    state = policy.init(jax.random.PRNGKey(0))
    assert set(policy.get_extras(state) or ()) == extras
    (table,) = builder.make_replay_tables(spec, policy)
    kept = table.info.signature.extras
    assert set(kept or ()) == (extras | {"is_decision"} if length > 1 else extras)


@pytest.mark.parametrize("replay", [None, ReplayConfig(), ReplayConfig(n_step=5)])
def test_retrace_without_sequences_is_refused(replay: ReplayConfig | None) -> None:
    with pytest.raises(ValueError, match="a sequence_length above 1, with n_step 1") as caught:
        ConditionalMPOBuilder(ConditionalMPOConfig(retrace=True), replay)
    assert "\n" not in str(caught.value)


def test_retrace_takes_sequences_and_so_do_targets_of_one_step() -> None:
    for retrace in (True, False):
        assert ConditionalMPOBuilder(ConditionalMPOConfig(retrace=retrace), SEQUENCES).replay == SEQUENCES


class Members(dm_env.Environment):
    """Environment whose observations are constant except for the context, the index of the acting member.

    Member 0 is paid for the first action and member 1 for the last.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._member = 0

    def _observe(self) -> Observation:
        context = conditioning.make_contexts(MEMBERS, np.array([self._member]))[0]
        return Observation(np.ones(1, np.float32), np.ones(3, bool), context)

    def reset(self) -> dm_env.TimeStep:
        self._member = int(self._rng.integers(2))
        return dm_env.restart(self._observe())

    def step(self, action: Any) -> dm_env.TimeStep:
        reward = np.float32(action == 2 * self._member)
        return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._observe())

    def observation_spec(self) -> Any:
        context = specs.Array((1,), np.float32)
        return Observation(specs.Array((1,), np.float32), specs.Array((3,), bool), context)

    def action_spec(self) -> Any:
        return specs.DiscreteArray(3)

    def reward_spec(self) -> Any:
        return specs.Array((), np.float32)

    def discount_spec(self) -> Any:
        return specs.BoundedArray((), np.float32, 0.0, 1.0)


class ContinuousMembers(Members):
    """Environment as `Members`, in which member 0 is paid for actions near -0.5 and member 1 near 0.5."""

    def step(self, action: Any) -> dm_env.TimeStep:
        reward = np.float32(1 - np.square(action[0] - (self._member - 0.5)))
        return dm_env.TimeStep(dm_env.StepType.LAST, reward, np.float32(0), self._observe())

    def action_spec(self) -> Any:
        return specs.BoundedArray((1,), np.float32, -1, 1)


SPEC = acme.make_environment_spec(Members())


@pytest.mark.parametrize(
    ("spec", "config", "sizes"),
    [
        (SPEC, ConditionalMPOConfig(), (1, 0)),
        (SPEC, ConditionalMPOConfig(num_members=2, mixture_size=3), (1, 4)),
        (SPEC._replace(observations=SPEC.observations.info_state), MEMBERS, (0, 1)),
        (
            SPEC._replace(
                observations=SPEC.observations.info_state, actions=specs.BoundedArray((1,), np.float32, 0, 1)
            ),
            MEMBERS,
            (0, 1),
        ),
    ],
    ids=["unasked", "too short", "none", "none, continuous"],
)
def test_contexts_that_are_not_the_configuration_s_are_refused(
    spec: Any, config: ConditionalMPOConfig, sizes: tuple[int, int]
) -> None:
    message = rf"come with {sizes[0]} numbers of context, .* ask for {sizes[1]}: make them fit\.$"
    with pytest.raises(ValueError, match=message) as caught:
        make_networks(spec, config)
    assert "\n" not in str(caught.value)


def test_networks_without_a_configuration_are_those_of_the_preset_for_control() -> None:
    spec = SPEC._replace(observations=SPEC.observations.info_state)

    def params(*config: ConditionalMPOConfig) -> Any:
        return jax.eval_shape(make_networks(spec, *config).policy.init, jax.random.PRNGKey(0))

    assert params() == params(PRESETS["default"]) != params(PRESETS["acme"])


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.skipif(
    importlib.util.find_spec("acme.jax.experiments") is not None, reason="this Acme is newer than the release"
)
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_members_learn_different_behaviour_from_one_replay(
    kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.acme_layer import released

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = Members() if kind == "discrete" else ContinuousMembers()
    config = MEMBERS
    if kind == "continuous":
        small = SMALL_AGENTS["conditional_mpo"].configs["continuous"]
        config = dataclasses.replace(small, num_members=2, embedding_size=4)
    spec = acme.make_environment_spec(environment)
    replay = ReplayConfig(batch_size=32, min_replay_size=32, samples_per_insert=32.0)
    agent = released.make_local_agent(
        ConditionalMPOBuilder(config, replay),
        lambda spec: make_networks(spec, config),
        spec,
        seed=0,
        logger_fn=lambda *args: Rows(),
        in_process=True,
    )
    acme.EnvironmentLoop(environment, agent, logger=Rows()).run(num_steps=250)
    (variables,) = agent.learner.get_variables(["policy"])
    context = conditioning.make_contexts(config, np.arange(2))
    core = make_core(make_networks(spec, config), config)
    both = Observation(np.ones((2, 1), np.float32), np.ones((2, 3), bool), context)
    if kind == "discrete":
        probs = core.probs(variables, both)
        assert probs[0, 0] > 0.9
        assert probs[1, 2] > 0.9
    else:
        action = core.perform(variables, jax.random.key(0), both)
        np.testing.assert_allclose(action, [[-0.5], [0.5]], atol=0.2)
