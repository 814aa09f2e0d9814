"""Tests of replay inside the process, against Reverb and Acme's adder."""

import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_compat  # noqa: F401

# isort: split

import dm_env
import reverb
import tree
from acme import specs, types
from acme.adders import reverb as reverb_adders

from agents.core import Observation
from agents.local_replay import LocalAdder, LocalReplay

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
    """Every step's action and what it led to; the first has no action."""

    def observe() -> Observation:
        observation = tree.map_structure(lambda spec: rng.normal(size=spec.shape), SPEC.observations)
        return Observation(observation[0].astype(np.float32), observation[1] > 0, np.zeros(0, np.float32))

    steps: Episode = [(None, dm_env.restart(observe()))]
    for left in reversed(range(length)):
        kind = dm_env.StepType.MID if left else dm_env.StepType.LAST
        # Ends of both kinds, and discounts of an environment's own.
        discount = np.float32(rng.choice([0.0, 0.5, 1.0])) if left else np.float32(rng.integers(2))
        timestep = dm_env.TimeStep(kind, np.float32(rng.normal()), discount, observe())
        steps.append((np.int32(rng.integers(2)), timestep))
    return steps


def add(adder: Any, episodes: Sequence[Episode]) -> None:
    for (_, first), *steps in episodes:
        adder.add_first(first)
        for action, timestep in steps:
            adder.add(action, timestep)


def of_reverb(episodes: Sequence[Episode], n_step: int, directory: pathlib.Path) -> list[Any]:
    """The transitions that Acme's adder makes, in order."""
    table = reverb.Table(
        name="queue",
        sampler=reverb.selectors.Fifo(),
        remover=reverb.selectors.Fifo(),
        max_size=1000,
        max_times_sampled=1,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=reverb_adders.NStepTransitionAdder.signature(SPEC),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        server = reverb.Server([table])
    client = server.localhost_client()
    adder = reverb_adders.NStepTransitionAdder(
        client=client, n_step=n_step, discount=DISCOUNT, priority_fns={"queue": None}
    )
    add(adder, episodes)
    adder.reset()
    count = client.server_info()["queue"].current_size
    samples = client.sample("queue", count, emit_timesteps=False, unpack_as_table_signature=True)
    found = [sample.data for sample in samples]
    # It would wait for streams that are open.
    del adder, samples
    server.stop()
    return found


def rows_of(replay: LocalReplay) -> list[Any]:
    """All transitions, the oldest first, of a replay that has not overflowed."""
    columns = tree.flatten(replay._columns)
    return [
        tree.unflatten_as(replay._columns, [column[row] for column in columns]) for row in range(len(replay))
    ]


def of_local(episodes: Sequence[Episode], n_step: int) -> list[Any]:
    """The transitions that ours makes, in order."""
    replay = LocalReplay(1000, seed=0)
    add(LocalAdder(replay, n_step, DISCOUNT), episodes)
    return rows_of(replay)


@pytest.mark.parametrize("n_step", [1, 2, 5])
def test_transitions_are_those_of_acmes_adder(n_step: int, tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(n_step)
    episodes = [make_episode(rng, length) for length in (1, 2, 3, 5, 8)]
    expected, found = of_reverb(episodes, n_step, tmp_path), of_local(episodes, n_step)
    # One begins at every step, and shorter ones where the first is reached.
    assert len(found) == len(expected) == sum(n + min(n, n_step) - 1 for n in (1, 2, 3, 5, 8))
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_two_steps_are_summed_up_by_hand() -> None:
    """r_1 + y d_1 r_2, with a discount of y d_1 d_2, and shorter ones at both ends."""
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
