"""Tests of agents.acme_layer.builder: experience in replay, policies, tables, and method signatures."""

import dataclasses
import importlib.util
import inspect
import math
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import cloudpickle
import dm_env
import reverb
from acme import specs
from acme.testing import fakes
from acme.utils import loggers

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.core import AgentCore, Observation, Transition
from agents.interface import make_interface
from tests.agents.rows import Rows

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
    """Makes an agent whose action is one constant while learning and another one in evaluation mode."""
    size = networks["size"]
    return AgentCore(
        init=lambda key: {"learning": jnp.int32(1), "evaluation": jnp.int32(2), "w": jnp.zeros(size)},
        update=lambda state, batch: (state, {"critic_loss": batch.reward.mean()}),
        variables=lambda state: {name: state[name] for name in ("learning", "evaluation")},
        act=lambda variables, key, observation: _constant(variables["learning"], observation),
        perform=lambda variables, key, observation: _constant(variables["evaluation"], observation),
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
    """A client of a server with the tables of a 3-step agent with discount 0.5."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    builder = _three_step()
    server = reverb.Server(builder.make_replay_tables(MASKED, builder.make_policy({"size": 1}, MASKED)))
    yield reverb.Client(f"localhost:{server.port}")
    server.stop()


def _three_step() -> CoreBuilder:
    return _builder(dataclasses.replace(REPLAY, n_step=3), discount=0.5)


class Row(NamedTuple):
    """Values of one transition."""

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
    # The agent's discount is missing once, because the update applies it.
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


class Numbered(dm_env.Environment):
    """A task that numbers its observations, in episodes of 1 to 7 steps. Half of them are truncated."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._number = 0
        self._left = 0

    def _observe(self) -> Any:
        self._number += 1
        return np.array([self._number], np.float32)

    def reset(self) -> dm_env.TimeStep:
        self._left = int(self._rng.integers(1, 8))
        return dm_env.restart(self._observe())

    def step(self, action: Any) -> dm_env.TimeStep:
        reward, observation = np.float32(self._number), self._observe()
        self._left -= 1
        kind = dm_env.StepType.MID if self._left else dm_env.StepType.LAST
        discount = np.float32(self._left > 0 or self._rng.random() < 0.5)
        return dm_env.TimeStep(kind, reward, discount, observation)

    def observation_spec(self) -> Any:
        return specs.Array((1,), np.float32)

    def action_spec(self) -> Any:
        return specs.BoundedArray((1,), np.float32, 0.0, 1e4)

    def reward_spec(self) -> Any:
        return specs.Array((), np.float32)

    def discount_spec(self) -> Any:
        return specs.BoundedArray((), np.float32, 0.0, 1.0)


def _log_prob(step: Any, number: Any, action: Any) -> Any:
    """Encodes the number of updates, the observation and the action in one number."""
    return -(1000 * number + 10 * step + action)[:, 0]


def _check_batch(step: Any, batch: Transition) -> tuple[Any, dict[str, Any]]:
    """Counts errors in a batch.

    An action reveals the variables with which it was chosen, and so the `log_prob` that it must have.
    """
    assert batch.log_prob is not None and batch.continues is not None
    now, then = batch.observation[batch.now], batch.observation[batch.then][:, 0]
    expected = _log_prob(jnp.floor(batch.action), now, batch.action)
    now = now[:, 0]
    wrong = (batch.log_prob != expected) | (then != now + 1) | (batch.reward != now)
    return step + 1, {
        "critic_loss": (wrong & (batch.weight > 0)).sum(),
        "continued": (batch.continues & (jnp.roll(now, -1) == now + 1)).sum() / batch.continues.sum(),
        "padded": (batch.weight == 0).mean(),
        "newest": (batch.action * batch.weight[:, None]).max(),
        "ends": (batch.weight * (batch.discount == 0)).mean(),
    }


# Its action is the number of updates, plus 0.5 with probability 0.5.
NUMBERING = AgentCore(
    init=lambda key: jnp.float32(0),
    update=_check_batch,
    variables=lambda state: state,
    act=lambda step, key, seen: step + 0.5 * jax.random.bernoulli(key, shape=(seen.shape[0], 1)),
    perform=lambda step, key, seen: jnp.full((seen.shape[0], 1), 7.0),
    log_prob=_log_prob,
)
SEQUENCES = dataclasses.replace(REPLAY, batch_size=24, sequence_length=4, samples_per_insert=24.0)


def _learn_numbers(
    replay: ReplayConfig, num_steps: int, directory: pathlib.Path, in_process: bool
) -> list[dict[str, float]]:
    """Runs `num_steps` decisions and returns the learner's metrics, one row for each learner step."""
    if importlib.util.find_spec("acme.jax.experiments"):
        pytest.skip("this Acme is newer than the release")
    from agents.acme_layer import released

    environment, rows = Numbered(), Rows()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        agent = released.make_local_agent(
            CoreBuilder(lambda networks: NUMBERING, 0.9, replay),
            lambda spec: None,
            acme.make_environment_spec(environment),
            seed=0,
            logger_fn=lambda *args: rows,
            in_process=in_process,
        )
    acme.EnvironmentLoop(environment, agent, logger=Rows()).run(num_steps=num_steps)
    return rows.rows


@pytest.mark.parametrize("in_process", [False, True])
def test_a_learner_is_told_how_probable_each_action_was(in_process: bool, tmp_path: pathlib.Path) -> None:
    found = _learn_numbers(SEQUENCES, 200, tmp_path, in_process)
    # The learner begins with 2 batches and then runs 2 gradient steps after every second decision.
    assert len(found) == (200 - 48) // 2 + 1
    assert [row["critic_loss"] for row in found] == [0] * len(found)
    assert [row["continued"] for row in found] == [1] * len(found)
    # Episodes of 1 to 7 decisions, one of each length, have 28 decisions in 10 sequences. Of their 40 rows,
    # 12 are padding, and 3.5 have a discount of 0 because half of the episodes terminate.
    assert 0.2 < np.mean([row["padded"] for row in found]) < 0.4
    assert 0.05 < np.mean([row["ends"] for row in found]) < 0.13
    # Reverb's data set prefetches samples, so that the newest decisions may be those of the beginning.
    assert found[-1]["newest"] > (100 if in_process else 48)


def test_the_first_sequence_is_awaited(tmp_path: pathlib.Path) -> None:
    """With a batch of one sequence and a long episode, no sequence is complete after four decisions.

    A learner that sampled then would wait forever.
    """
    replay = dataclasses.replace(
        SEQUENCES, batch_size=4, samples_per_insert=4.0, min_replay_size=1, gradient_steps_per_learner_step=1
    )
    first, *_ = found = _learn_numbers(replay, 6, tmp_path, in_process=True)
    assert (len(found), first["padded"], first["critic_loss"]) == (2, 0, 0)


class Recorded(Numbered):
    """The same task, which also keeps the numbers of the observations that were decided at."""

    def __init__(self) -> None:
        super().__init__()
        self.decided: list[int] = []

    def step(self, action: Any) -> dm_env.TimeStep:
        self.decided.append(self._number)
        return super().step(action)


# Its state counts how often it learned from each observation.
COUNTING = NUMBERING._replace(
    init=lambda key: jnp.zeros(400, jnp.int32),
    update=lambda counts, batch: (
        counts.at[batch.observation[batch.now][:, 0].astype(int)].add((batch.weight > 0).astype(int)),
        {"critic_loss": jnp.float32(0)},
    ),
    variables=lambda counts: counts.sum().astype(jnp.float32),
)


@pytest.mark.skipif(
    importlib.util.find_spec("acme.jax.experiments") is not None, reason="this Acme is newer than the release"
)
@pytest.mark.parametrize("in_process", [False, True])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_queue_uses_every_decision_once_but_for_an_unfinished_batch(
    n_step: int, in_process: bool, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.acme_layer import released

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    replay = ReplayConfig(
        batch_size=8,
        n_step=n_step,
        queue=True,
        samples_per_insert=1.0,
        min_replay_size=1,
        max_replay_size=16,
        prefetch_size=1,
        num_parallel_calls=1,
        variable_update_period=1,
    )
    environment = Recorded()
    agent = released.make_local_agent(
        CoreBuilder(lambda networks: COUNTING, 0.9, replay),
        lambda spec: None,
        acme.make_environment_spec(environment),
        seed=0,
        logger_fn=lambda *args: Rows(),
        in_process=in_process,
    )
    acme.EnvironmentLoop(environment, agent, logger=Rows()).run(num_steps=200)
    deadline = time.monotonic() + 30
    decided = environment.decided
    # Every episode has ended, so all but the last few decisions fill whole batches.
    whole = len(decided) // 8 * 8
    while (learned := agent.learner.save()).sum() < whole and time.monotonic() < deadline:
        # Reverb accepts the last items a moment after they were added.
        agent.update()
    expected = np.zeros(400, int)
    expected[decided[:whole]] = 1
    np.testing.assert_array_equal(learned, expected)


def _act_once(replay: ReplayConfig, evaluation: bool) -> tuple[Any, Any]:
    """Returns an action at observation 3 after 5 updates, and its extras."""
    spec = acme.make_environment_spec(Numbered())
    policy = CoreBuilder(lambda networks: NUMBERING, 0.9, replay).make_policy(None, spec, evaluation)
    select = jax.jit(policy.select_action)
    state = policy.init(jax.random.PRNGKey(0))
    for number in (1.0, 2.0, 3.0):
        action, state = select(np.float32(5), np.array([number], np.float32), state)
    assert select._cache_size() == 1
    return action, policy.get_extras(state)


def test_who_acts_for_sequences_tells_how_probable_the_action_was() -> None:
    action, extras = _act_once(SEQUENCES, evaluation=False)
    assert action.shape == (1,)
    assert set(extras) == {"log_prob"}
    assert (extras["log_prob"].shape, extras["log_prob"].dtype) == ((), np.float32)
    assert extras["log_prob"] == -(3000 + 50 + action[0])


@pytest.mark.parametrize(("replay", "evaluation"), [(SEQUENCES, True), (REPLAY, False), (REPLAY, True)])
def test_nobody_else_tells_anything(replay: ReplayConfig, evaluation: bool) -> None:
    action, extras = _act_once(replay, evaluation)
    assert not extras
    assert (action == 7.0) == evaluation


def test_agents_without_log_prob_cannot_act_for_sequences() -> None:
    policy = _builder(SEQUENCES).make_policy({"size": 1}, MASKED)
    variables = {"learning": jnp.int32(1), "evaluation": jnp.int32(2)}
    with pytest.raises(ValueError, match="does not tell how probable its actions are"):
        policy.select_action(variables, _observation(0), policy.init(jax.random.PRNGKey(0)))


def test_tables_keep_samples_and_inserts_together() -> None:
    replay = ReplayConfig(
        batch_size=8, min_replay_size=100, max_replay_size=200, samples_per_insert=8.0, table_name="t"
    )
    (table,) = _builder(replay).make_replay_tables(MASKED, None)
    limit = table.info.rate_limiter_info
    assert (table.info.name, table.info.max_size) == ("t", 200)
    assert (limit.min_size_to_sample, limit.samples_per_insert) == (100, 8.0)
    # 100 decisions are sampled 800 times, and the tolerance is a tenth of that, in both directions.
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


# The arguments in Acme's main branch of 2026. Its runners pass most of them by position.
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
