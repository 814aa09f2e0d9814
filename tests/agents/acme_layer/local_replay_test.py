"""Tests of agents.acme_layer.local_replay, with Reverb and Acme's adders as the reference."""

import itertools
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import dm_env
import reverb
import tree
from acme import specs, types

from agents.acme_layer.local_replay import LocalAdder, LocalQueue, LocalReplay, LocalSequenceAdder
from agents.acme_layer.replay import ReplayConfig, SequenceAdder, make_adder, make_table
from agents.core import Observation

DISCOUNT = 0.9
SPEC = specs.EnvironmentSpec(
    observations=Observation(
        specs.Array((3,), np.float32), specs.Array((2,), bool), specs.Array((0,), np.float32)
    ),
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0.0, 1.0),
)

Episode = list[tuple[Any, dm_env.TimeStep]]


def transition(number: int) -> types.Transition:
    observation = np.array([number, -number], np.float32)
    return types.Transition(observation, np.int32(number), np.float32(number / 2), np.float32(1), observation)


def numbers_in(replay: LocalReplay) -> set[int]:
    return set(replay.sample(1000).action.tolist())


def make_episode(rng: np.random.Generator, length: int) -> Episode:
    """Makes an episode: actions and the time steps after them. The first time step has no action."""

    def observe() -> Observation:
        observation = tree.map_structure(lambda spec: rng.normal(size=spec.shape), SPEC.observations)
        return Observation(observation[0].astype(np.float32), observation[1] > 0, np.zeros(0, np.float32))

    steps: Episode = [(None, dm_env.restart(observe()))]
    for left in reversed(range(length)):
        kind = dm_env.StepType.MID if left else dm_env.StepType.LAST
        # Terminations and truncations, and discounts between 0 and 1 within an episode.
        discount = np.float32(rng.choice([0.0, 0.5, 1.0])) if left else np.float32(rng.integers(2))
        timestep = dm_env.TimeStep(kind, np.float32(rng.normal()), discount, observe())
        steps.append((np.int32(rng.integers(2)), timestep))
    return steps


def log_prob_of(timestep: dm_env.TimeStep) -> Any:
    """Returns an arbitrary number as the log-probability of the action that led to `timestep`."""
    return np.float32(timestep.observation.info_state.sum())


def add(adder: Any, episodes: Sequence[Episode]) -> None:
    """Adds episodes; if the adder writes sequences, each action has a log-probability."""
    for (_, first), *steps in episodes:
        adder.add_first(first)
        for action, timestep in steps:
            if isinstance(adder, SequenceAdder | LocalSequenceAdder):
                adder.add(action, timestep, {"log_prob": log_prob_of(timestep)})
            else:
                adder.add(action, timestep)


def of_reverb(episodes: Sequence[Episode], replay: ReplayConfig, directory: pathlib.Path) -> list[Any]:
    """Returns the transitions or sequences of Acme's adder, in order."""
    table = reverb.Table(
        name="queue",
        sampler=reverb.selectors.Fifo(),
        remover=reverb.selectors.Fifo(),
        max_size=1000,
        max_times_sampled=1,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=make_table(replay, SPEC).info.signature,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        server = reverb.Server([table])
    client = server.localhost_client()
    adder = make_adder(replay, client, DISCOUNT)
    add(adder, episodes)
    adder.reset()
    count = client.server_info()["queue"].current_size
    samples = client.sample("queue", count, emit_timesteps=False, unpack_as_table_signature=True)
    found = [sample.data for sample in samples]
    # The server would wait for open streams before it stops.
    del adder, samples
    server.stop()
    return found


def rows_of(replay: LocalReplay) -> list[Any]:
    """Returns all items, the oldest first, of a replay that has not overflowed."""
    columns = tree.flatten(replay._columns)
    return [
        tree.unflatten_as(replay._columns, [column[row] for column in columns]) for row in range(len(replay))
    ]


def of_local(episodes: Sequence[Episode], n_step: int) -> list[Any]:
    """Returns the transitions of `LocalAdder`, in order."""
    replay = LocalReplay(1000, seed=0)
    add(LocalAdder(replay, n_step, DISCOUNT), episodes)
    return rows_of(replay)


@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_transitions_are_those_of_acmes_adder(n_step: int, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(n_step)
    episodes = [make_episode(rng, length) for length in (1, 2, 3, 5, 8)]
    replay = ReplayConfig(n_step=n_step, table_name="queue")
    expected, found = of_reverb(episodes, replay, tmp_path), of_local(episodes, n_step)
    # One transition ends at every step, and n - 1 shorter ones at the end, or fewer in short episodes.
    assert len(found) == len(expected) == sum(n + min(n, n_step) - 1 for n in (1, 2, 3, 5, 8))
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_a_queue_has_one_transition_from_each_decision_the_longest(
    n_step: int, tmp_path: pathlib.Path
) -> None:
    rng = np.random.default_rng(n_step)
    lengths = (1, 2, 3, 5, 8)
    episodes = [make_episode(rng, length) for length in lengths]
    replay = ReplayConfig(
        n_step=n_step, table_name="queue", queue=True, samples_per_insert=1.0, min_replay_size=1
    )
    memory = LocalQueue()
    add(LocalAdder(memory, n_step, DISCOUNT, longest_only=True), episodes)
    found = list(memory._items)
    # Each position in an episode is counted once for every episode that is long enough, and in order.
    decisions = [before.observation for steps in episodes for _, before in steps[:-1]]
    assert len(found) == len(decisions) == sum(lengths)
    for item, observation in zip(found, decisions, strict=True):
        np.testing.assert_array_equal(item.observation.info_state, observation.info_state)
    for ours, theirs in zip(found, of_reverb(episodes, replay, tmp_path), strict=True):
        for one, other in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_a_queue_hands_over_the_oldest_and_keeps_the_rest() -> None:
    queue = LocalQueue()
    for number in range(5):
        queue.add(transition(number))
    samples = queue.samples(2)
    assert [next(samples).data.action.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    assert len(queue) == 1
    with pytest.raises(ValueError, match="a queue of 1 items cannot hand over 2"):
        queue.take(2)


def test_a_queue_keeps_copies() -> None:
    queue, observation = LocalQueue(), np.zeros(1, np.float32)
    queue.add(transition(0)._replace(observation=observation))
    observation[:] = 1
    assert queue.take(1).observation == 0


def test_two_steps_are_summed_up_by_hand() -> None:
    """The reward is r_1 + g d_1 r_2 and the discount g d_1 d_2. Both ends have a shorter transition."""
    replay = LocalReplay(10, seed=0)
    adder = LocalAdder(replay, 2, DISCOUNT)
    adder.add_first(dm_env.restart(np.zeros(1, np.float32)))
    adder.add(np.int32(7), dm_env.transition(2.0, np.ones(1, np.float32), 0.5))
    adder.add(np.int32(8), dm_env.truncation(4.0, np.full(1, 2, np.float32), 0.25))
    rows = replay._columns
    assert len(replay) == 3
    np.testing.assert_allclose(rows.reward[:3], [2.0, 2.0 + 0.9 * 0.5 * 4.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(rows.discount[:3], [0.5, 0.9 * 0.5 * 0.25, 0.25], rtol=1e-6)
    assert rows.action[:3].tolist() == [7, 7, 8]
    assert rows.observation[:3, 0].tolist() == [0, 0, 1]
    assert rows.next_observation[:3, 0].tolist() == [1, 2, 2]


def test_what_was_left_of_an_episode_is_not_carried_into_the_next() -> None:
    rng = np.random.default_rng(3)
    whole, cut = make_episode(rng, 4), make_episode(rng, 4)[:3]
    replay = LocalReplay(100, seed=0)
    adder = LocalAdder(replay, 3, DISCOUNT)
    add(adder, [cut])
    begun = len(replay)
    adder.reset()
    add(adder, [whole])
    for ours, theirs in zip(rows_of(replay)[begun:], of_local([whole], 3), strict=True):
        tree.map_structure(np.testing.assert_array_equal, ours, theirs)


def test_the_oldest_go_first() -> None:
    replay = LocalReplay(4, seed=0)
    for number in range(3):
        replay.add(transition(number))
    assert (len(replay), numbers_in(replay)) == (3, {0, 1, 2})
    for number in range(3, 10):
        replay.add(transition(number))
    assert (len(replay), numbers_in(replay)) == (4, {6, 7, 8, 9})


def test_rows_stay_together_and_keep_their_types() -> None:
    replay = LocalReplay(50, seed=0)
    for number in range(20):
        replay.add(transition(number))
    rows = replay.sample(64)
    assert (rows.observation.shape, rows.observation.dtype) == ((64, 2), np.float32)
    assert (rows.action.shape, rows.action.dtype) == ((64,), np.int32)
    np.testing.assert_array_equal(rows.observation[:, 1], -rows.action)
    np.testing.assert_array_equal(rows.reward, rows.action / 2)


def test_what_was_drawn_does_not_change_with_what_comes_later() -> None:
    replay = LocalReplay(1, seed=0)
    replay.add(transition(1))
    rows = replay.sample(3)
    replay.add(transition(2))
    assert rows.action.tolist() == [1, 1, 1]


def test_draws_are_uniform() -> None:
    replay = LocalReplay(5, seed=1)
    for number in range(5):
        replay.add(transition(number))
    counts = np.bincount(replay.sample(50_000).action)
    # Five standard deviations.
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(50_000 * 0.2 * 0.8)


def test_equal_seeds_draw_alike_and_others_do_not() -> None:
    drawn = []
    for seed in (3, 3, 4):
        replay = LocalReplay(100, seed)
        for number in range(100):
            replay.add(transition(number))
        drawn.append([next(replay.samples(16)).data.action.tolist() for _ in range(5)])
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_empty_replay_has_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match=r"^an empty replay has nothing to draw: add transitions first\.$"):
        LocalReplay(3, seed=0).sample(1)


def sequences_of(episodes: Sequence[Episode], length: int) -> list[Any]:
    """Returns the sequences of `LocalSequenceAdder`, in order."""
    replay = LocalReplay(1000, seed=0)
    add(LocalSequenceAdder(replay, length), episodes)
    return rows_of(replay)


@pytest.mark.parametrize("length", [2, 3, 5])
def test_sequences_are_those_of_acmes_adder(length: int, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(length)
    lengths = [*range(1, 3 * length + 3), *rng.integers(1, 4 * length, size=5).tolist()]
    episodes = [make_episode(rng, n) for n in lengths]
    replay = ReplayConfig(sequence_length=length, batch_size=length, table_name="queue")
    expected, found = of_reverb(episodes, replay, tmp_path), sequences_of(episodes, length)
    assert len(found) == len(expected) == sum(-(-n // length) for n in lengths)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours._fields == theirs._fields
        for one, other in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_every_decision_is_in_one_sequence_with_what_came_of_it() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, n) for n in (1, 3, 4, 5, 8, 9, 2)]
    columns = tree.map_structure(lambda *rows: np.stack(rows), *sequences_of(episodes, 4))
    here, seen = columns.extras["is_decision"][:, :-1], columns.observation.info_state
    found = [seen[:, :-1][here], columns.action[:, :-1][here], columns.reward[:, :-1][here]]
    found += [columns.discount[:, :-1][here], columns.extras["log_prob"][:, :-1][here], seen[:, 1:][here]]
    steps = [step for episode in episodes for step in itertools.pairwise(episode)]
    expected = [
        (
            before.observation.info_state,
            action,
            after.reward,
            after.discount,
            log_prob_of(after),
            after.observation.info_state,
        )
        for (_, before), (action, after) in steps
    ]
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(ours, np.stack(theirs))
    assert columns.start_of_episode.sum() == len(episodes)


def test_a_sequence_is_laid_out_by_hand() -> None:
    """Three decisions make two sequences of two; they share a row, and the second one is padded."""
    replay = LocalReplay(10, seed=0)
    adder = LocalSequenceAdder(replay, 2)
    adder.add_first(dm_env.restart(np.float32(1)))
    for number, end in ((2, dm_env.transition), (3, dm_env.transition), (4, dm_env.truncation)):
        adder.add(np.int32(number), end(number, np.float32(number), 0.5), {"log_prob": np.float32(-number)})
    assert len(replay) == 2
    rows = tree.map_structure(lambda column: column[:2].tolist(), replay._columns)
    assert rows.observation == [[1, 2, 3], [3, 4, 0]]
    assert rows.action == rows.reward == [[2, 3, 4], [4, 0, 0]]
    assert rows.discount == [[0.5, 0.5, 0.5], [0.5, 0, 0]]
    assert rows.start_of_episode == [[True, False, False], [False] * 3]
    assert rows.extras["log_prob"] == [[-2, -3, -4], [-4, 0, 0]]
    assert rows.extras["is_decision"] == [[True, True, True], [True, False, False]]


def test_what_an_episode_left_unfinished_is_forgotten() -> None:
    rng = np.random.default_rng(0)
    broken, whole = make_episode(rng, 3), make_episode(rng, 3)
    replay = LocalReplay(10, seed=0)
    adder = LocalSequenceAdder(replay, 4)
    add(adder, [broken[:3]])
    adder.reset()
    add(adder, [whole])
    (found,), (expected,) = rows_of(replay), sequences_of([whole], 4)
    tree.map_structure(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("extras", [(), None, {"core_state": 1}])
def test_sequences_need_log_probs(extras: Any) -> None:
    adder = LocalSequenceAdder(LocalReplay(10, seed=0), 2)
    adder.add_first(dm_env.restart(np.float32(0)))
    with pytest.raises(ValueError, match="need each action's log_prob among the extras") as caught:
        adder.add(np.int32(0), dm_env.transition(0.0, np.float32(0)), extras)
    assert "\n" not in str(caught.value)
