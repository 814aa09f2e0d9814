"""Tests of single moves on the device, of chance and of policies."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.device_arrays import make_arrays
from acme_psro.games.device_moves import Games, random_move
from acme_psro.games.profiles import Profiles, make_profiles
from acme_psro.games.tree import CHANCE, TERMINAL, GameTree

Tables = Callable[[GameTree, int], np.ndarray]

PLAYED = ("kuhn", "leduc", "isomorphic_leduc", "kuhn_3p", "auction", "repeated_dilemma", "cliff_walking")

move = jax.jit(random_move)


def profile_of(tree: GameTree, table: np.ndarray) -> Profiles:
    return make_profiles(make_arrays(tree), jnp.asarray(table[None], jnp.float32), jnp.ones(1))


@pytest.mark.games("kuhn", "kuhn_3p", "auction")
def test_a_row_for_each_node_moves_as_rows_of_information_states(case: Any, random_table: Tables) -> None:
    """A table by nodes whose rows repeat those of the movers' information states is the same policy."""
    tree = case.tree
    table = random_table(tree, 0)
    by_node = np.where((tree.player >= 0)[:, None], table[np.maximum(tree.infoset, 0)], 0.0)
    game, inner = make_arrays(tree), np.flatnonzero(tree.player != TERMINAL)
    games = Games(jnp.asarray(inner, jnp.int32), jnp.zeros(len(inner), jnp.int32))
    uniform = jax.random.uniform(jax.random.key(1), (len(inner),))
    expected, found = (move(game, profile_of(tree, each), games, uniform) for each in (table, by_node))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.games(*PLAYED)
def test_evenly_spread_numbers_give_exact_frequencies(case: Any, random_table: Tables) -> None:
    """As the random number of a move runs through its range, children are visited by their probability."""
    tree, count = case.tree, 8192
    table = random_table(tree, 0)
    game, profiles = make_arrays(tree), profile_of(tree, table)
    uniform = jnp.asarray((np.arange(count) + 0.5) / count, jnp.float32)
    rng = np.random.default_rng(1)
    inner = np.flatnonzero(tree.player != TERMINAL)
    chance = np.flatnonzero(tree.player == CHANCE)
    for node in {*rng.choice(inner, 12), *chance[:2], *chance[-2:]}:
        games = Games(jnp.full(count, node, jnp.int32), jnp.zeros(count, jnp.int32))
        after = np.asarray(move(game, profiles, games, uniform))
        first, children = tree.first_child[node], tree.num_children[node]
        frequencies = np.bincount(after - first, minlength=children) / count
        if tree.player[node] == CHANCE:
            expected = tree.probability[first : first + children]
        else:
            infoset = tree.infoset[node]
            expected = table[infoset, tree.action_of_slot[infoset, :children]]
        np.testing.assert_allclose(frequencies, expected, atol=2.5 * (children + 1) / count)


@pytest.mark.games("kuhn_4p", "leduc", "liars_dice", "goofspiel", "hanabi", "auction", "coordinated_pennies")
def test_moves_stay_within_what_is_possible(case: Any, pure_table: Tables, random_table: Tables) -> None:
    """Tests all nodes, both ends of the range of random numbers, and probabilities that are almost zero."""
    tree = case.tree
    tiny = pure_table(tree, 0) + 1e-9 * tree.legal_actions
    inner = np.flatnonzero(tree.player != TERMINAL)
    nodes = np.tile(inner, 3)
    numbers = np.repeat(np.float32([0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))]), len(inner))
    games = Games(jnp.asarray(nodes, jnp.int32), jnp.zeros(len(nodes), jnp.int32))
    for table in (pure_table(tree, 1), random_table(tree, 2), tiny / tiny.sum(axis=1, keepdims=True)):
        profiles = profile_of(tree, table)
        after = np.asarray(move(make_arrays(tree), profiles, games, jnp.asarray(numbers)))
        np.testing.assert_array_equal(tree.parent[after], nodes)
        assert (tree.probability[after] > 0).all()
        decided = tree.player[nodes] >= 0
        infosets = tree.infoset[nodes][decided]
        actions = tree.action_of_slot[infosets, tree.slot[after][decided]]
        assert (table[infosets, actions] > 0).all()
