"""Tests of agents.acme_layer.batched_adding: items equal to those of one adder per game, and no deadlocks."""

import dataclasses
import pathlib
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import reverb
from acme import specs

from agents.acme_layer import replay as replays
from agents.acme_layer.batched_adding import make_batch_adder
from agents.acme_layer.replay import ReplayConfig
from agents.core import Observation
from tests.agents import item_tables

WIDTH, ACTIONS, DISCOUNT = 5, 3, 0.9
SPEC = specs.EnvironmentSpec(
    observations=Observation(
        specs.Array((WIDTH,), np.float32), specs.Array((ACTIONS,), bool), specs.Array((0,), np.float32)
    ),
    actions=specs.DiscreteArray(ACTIONS),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)
NOTHING = Observation(np.zeros(WIDTH, np.float32), np.ones(ACTIONS, bool), np.zeros(0, np.float32))


@dataclasses.dataclass
class Script:
    """Fixed course of `E` games in `T` steps: arrays `[T, E, ..]`, and observations `[T + 1, E, ..]`."""

    observation: Observation
    action: np.ndarray
    reward: np.ndarray
    last: np.ndarray
    log_prob: np.ndarray

    @staticmethod
    def make(steps: int, games: int, seed: int = 0) -> "Script":
        rng = np.random.default_rng(seed)
        shape = (steps, games)
        observation = Observation(
            rng.normal(size=(steps + 1, games, WIDTH)).astype(np.float32),
            rng.random((steps + 1, games, ACTIONS)) < 0.5,
            np.zeros((steps + 1, games, 0), np.float32),
        )
        action = rng.integers(ACTIONS, size=shape).astype(np.int32)
        reward = rng.normal(size=shape).astype(np.float32)
        # Some games have short episodes and some have long ones. All end with the last step.
        last = rng.random(shape) < np.linspace(0.05, 0.6, games)
        last[-1] = True
        return Script(observation, action, reward, last, rng.normal(size=shape).astype(np.float32))

    def seen(self, *index: Any) -> Observation:
        return Observation(*(leaf[index] for leaf in self.observation))


@pytest.fixture(autouse=True)
def _server_s_files_are_temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def add_one_by_one(script: Script, replay: ReplayConfig, client: reverb.Client) -> None:
    """Adds each game with an Acme adder of its own."""
    steps, games = script.last.shape
    for game in range(games):
        adder = replays.make_adder(replay, client, DISCOUNT)
        is_start = True
        for step in range(steps):
            if is_start:
                adder.add_first(dm_env.restart(script.seen(step, game)))
            is_start = bool(script.last[step, game])
            timestep = dm_env.TimeStep(
                dm_env.StepType.LAST if is_start else dm_env.StepType.MID,
                script.reward[step, game],
                np.float32(not is_start),
                NOTHING if is_start else script.seen(step + 1, game),
            )
            extras = {"log_prob": script.log_prob[step, game]} if replay.sequence_length > 1 else ()
            adder.add(script.action[step, game], timestep, extras)


def add_together(script: Script, replay: ReplayConfig, client: reverb.Client) -> None:
    """Adds all games with one batch adder."""
    adder = make_batch_adder(replay, client, DISCOUNT, script.last.shape[1], NOTHING)
    adder.add_first(script.seen(0))
    for step, last in enumerate(script.last):
        extras = {"log_prob": script.log_prob[step]} if replay.sequence_length > 1 else {}
        adder.add(script.action[step], script.seen(step + 1), script.reward[step], last, extras)
    adder.close()


QUEUE = {"queue": True, "samples_per_insert": 1.0, "min_replay_size": 1}


@pytest.mark.parametrize("games", [1, 7])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_step": 5},
        {"n_step": 3, **QUEUE},
        {"n_step": 5, **QUEUE},
        {"sequence_length": 4},
        {"sequence_length": 16},
    ],
    ids=str,
)
def test_items_are_byte_for_byte_those_of_acme(settings: dict[str, Any], games: int) -> None:
    replay = ReplayConfig(**settings)
    script, items = Script.make(40, games), []
    for add in (add_one_by_one, add_together):
        with item_tables.serve(replay, SPEC) as client:
            add(script, replay, client)
            items.append(item_tables.take_items(client, replay))
    assert len(items[0]) > 40 * games / (replay.sequence_length + 1)
    if replay.queue:
        # All episodes have ended, and each decision has begun one transition.
        assert len(items[0]) == 40 * games
    assert item_tables.count(items[0]) == item_tables.count(items[1])
    if games == 1:
        assert items[0] == items[1]


@pytest.mark.parametrize("sequence_length", [1, 4])
def test_draws_are_kept_with_their_decisions(sequence_length: int) -> None:
    replay = ReplayConfig(sequence_length=sequence_length, n_step=2 if sequence_length == 1 else 1)
    script = Script.make(4, 3)
    script.last[:-1] = False
    extras = {"drawn": specs.Array((2,), np.float32)}
    with item_tables.serve(replay, SPEC, extras=extras) as client:
        adder = make_batch_adder(replay, client, DISCOUNT, 3, NOTHING)
        adder.add_first(script.seen(0))
        for step, last in enumerate(script.last):
            numbers = np.stack([script.reward[step], script.log_prob[step]], axis=1)
            kept = {"drawn": numbers} | ({"log_prob": script.log_prob[step]} if sequence_length > 1 else {})
            adder.add(script.action[step], script.seen(step + 1), script.reward[step], last, kept)
        adder.close()
        samples = list(
            client.sample(replay.table_name, 3, emit_timesteps=False, unpack_as_table_signature=True)
        )
    for sample in samples:
        if sequence_length > 1:
            np.testing.assert_array_equal(sample.data.extras["drawn"][:4, 0], sample.data.reward[:4])
        else:
            # The first transitions have one step each, and so their reward is that of their first action.
            assert sample.data.extras["drawn"][0] == sample.data.reward


def test_games_that_begin_anew_leave_what_they_had_not_finished() -> None:
    replay, script = ReplayConfig(n_step=3), Script.make(2, 2)
    with item_tables.serve(replay, SPEC) as client:
        adder = make_batch_adder(replay, client, DISCOUNT, 2, NOTHING)
        for _ in range(2):
            adder.add_first(script.seen(0))
            adder.add(script.action[0], script.seen(1), script.reward[0], np.zeros(2, bool))
        adder.close()
        items = item_tables.take_items(client, replay)
    # The same items both times: no item reaches from one beginning to the results after the other.
    assert sorted(item_tables.count(items).values()) == [2, 2]


def test_adding_goes_on_after_closing() -> None:
    replay, script = ReplayConfig(), Script.make(1, 3)
    with item_tables.serve(replay, SPEC) as client:
        adder = make_batch_adder(replay, client, DISCOUNT, 3, NOTHING)
        adder.close()
        for _ in range(2):
            adder.add_first(script.seen(0))
            adder.add(script.action[0], script.seen(1), script.reward[0], script.last[0])
            adder.close()
            # Closing has waited until all items had arrived.
            assert len(item_tables.take_items(client, replay)) == 3


def test_an_episode_must_have_begun() -> None:
    script = Script.make(1, 3)
    adder = make_batch_adder(ReplayConfig(), reverb.Client("localhost:1"), DISCOUNT, 3, NOTHING)
    with pytest.raises(ValueError, match="add_first must be called before add"):
        adder.add(script.action[0], script.seen(1), script.reward[0], script.last[0])


def test_sequences_need_log_prob() -> None:
    replay, script = ReplayConfig(sequence_length=4), Script.make(1, 3)
    with item_tables.serve(replay, SPEC) as client:
        adder = make_batch_adder(replay, client, DISCOUNT, 3, NOTHING)
        adder.add_first(script.seen(0))
        with pytest.raises(ValueError, match="sequences need each action's log_prob among the extras"):
            adder.add(script.action[0], script.seen(1), script.reward[0], script.last[0])
        adder.close()


def test_closing_does_not_wait_for_a_table_that_takes_nothing() -> None:
    replay, script = ReplayConfig(), Script.make(8, 4)
    limiter = reverb.rate_limiters.SampleToInsertRatio(1.0, min_size_to_sample=1, error_buffer=2.0)
    with item_tables.serve(replay, SPEC, limiter) as client:
        adder = make_batch_adder(replay, client, DISCOUNT, 4, NOTHING)
        adder.add_first(script.seen(0))
        adder.add(script.action[0], script.seen(1), script.reward[0], script.last[0])
        began = time.monotonic()
        adder.close()
        assert time.monotonic() - began < 10
