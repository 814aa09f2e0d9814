"""Tests of simulation on the device, compared with exact returns, and with OpenSpiel move by move."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from acme_psro.games import rollout, traverse
from acme_psro.games.device_arrays import GameArrays, make_arrays
from acme_psro.games.device_moves import Games, deciding
from acme_psro.games.profiles import Profiles, make_profiles
from acme_psro.games.tree import GameTree

Tables = Callable[[GameTree, int], np.ndarray]

PLAYED = ("kuhn", "leduc", "isomorphic_leduc", "kuhn_3p", "auction", "repeated_dilemma", "cliff_walking")
# Chance moves only before the first decision, so with pure opponents everything after it is determined.
DETERMINED = ("kuhn", "kuhn_3p", "repeated_dilemma", "goofspiel")
STANDARD_ERRORS = 4.0

play = jax.jit(rollout.play, static_argnums=(3, 4))
start = jax.jit(rollout.start, static_argnums=4)
step = jax.jit(rollout.step)
compiled_profiles = jax.jit(make_profiles)
# Trees compare by identity, so each is put on the device once.
on_device = functools.cache(make_arrays)


def profiles_of(tree: GameTree, *tables: np.ndarray, weights: list[float] | None = None) -> Profiles:
    weights = weights or [1.0 / len(tables)] * len(tables)
    stacked = jnp.asarray(np.stack(tables), jnp.float32)
    return compiled_profiles(on_device(tree), stacked, jnp.asarray(weights, jnp.float32))


def exact_moments(tree: GameTree, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean `[P]` and the standard deviation `[P]` of the returns of one game."""
    plan = traverse.realisation_plan(tree, table)
    returns, reach = tree.reward.copy(), tree.probability.copy()
    for node in range(1, tree.num_nodes):
        returns[node] += returns[tree.parent[node]]
        reach[node] *= reach[tree.parent[node]]
    ends = tree.terminal_nodes
    weights = reach[ends] * np.prod(plan[tree.terminal_sequences], axis=0)
    assert weights.sum() == pytest.approx(1.0)
    mean = weights @ returns[ends]
    return mean, np.sqrt(np.maximum(weights @ returns[ends] ** 2 - mean**2, 0.0))


def legal_moves(tree: GameTree, games: Games, rng: np.random.Generator) -> np.ndarray:
    """Returns a random legal action `[B]` for each game, for any player to move."""
    infosets = np.maximum(tree.infoset[np.asarray(games.node)], 0)
    draws = rng.random((len(infosets), tree.num_actions)) * tree.legal_actions[infosets]
    return draws.argmax(axis=1).astype(np.int32)


# Whole games.


@pytest.mark.games(*PLAYED)
def test_mean_returns_agree_with_exact_ones(case: Any, random_table: Tables) -> None:
    lanes, games_per_lane = 2048, 8
    for seed, table in enumerate([case.tree.uniform_policy(), random_table(case.tree, 3)]):
        mean, deviation = exact_moments(case.tree, table)
        np.testing.assert_allclose(
            mean,
            traverse.expected_returns(case.tree, traverse.realisation_plan(case.tree, table)),
            atol=1e-12,
        )
        profiles = profiles_of(case.tree, table)
        found = play(on_device(case.tree), profiles, jax.random.key(seed), lanes, games_per_lane)
        error = deviation / np.sqrt(lanes * games_per_lane)
        assert (np.abs(np.asarray(found) - mean) <= STANDARD_ERRORS * error + 1e-5).all()


@pytest.mark.games("repeated_dilemma")
def test_returns_average_over_profiles_by_their_weights(case: Any) -> None:
    tree, weights = case.tree, [0.7, 0.3]
    # Both always take the first action, or both always the second.
    tables = [np.tile(np.eye(2)[k], (tree.num_infosets, 1)) for k in range(2)]
    profiles = profiles_of(tree, *tables, weights=weights)
    found = np.asarray(play(on_device(tree), profiles, jax.random.key(0), 2048, 8))
    # Constant cooperation pays 15, and constant defection pays 3. If the players' profiles were drawn
    # independently, there would also be games with other payoffs.
    error = 12 * np.sqrt(0.7 * 0.3 / (2048 * 8))
    assert (np.abs(found - (0.7 * 15 + 0.3 * 3)) <= STANDARD_ERRORS * error).all()


@pytest.mark.games("kuhn")
def test_play_repeats_by_key_and_differs_between_keys(case: Any) -> None:
    game, profiles = on_device(case.tree), profiles_of(case.tree, case.tree.uniform_policy())
    runs = [np.asarray(play(game, profiles, jax.random.key(seed), 2048, 8)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


# One player learns.


def continued(
    case: Any, node: int, action: int, player: int, opponents: np.ndarray
) -> tuple[float, int | None]:
    """Returns OpenSpiel's reward up to the player's next decision, and its node (None if the game ended)."""
    tree, state = case.tree, case.state_of(node)
    paid_before = state.returns()[player]
    while True:
        node = int(tree.first_child[node] + state.legal_actions().index(action))
        state.apply_action(action)
        if state.is_terminal() or state.current_player() == player:
            after = None if state.is_terminal() else node
            return state.returns()[player] - paid_before, after
        action = int(opponents[tree.infoset[node]].argmax())


@pytest.mark.games(*DETERMINED)
def test_steps_are_openspiel_moves(case: Any, pure_table: Tables) -> None:
    tree, rng = case.tree, np.random.default_rng(0)
    game = on_device(tree)
    ended = 0
    for player in range(tree.num_players):
        opponents = pure_table(tree, player)
        profiles = profiles_of(tree, opponents)
        key, start_key = jax.random.split(jax.random.key(player))
        games = start(game, profiles, jnp.int32(player), start_key, 16)
        for _ in range(8):
            before, action = np.asarray(games.node), legal_moves(tree, games, rng)
            np.testing.assert_array_equal(tree.player[before], player)
            key, step_key = jax.random.split(key)
            games, outcome = step(game, profiles, jnp.int32(player), games, jnp.asarray(action), step_key)
            for lane, node in enumerate(before):
                reward, after = continued(case, int(node), int(action[lane]), player, opponents)
                assert outcome.reward[lane] == pytest.approx(reward, abs=1e-5)
                assert outcome.done[lane] == (after is None)
                now = int(games.node[lane])
                assert after is None or now == after
                # In a new game, the player has not decided anything yet.
                assert (after is not None) or tree.sequences[now, player] == tree.empty_sequence
            assert int(outcome.episodes) == int(outcome.done.sum())
            ended += int(outcome.episodes)
    assert ended > 0


@functools.partial(jax.jit, static_argnums=(5, 6))
def run_episodes(
    game: GameArrays,
    profiles: Profiles,
    table: jax.Array,
    player: jax.Array,
    key: jax.Array,
    num: int,
    steps: int,
) -> tuple[jax.Array, ...]:
    """Plays the table as the learner.

    Returns:
      Nodes and profiles before each step, actions, rewards and ends of episodes, all `[steps, num]`.
    """

    def one(carry: tuple, _: None) -> tuple:
        games, key = carry
        key, action_key, step_key = jax.random.split(key, 3)
        infoset = game.infoset[games.node]
        action = jax.random.categorical(action_key, jnp.log(table[infoset])).astype(jnp.int32)
        after, outcome = rollout.step(game, profiles, player, games, action, step_key)
        return (after, key), (games.node, games.profile, action, outcome.reward, outcome.done)

    key, start_key = jax.random.split(key)
    games = rollout.start(game, profiles, player, start_key, num)
    _, seen = jax.lax.scan(one, (games, key), None, steps)
    return seen


@pytest.mark.games("leduc", "kuhn_3p", "repeated_dilemma", "auction")
def test_rewards_of_a_learning_player_add_up_to_exact_returns(case: Any, random_table: Tables) -> None:
    """In these games no player is paid before all have decided once, so no reward is missing."""
    tree, episodes = case.tree, 3
    table = random_table(tree, 6)
    exact, _ = exact_moments(tree, table)
    for player in range(tree.num_players):
        device_table = jnp.asarray(table, jnp.float32)
        profiles = profiles_of(tree, table)
        seen = run_episodes(
            on_device(tree), profiles, device_table, jnp.int32(player), jax.random.key(player), 1024, 16
        )
        node, _, action, reward, done = (np.asarray(each) for each in seen)
        np.testing.assert_array_equal(tree.player[node], player)
        assert tree.legal_actions[tree.infoset[node], action].all()
        # Only the first episodes of each lane are used, because all of these are finished in time. Among
        # later ones, short episodes would be over-represented.
        number = np.cumsum(done, axis=0) - done
        assert (done.sum(axis=0) >= episodes).all()
        returns = np.stack([np.where(number == k, reward, 0.0).sum(axis=0) for k in range(episodes)])
        error = returns.std() / np.sqrt(returns.size)
        assert abs(returns.mean() - exact[player]) <= STANDARD_ERRORS * error + 1e-5


@pytest.mark.games("leduc", "kuhn_3p", "repeated_dilemma", "auction")
def test_learning_player_meets_nodes_as_often_as_it_should(case: Any, random_table: Tables) -> None:
    """First decisions have the distribution that follows from chance and the opponents."""
    tree, player, table = case.tree, case.tree.num_players - 1, random_table(case.tree, 7)
    profiles = profiles_of(tree, table)
    games = start(on_device(tree), profiles, jnp.int32(player), jax.random.key(0), 8192)
    reach, nodes = tree.probability.copy(), []
    for node in range(1, tree.num_nodes):
        parent = tree.parent[node]
        mover, infoset = tree.player[parent], tree.infoset[parent]
        reach[node] *= reach[parent]
        if mover >= 0:
            reach[node] *= table[infoset, tree.action_of_slot[infoset, tree.slot[node]]]
        if tree.player[node] == player and tree.sequences[node, player] == tree.empty_sequence:
            nodes.append(node)
    assert reach[nodes].sum() == pytest.approx(1.0)
    counts = np.bincount(np.asarray(games.node), minlength=tree.num_nodes)[nodes]
    assert counts.sum() == 8192
    expected = 8192 * reach[nodes]
    common = expected > 5
    observed = [*counts[common], counts[~common].sum()]
    wanted = [*expected[common], expected[~common].sum()]
    if wanted[-1] < 5:
        observed[-2:], wanted[-2:] = [sum(observed[-2:])], [sum(wanted[-2:])]
    assert scipy.stats.chisquare(observed, wanted).pvalue > 1e-4


@pytest.mark.games("kuhn_3p")
def test_vmapped_over_players_equals_looped(case: Any, random_table: Tables) -> None:
    tree, num = case.tree, 32
    game, rng = on_device(tree), np.random.default_rng(0)
    players = jnp.arange(tree.num_players)
    opponents = [profiles_of(tree, random_table(tree, seed)) for seed in range(tree.num_players)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *opponents)
    keys, step_keys = (jax.random.split(jax.random.key(seed), tree.num_players) for seed in (0, 1))
    begin = jax.jit(jax.vmap(lambda profiles, player, key: rollout.start(game, profiles, player, key, num)))
    together = begin(stacked, players, keys)
    alone = [start(game, opponents[p], jnp.int32(p), keys[p], num) for p in range(tree.num_players)]
    actions = jnp.asarray(np.stack([legal_moves(tree, games, rng) for games in alone]))
    advance = jax.jit(jax.vmap(rollout.step, in_axes=(None, 0, 0, 0, 0, 0)))
    games, outcome = advance(game, stacked, players, together, actions, step_keys)
    for p in range(tree.num_players):
        np.testing.assert_array_equal(together.node[p], alone[p].node)
        mine, result = step(game, opponents[p], jnp.int32(p), alone[p], actions[p], step_keys[p])
        np.testing.assert_array_equal(games.node[p], mine.node)
        np.testing.assert_array_equal(outcome.reward[p], result.reward)
        np.testing.assert_array_equal(outcome.done[p], result.done)
        assert outcome.episodes[p] == result.episodes


@pytest.mark.games("kuhn")
def test_nothing_is_traced_anew_for_other_players_or_opponents(case: Any, random_table: Tables) -> None:
    tree, traces = case.tree, []

    @jax.jit
    def traced(
        tables: jax.Array, weights: jax.Array, player: jax.Array, games: Games, key: jax.Array
    ) -> rollout.Outcome:
        traces.append(None)
        game = on_device(tree)
        profiles = compiled_profiles(game, tables, weights)
        action = jnp.zeros(games.node.shape, jnp.int32)
        return rollout.step(game, profiles, player, games, action, key)[1]

    for seed, (player, weights) in enumerate(
        [(0, [1.0, 0.0]), (1, [0.5, 0.5]), (1, [0.0, 1.0]), (0, [0.2, 0.8])]
    ):
        tables = jnp.asarray(np.stack([random_table(tree, seed), random_table(tree, 10 + seed)]), jnp.float32)
        games = Games(jnp.zeros(8, jnp.int32), jnp.zeros(8, jnp.int32))
        traced(tables, jnp.asarray(weights), jnp.int32(player), games, jax.random.key(seed))
    assert len(traces) == 1


@pytest.mark.games("leduc")
def test_learning_repeats_by_key_and_differs_between_keys(case: Any, random_table: Tables) -> None:
    tree, table = case.tree, random_table(case.tree, 8)
    profiles, player = profiles_of(tree, table), jnp.int32(1)
    runs = [
        run_episodes(on_device(tree), profiles, jnp.asarray(table, jnp.float32), player, key, 1024, 16)
        for key in (jax.random.key(0), jax.random.key(0), jax.random.key(1))
    ]
    for same, again in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(same, again)
    assert (runs[0][0] != runs[2][0]).any()
    # Lanes and steps do not repeat one another either.
    nodes = np.asarray(runs[0][0])
    assert len(np.unique(nodes, axis=1).T) > 1000
    assert len(np.unique(nodes, axis=0)) == len(nodes)


# Opponents drawn by weights.


@pytest.mark.games("repeated_dilemma")
def test_opponents_are_drawn_once_a_game_by_their_weights(case: Any) -> None:
    """One opponent always takes the first action, the other the second, so actions identify opponents."""
    tree, weights = case.tree, [0.25, 0.0, 0.75, 0.0]
    tables = [np.tile(np.eye(2)[k % 2], (tree.num_infosets, 1)) for k in (0, 0, 1, 1)]
    profiles = profiles_of(tree, *tables, weights=weights)
    table = jnp.asarray(tree.uniform_policy(), jnp.float32)
    seen = run_episodes(on_device(tree), profiles, table, jnp.int32(1), jax.random.key(0), 1024, 16)
    nodes, drawn, _, _, done = (np.asarray(each) for each in seen)
    assert set(np.unique(drawn)) == {0, 2}
    for node in np.unique(nodes):
        mine = {0: 0, 2: 1}
        path, here = [], int(node)
        while here:
            if tree.player[tree.parent[here]] == 0:
                path.append(tree.slot[here])
            here = int(tree.parent[here])
        assert {mine[profile] for profile in drawn[nodes == node]} == set(path)
    np.testing.assert_array_equal(drawn[1:][~done[:-1]], drawn[:-1][~done[:-1]])
    opening = np.concatenate([drawn[:1].ravel(), drawn[1:][done[:-1]]])
    error = np.sqrt(0.25 * 0.75 / len(opening))
    assert abs((opening == 0).mean() - 0.25) <= STANDARD_ERRORS * error
    # A game has three decisions, so a new game begins in each third step, and its profile is drawn again.
    np.testing.assert_array_equal(np.flatnonzero(done.any(axis=1)), [2, 5, 8, 11, 14])
    redrawn = (drawn[3::3] != drawn[:-3:3]).mean()
    assert redrawn == pytest.approx(2 * 0.25 * 0.75, abs=0.05)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
def test_padding_is_never_drawn(case: Any, weights: list[float], random_table: Tables) -> None:
    tables = [random_table(case.tree, seed) for seed in range(3)]
    profiles = profiles_of(case.tree, *tables, weights=weights)
    games = start(on_device(case.tree), profiles, jnp.int32(0), jax.random.key(0), 4096)
    assert set(np.unique(games.profile)) == {int(np.argmax(weights))}


# Opponents that end the game before the player can decide.

SHORTCUT = """EFG 2 R "shortcut" { "A" "B" } ""
p "" 1 1 "" { "end" "pass" } 0
t "" 1 "" { 10, 100 }
p "" 2 1 "" { "l" "r" } 0
t "" 2 "" { 0, 2 }
t "" 3 "" { 3, -3 }
"""


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory: pytest.TempPathFactory, compiled: Callable[[str], GameTree]) -> GameTree:
    path: Path = tmp_path_factory.mktemp("efg") / "shortcut.efg"
    path.write_text(SHORTCUT)
    return compiled(f"efg_game(filename={path})")


def opening(tree: GameTree, end: float) -> np.ndarray:
    """Returns a table with which the first player ends the game immediately with this probability."""
    table = tree.uniform_policy()
    table[tree.infosets_of(0)] = 0.0
    first = tree.action_of_slot[tree.infosets_of(0), :2][0]
    table[tree.infosets_of(0), first] = [end, 1.0 - end]
    return table


def test_a_player_that_never_decides_does_not_hang(shortcut: GameTree) -> None:
    game, profiles, player = on_device(shortcut), profiles_of(shortcut, opening(shortcut, 1.0)), jnp.int32(1)
    games = start(game, profiles, player, jax.random.key(0), 8)
    assert not deciding(game, player, games).any()
    for seed in range(3):
        games, outcome = step(game, profiles, player, games, jnp.zeros(8, jnp.int32), jax.random.key(seed))
        assert not deciding(game, player, games).any()
        assert outcome.done.all()
        assert int(outcome.episodes) >= 8


def test_a_player_that_seldom_decides_gets_its_own_rewards_only(shortcut: GameTree) -> None:
    """Games in which it did not decide pay 100. This reward does not belong to any of its decisions."""
    game, profiles, player = on_device(shortcut), profiles_of(shortcut, opening(shortcut, 0.5)), jnp.int32(1)
    key = jax.random.key(0)
    games, asked = start(game, profiles, player, key, 64), 0
    paid = np.array([2.0, -3.0])
    for seed in range(10):
        decides = np.asarray(deciding(game, player, games))
        slot = np.random.default_rng(seed).integers(0, 2, 64)
        infoset = shortcut.infosets_of(1).start
        action = jnp.asarray(shortcut.action_of_slot[infoset, slot])
        games, outcome = step(game, profiles, player, games, action, jax.random.fold_in(key, seed))
        np.testing.assert_array_equal(np.asarray(outcome.reward)[decides], paid[slot][decides])
        assert np.asarray(outcome.done)[decides].all()
        assert int(outcome.episodes) >= decides.sum()
        asked += decides.sum()
    assert asked > 500


def test_shortcut_games_are_played_to_the_end(shortcut: GameTree) -> None:
    mean, deviation = exact_moments(shortcut, opening(shortcut, 0.5))
    np.testing.assert_allclose(mean, [5.75, 49.75])
    profiles = profiles_of(shortcut, opening(shortcut, 0.5))
    found = np.asarray(play(on_device(shortcut), profiles, jax.random.key(0), 2048, 8))
    assert (np.abs(found - mean) <= STANDARD_ERRORS * deviation / 128).all()


@pytest.mark.games("kuhn")
def test_wrong_shapes_are_refused(case: Any) -> None:
    game = on_device(case.tree)
    profiles = profiles_of(case.tree, case.tree.uniform_policy())
    games = Games(jnp.zeros(4, jnp.int32), jnp.zeros(4, jnp.int32))
    with pytest.raises(AssertionError):
        rollout.step(
            game, profiles, jnp.zeros(4, jnp.int32), games, jnp.zeros(4, jnp.int32), jax.random.key(0)
        )
