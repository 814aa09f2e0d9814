"""Tests of a player's environment: specs, rewards, opponents, seeds and errors."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("dm_env comes with the Acme layer, which ends at Python 3.10", allow_module_level=True)

import dm_env
import pyspiel
from open_spiel.python import policy as openspiel_policy

from acme_psro.games import environment, traverse
from acme_psro.games.environment import PlayerEnvironment, fixed
from acme_psro.games.loading import GameError
from acme_psro.policies.as_openspiel import table_policy

Choose = Callable[[dm_env.TimeStep], int]


class Always(openspiel_policy.Policy):
    """A policy that takes one action if it is legal, else the first legal one. It records its callers."""

    def __init__(self, game: Any, action: int) -> None:
        super().__init__(game, list(range(game.num_players())))
        self.action = action
        self.asked: list[int] = []

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        self.asked.append(state.current_player() if player_id is None else player_id)
        legal = state.legal_actions()
        taken = self.action if self.action in legal else legal[0]
        return {action: float(action == taken) for action in legal}


class Episode(NamedTuple):
    """An episode as the environment reported it."""

    timesteps: list[dm_env.TimeStep]
    actions: list[int]

    @property
    def rewards(self) -> list[float]:
        return [float(timestep.reward) for timestep in self.timesteps[1:]]


def randomly(seed: int) -> Choose:
    rng = np.random.default_rng(seed)
    return lambda timestep: int(rng.choice(np.flatnonzero(timestep.observation.legal_actions)))


def play(env: PlayerEnvironment, choose: Choose) -> Episode:
    timesteps, actions = [env.reset()], []
    while not timesteps[-1].last():
        actions.append(choose(timesteps[-1]))
        timesteps.append(env.step(np.int32(actions[-1])))
    return Episode(timesteps, actions)


def replay(env: PlayerEnvironment, player: int) -> tuple[list[list[float]], list[list[int]], list[float]]:
    """Replays the last episode in OpenSpiel; returns tensors, legal actions and rewards between decisions."""
    state = env.game.new_initial_state()
    seen, legal, returns = [], [], []
    pays_at_end = env.game.get_type().reward_model == pyspiel.GameType.RewardModel.TERMINAL
    for action in env.state.history():
        if state.current_player() == player:
            kind = env.game.get_type()
            has_information_state = kind.provides_information_state_tensor
            tensor = state.information_state_tensor if has_information_state else state.observation_tensor
            seen.append(tensor(player))
            legal.append(state.legal_actions())
            returns.append(0.0 if pays_at_end else state.returns()[player])
        state.apply_action(action)
    # Rewards before the first decision are part of the first reward.
    return seen, legal, np.diff([0.0, *returns[1:], state.returns()[player]]).tolist()


def has_tensors(game: Any) -> bool:
    kind = game.get_type()
    return kind.provides_information_state_tensor or kind.provides_observation_tensor


def test_every_game_is_told_as_openspiel_tells_it(case: Any) -> None:
    if not has_tensors(case.game):
        with pytest.raises(GameError, match="offers no tensors to observe: train in it on the device"):
            PlayerEnvironment(case.string, 0)
        return
    for player in range(case.game.num_players()):
        env = PlayerEnvironment(case.string, player, seed=player)
        for seed in range(10):
            episode = play(env, randomly(seed))
            seen, legal, rewards = replay(env, player)
            decisions = episode.timesteps[:-1]
            np.testing.assert_array_equal([step.observation.info_state for step in decisions], seen)
            told = [np.flatnonzero(step.observation.legal_actions).tolist() for step in decisions]
            assert told == legal
            assert episode.rewards == pytest.approx(rewards, abs=1e-6)
            assert sum(episode.rewards) == pytest.approx(env.state.returns()[player], abs=1e-6)


def test_every_timestep_keeps_to_the_specs(case: Any) -> None:
    if not has_tensors(case.game):
        return
    env = PlayerEnvironment(case.string, case.game.num_players() - 1)
    spec = env.observation_spec()
    for seed in range(5):
        first, *others = play(env, randomly(seed)).timesteps
        assert first.first()
        assert first.reward is None
        assert first.discount is None
        for timestep in (first, *others):
            for field, value in zip(spec, timestep.observation, strict=True):
                assert isinstance(value, np.ndarray)
                field.validate(value)
        for timestep in others:
            env.reward_spec().validate(timestep.reward)
            env.discount_spec().validate(timestep.discount)
            assert timestep.discount == 1.0 - timestep.last()
        assert others[-1].observation.legal_actions.all()
        assert np.isfinite(others[-1].observation.info_state).all()
    assert spec.legal_actions.shape == (env.action_spec().num_values,)
    assert spec.context.shape == (0,)


def _agrees(returns: list[float], exact: float) -> bool:
    return abs(np.mean(returns) - exact) < 4 * np.std(returns) / np.sqrt(len(returns))


@pytest.mark.games("kuhn", "kuhn_3p", "isomorphic_leduc")
def test_mean_return_against_a_joint_policy_is_exact(
    case: Any, random_table: Callable[..., np.ndarray]
) -> None:
    table = random_table(case.tree, 1)
    policy = table_policy(case.tree, table)
    exact = traverse.expected_returns(case.tree, traverse.realisation_plan(case.tree, table))
    rng = np.random.default_rng(0)
    for player, expected in enumerate(exact):
        env = PlayerEnvironment(case.string, player, fixed(policy), seed=player)

        def choose(timestep: dm_env.TimeStep, env: PlayerEnvironment = env) -> int:
            actions, weights = zip(*policy.action_probabilities(env.state).items(), strict=True)
            return int(rng.choice(actions, p=np.array(weights) / sum(weights)))

        assert _agrees([sum(play(env, choose).rewards) for _ in range(4000)], expected)


@pytest.mark.games("kuhn", "leduc")
def test_uniform_opponents_play_uniformly(case: Any) -> None:
    plan = traverse.realisation_plan(case.tree, case.tree.uniform_policy())
    exact = traverse.expected_returns(case.tree, plan)
    for player in range(2):
        env = PlayerEnvironment(case.string, player, seed=player)
        choose = randomly(player)
        assert _agrees([sum(play(env, choose).rewards) for _ in range(5000)], exact[player])


def test_what_is_paid_while_others_move_belongs_to_the_decision_before() -> None:
    game = "repeated_game(stage_game=matrix_pd(),num_repetitions=3)"
    env = PlayerEnvironment(game, 0, fixed(Always(pyspiel.load_game("matrix_pd"), 1)))
    # Cooperating with a defector earns nothing, defecting too 1.
    assert play(env, lambda timestep: 0).rewards == [0.0, 0.0, 0.0]
    assert play(env, lambda timestep: 1).rewards == [1.0, 1.0, 1.0]


def test_what_is_paid_before_the_first_decision_belongs_to_it() -> None:
    game = "hanabi(players=2,colors=1,ranks=2,hand_size=2,max_life_tokens=3,max_information_tokens=1)"
    opponent = Always(pyspiel.load_game(game), 2)
    env = PlayerEnvironment(game, 1, fixed(opponent))
    before = set()
    for _ in range(20):
        env.reset()
        before.add(env.state.returns()[1])
        paid = env.state.returns()[1]
        timestep = env.step(env.state.legal_actions()[0])
        assert timestep.reward == env.state.returns()[1]
        assert paid in (0.0, 1.0)
    assert before == {0.0, 1.0}


def test_equal_seeds_give_equal_episodes() -> None:
    def episodes(seed: int) -> list[Any]:
        env = PlayerEnvironment("leduc_poker", 1, seed=seed)
        choose = randomly(0)
        return [(*play(env, choose), env.state.history()) for _ in range(20)]

    assert str(episodes(3)) == str(episodes(3))
    assert str(episodes(3)) != str(episodes(4))


def test_opponents_are_drawn_once_an_episode() -> None:
    game = pyspiel.load_game("leduc_poker")
    ways = [Always(game, 1), Always(game, 2)]
    draws = []

    def draw(rng: np.random.Generator) -> list[openspiel_policy.Policy | None]:
        draws.append(int(rng.integers(2)))
        for way in ways:
            way.asked.clear()
        return [ways[draws[-1]], None]

    env = PlayerEnvironment("leduc_poker", 1, draw)
    for episode in range(1, 51):
        play(env, randomly(episode))
        assert len(draws) == episode
        drawn = ways[draws[-1]]
        assert set(drawn.asked) == {0}
        assert ways[1 - draws[-1]].asked == []
    assert set(draws) == {0, 1}


def test_games_without_a_decision_are_no_episodes() -> None:
    # The first player takes both, and loses, or one.
    env = PlayerEnvironment("nim(pile_sizes=2;0)", 1)
    for _ in range(20):
        episode = play(env, randomly(0))
        assert len(episode.actions) == 1
        assert episode.rewards == [-1.0]


def test_a_player_without_any_decision_is_refused() -> None:
    env = PlayerEnvironment("nim(pile_sizes=1;0)", 1)
    with pytest.raises(environment.NoDecisionError, match="had nothing to decide in 10,000 games in a row"):
        env.reset()


def test_stepping_before_the_start_or_after_the_end_starts_an_episode() -> None:
    env = PlayerEnvironment("kuhn_poker", 0)
    assert env.step(0).first()
    assert play(env, randomly(0)).timesteps[-1].last()
    assert env.step(0).first()


@pytest.mark.parametrize(("player", "game"), [(2, "kuhn_poker"), (-1, "kuhn_poker"), (1, "catch")])
def test_a_player_that_the_game_lacks_is_refused(player: int, game: str) -> None:
    with pytest.raises(GameError, match=f"has no player {player}: choose one of 0 to"):
        PlayerEnvironment(game, player)


def test_an_illegal_action_is_refused() -> None:
    env = PlayerEnvironment("leduc_poker", 0)
    env.reset()
    with pytest.raises(ValueError, match=r"action 0 is not legal for player 0: choose from \[1, 2\]"):
        env.step(0)
    with pytest.raises(TypeError):
        env.step(1.5)


def test_opponents_that_are_no_policies_are_refused() -> None:
    uniform = openspiel_policy.UniformRandomPolicy(pyspiel.load_game("kuhn_poker"))
    with pytest.raises(ValueError, match="has 2 players, not 3: give one policy for each"):
        PlayerEnvironment("kuhn_poker", 0, fixed([uniform] * 3)).reset()
    with pytest.raises(ValueError, match=r"player 0 of .* is to move and has no policy"):
        PlayerEnvironment("kuhn_poker", 1, fixed([None, uniform])).reset()


@pytest.mark.parametrize(("probability", "total"), [(0.25, "0.5"), (np.nan, "nan")])
def test_probabilities_that_do_not_add_up_are_refused(probability: float, total: str) -> None:
    class Careless(Always):
        def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
            return dict.fromkeys(state.legal_actions(), probability)

    opponents = fixed(Careless(pyspiel.load_game("kuhn_poker"), 0))
    env = PlayerEnvironment("kuhn_poker", 1, opponents)
    with pytest.raises(ValueError, match=f"probabilities add up to {total}, not to 1"):
        for _ in range(50):
            env.reset()
