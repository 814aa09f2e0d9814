"""Batches and actions of members: what is observed does not depend on how it is laid out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.device_arrays import GameArrays, make_arrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.device import experience
from agents import crossq
from agents.core import Observation

pytestmark = pytest.mark.usefixtures("quick_module")


def _kuhn() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def _items(tree: GameTree, player: int, num: int, num_members: int) -> experience.Item:
    """Transitions drawn evenly over the player's decisions, some of them padding, some terminal."""
    rng, rows = np.random.default_rng(player), tree.infosets_of(player)
    infoset = rng.integers(rows.start, rows.stop, num)
    legal = tree.legal_actions[infoset]
    member = jnp.asarray(rng.integers(0, num_members, num), jnp.int32)
    return experience.Item(
        infoset=jnp.asarray(infoset, jnp.int32),
        action=jnp.asarray(np.where(legal, rng.random(legal.shape), -1).argmax(axis=1), jnp.int32),
        reward=jnp.asarray(rng.normal(size=num), jnp.float32),
        discount=jnp.asarray(rng.integers(0, 2, num), jnp.float32),
        next_infoset=jnp.asarray(rng.integers(rows.start, rows.stop, num), jnp.int32),
        weight=jnp.asarray(rng.random(num) < 0.8, jnp.float32),
        member=member if num_members > 1 else None,
    )


def _role(player: int, num_members: int, size: int = 3) -> experience.Role:
    contexts = np.random.default_rng(size).normal(size=(num_members, size))
    return experience.Role(jnp.int32(player), jnp.asarray(contexts, jnp.float32))


def _example(game: GameArrays, role: experience.Role) -> Observation:
    return experience.observe(game, jnp.zeros(1, int), role.contexts[:1])


@pytest.mark.parametrize("num_members", [1, 2])
def test_few_and_many_information_states_learn_the_same_update(num_members: int) -> None:
    """A row for each of the player's information states, or two rows a decision: only layout differs."""
    tree, num = _kuhn(), 24
    game = make_arrays(tree)
    # Adam makes a whole step of a gradient that is zero but for rounding, as that of a bias before
    # normalisation is. So steps are too small to matter: gradients are compared, which Adam's state holds.
    config = dataclasses.replace(
        crossq.PRESETS["games"],
        critic_hidden_sizes=(8,),
        policy_hidden_sizes=(8,),
        policy_delay=1,
        renorm_warmup=0,
        learning_rate=1e-7,
        final_learning_rate=1e-7,
    )
    core = crossq.make_core(crossq.make_networks(_example(game, _role(0, num_members)), 2, config), config)
    # The batch size only chooses between them: 6 information states a player and member against two rows.
    sizes = (3 * num_members, 3 * num_members - 1)
    of_all, of_each = (experience.make_batching(tree, game, size) for size in sizes)
    state, update = jax.jit(core.init)(jax.random.key(0)), jax.jit(core.update)
    for player in range(2):
        item, role = _items(tree, player, num, num_members), _role(player, num_members)
        shared, joined = (make(role, item) for make in (of_all, of_each))
        assert shared.observation.info_state.shape[0] == 6 * num_members
        assert joined.observation.info_state.shape[0] == 2 * num
        one, other = update(state, shared), update(state, joined)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)
        gradients = [optimiser[0].mu for optimiser in (one[0].critic_optimiser, one[0].policy_optimiser)]
        assert all(max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree)) > 1e-3 for tree in gradients)


@pytest.mark.parametrize("num_members", [1, 3])
@pytest.mark.parametrize("batch_size", [1000, 5])
def test_players_and_members_see_their_own_only(num_members: int, batch_size: int) -> None:
    """Players have unlike numbers of information states."""
    tree = compile_game("kuhn_poker(players=3)", cache=False)
    sizes = [tree.infosets_of(p).stop - tree.infosets_of(p).start for p in range(3)]
    game = make_arrays(tree)
    for player in range(3):
        item, role = _items(tree, player, 30, num_members), _role(player, num_members)
        batch = experience.make_batching(tree, game, batch_size)(role, item)
        rows = 2 * 30 if batch_size == 5 else max(sizes) * num_members
        assert batch.observation.info_state.shape[0] == rows
        member = np.zeros(30, int) if item.member is None else np.asarray(item.member)
        kept = np.asarray(batch.weight) > 0
        onward = kept & (np.asarray(item.discount) > 0)
        for row, infoset, counts in (
            (batch.now, item.infoset, kept),
            (batch.then, item.next_infoset, onward),
        ):
            seen = jax.tree.map(lambda leaf, at=row[counts]: leaf[at], batch.observation)
            at = np.asarray(infoset[counts])
            np.testing.assert_array_equal(seen.info_state, tree.info_state[at])
            np.testing.assert_array_equal(seen.legal_actions, tree.legal_actions[at])
            np.testing.assert_array_equal(seen.context, role.contexts[member[counts]])


@pytest.mark.parametrize("num_envs", [1, 20_000])
@pytest.mark.parametrize(("player", "num_members"), [(0, 1), (1, 1), (1, 2)])
def test_actions_are_drawn_from_the_agents_behaviour(player: int, num_members: int, num_envs: int) -> None:
    """Asked once for each information state (many games) or for each game (few): only layout differs."""
    tree, num = _kuhn(), 20_000
    game, config = make_arrays(tree), dataclasses.replace(crossq.PRESETS["games"], exploration=0.3)
    role = _role(player, num_members)
    core = crossq.make_core(crossq.make_networks(_example(game, role), 2, config), config)
    variables = core.variables(core.init(jax.random.key(1)))
    choose = experience.make_choice(tree, game, core, num_envs)
    for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets)):
        for member, context in enumerate(role.contexts):
            observation = experience.observe(game, jnp.array([infoset]), context[None])
            expected = core.behaviour(variables, observation)[0]
            seen, key = jnp.full(num, infoset), jax.random.key(infoset)
            actions = choose(role, variables, key, seen, jnp.full(num, member) if num_members > 1 else None)
            # Four standard deviations of a frequency are at most 4 * 0.5 / sqrt(20,000).
            frequencies = np.bincount(np.asarray(actions), minlength=2) / num
            np.testing.assert_allclose(frequencies, expected, atol=0.0142)
