"""Tests of agents.interface: conversions between an environment's arrays and an agent's."""

import collections
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("dm_env comes with the Acme layer, which ends at Python 3.10", allow_module_level=True)

from dm_env import specs

from agents.core import Observation
from agents.interface import make_interface


class EnvironmentSpec(NamedTuple):
    """Environment spec with the fields of Acme's."""

    observations: Any
    actions: Any
    rewards: Any = specs.Array((), np.float32)
    discounts: Any = specs.BoundedArray((), np.float32, 0.0, 1.0)


class OLT(NamedTuple):
    """Observation with the fields that Acme's wrapper of OpenSpiel gives it."""

    observation: Any
    legal_actions: Any
    terminal: Any


class Transition(NamedTuple):
    """Transition with the fields of Acme's."""

    observation: Any
    action: Any
    reward: Any
    discount: Any
    next_observation: Any
    extras: Any = ()


class Step(NamedTuple):
    """Step of a sequence with the fields of Acme's."""

    observation: Any
    action: Any
    reward: Any
    discount: Any
    start_of_episode: Any
    extras: Any = ()


THREE = specs.DiscreteArray(3)
VECTOR = specs.Array((2,), np.float32)
MASK = specs.Array((3,), np.float32)
BOX = specs.BoundedArray((2,), np.float32, [-1.0, 0.0], [1.0, 10.0])


def test_olt_keeps_its_legal_actions_and_an_end_has_none() -> None:
    spec = EnvironmentSpec(OLT(VECTOR, MASK, specs.Array((1,), np.float32)), THREE)
    seen = OLT(
        np.array([[1.0, 2.0], [3.0, 4.0]], np.float32),
        np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], np.float32),
        np.zeros((2, 1), np.float32),
    )
    observation = jax.jit(make_interface(spec).to_observation)(seen)
    assert isinstance(observation, Observation)
    np.testing.assert_array_equal(observation.info_state, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(observation.legal_actions, [[True, False, True], [False] * 3])
    assert observation.legal_actions.dtype == bool
    assert observation.context.shape == (2, 0)


def test_our_observation_goes_through_with_its_context() -> None:
    spec = EnvironmentSpec(
        Observation(specs.Array((2, 2), np.int32), MASK, specs.Array((1,), np.float32)), THREE
    )
    seen = Observation(np.arange(4).reshape(1, 2, 2), np.array([[True, True, False]]), np.array([[0.5]]))
    observation = make_interface(spec).to_observation(seen)
    np.testing.assert_array_equal(observation.info_state, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(observation.legal_actions, [[True, True, False]])
    np.testing.assert_array_equal(observation.context, [[0.5]])


class WithContext(NamedTuple):
    """Observation of an environment that has a type of its own for observations with contexts."""

    observation: Any
    context: Any


@pytest.mark.parametrize("names", [("info_state", "context"), ("observation", "context")])
def test_contexts_reach_agents_of_continuous_actions(names: tuple[str, str]) -> None:
    empty = specs.Array((0,), bool)
    parts = ({"b": VECTOR, "a": VECTOR}, specs.Array((1,), np.float32))
    observations = (
        WithContext(*parts) if names[0] == "observation" else Observation(parts[0], empty, parts[1])
    )
    interface = make_interface(EnvironmentSpec(observations, BOX))
    both = {"b": np.array([[3.0, 4.0]]), "a": np.array([[1.0, 2.0]])}
    seen = WithContext(both, np.array([[0.5]]))
    if names[0] == "info_state":
        seen = Observation(both, np.ones((1, 0), bool), np.array([[0.5]]))
    observation = jax.jit(interface.to_observation)(seen)
    assert isinstance(observation, Observation)
    np.testing.assert_array_equal(observation.info_state, [[1, 2, 3, 4]])
    np.testing.assert_array_equal(observation.context, [[0.5]])
    assert jax.tree.map(np.shape, interface.example) == jax.tree.map(np.shape, observation)


class Named(NamedTuple):
    """Observation in which "context" is only the environment's name for some of its numbers."""

    position: Any
    context: Any


def test_a_context_is_one_only_beside_what_is_seen() -> None:
    example = make_interface(EnvironmentSpec(WithContext(VECTOR, VECTOR), THREE)).example
    assert (example.info_state.shape, example.context.shape) == ((1, 2), (1, 2))
    assert make_interface(EnvironmentSpec(Named(VECTOR, VECTOR), BOX)).example.shape == (1, 4)
    example = make_interface(EnvironmentSpec(Named(VECTOR, VECTOR), THREE)).example
    assert (example.info_state.shape, example.context.shape) == ((1, 4), (1, 0))


def test_reverb_changes_types_but_not_names() -> None:
    class Decoded(NamedTuple):
        info_state: Any
        legal_actions: Any
        context: Any

    spec = EnvironmentSpec(Observation(VECTOR, MASK, specs.Array((0,), np.float32)), THREE)
    seen = Decoded(np.ones((1, 2)), np.ones((1, 3)), np.zeros((1, 0)))
    assert isinstance(make_interface(spec).to_observation(seen), Observation)


def test_without_a_mask_everything_is_legal() -> None:
    interface = make_interface(EnvironmentSpec(specs.Array((), np.int32), THREE))
    observation = interface.to_observation(np.array([4, 5]))
    np.testing.assert_array_equal(observation.info_state, [[4.0], [5.0]])
    np.testing.assert_array_equal(observation.legal_actions, np.ones((2, 3), bool))
    assert (interface.num_actions, interface.bounds) == (3, None)
    assert interface.to_action(np.array([2])).dtype == np.int32


def test_mappings_are_read_in_the_order_of_their_keys() -> None:
    """Actors get ordered mappings from environments, but learners get plain ones from Reverb."""
    spec = EnvironmentSpec(collections.OrderedDict(velocity=VECTOR, arm=specs.Array((), np.float32)), BOX)
    velocity, arm = np.array([[1.0, 2.0]]), np.array([9.0])
    for seen in (collections.OrderedDict(velocity=velocity, arm=arm), {"arm": arm, "velocity": velocity}):
        np.testing.assert_array_equal(make_interface(spec).to_observation(seen), [[9.0, 1.0, 2.0]])


def test_continuous_actions_keep_bounds_shape_and_type() -> None:
    actions = specs.BoundedArray((2, 2), np.float16, [[-1, -2], [-3, -4]], 5)
    interface = make_interface(EnvironmentSpec(VECTOR, actions))
    assert interface.bounds is not None
    np.testing.assert_array_equal(interface.bounds[0], [-1, -2, -3, -4])
    np.testing.assert_array_equal(interface.bounds[1], [5, 5, 5, 5])
    assert interface.num_actions == 4
    assert interface.example.shape == (1, 2)
    action = interface.to_action(np.arange(4, dtype=np.float32)[None])
    np.testing.assert_array_equal(action, [[[0, 1], [2, 3]]])
    assert action.dtype == np.float16
    single = make_interface(EnvironmentSpec(VECTOR, specs.BoundedArray((), np.float32, 0, 1)))
    assert single.to_action(np.ones((3, 1))).shape == (3,)


def test_a_transition_becomes_rows_now_and_then() -> None:
    now, then = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    action = np.array([[[0.5, 0.6]], [[0.7, 0.8]]])
    spec = EnvironmentSpec(VECTOR, specs.BoundedArray((1, 2), np.float32, -1, 1))
    reward, discount = np.array([1.0, -1.0]), np.array([0.0, 1.0])
    batch = jax.jit(make_interface(spec).to_transition)(Transition(now, action, reward, discount, then))
    np.testing.assert_array_equal(batch.observation[batch.now], now)
    np.testing.assert_array_equal(batch.observation[batch.then], then)
    np.testing.assert_allclose(batch.action, action[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(batch.reward, reward)
    np.testing.assert_array_equal(batch.discount, discount)
    np.testing.assert_array_equal(batch.weight, [1, 1])
    discrete = make_interface(EnvironmentSpec(VECTOR, THREE)).to_transition
    batch = discrete(Transition(now, np.array([2, 0], np.int64), reward, discount, then))
    np.testing.assert_array_equal(batch.action, [2, 0])
    assert batch.action.dtype == np.int32


def test_sequences_become_decisions_that_follow_each_other() -> None:
    """Three sequences: the middle of an episode, one that ends at once, one cut off after two decisions."""
    spec = EnvironmentSpec(Observation(VECTOR, MASK, specs.Array((0,), np.float32)), THREE)
    seen = Observation(np.arange(24.0).reshape(3, 4, 2), np.ones((3, 4, 3), np.float32), np.zeros((3, 4, 0)))
    is_decision = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)
    # Only `is_decision` distinguishes decisions from padding: the second sequence's decision is all zeros.
    log_prob = np.array([[-1, -2, -3, -9], [0, 0, 0, 0], [-7, -8, 0, 0]], np.float32)
    steps = Step(
        seen,
        action=np.array([[1, 2, 0, 9], [0, 0, 0, 0], [2, 2, 0, 0]], np.int64),
        reward=np.array([[1, 2, 3, 9], [0, 0, 0, 0], [7, 8, 0, 0]], np.float64),
        discount=np.array([[1, 0.5, 1, 9], [0, 0, 0, 0], [1, 1, 0, 0]], np.float32),
        start_of_episode=np.zeros((3, 4), bool),
        extras={"log_prob": log_prob, "is_decision": is_decision},
    )
    batch = jax.jit(make_interface(spec).to_sequence)(steps)
    assert isinstance(batch.observation, Observation)
    np.testing.assert_array_equal(batch.observation.info_state, np.arange(24).reshape(12, 2))
    assert [part.shape[0] for part in batch.observation] == [12, 12, 12]
    assert batch.now.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert batch.then.tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert batch.action.tolist() == [1, 2, 0, 0, 0, 0, 2, 2, 0]
    assert batch.reward.tolist() == [1, 2, 3, 0, 0, 0, 7, 8, 0]
    assert batch.discount.tolist() == [1, 0.5, 1, 0, 0, 0, 1, 1, 0]
    assert batch.weight.tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 0]
    assert batch.log_prob is not None and batch.continues is not None
    assert batch.log_prob.tolist() == [-1, -2, -3, 0, 0, 0, -7, -8, 0]
    # The last decision of a sequence has no successor in the batch, and nor has the last one of an episode.
    assert batch.continues.tolist() == [True, True, False, False, False, False, True, False, False]
    assert [part.dtype for part in batch[3:9]] == [np.int32, *[np.float32] * 4, bool]
    assert batch.drawn is None


def test_sequences_of_continuous_actions_are_flat() -> None:
    spec = EnvironmentSpec(VECTOR, specs.BoundedArray((1, 2), np.float32, -1, 1))
    action, numbers = np.arange(12.0).reshape(2, 3, 1, 2), np.zeros((2, 3), np.float32)
    extras = {"log_prob": numbers, "is_decision": numbers == 0, "drawn": 2 * action.reshape(2, 3, 2)}
    steps = Step(np.ones((2, 3, 2), np.float32), action, numbers, numbers, numbers, extras)
    batch = make_interface(spec).to_sequence(steps)
    np.testing.assert_array_equal(batch.action, [[0, 1], [2, 3], [6, 7], [8, 9]])
    np.testing.assert_array_equal(batch.drawn, [[0, 2], [4, 6], [12, 14], [16, 18]])
    assert batch.action.dtype == np.float32
    assert batch.observation.shape == (6, 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            EnvironmentSpec(VECTOR, specs.Array((2,), np.float32, "force")),
            r"'force'.* no finite bounds: wrap",
        ),
        (
            EnvironmentSpec(VECTOR, specs.BoundedArray((1,), np.float32, 0, np.inf, "force")),
            "no finite bounds",
        ),
        (
            EnvironmentSpec(VECTOR, specs.BoundedArray((1,), np.int32, 0, 3)),
            "DiscreteArray or one BoundedArray",
        ),
        (EnvironmentSpec(VECTOR, {"a": THREE}), "DiscreteArray or one BoundedArray"),
        (
            EnvironmentSpec(VECTOR, specs.BoundedArray((1,), np.float64, 0, 1)),
            "float64.*SinglePrecisionWrapper",
        ),
        (EnvironmentSpec(VECTOR, specs.DiscreteArray(3, np.int64)), "int64.*SinglePrecisionWrapper"),
        (EnvironmentSpec(OLT(VECTOR, VECTOR, VECTOR), THREE), r"legal_actions .* \(3,\) .* not \(2,\)"),
        (EnvironmentSpec(VECTOR, THREE, rewards=VECTOR), "rewards must be one number"),
        (EnvironmentSpec(VECTOR, THREE, discounts={"a": MASK}), "discounts must be one number"),
    ],
)
def test_what_no_agent_can_handle_gets_one_line(spec: EnvironmentSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_interface(spec)
    assert "\n" not in str(caught.value)
