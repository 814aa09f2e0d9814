"""Tests of agents.conditional_mpo.conditioning: contexts of members, and the members of contexts."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from agents.conditional_mpo.conditioning import make_contexts, member_of
from agents.conditional_mpo.config import ConditionalMPOConfig

_BOTH = ConditionalMPOConfig(num_members=3, mixture_size=2)
_INDEX = ConditionalMPOConfig(num_members=3)
_MIXTURE = ConditionalMPOConfig(mixture_size=2)
_HALVES = [[0.5, 0.5], [1.0, 0.0]]


@pytest.mark.parametrize(
    ("config", "mixtures", "expected"),
    [
        (_BOTH, _HALVES, [[2, 0.5, 0.5], [0, 1, 0]]),
        (_INDEX, None, [[2], [0]]),
        (_MIXTURE, _HALVES, [[0.5, 0.5], [1, 0]]),
        (ConditionalMPOConfig(), None, [[], []]),
    ],
)
def test_a_context_is_the_index_and_then_the_mixture(
    config: ConditionalMPOConfig, mixtures: Any, expected: list[list[float]]
) -> None:
    contexts = make_contexts(config, [2, 0], mixtures)
    assert contexts.dtype == np.float32
    assert contexts.shape == (2, config.context_size)
    np.testing.assert_array_equal(contexts, np.array(expected, np.float32))


@pytest.mark.parametrize("config", [_BOTH, _INDEX])
def test_the_member_of_a_context_is_the_one_it_was_made_for(config: ConditionalMPOConfig) -> None:
    mixtures = np.full((3, config.mixture_size), 0.5) if config.mixture_size else None
    contexts = jnp.asarray(make_contexts(config, np.array([2, 0, 1]), mixtures))
    for rows, expected in ((contexts, [2, 0, 1]), (contexts[:2, None], [[2], [0]]), (contexts[0], 2)):
        member = member_of(config, rows)
        assert member.dtype == jnp.int32
        np.testing.assert_array_equal(member, expected)


@pytest.mark.parametrize("config", [_MIXTURE, ConditionalMPOConfig()])
def test_without_members_everybody_is_the_first(config: ConditionalMPOConfig) -> None:
    member = member_of(config, jnp.ones((4, 2, config.context_size)))
    assert member.dtype == jnp.int32
    np.testing.assert_array_equal(member, np.zeros((4, 2)))


def test_every_index_of_a_large_population_comes_back() -> None:
    config = ConditionalMPOConfig(num_members=5000)
    contexts = make_contexts(config, range(5000))
    np.testing.assert_array_equal(member_of(config, jnp.asarray(contexts)), np.arange(5000))


def test_no_members_make_no_contexts() -> None:
    assert make_contexts(_BOTH, [], np.zeros((0, 2))).shape == (0, 3)


@pytest.mark.parametrize(
    ("config", "members", "mixtures", "says"),
    [
        (_INDEX, [0, 3], None, "more members than contexts: member 3.*num_members 3"),
        (_INDEX, [0, -1], None, "more members than contexts: member -1"),
        (_INDEX, [0.0, 1.0], None, "members must be a list of ints, not float64"),
        (_INDEX, [True], None, "members must be a list of ints, not bool"),
        (_INDEX, [[0, 1]], None, r"members must be a list of ints, not int64 of shape \(1, 2\)"),
        (_INDEX, 1, None, r"members must be a list of ints, not int64 of shape \(\)"),
        (_INDEX, [0, 1], _HALVES, r"mixtures must have shape \(2, 0\).*not \(2, 2\)"),
        (_BOTH, [0, 1], None, r"mixtures must have shape \(2, 2\).*not \(2, 0\)"),
        (_BOTH, [0, 1], [[0.5, 0.5]], r"mixtures must have shape \(2, 2\).*not \(1, 2\)"),
        (_BOTH, [0, 1], [0.5, 0.5], r"mixtures must have shape \(2, 2\).*not \(2,\)"),
        (_BOTH, [0, 1], [[0.5, 0.5], [1.5, -0.5]], "mixture of row 1 has numbers that are negative"),
        (_BOTH, [0, 1], [[math.nan, 0.5], [1.0, 0.0]], "mixture of row 0 has numbers.* NaN"),
        (_BOTH, [0, 1], [[0.5, 0.5], [0.5, 0.4]], "mixture of row 1 sums to 0.9, not to 1"),
        (_BOTH, [0, 1], [[0.5, 0.5 + 2e-5], [0.5, 0.5]], "mixture of row 0 sums to 1.00002, not to 1"),
        (_BOTH, [0, 1], [[math.inf, 0.5], [0.5, 0.5]], "mixture of row 0 sums to inf"),
    ],
)
def test_what_makes_no_context_is_refused(
    config: ConditionalMPOConfig, members: Any, mixtures: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        make_contexts(config, members, mixtures)
    assert "\n" not in str(refusal.value)


def test_mixtures_need_sum_to_one_only_as_far_as_float32_goes() -> None:
    mixtures = np.random.default_rng(0).dirichlet(np.ones(1000), size=2).astype(np.float32)
    config = ConditionalMPOConfig(mixture_size=1000)
    np.testing.assert_array_equal(make_contexts(config, [0, 1], mixtures), mixtures)
