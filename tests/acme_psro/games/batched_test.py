"""Tests of games in parallel, compared with a single game and with OpenSpiel; opponents, seeds and errors."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python import policy as openspiel_policy

from acme_psro.games import batch_policies, batched, playing, traverse
from acme_psro.games.batch_policies import BatchOpponents
from acme_psro.games.batched import GameBatch
from acme_psro.games.loading import GameError
from acme_psro.policies.as_openspiel import table_policy

Choose = Callable[[Any], np.ndarray]


def randomly(seed: int) -> Choose:
    """Returns a function that chooses a random legal action for each row of legal actions."""
    rng = np.random.default_rng(seed)
    return lambda legal: (rng.random(legal.shape) * legal).argmax(axis=1)


@dataclasses.dataclass
class Game:
    """One episode of one of the games as the batch reported it, and its last OpenSpiel state."""

    rewards: list[float] = dataclasses.field(default_factory=list)
    seen: list[np.ndarray] = dataclasses.field(default_factory=list)
    legal: list[list[int]] = dataclasses.field(default_factory=list)
    actions: list[int] = dataclasses.field(default_factory=list)
    state: Any = None

    @property
    def history(self) -> list[int]:
        """All actions of the game that has ended, according to OpenSpiel."""
        return list(self.state.history())


class Recorder:
    """Plays games in parallel and keeps each episode that ended."""

    def __init__(self, games: GameBatch, choose: Choose) -> None:
        self.games, self._choose = games, choose
        self.episodes: list[Game] = []
        self._seen = games.reset()
        self._open = [Game() for _ in range(games.num_games)]

    def step(self) -> batched.Steps:
        """Steps all games. Keeps the state of each ended game before a new episode replaces it."""
        actions, states = self._choose(self._seen.legal_actions), list(self.games.states)
        for index, game in enumerate(self._open):
            game.seen.append(np.asarray(self._seen.info_state)[index])
            game.legal.append(np.flatnonzero(self._seen.legal_actions[index]).tolist())
            game.actions.append(int(actions[index]))
        steps = self.games.step(actions)
        for index, game in enumerate(self._open):
            game.rewards.append(float(steps.reward[index]))
            if steps.last[index]:
                game.state = states[index]
                self.episodes.append(game)
                self._open[index] = Game()
        self._seen = steps.observation
        return steps

    def run(self, episodes: int) -> list[Game]:
        while len(self.episodes) < episodes:
            self.step()
        return self.episodes


def has_tensors(game: Any) -> bool:
    kind = game.get_type()
    return kind.provides_information_state_tensor or kind.provides_observation_tensor


def check_against_openspiel(game: Any, player: int, episode: Game) -> None:
    """Replays an episode in OpenSpiel, and compares tensors, legal actions and rewards between decisions."""
    state, returns, decisions = game.new_initial_state(), [], 0
    tensor_of, _ = playing.tensor_of(game)
    pays_at_end = playing.pays_at_end(game)
    for action in episode.history:
        if state.current_player() == player:
            np.testing.assert_array_equal(episode.seen[decisions], tensor_of(state, player))
            assert episode.legal[decisions] == state.legal_actions()
            assert episode.actions[decisions] == action
            returns.append(0.0 if pays_at_end else state.player_return(player))
            decisions += 1
        state.apply_action(action)
    assert state.is_terminal()
    assert decisions == len(episode.actions)
    # Rewards before the first decision are part of the first reward.
    rewards = np.diff([0.0, *returns[1:], state.player_return(player)])
    assert episode.rewards == pytest.approx(rewards.tolist(), abs=1e-6)
    assert sum(episode.rewards) == pytest.approx(state.player_return(player), abs=1e-6)


def test_every_game_is_told_as_openspiel_tells_it(case: Any) -> None:
    if not has_tensors(case.game):
        with pytest.raises(GameError, match="offers no tensors to observe: train in it on the device"):
            GameBatch(case.string, 0, 3)
        return
    for player in range(case.game.num_players()):
        games = GameBatch(case.string, player, 5, seed=player)
        for episode in Recorder(games, randomly(player)).run(30):
            check_against_openspiel(case.game, player, episode)


def test_every_step_is_one_that_agents_can_take(case: Any) -> None:
    if not has_tensors(case.game):
        return
    games = GameBatch(case.string, case.game.num_players() - 1, 4)
    recorder = Recorder(games, randomly(0))
    for _ in range(20):
        (info_state, legal, context), reward, last = recorder.step()
        assert info_state.shape == (4, *np.shape(games.nothing.info_state))
        assert np.isfinite(info_state).all()
        assert legal.shape == (4, case.game.num_distinct_actions())
        assert np.asarray(legal).any(axis=1).all()
        assert context.shape == (4, 0)
        assert (reward.shape, reward.dtype) == ((4,), np.float32)
        assert (last.shape, last.dtype) == ((4,), bool)
        assert [leaf.dtype for leaf in recorder._seen] == [np.float32, bool, np.float32]
    assert np.asarray(games.nothing.legal_actions).all()
    assert not np.asarray(games.nothing.info_state).any()


def of_table(case: Any, table: np.ndarray) -> Any:
    return table_policy(case.tree, table)


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the one-game view is a dm_env environment")
def test_one_game_is_the_environment_with_the_same_seed(
    case: Any, random_table: Callable[..., np.ndarray]
) -> None:
    if not has_tensors(case.game):
        return
    from acme_psro.games import environment

    policy = of_table(case, random_table(case.tree, 3)) if case.has_strings else None
    others = (
        None
        if policy is None
        else batch_policies.fixed([batch_policies.of_openspiel(policy)] * case.tree.num_players)
    )
    same = None if policy is None else environment.fixed(policy)
    for player in range(case.game.num_players()):
        one = environment.PlayerEnvironment(case.string, player, same, seed=7)
        games, choose = GameBatch(case.string, player, 1, others, seed=7), randomly(5)
        timestep, seen = one.reset(), games.reset()
        for _ in range(60):
            for field, told in zip(timestep.observation, seen, strict=True):
                np.testing.assert_array_equal(field, told[0])
            actions = choose(seen.legal_actions)
            timestep, (seen, reward, last) = one.step(actions[0]), games.step(actions)
            assert (timestep.reward, timestep.last()) == (reward[0], last[0])
            if timestep.last():
                for field, told in zip(timestep.observation, games.nothing, strict=True):
                    np.testing.assert_array_equal(field, told)
                timestep = one.reset()


def agrees(returns: list[float], exact: float) -> bool:
    return abs(np.mean(returns) - exact) < 4 * np.std(returns) / np.sqrt(len(returns))


@pytest.mark.games("kuhn", "kuhn_3p", "isomorphic_leduc", "goofspiel")
def test_mean_return_against_a_policy_is_exact(case: Any, random_table: Callable[..., np.ndarray]) -> None:
    table = random_table(case.tree, 1)
    exact = traverse.expected_returns(case.tree, traverse.realisation_plan(case.tree, table))
    policy = batch_policies.of_openspiel(of_table(case, table))
    # The seed differs from those of the games: equal random numbers would correlate actions and moves.
    rng = np.random.default_rng(99)
    for player, expected in enumerate(exact):
        others = batch_policies.fixed([None if other == player else policy for other in range(len(exact))])
        games = GameBatch(case.string, player, 50, others, seed=player)

        def choose(legal: np.ndarray, games: GameBatch = games, player: int = player) -> np.ndarray:
            return playing.draw_each(rng, policy(games.states, player))

        recorder = Recorder(games, choose)
        for _ in range(200):
            recorder.step()
        assert agrees([sum(episode.rewards) for episode in recorder.episodes], expected)


@pytest.mark.games("kuhn", "leduc")
def test_others_play_uniformly_where_nobody_says_how(case: Any) -> None:
    plan = traverse.realisation_plan(case.tree, case.tree.uniform_policy())
    exact = traverse.expected_returns(case.tree, plan)
    for player in range(2):
        recorder = Recorder(GameBatch(case.string, player, 50, seed=player), randomly(99))
        for _ in range(200):
            recorder.step()
        assert agrees([sum(episode.rewards) for episode in recorder.episodes], exact[player])


class Always:
    """A policy that takes one action if it is legal, else the first legal one. It records its calls."""

    def __init__(self, action: int) -> None:
        self._action = action
        self.asked: list[tuple[Any, int]] = []

    def __call__(self, states: Sequence[Any], player: int) -> np.ndarray:
        rows = np.zeros((len(states), states[0].num_distinct_actions()))
        for row, state in zip(rows, states, strict=True):
            assert state.current_player() == player
            self.asked.append((state, player))
            legal = state.legal_actions()
            row[self._action if self._action in legal else legal[0]] = 1.0
        return rows


def test_opponents_are_drawn_once_an_episode_from_the_joint_distribution() -> None:
    """Each of two opponents has two policies. Both move in each game, because the first player calls."""
    ways = [(Always(1), Always(2)), (Always(1), Always(2))]
    profiles, weights = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1]]), [0.5, 0.3, 0.2]

    def draw(rng: np.random.Generator, episodes: int) -> np.ndarray:
        return profiles[rng.choice(3, size=episodes, p=weights)]

    games = GameBatch("leduc_poker(players=3)", 0, 8, BatchOpponents(((), *ways), draw), seed=1)
    recorder = Recorder(games, lambda legal: np.ones(8, int))
    recorder.run(2000)
    asked: dict[int, dict[int, set[int]]] = {}
    for player, pair in enumerate(ways, start=1):
        for index, way in enumerate(pair):
            for state, mover in way.asked:
                assert mover == player
                asked.setdefault(id(state), {}).setdefault(player, set()).add(index)
    counts = np.zeros((2, 2))
    for episode in recorder.episodes:
        # A player never uses two policies in one episode.
        (first,), (second,) = (asked[id(episode.state)][player] for player in (1, 2))
        counts[first, second] += 1
    shares = counts / len(recorder.episodes)
    expected = np.array([[0.5, 0.0], [0.3, 0.2]])
    margins = 4 * np.sqrt(expected * (1 - expected) / len(recorder.episodes))
    assert (np.abs(shares - expected) <= margins).all()


def test_a_policy_is_asked_once_for_all_games_that_wait_for_it() -> None:
    calls: list[int] = []
    uniform = batch_policies.uniform("kuhn_poker")

    def counting(states: Sequence[Any], player: int) -> np.ndarray:
        calls.append(len(states))
        return uniform(states, player)

    games = GameBatch("kuhn_poker", 1, 32, batch_policies.fixed([counting, None]))
    games.reset()
    assert calls == [32]


def test_equal_seeds_give_equal_episodes() -> None:
    def episodes(seed: int) -> str:
        games = GameBatch("leduc_poker", 1, 4, seed=seed)
        return str([(game.history, game.rewards) for game in Recorder(games, randomly(0)).run(40)])

    assert episodes(3) == episodes(3)
    assert episodes(3) != episodes(4)


def test_games_side_by_side_are_different_games() -> None:
    recorder = Recorder(GameBatch("leduc_poker", 0, 6), lambda legal: np.ones(6, int))
    first = {tuple(episode.history) for episode in recorder.run(60)}
    assert len(first) > 20


def test_games_without_a_decision_are_no_episodes() -> None:
    # The first player takes both, and loses, or one.
    recorder = Recorder(GameBatch("nim(pile_sizes=2;0)", 1, 3), randomly(0))
    for episode in recorder.run(20):
        assert episode.rewards == [-1.0]


def test_a_player_without_any_decision_is_refused() -> None:
    games = GameBatch("nim(pile_sizes=1;0)", 1, 2)
    with pytest.raises(playing.NoDecisionError, match="had nothing to decide in 10,000 games in a row"):
        games.reset()


def refused(what: Callable[[], Any], match: str) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        what()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([1, 0, 1], r"action 0 is not legal for player 0 in game 1: choose from \[1, 2\]"),
        ([1, 1, 3], r"action 3 is not legal for player 0 in game 2: choose from \[1, 2\]"),
        ([-1, 1, 1], r"action -1 is not legal for player 0 in game 0"),
        ([1, 1], r"actions must be 3 integers, not int64\[2\]"),
        ([1.0, 1.0, 1.0], r"actions must be 3 integers, not float64\[3\]"),
    ],
)
def test_illegal_actions_are_refused_and_change_nothing(actions: list[Any], message: str) -> None:
    games = GameBatch("leduc_poker", 0, 3)
    games.reset()
    before = [state.history() for state in games.states]
    refused(lambda: games.step(np.array(actions)), message)
    assert [state.history() for state in games.states] == before
    games.step(np.array([1, 2, 1]))


def test_what_cannot_be_played_is_refused() -> None:
    uniform = batch_policies.uniform("kuhn_poker")
    refused(lambda: GameBatch("kuhn_poker", 0, 0), "at least 1 game must be played, not 0")
    refused(lambda: GameBatch("kuhn_poker", 2, 1), "has no player 2: choose one of 0 to 1")
    refused(lambda: GameBatch("kuhn_poker", 0, 1).step(np.array([0])), "no game has begun: call reset first")
    three = batch_policies.fixed([uniform] * 3)
    refused(lambda: GameBatch("kuhn_poker", 0, 1, three), "has 2 players, not 3: give policies for each")


@pytest.mark.parametrize(
    ("policies", "drawn", "message"),
    [
        ((None,), np.zeros((4, 2), int), r"player 0 of .* is to move and has no policy 0: give it one"),
        (("uniform",), np.ones((4, 2), int), "is to move and has no policy 1"),
        (("uniform",), np.full((4, 2), -1), "is to move and has no policy -1"),
        (("uniform",), np.zeros(4, int), r"must be drawn as integers \[4, 2\], .*, not as int64\[4\]"),
        (("uniform",), np.zeros((4, 2)), r"must be drawn as integers \[4, 2\], .*, not as float64\[4, 2\]"),
    ],
)
def test_opponents_that_are_none_are_refused(policies: Any, drawn: np.ndarray, message: str) -> None:
    own = tuple(batch_policies.uniform("kuhn_poker") for name in policies if name)
    games = GameBatch("kuhn_poker", 1, 4, BatchOpponents((own, ()), lambda rng, episodes: drawn))
    refused(games.reset, message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.0, 0.25], "probabilities add up to 0.75, not to 1: check the opponents' policies"),
        ([0.5, 0.5], r"must answer with probabilities \[4, 3\], a row a state, not with float64\[4, 2\]"),
        ([1.0, 0.0, 0.0], r"chose action 0, which is not legal: .* must be 0 beside \[1, 2\]"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(row: list[float], message: str) -> None:
    others = batch_policies.fixed([lambda states, player: np.tile(row, (len(states), 1)), None])
    games = GameBatch("leduc_poker", 1, 4, others)
    refused(games.reset, message)


def test_openspiel_policies_are_asked_for_each_state() -> None:
    game = pyspiel.load_game("leduc_poker")
    states = []
    for cards in ([0, 1], [4, 2]):
        states.append(game.new_initial_state())
        for action in cards:
            states[-1].apply_action(action)
    table = openspiel_policy.TabularPolicy(game)
    rng = np.random.default_rng(0)
    for state in states:
        row = table.policy_for_key(state.information_state_string(0))
        row[:] = np.where(state.legal_actions_mask(), rng.random(3), 0)
        row /= row.sum()
    found = batch_policies.of_openspiel(table)(states, 0)
    for row, state in zip(found, states, strict=True):
        np.testing.assert_array_equal(row, table.policy_for_key(state.information_state_string(0)))
    uniform = batch_policies.uniform(game)(states, 0)
    np.testing.assert_array_equal(uniform, [[0.0, 0.5, 0.5]] * 2)
