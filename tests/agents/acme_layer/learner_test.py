"""Tests of agents.acme_layer.learner: updates, metrics, divergence, state, and several devices.

As a program, `python -m tests.agents.acme_layer.learner_test FILE`, this file runs one step on all devices
and writes the results to the file. It is a process of its own because JAX fixes the number of devices when
it starts.
"""

import functools
import os
import pathlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from acme import types
from acme.utils import counting

from agents.acme_layer.learner import CoreLearner, DivergedError
from agents.core import AgentCore, Transition, join
from tests.agents.rows import Rows

ROOT = pathlib.Path(__file__).resolve().parents[3]
BATCH = 8


class State(NamedTuple):
    """State of a linear critic whose inputs are normalised by the batch."""

    w: Any
    mean: Any
    key: Any
    step: Any


def _update(state: State, batch: Transition) -> tuple[State, dict[str, Any]]:
    now = batch.observation[batch.now]
    mean = now.mean(axis=0)
    key, noise_key = jax.random.split(state.key)
    noise = 0.01 * jax.random.normal(noise_key, batch.reward.shape)

    def loss(w: Any) -> Any:
        error = ((now - mean) / now.std(axis=0)) @ w - batch.reward - noise
        return jnp.mean(error**2)

    value, slope = jax.value_and_grad(loss)(state.w)
    odd = state.step % 2 == 1
    metrics = {
        "critic_loss": value,
        "policy_loss": jnp.where(odd, jnp.nan, 1.0 + state.step),
        "zero": 0.0 * odd,
    }
    return State(state.w - 0.1 * slope, 0.9 * state.mean + 0.1 * mean, key, state.step + 1), metrics


CORE = AgentCore(
    init=lambda key: State(jax.random.normal(key, (3,)), jnp.zeros(3), key, jnp.int32(0)),
    update=_update,
    variables=lambda state: {"w": state.w, "mean": state.mean},
    act=lambda variables, key, observation: observation @ variables["w"],
    perform=lambda variables, key, observation: observation @ variables["w"],
)


def _to_transition(data: types.Transition) -> Transition:
    return join(data.observation, data.action, data.reward, data.discount, data.next_observation)


def _data(seed: int, rows: int = BATCH) -> types.Transition:
    rng = np.random.default_rng(seed)
    now, then = rng.normal(size=(2, rows, 3)).astype(np.float32)
    reward, discount = rng.normal(size=(2, rows)).astype(np.float32)
    return types.Transition(now, np.zeros((rows, 1), np.float32), reward, discount, then)


def _samples(*data: types.Transition) -> Iterator[reverb.ReplaySample]:
    return iter([reverb.ReplaySample(info=None, data=each) for each in data])


def _learner(*data: types.Transition, core: AgentCore = CORE, seed: int = 0, **options: Any) -> CoreLearner:
    options = {"batch_size": BATCH, "to_transition": _to_transition} | options
    return CoreLearner(core, jax.random.PRNGKey(seed), _samples(*data), **options)


def _assert_equal(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_many_gradient_steps_at_once_are_the_same_as_one_by_one() -> None:
    many = _learner(_data(0, 3 * BATCH), gradient_steps=3)
    parts = [
        jax.tree.map(lambda leaf, i=i: leaf[i * BATCH : (i + 1) * BATCH], _data(0, 3 * BATCH))
        for i in range(3)
    ]
    single = _learner(*parts)
    many.step()
    for _ in parts:
        single.step()
    assert int(many.save().step) == 3
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), many.save(), single.save())


def test_the_program_is_traced_once() -> None:
    traces = []

    def to_transition(data: types.Transition) -> Transition:
        traces.append(data.observation.shape)
        return _to_transition(data)

    learner = _learner(*map(_data, range(4)), to_transition=to_transition)
    for _ in range(4):
        learner.step()
    assert traces == [(BATCH, 3)]


def test_metrics_come_with_counts_and_without_the_gaps_of_cores() -> None:
    rows, counter = Rows(), counting.Counter(time_delta=0.0)
    data = (_data(seed, 3 * BATCH) for seed in range(3))
    child = counting.Counter(counter, "learner", time_delta=0.0)
    learner = _learner(*data, gradient_steps=3, logger=rows, counter=child)
    for _ in range(3):
        learner.step()
    # Steps 0, 2 report 1 and 3; step 4 reports 5; steps 6, 8 report 7 and 9.
    assert [row["policy_loss"] for row in rows.rows] == [2.0, 5.0, 8.0]
    assert [row["learner_steps"] for row in rows.rows] == [1, 2, 3]
    assert counter.get_counts()["learner_gradient_steps"] == 9
    assert (
        rows.rows[2]["learner_walltime"]
        >= rows.rows[1]["learner_walltime"]
        > rows.rows[0]["learner_walltime"]
        == 0
    )
    assert all(isinstance(value, float | int) for value in rows.rows[0].values())


def test_what_is_not_reported_keeps_its_last_value() -> None:
    rows = Rows()
    learner = _learner(_data(0), _data(1), logger=rows)
    learner.step()
    learner.step()
    assert [row["policy_loss"] for row in rows.rows] == [1.0, 1.0]
    assert [row["learner_steps"] for row in rows.rows] == [1, 2]


def test_divergence_is_told_in_one_line_and_undone() -> None:
    bad = _data(1)._replace(reward=np.full(BATCH, np.nan, np.float32))
    rows = Rows()
    learner, unharmed = _learner(_data(0), bad, _data(2), logger=rows), _learner(_data(0), _data(2))
    learner.step()
    unharmed.step()
    with pytest.raises(
        DivergedError, match="learner step 2 diverged: critic_loss, state not finite"
    ) as caught:
        learner.step()
    assert "\n" not in str(caught.value)
    assert len(rows.rows) == 1
    _assert_equal(learner.save(), unharmed.save())
    learner.step()
    unharmed.step()
    _assert_equal(learner.save(), unharmed.save())


def test_a_state_that_breaks_unseen_by_the_loss_is_divergence_too() -> None:
    bad = _data(1)._replace(reward=np.full(BATCH, np.inf, np.float32))
    learner = _learner(_data(0), bad, watched=("zero",))
    learner.step()
    before = learner.save()
    with pytest.raises(DivergedError, match="diverged: state not finite"):
        learner.step()
    _assert_equal(learner.save(), before)


def test_constants_that_never_were_finite_are_no_divergence() -> None:
    core = CORE._replace(init=lambda key: CORE.init(key)._replace(mean=jnp.full(3, jnp.inf)))
    learner = _learner(_data(0), core=core)
    learner.step()
    assert np.isinf(learner.save().mean).all()


def test_variables_are_copies_on_the_host() -> None:
    learner = _learner(_data(0), _data(1))
    (before,) = learner.get_variables(["policy"])
    kept = jax.tree.map(np.copy, before)
    learner.step()
    learner.step()
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(before))
    _assert_equal(before, kept)
    (after,) = learner.get_variables(["policy"])
    assert (after["w"] != before["w"]).all()
    _assert_equal(after["w"], learner.save().w)


def test_unknown_variables_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown variables critic, noise: there are policy"):
        _learner().get_variables(["critic", "policy", "noise"])


def test_a_restored_learner_goes_on_to_the_bit() -> None:
    learner = _learner(_data(0), _data(1))
    learner.step()
    saved = pickle.loads(pickle.dumps(learner.save()))
    other = _learner(_data(1), seed=7)
    other.restore(saved)
    saved.w[:] = 0.0
    learner.step()
    other.step()
    _assert_equal(other.save(), learner.save())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state._replace(w=np.zeros(4, np.float32)), r"\.w is float32\[4\], not float32\[3\]"),
        (lambda state: state._replace(step=np.float32(0)), r"\.step is float32\[\], not int32\[\]"),
        (lambda state: tuple(state)[:3], "3 in all instead of 4"),
    ],
)
def test_a_state_of_something_else_is_refused(change: Callable[[Any], Any], message: str) -> None:
    learner = _learner()
    before = learner.save()
    with pytest.raises(ValueError, match=message) as caught:
        learner.restore(change(before))
    assert "\n" not in str(caught.value)
    _assert_equal(learner.save(), before)


def test_samples_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="1 x 8 rows"):
        _learner(_data(0, 2 * BATCH)).step()


def test_a_batch_of_sequences_has_so_many_rows_less() -> None:
    """A step on rows of two decisions each equals a step on the single decisions."""
    data = _data(0, 2 * BATCH)
    pairs = jax.tree.map(lambda leaf: leaf.reshape(BATCH, 2, *leaf.shape[1:]), data)

    def split(rows: types.Transition) -> Transition:
        return _to_transition(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows))

    sequences = _learner(pairs, gradient_steps=2, sequence_length=2, to_transition=split)
    plain = _learner(data, gradient_steps=2)
    sequences.step()
    plain.step()
    _assert_equal(sequences.save(), plain.save())
    with pytest.raises(ValueError, match="1 x 2 rows"):
        _learner(_data(0), sequence_length=4).step()


def test_a_batch_is_made_of_whole_sequences() -> None:
    with pytest.raises(ValueError, match="8 must be a multiple of a sequence's 3 decisions"):
        _learner(sequence_length=3)


def test_others_may_read_while_it_learns() -> None:
    """A step donates the buffers of the old state, so that no other thread may be reading them."""
    data = jax.tree.map(jnp.asarray, _data(0))
    learner = CoreLearner(
        CORE,
        jax.random.PRNGKey(0),
        iter(lambda: reverb.ReplaySample(None, data), None),
        _to_transition,
        batch_size=BATCH,
    )
    learner.step()
    done = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                learner.get_variables(["policy"])
                learner.save()
            except Exception as error:
                failures.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(300):
        learner.step()
    done.set()
    reader.join()
    assert failures == []
    assert int(learner.save().step) == 301


@pytest.mark.parametrize(
    ("devices", "used"),
    [(4, 4), (7, 4), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((3, 2), (5, 4)))],
)
def test_devices_share_a_batch(devices: int, used: int, tmp_path: pathlib.Path) -> None:
    """As many devices as divide the batch of eight learn together what one device learns alone."""
    result = tmp_path / "result.npz"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-m", "tests.agents.acme_layer.learner_test", str(result)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    learner = _learner(_data(0, 2 * BATCH), gradient_steps=2, logger=(rows := Rows()))
    learner.step()
    found, expected = np.load(result), learner.save()
    assert found["seen"].tolist() == [BATCH // used, 3]
    assert found["used"] == used
    idle = f"uses {used} of {devices} devices, the most that can share a batch of 8 evenly"
    assert (idle in done.stderr) == (used < devices)
    np.testing.assert_allclose(found["w"], expected.w, rtol=1e-5)
    np.testing.assert_allclose(found["mean"], expected.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["critic_loss"], rows.rows[0]["critic_loss"], rtol=1e-5)
    np.testing.assert_array_equal(found["key"], expected.key)


def _step_on_all_devices(path: str) -> None:
    seen: list[Any] = []

    def to_transition(data: types.Transition) -> Transition:
        jax.debug.inspect_array_sharding(data.observation, callback=seen.append)
        return _to_transition(data)

    rows = Rows()
    learner = _learner(_data(0, 2 * BATCH), gradient_steps=2, logger=rows, to_transition=to_transition)
    learner.step()
    state = learner.save()
    np.savez(
        path,
        seen=seen[0].shard_shape((BATCH, 3)),
        used=len(learner.devices),
        w=state.w,
        mean=state.mean,
        key=state.key,
        critic_loss=rows.rows[0]["critic_loss"],
    )


if __name__ == "__main__":
    _step_on_all_devices(sys.argv[1])
