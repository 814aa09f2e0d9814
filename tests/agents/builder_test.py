"""Tests of agents.builder: what goes into replay comes out as transitions, and Acme finds what it expects."""

import dataclasses
import inspect
import math
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_compat  # noqa: F401

# isort: split

import cloudpickle
import dm_env
import reverb
from acme import specs
from acme.testing import fakes
from acme.utils import loggers

from agents.builder import CoreBuilder, ReplayConfig
from agents.core import AgentCore, Observation
from agents.interface import make_interface

MASKED = specs.EnvironmentSpec(
    observations=Observation(
        specs.Array((2,), np.float32), specs.Array((3,), np.float32), specs.Array((0,), np.float32)
    ),
    actions=specs.DiscreteArray(3),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
REPLAY = ReplayConfig(
    batch_size=4,
    min_replay_size=3,
    samples_per_insert=4.0,
    samples_per_insert_tolerance_rate=math.inf,
    gradient_steps_per_learner_step=2,
    num_parallel_calls=1,
    prefetch_size=0,
)


def _make_core(networks: Any) -> AgentCore:
    """An agent that acts as it is told: by one number while learning, by another when judged."""
    size = networks["size"]
    return AgentCore(
        init=lambda key: {"learning": jnp.int32(1), "judged": jnp.int32(2), "w": jnp.zeros(size)},
        update=lambda state, batch: (state, {"critic_loss": batch.reward.mean()}),
        variables=lambda state: {name: state[name] for name in ("learning", "judged")},
        act=lambda variables, key, observation: _constant(variables["learning"], observation),
        perform=lambda variables, key, observation: _constant(variables["judged"], observation),
    )


def _constant(action: Any, observation: Observation) -> Any:
    return jnp.full(observation.info_state.shape[0], action)


def _builder(replay: ReplayConfig = REPLAY, discount: float = 1.0) -> CoreBuilder:
    return CoreBuilder(_make_core, discount, replay)


def _observation(number: float, is_end: bool = False) -> Observation:
    legal_actions = np.zeros(3, np.float32) if is_end else np.array([1, 0, 1], np.float32)
    return Observation(np.array([number, -number], np.float32), legal_actions, np.zeros(0, np.float32))


@pytest.fixture
def client(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[reverb.Client]:
    """Of a server with the tables that a 3-step agent with discount 0.5 asks for."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    builder = _three_step()
    server = reverb.Server(builder.make_replay_tables(MASKED, builder.make_policy({"size": 1}, MASKED)))
    yield reverb.Client(f"localhost:{server.port}")
    server.stop()


def _three_step() -> CoreBuilder:
    return _builder(dataclasses.replace(REPLAY, n_step=3), discount=0.5)


class Row(NamedTuple):
    """A transition in numbers."""

    now: float
    action: int
    reward: float
    discount: float
    then: float
    then_is_end: bool


def test_an_episode_comes_back_as_transitions_of_three_steps(client: reverb.Client) -> None:
    builder = _three_step()
    adder = builder.make_adder(client, MASKED, None)
    adder.add_first(dm_env.restart(_observation(0)))
    for step, reward in enumerate([1.0, 2.0, 4.0, 8.0], start=1):
        is_end = step == 4
        kind = dm_env.StepType.LAST if is_end else dm_env.StepType.MID
        timestep = dm_env.TimeStep(
            kind, np.float32(reward), np.float32(not is_end), _observation(step, is_end)
        )
        adder.add(np.int32(2 * (step % 2)), timestep)
    dataset = builder.make_dataset_iterator(client)
    to_transition = jax.jit(make_interface(MASKED).to_transition)
    found = set()
    for _ in range(30):
        sample = next(dataset).data
        assert sample.reward.shape == (8,)
        batch = to_transition(sample)
        now, then = (
            jax.tree.map(lambda rows, i=i: rows[i], batch.observation) for i in (batch.now, batch.then)
        )
        assert now.legal_actions.tolist() == [[True, False, True]] * 8
        ends = ~then.legal_actions.any(axis=1)
        columns = (
            now.info_state[:, 0],
            batch.action,
            batch.reward,
            batch.discount,
            then.info_state[:, 0],
            ends,
        )
        found |= {Row(*row) for row in zip(*(column.tolist() for column in columns), strict=True)}
    # The agent's discount is missing once: the update applies it.
    assert found == {
        Row(0, 2, 1.0, 1.0, 1, False),
        Row(0, 2, 1.0 + 0.5 * 2.0, 0.5, 2, False),
        Row(0, 2, 1.0 + 0.5 * 2.0 + 0.25 * 4.0, 0.25, 3, False),
        Row(1, 0, 2.0 + 0.5 * 4.0 + 0.25 * 8.0, 0.0, 4, True),
        Row(2, 2, 4.0 + 0.5 * 8.0, 0.0, 4, True),
        Row(3, 0, 8.0, 0.0, 4, True),
    }


def test_a_learner_takes_what_replay_gives(client: reverb.Client) -> None:
    builder, kept = _three_step(), []

    class Logger(loggers.NoOpLogger):
        def write(self, data: Any) -> None:
            kept.append(data)

    adder = builder.make_adder(client, MASKED, None)
    for _ in range(3):
        adder.add_first(dm_env.restart(_observation(0)))
        adder.add(
            np.int32(0), dm_env.TimeStep(dm_env.StepType.LAST, np.float32(3), np.float32(0), _observation(1))
        )
    labels: list[Any] = []

    def logger_fn(label: str, steps_key: str | None = None, instance: int | None = None) -> loggers.Logger:
        labels.append((label, steps_key))
        return Logger()

    dataset = builder.make_dataset_iterator(client)
    learner = builder.make_learner(jax.random.PRNGKey(0), {"size": 1}, dataset, logger_fn, MASKED, client)
    learner.step()
    assert labels == [("learner", "learner_steps")]
    assert kept[0]["critic_loss"] == 3.0
    assert kept[0]["learner_gradient_steps"] == 2


@pytest.mark.parametrize(("evaluation", "expected"), [(False, 1), (True, 2)])
def test_actors_act_as_the_learner_has_it(evaluation: bool, expected: int) -> None:
    core = _make_core({"size": 1})
    source = fakes.VariableSource(jax.tree.map(np.asarray, core.variables(core.init(None))))
    policy = _builder().make_policy({"size": 1}, MASKED, evaluation)
    actor = _builder().make_actor(jax.random.PRNGKey(0), policy, MASKED, source)
    actor.observe_first(dm_env.restart(_observation(0)))
    action = actor.select_action(_observation(0))
    MASKED.actions.validate(action)
    assert action == expected


def test_actors_need_somebody_to_ask() -> None:
    policy = _builder().make_policy({"size": 1}, MASKED)
    with pytest.raises(ValueError, match="needs a variable_source"):
        _builder().make_actor(jax.random.PRNGKey(0), policy, MASKED)


def test_tables_keep_samples_and_inserts_together() -> None:
    replay = ReplayConfig(
        batch_size=8, min_replay_size=100, max_replay_size=200, samples_per_insert=8.0, table_name="t"
    )
    (table,) = _builder(replay).make_replay_tables(MASKED, None)
    limit = table.info.rate_limiter_info
    assert (table.info.name, table.info.max_size) == ("t", 200)
    assert (limit.min_size_to_sample, limit.samples_per_insert) == (100, 8.0)
    # A tenth of what 100 decisions are drawn, to either side.
    assert (limit.min_diff, limit.max_diff) == (800.0 - 80.0, 800.0 + 80.0)


def test_tables_are_never_too_tight_for_reverb() -> None:
    replay = dataclasses.replace(REPLAY, samples_per_insert=64.0, samples_per_insert_tolerance_rate=0.0)
    (table,) = _builder(replay).make_replay_tables(MASKED, None)
    limit = table.info.rate_limiter_info
    assert limit.max_diff - limit.min_diff == 2 * 2 * 64.0


def test_tables_without_tolerance_only_wait_for_the_first() -> None:
    (table,) = _builder().make_replay_tables(MASKED, None)
    limit = table.info.rate_limiter_info
    assert limit.min_size_to_sample == 3
    assert limit.max_diff == -limit.min_diff == sys.float_info.max


def test_another_replay_leaves_the_builder_as_it_is() -> None:
    builder = _builder()
    other = builder.with_replay(ReplayConfig(table_name="other"))
    assert (builder.replay.table_name, other.replay.table_name) == (REPLAY.table_name, "other")
    assert type(other) is type(builder)


def test_builders_travel_to_other_processes() -> None:
    other = cloudpickle.loads(cloudpickle.dumps(_builder()))
    assert other.replay == REPLAY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be above 0, not 0"),
        ({"samples_per_insert": -1.0}, "samples_per_insert must be above 0"),
        ({"samples_per_insert": math.nan}, "samples_per_insert must be above 0"),
        ({"samples_per_insert": math.inf}, "samples_per_insert must be finite"),
        ({"samples_per_insert_tolerance_rate": -0.1}, "tolerance_rate must not be negative"),
        ({"samples_per_insert_tolerance_rate": math.nan}, "tolerance_rate must not be negative"),
        ({"prefetch_size": -1}, "prefetch_size must not be negative"),
        ({"min_replay_size": 11, "max_replay_size": 10}, "min_replay_size 11 must not exceed .* 10"),
        ({"n_step": 0}, "n_step must be above 0"),
        ({"gradient_steps_per_learner_step": 0}, "gradient_steps_per_learner_step must be above 0"),
        ({"variable_update_period": 0}, "variable_update_period must be above 0"),
        ({"table_name": ""}, "table_name must not be empty"),
    ],
)
def test_impossible_replays_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ReplayConfig(**changes)
    assert "\n" not in str(caught.value)


# As of Acme's main branch in 2026: the runners pass most arguments by position.
METHODS = {
    "make_replay_tables": ["environment_spec", "policy"],
    "make_dataset_iterator": ["replay_client"],
    "make_adder": ["replay_client", "environment_spec", "policy"],
    "make_actor": ["random_key", "policy", "environment_spec", "variable_source", "adder"],
    "make_learner": [
        "random_key",
        "networks",
        "dataset",
        "logger_fn",
        "environment_spec",
        "replay_client",
        "counter",
    ],
    "make_policy": ["networks", "environment_spec", "evaluation"],
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_the_arguments_of_acme_s_main_branch(name: str) -> None:
    parameters = list(inspect.signature(getattr(CoreBuilder, name)).parameters)
    assert parameters == ["self", *METHODS[name]]
