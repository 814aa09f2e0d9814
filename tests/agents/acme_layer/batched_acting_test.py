"""Tests of agents.acme_layer.batched_acting: comparison with Acme's loop, statistics, variables, stop."""

import dataclasses
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable
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
import launchpad
import reverb
from acme.testing import fakes
from acme.utils import counting, loggers

from acme_psro.games.batched import GameBatch
from acme_psro.games.environment import PlayerEnvironment
from agents.acme_layer.batched_acting import BatchedActor, BatchedLoop
from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.core import AgentCore, Observation
from tests.agents import item_tables
from tests.agents.rows import Rows

GAME = "leduc_poker"
SPEC = acme.make_environment_spec(PlayerEnvironment(GAME, 0))


def _choose(step: Any, key: Any, seen: Observation) -> Any:
    """Returns legal actions that depend on the observations only, not on the key."""
    scores = jnp.sin(jnp.arange(1, 4) * (seen.info_state @ jnp.arange(1.0, 31.0))[:, None])
    return jnp.where(seen.legal_actions, scores, -jnp.inf).argmax(axis=1)


CORE = AgentCore(
    init=lambda key: jnp.float32(0),
    update=lambda state, batch: (state, {}),
    variables=lambda state: state,
    act=_choose,
    perform=_choose,
    log_prob=lambda step, seen, action: step - seen.info_state.sum(axis=1) - action / 8,
)


def make_builder(replay: ReplayConfig) -> CoreBuilder:
    return CoreBuilder(lambda networks: CORE, 0.9, replay)


def make_actor(replay: ReplayConfig, client: reverb.Client, games: GameBatch, source: Any) -> BatchedActor:
    builder = make_builder(replay)
    adder = builder.make_batch_adder(client, games.num_games, games.nothing)
    return builder.make_batched_actor(jax.random.PRNGKey(0), None, SPEC, source, adder)


@pytest.fixture(autouse=True)
def _server_s_files_are_temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def source() -> Any:
    return fakes.VariableSource(np.float32(2))


class Results(NamedTuple):
    """Items of replay, rows of the log and counts after 30 episodes."""

    items: list[item_tables.Item]
    rows: list[Any]
    counts: dict[str, Any]


def by_acme(replay: ReplayConfig) -> Results:
    """Runs one game in Acme's loop."""
    builder, rows, counter = make_builder(replay), Rows(), counting.Counter(prefix="actor")
    with item_tables.serve(replay, SPEC) as client:
        policy = builder.make_policy(None, SPEC)
        adder = builder.make_adder(client, SPEC, policy)
        actor = builder.make_actor(jax.random.PRNGKey(0), policy, SPEC, source(), adder)
        acme.EnvironmentLoop(PlayerEnvironment(GAME, 0, seed=4), actor, counter, rows).run(num_episodes=30)
        return Results(item_tables.take_items(client, replay), rows.rows, counter.get_counts())


def by_us(replay: ReplayConfig) -> Results:
    """Runs the same game in a batch of one."""
    rows, counter, games = Rows(), counting.Counter(prefix="actor"), GameBatch(GAME, 0, 1, seed=4)
    with item_tables.serve(replay, SPEC) as client:
        actor = make_actor(replay, client, games, source())
        BatchedLoop(games, actor, counter, rows).run(num_episodes=30)
        return Results(item_tables.take_items(client, replay), rows.rows, counter.get_counts())


@pytest.mark.parametrize(
    "replay",
    [
        ReplayConfig(),
        ReplayConfig(n_step=5),
        pytest.param(ReplayConfig(sequence_length=2), id="sequences, with log_prob"),
    ],
)
def test_one_game_tells_what_acme_s_loop_tells(replay: ReplayConfig) -> None:
    theirs, ours = by_acme(replay), by_us(replay)
    assert ours.items == theirs.items
    assert len(ours.items) >= 30
    assert ours.counts == theirs.counts
    assert set(ours.counts) == {"actor_episodes", "actor_steps"}
    for mine, other in zip(ours.rows, theirs.rows, strict=True):
        assert set(mine) == set(other)
        assert mine.pop("steps_per_second") > 0 < other.pop("steps_per_second")
        assert {name: float(value) for name, value in mine.items()} == other


class Script:
    """Games whose episodes end at given steps. Observation and reward are the number of the step."""

    def __init__(self, ends: np.ndarray) -> None:
        self.num_games = ends.shape[1]
        self._ends = iter(ends)
        self._step = 0

    def reset(self) -> np.ndarray:
        return np.zeros((self.num_games, 1), np.float32)

    def step(self, actions: np.ndarray) -> Any:
        self._step += 1
        reward = np.full(self.num_games, self._step, np.float32)
        observation = np.full((self.num_games, 1), self._step, np.float32)
        return ScriptedSteps(observation, reward, np.array(next(self._ends), bool))


class ScriptedSteps(NamedTuple):
    """Results of one step of `Script`."""

    observation: np.ndarray
    reward: np.ndarray
    last: np.ndarray


class Idle:
    """An actor that always takes action 0 and counts the calls of `update` and `close`."""

    def __init__(self) -> None:
        self.updates = 0
        self.closed = 0

    def select_actions(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros(len(observation), np.int32)

    def observe_first(self, observation: np.ndarray) -> None:
        pass

    def observe(self, actions: np.ndarray, steps: Any) -> None:
        pass

    def update(self) -> None:
        self.updates += 1

    def close(self) -> None:
        self.closed += 1


def test_every_episode_has_its_own_account() -> None:
    ends = np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]])
    rows, counter, actor = Rows(), counting.Counter(), Idle()
    BatchedLoop(Script(ends), actor, counter, rows).run(num_steps=9)  # type: ignore[arg-type]
    found = [(row["episode_length"], float(row["episode_return"]), row["episodes"]) for row in rows.rows]
    # The second game ends in step 1, the first and the second in step 3, the first and the third in step 4.
    assert found == [(1, 1.0, 1), (3, 6.0, 3), (2, 5.0, 3), (1, 4.0, 5), (4, 10.0, 5)]
    assert [row["steps"] for row in rows.rows] == [1, 6, 6, 11, 11]
    assert counter.get_counts() == {"episodes": 5, "steps": 11}
    assert (actor.updates, actor.closed) == (4, 1)


def test_runs_end_with_so_many_episodes() -> None:
    rows = Rows()
    BatchedLoop(Script(np.ones((5, 4))), Idle(), None, rows).run(num_episodes=6)  # type: ignore[arg-type]
    assert len(rows.rows) == 8
    loop = BatchedLoop(Script(np.ones((5, 4))), Idle(), None, rows)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="either num_episodes or num_steps"):
        loop.run(num_episodes=1, num_steps=1)


def test_an_actor_that_fails_lets_go_of_replay() -> None:
    class Failing(Idle):
        def update(self) -> None:
            raise RuntimeError("no learner")

    actor = Failing()
    with pytest.raises(RuntimeError, match="no learner"):
        BatchedLoop(Script(np.ones((5, 4))), actor, None, Rows()).run()  # type: ignore[arg-type]
    assert actor.closed == 1


class Growing:
    """A learner whose variable is the number of requests so far."""

    def __init__(self) -> None:
        self.asked = 0

    def get_variables(self, names: list[str]) -> list[Any]:
        self.asked += 1
        return [np.float32(self.asked)] * len(names)


def test_newer_variables_are_asked_for_now_and_then() -> None:
    replay, learner = ReplayConfig(variable_update_period=5), Growing()
    builder = make_builder(dataclasses.replace(replay, sequence_length=2))
    actor = builder.make_batched_actor(jax.random.PRNGKey(0), None, SPEC, learner)  # type: ignore[arg-type]
    games = GameBatch(GAME, 0, 6)
    observation, numbers = games.reset(), []
    for _ in range(11):
        actions = actor.select_actions(observation)
        assert (actions.dtype, actions.shape) == (np.int32, (6,))
        numbers.append(actor._extras["log_prob"] + observation.info_state.sum(axis=1) + actions / 8)
        assert actor._extras["log_prob"].dtype == np.float32
        observation = games.step(actions).observation
        actor.update(wait=True)
    # Without the observation's part and the action's part, log_prob is the number in the variables.
    expected = np.repeat([1, 2, 3], [5, 5, 1])[:, np.newaxis] * np.ones(6)
    np.testing.assert_allclose(numbers, expected, atol=1e-5)
    assert learner.asked == 3


def test_equal_keys_choose_alike_and_every_step_anew() -> None:
    def act(variables: Any, key: Any, seen: Observation) -> Any:
        return jax.random.categorical(key, jnp.zeros(seen.legal_actions.shape))

    builder = CoreBuilder(lambda networks: CORE._replace(act=act), 0.9, ReplayConfig())
    seen = GameBatch(GAME, 0, 64).reset()

    def choices(seed: int) -> np.ndarray:
        actor = builder.make_batched_actor(jax.random.PRNGKey(seed), None, SPEC, source())
        return np.stack([actor.select_actions(seen) for _ in range(3)])

    first = choices(0)
    np.testing.assert_array_equal(first, choices(0))
    assert (first != choices(1)).any()
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    # Games with equal observations choose independently.
    assert len(set(first[0])) == 3


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that stops a loop, as Launchpad does."""
    handlers: list[Callable[[], None]] = []
    monkeypatch.setattr(launchpad, "register_stop_handler", handlers.append)
    monkeypatch.setattr(launchpad, "unregister_stop_handler", lambda handler: None)
    return lambda: handlers[-1]()


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_loops_stop_while_replay_takes_nothing(stop: Callable[[], None]) -> None:
    """Without a reader, the table accepts a few items and then blocks."""
    replay, games = ReplayConfig(), GameBatch(GAME, 0, 4)
    limiter = reverb.rate_limiters.SampleToInsertRatio(1.0, min_size_to_sample=1, error_buffer=4.0)
    counter = counting.Counter()
    with item_tables.serve(replay, SPEC, limiter) as client:
        loop = BatchedLoop(games, make_actor(replay, client, games, source()), counter, loggers.NoOpLogger())
        acting = threading.Thread(target=loop.run, daemon=True)
        acting.start()
        _wait_until(lambda: client.server_info()[replay.table_name].current_size >= 4)
        time.sleep(1.0)
        before = counter.get_counts()["steps"]
        time.sleep(1.0)
        # The loop is blocked, and it is ahead of the table by two steps of all games at most.
        assert counter.get_counts()["steps"] == before <= 4 + 1 + 2 * 4 + 4
        stop()
        acting.join(10)
        assert not acting.is_alive()
