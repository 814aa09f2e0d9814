"""An OpenSpiel game as a dm_env environment for one player. The other players are part of the environment."""

from __future__ import annotations

import contextlib
import io
import operator
from collections.abc import Callable, Sequence
from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from acme_psro.games import playing
from acme_psro.games.loading import load_game
from acme_psro.games.playing import NoDecisionError as NoDecisionError
from agents.core import Observation

# OpenSpiel prints a message on import for each optional module that is not installed.
with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy, UniformRandomPolicy

# A function that is called at the start of each game. It returns either one policy for each player, of which
# the learner's own is not used, or a single policy that plays for all players.
DrawOpponents = Callable[[np.random.Generator], Policy | Sequence[Policy | None]]


def fixed(policies: Policy | Sequence[Policy | None]) -> DrawOpponents:
    """Returns opponents that play the same policies in each episode."""
    return lambda rng: policies


class PlayerEnvironment(dm_env.Environment):
    """An environment in which one player plays a game against other players with OpenSpiel policies.

    Games with simultaneous moves are played in turn-based form. An observation is an
    `agents.core.Observation` of NumPy arrays. It holds the information state tensor `[D]`, or the observation
    tensor if the game has no information state tensor, the legal actions `[A]` and an empty context `[0]`. At
    the end of an episode, the observation consists of zeros, and all actions are legal, so that a softmax
    over them is defined.

    A reward is the sum of the player's rewards since its last decision, after the moves of any player, in the
    game's utility units. The first reward also contains the rewards before the first decision, so the rewards
    of an episode add up to OpenSpiel's return. Rewards are not discounted: the discount is 1, and 0 at the
    end.

    Games in which the player has nothing to decide are played, but they do not count as episodes, and their
    returns are not reported. A mean over episodes is therefore a mean over the games in which the player
    decided.

    Args:
      game: the game as `pyspiel.load_game` takes it.
      player: the player that acts in the environment, in `0 .. P-1`.
      opponents: called with the environment's random generator at the start of each game. With None, the
        other players play uniformly.
      seed: the seed for chance, for the opponents' actions and for the choice of opponents. Equal seeds and
        actions give equal episodes.

    Attributes:
      game: the OpenSpiel game, in turn-based form.
      state: the current OpenSpiel state.

    Raises:
      GameError (a ValueError): the game cannot be loaded, has no tensors or has no such player.
    """

    def __init__(self, game: str, player: int, opponents: DrawOpponents | None = None, seed: int = 0) -> None:
        self.game = load_game(game)
        self._player = playing.checked_player(self.game, player)
        self._tensor_of, _ = playing.tensor_of(self.game)
        self._opponents = opponents or fixed(UniformRandomPolicy(self.game))
        self._rng = np.random.default_rng(seed)
        self._pays_at_end = playing.pays_at_end(self.game)
        self._nothing = playing.make_nothing(self.game)
        self.state = self.game.new_initial_state()
        self._over = True

    def reset(self) -> dm_env.TimeStep:
        """Starts an episode, and plays up to the player's first decision.

        Raises:
          ValueError: the opponents are not one policy for each player, or a policy is invalid.
          NoDecisionError: the player had nothing to decide in 10,000 games in a row.
        """
        for _ in range(playing.MAX_GAMES_WITHOUT_DECISION):
            self._policies = self._draw_opponents()
            self.state = self.game.new_initial_state()
            if self._play_on():
                self._over, self._paid = False, 0.0
                return dm_env.restart(self._observe())
        raise playing.no_decision(self.game, self._player)

    def step(self, action: Any) -> dm_env.TimeStep:
        """Plays the player's action, then the other moves up to its next decision or the end of the game.

        As usual in dm_env, a step after the end of an episode ignores the action and starts a new episode.

        Args:
          action: `[]` int, a legal action.

        Raises:
          ValueError: the action is not legal, or see `reset`.
          NoDecisionError: see `reset`.
        """
        if self._over:
            return self.reset()
        action, legal = operator.index(action), self.state.legal_actions()
        if action not in legal:
            raise ValueError(f"action {action} is not legal for player {self._player}: choose from {legal}.")
        self.state.apply_action(action)
        if self._play_on():
            return dm_env.TimeStep(dm_env.StepType.MID, self._reward(), np.float32(1.0), self._observe())
        self._over = True
        return dm_env.TimeStep(dm_env.StepType.LAST, self._reward(), np.float32(0.0), self._nothing)

    def _draw_opponents(self) -> Sequence[Policy | None]:
        """Draws the policies of the next game, one for each player."""
        drawn, players = self._opponents(self._rng), self.game.num_players()
        if hasattr(drawn, "action_probabilities"):
            return [drawn] * players
        if len(drawn) != players:
            raise ValueError(
                f"{self.game} has {players} players, not {len(drawn)}: give one policy for each."
            )
        return drawn

    def _play_on(self) -> bool:
        """Plays the moves of chance and other players until the player is to move.

        Returns:
          False if the game ended before the player could decide, else True.
        """
        state = self.state
        while (mover := state.current_player()) != self._player:
            if mover == playing.TERMINAL:
                return False
            state.apply_action(self._move_of(state, mover))
        return True

    def _move_of(self, state: Any, mover: int) -> int:
        """Samples the move of chance or of another player."""
        if mover == playing.CHANCE:
            return playing.draw(self._rng, state.chance_outcomes())
        policy = self._policies[mover]
        # A fast path: no probabilities are needed for the most common opponent.
        if isinstance(policy, UniformRandomPolicy):
            legal = state.legal_actions()
            return legal[int(self._rng.random() * len(legal))]
        if policy is None:
            raise ValueError(f"player {mover} of {self.game} is to move and has no policy: give it one.")
        return playing.draw(self._rng, policy.action_probabilities(state, mover).items())

    def _observe(self) -> Observation:
        info_state = self._tensor_of(self.state, self._player)
        return playing.make_observation(info_state, self.state.legal_actions_mask(self._player))

    def _reward(self) -> np.float32:
        """Returns the reward since the last one.

        The rounding errors of earlier rewards are included, so that they do not add up over an
        episode.
        """
        # Computing returns is slow in some games, and they are known to be zero before the end.
        if self._pays_at_end and not self._over:
            return np.float32(0.0)
        reward = np.float32(self.state.player_return(self._player) - self._paid)
        self._paid += float(reward)
        return reward

    def observation_spec(self) -> Observation:
        return Observation(
            specs.Array(self._nothing.info_state.shape, np.float32, "info_state"),
            specs.Array(self._nothing.legal_actions.shape, bool, "legal_actions"),
            specs.Array(self._nothing.context.shape, np.float32, "context"),
        )

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(self.game.num_distinct_actions(), np.int32, "action")

    def reward_spec(self) -> specs.Array:
        return specs.Array((), np.float32, "reward")

    def discount_spec(self) -> specs.BoundedArray:
        return specs.BoundedArray((), np.float32, 0.0, 1.0, "discount")
