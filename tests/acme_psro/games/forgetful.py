"""Games whose descriptions forget something, for tests: two players move once each, after a chance event.

The parameter `forgets` says what neither the state's string nor any player is told:

    nothing  the string tells everything
    returns  player 0's move, by which the game is paid
    actions  player 0's move, which decides what player 1 may do
    chance   player 0's move, by which the odds of a later chance event depend
    odds     only the string of the chance event itself forgets player 0's move; the state after it does not
    clock    the number of moves: the game begins again until twelve moves have been made
"""

from __future__ import annotations

from typing import Any

import pyspiel

_TYPE = pyspiel.GameType(
    short_name="forgetful",
    long_name="A game that forgets",
    dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
    chance_mode=pyspiel.GameType.ChanceMode.EXPLICIT_STOCHASTIC,
    information=pyspiel.GameType.Information.IMPERFECT_INFORMATION,
    utility=pyspiel.GameType.Utility.ZERO_SUM,
    reward_model=pyspiel.GameType.RewardModel.TERMINAL,
    max_num_players=2,
    min_num_players=2,
    provides_information_state_string=False,
    provides_information_state_tensor=False,
    provides_observation_string=True,
    provides_observation_tensor=False,
    parameter_specification={"forgets": "nothing"},
)
_INFO = pyspiel.GameInfo(
    num_distinct_actions=2,
    max_chance_outcomes=2,
    num_players=2,
    min_utility=-2.0,
    max_utility=2.0,
    utility_sum=0.0,
    max_game_length=12,
)
_LAST_MOVE = 12


class ForgetfulGame(pyspiel.Game):
    """The game; see the module."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(_TYPE, _INFO, params or {})
        self.forgets = str((params or {}).get("forgets", "nothing"))

    def new_initial_state(self) -> ForgetfulState:
        return ForgetfulState(self)

    def make_py_observer(self, iig_obs_type: Any = None, params: Any = None) -> _Observer:
        return _Observer()


class ForgetfulState(pyspiel.State):
    """A state: player 0 moves, then player 1, then chance tosses a coin."""

    def __init__(self, game: ForgetfulGame) -> None:
        super().__init__(game)
        self.forgets = game.forgets
        self.moves: list[int] = []
        self.count = 0

    def current_player(self) -> int:
        if self.is_terminal():
            return int(pyspiel.PlayerId.TERMINAL)
        return int(pyspiel.PlayerId.CHANCE) if len(self.moves) == 2 else len(self.moves)

    def _legal_actions(self, player: int) -> list[int]:
        return [self.moves[0]] if self.forgets == "actions" and player == 1 else [0, 1]

    def chance_outcomes(self) -> list[tuple[int, float]]:
        odds = 0.25 if self.forgets == "chance" and self.moves[0] else 0.5
        return [(0, odds), (1, 1.0 - odds)]

    def _apply_action(self, action: int) -> None:
        self.moves.append(action)
        self.count += 1
        if self.forgets == "clock" and len(self.moves) == 3:
            self.moves = []

    def is_terminal(self) -> bool:
        return self.count >= _LAST_MOVE if self.forgets == "clock" else len(self.moves) == 3

    def returns(self) -> list[float]:
        if not self.is_terminal() or self.forgets == "clock":
            return [0.0, 0.0]
        won = 1.0 + self.moves[2] if self.moves[0] == self.moves[1] else -1.0
        return [won, -won]

    def __str__(self) -> str:
        hidden = self.forgets in ("returns", "actions", "chance") or (
            self.forgets == "odds" and len(self.moves) == 2
        )
        return str(len(self.moves)) if hidden else str(self.moves)


class _Observer:
    """An observer to which players' own turns look the same whatever was played."""

    def __init__(self) -> None:
        self.dict: dict[str, Any] = {}
        self.tensor = None

    def set_from(self, state: ForgetfulState, player: int) -> None:
        del state, player

    def string_from(self, state: ForgetfulState, player: int) -> str:
        return f"player {player} at {len(state.moves)}"


pyspiel.register_game(_TYPE, ForgetfulGame)
