"""Budgets and batches of one best response's training."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import rollout
from acme_psro.games.tree import GameTree, compile_game
from acme_psro.oracles import training
from agents import crossq


def _kuhn() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def _items(tree: GameTree, player: int, num: int) -> training._Item:
    """Transitions drawn evenly over the player's decisions, some of them padding, some terminal."""
    rng, rows = np.random.default_rng(player), tree.infosets_of(player)
    infoset = rng.integers(rows.start, rows.stop, num)
    legal = tree.legal_actions[infoset]
    return training._Item(
        infoset=jnp.asarray(infoset, jnp.int32),
        action=jnp.asarray(np.where(legal, rng.random(legal.shape), -1).argmax(axis=1), jnp.int32),
        reward=jnp.asarray(rng.normal(size=num), jnp.float32),
        discount=jnp.asarray(rng.integers(0, 2, num), jnp.float32),
        next_infoset=jnp.asarray(rng.integers(rows.start, rows.stop, num), jnp.int32),
        weight=jnp.asarray(rng.random(num) < 0.8, jnp.float32),
    )


def test_few_and_many_information_states_learn_the_same_update() -> None:
    """A row for each of the player's information states, or two rows a decision: only layout differs."""
    tree, num = _kuhn(), 24
    game = rollout.make_arrays(tree)
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
    core = crossq.make_core(
        crossq.make_networks(training.observe(game, jnp.zeros(1, int)), 2, config), config
    )
    # The batch size only chooses between them: 6 information states a player against 2 * 3 and 2 * 2 rows.
    of_all, of_each = training.make_batching(tree, 3), training.make_batching(tree, 2)
    state, update = jax.jit(core.init)(jax.random.key(0)), jax.jit(core.update)
    for player in range(2):
        item = _items(tree, player, num)
        shared, joined = (make(game, jnp.int32(player), item) for make in (of_all, of_each))
        assert shared.observation.info_state.shape[0] == 6
        assert joined.observation.info_state.shape[0] == 2 * num
        one, other = update(state, shared), update(state, joined)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)
        gradients = [optimiser[0].mu for optimiser in (one[0].critic_optimiser, one[0].policy_optimiser)]
        assert all(max(np.abs(leaf).max() for leaf in jax.tree.leaves(tree)) > 1e-3 for tree in gradients)


def test_a_player_with_fewer_information_states_than_another_sees_its_own_only() -> None:
    tree = compile_game("kuhn_poker(players=3)", cache=False)
    sizes = [tree.infosets_of(p).stop - tree.infosets_of(p).start for p in range(3)]
    game = rollout.make_arrays(tree)
    for player in range(3):
        item = _items(tree, player, 30)
        batch = training.make_batching(tree, 1000)(game, jnp.int32(player), item)
        assert batch.observation.info_state.shape[0] == max(sizes)
        kept = np.asarray(batch.weight) > 0
        rows = np.asarray(batch.observation.info_state[batch.now])[kept]
        np.testing.assert_array_equal(rows, tree.info_state[np.asarray(item.infoset)[kept]])
        onward = kept & (np.asarray(item.discount) > 0)
        rows = np.asarray(batch.observation.info_state[batch.then])[onward]
        np.testing.assert_array_equal(rows, tree.info_state[np.asarray(item.next_infoset)[onward]])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(
            (name, value)
            for name in (
                "gradient_steps",
                "num_envs",
                "batch_size",
                "buffer_size",
                "updates_per_round",
                "snapshots",
            )
            for value in (0, -1)
        ),
        ("max_extensions", -1),
        ("enough", -0.1),
        ("enough", 1.1),
        ("trembles", -0.1),
        ("trembles", 1.1),
        ("tremble_weight", -0.1),
        ("tremble_weight", 1.1),
        ("buffer_size", 255),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(setting: str, value: Any) -> None:
    with pytest.raises(ValueError, match=setting) as refusal:
        training.DeviceConfig(**{setting: value})
    assert "\n" not in str(refusal.value)


def test_budgets_round_up_to_whole_rounds_and_snapshots() -> None:
    config = training.DeviceConfig(gradient_steps=10, updates_per_round=4, snapshots=2)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (2, 2)
    config = training.DeviceConfig(gradient_steps=1, updates_per_round=4, snapshots=10)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (1, 1)
    config = training.DeviceConfig(gradient_steps=1000, updates_per_round=4, snapshots=10)
    assert (config.num_snapshots, config.rounds_per_snapshot) == (10, 25)


@pytest.mark.parametrize("num_envs", [1, 20_000])
@pytest.mark.parametrize("player", [0, 1])
def test_actions_are_drawn_from_the_agents_behaviour(player: int, num_envs: int) -> None:
    """Asked once for each information state (many games) or for each game (few): only layout differs."""
    tree, num = _kuhn(), 20_000
    game, config = rollout.make_arrays(tree), dataclasses.replace(crossq.PRESETS["games"], exploration=0.3)
    networks = crossq.make_networks(training.observe(game, jnp.zeros(1, int)), 2, config)
    core = crossq.make_core(networks, config)
    variables = core.variables(core.init(jax.random.key(1)))
    choose = training.make_choice(tree, game, core, num_envs)
    for infoset in range(*tree.infosets_of(player).indices(tree.num_infosets)):
        expected = core.behaviour(variables, training.observe(game, jnp.array([infoset])))[0]
        seen = jnp.full(num, infoset)
        actions = np.asarray(choose(jnp.int32(player), variables, jax.random.key(infoset), seen))
        # Four standard deviations of a frequency are at most 4 * 0.5 / sqrt(20,000).
        np.testing.assert_allclose(np.bincount(actions, minlength=2) / num, expected, atol=0.0142)


def test_there_is_a_first_batch_before_learning() -> None:
    config = training.DeviceConfig(num_envs=10, batch_size=256)
    assert config.rounds_before_learning * config.num_envs >= config.batch_size
