"""Tests of the wrapper that shows members their contexts, with Acme's fake environments."""

import sys
from typing import Any, NamedTuple

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import numpy as np
from acme import specs
from acme.testing import fakes

from acme_psro.environments.by_name import make_environment
from acme_psro.environments.wrappers import MemberWrapper, ObservationWithContext
from agents.core import Observation
from agents.interface import make_interface

CONTEXTS = np.array([[0.0, 0.25], [1.0, 0.5], [2.0, 0.75]])


class OLT(NamedTuple):
    """The fields of Acme's observations of OpenSpiel."""

    observation: Any
    legal_actions: Any
    terminal: Any


def _spec(observations: Any, actions: Any) -> specs.EnvironmentSpec:
    discounts = specs.BoundedArray((), np.float32, 0.0, 1.0)
    return specs.EnvironmentSpec(observations, actions, specs.Array((), np.float32), discounts)


def _make(kind: str) -> dm_env.Environment:
    """Makes a fake environment with episodes of four steps."""
    legal = specs.BoundedArray((3,), bool, np.array([False, True, True]), True)
    numbers, none = specs.Array((2,), np.float32), specs.Array((0,), np.float32)
    if kind == "continuous":
        return fakes.ContinuousEnvironment(action_dim=2, observation_dim=2, bounded=True, episode_length=4)
    if kind == "masked":
        return fakes.Environment(
            _spec(Observation(numbers, legal, none), specs.DiscreteArray(3)), episode_length=4
        )
    if kind == "OLT":
        olt = OLT(numbers, legal, specs.Array((1,), np.float32))
        return fakes.Environment(_spec(olt, specs.DiscreteArray(3)), episode_length=4)
    if kind == "dict":
        return fakes.Environment(
            _spec({"a": numbers, "b": numbers}, specs.DiscreteArray(3)), episode_length=4
        )
    return fakes.DiscreteEnvironment(
        num_actions=3, num_observations=2, obs_shape=(2,), obs_dtype=np.float32, episode_length=4
    )


@pytest.mark.parametrize(
    ("kind", "observations"),
    [
        ("discrete", ObservationWithContext),
        ("continuous", ObservationWithContext),
        ("dict", ObservationWithContext),
        ("masked", Observation),
        ("OLT", Observation),
    ],
)
def test_every_observation_has_the_context_of_its_episode(kind: str, observations: type) -> None:
    environment, plain = MemberWrapper(_make(kind), CONTEXTS, seed=0), _make(kind)
    spec = environment.observation_spec()
    assert isinstance(spec, observations)
    assert (spec.context.shape, spec.context.dtype) == ((2,), np.float32)
    action = environment.action_spec().generate_value()
    drawn = set()
    # A step after the last one of an episode begins the next, as in every `dm_env` environment.
    timestep = environment.reset()
    for _ in range(100):
        if timestep.first():
            drawn.add(member := environment.member)
        spec.context.validate(timestep.observation.context)
        np.testing.assert_array_equal(timestep.observation.context, CONTEXTS[member])
        timestep = environment.step(action)
    assert drawn == {0, 1, 2}
    # Nothing else has changed.
    interface = make_interface(acme.make_environment_spec(environment))
    bare = make_interface(acme.make_environment_spec(plain))
    shown = interface.to_observation(_batch(environment.reset().observation))
    seen = bare.to_observation(_batch(plain.reset().observation))
    np.testing.assert_array_equal(shown.info_state, getattr(seen, "info_state", seen))
    if hasattr(seen, "legal_actions"):
        np.testing.assert_array_equal(shown.legal_actions, seen.legal_actions)
    assert shown.context.shape == (1, 2)


def _batch(observation: Any) -> Any:
    """Adds a leading axis to all arrays."""
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], observation)


def test_equal_seeds_draw_equal_members_and_others_do_not() -> None:
    def draw(seed: int) -> list[int]:
        environment = MemberWrapper(_make("discrete"), CONTEXTS, seed)
        return [(environment.reset(), environment.member)[1] for _ in range(20)]

    assert draw(0) == draw(0) != draw(1)


def test_a_single_row_lets_one_member_act() -> None:
    environment = MemberWrapper(_make("discrete"), CONTEXTS[2:], seed=0)
    assert [environment.reset().observation.context.tolist() for _ in range(5)] == [[2.0, 0.75]] * 5


def test_observations_that_are_kept_do_not_change_with_those_that_are_not() -> None:
    environment = MemberWrapper(_make("discrete"), CONTEXTS, seed=0)
    environment.reset().observation.context[:] = 7.0
    assert all((environment.reset().observation.context < 7.0).all() for _ in range(20))


def test_games_are_played_by_members() -> None:
    environment = MemberWrapper(make_environment("openspiel:kuhn_poker", seed=0), CONTEXTS, seed=0)
    observation = environment.reset().observation
    assert observation.context.tolist() in CONTEXTS.tolist()
    assert observation.legal_actions.any()
    with pytest.raises(ValueError, match=r"have a context already, of shape \(2,\)"):
        MemberWrapper(environment, CONTEXTS, seed=0)


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        (np.zeros(3), r"a row for each member, not of shape \(3,\)"),
        (np.zeros((0, 2)), r"a row for each member, not of shape \(0, 2\)"),
        (np.full((1, 2), np.nan), "must be finite"),
    ],
)
def test_contexts_that_are_no_table_of_numbers_are_refused(contexts: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemberWrapper(_make("discrete"), contexts, seed=0)
