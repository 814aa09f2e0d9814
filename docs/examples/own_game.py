"""A game of your own, in Python: both players name a number, and naming one less than the other wins."""

# [start:imports]
from __future__ import annotations

from typing import Any

import numpy as np
import pyspiel

from acme_psro.games.compile import compile_game
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.oracles import exact
from acme_psro.policies.tabular import mixture_table
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver

# [end:imports]


# [start:game]
NUMBERS = 5

GAME_TYPE = pyspiel.GameType(
    short_name="undercut",
    long_name="Undercut",
    dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
    chance_mode=pyspiel.GameType.ChanceMode.DETERMINISTIC,
    information=pyspiel.GameType.Information.IMPERFECT_INFORMATION,
    utility=pyspiel.GameType.Utility.ZERO_SUM,
    reward_model=pyspiel.GameType.RewardModel.TERMINAL,
    max_num_players=2,
    min_num_players=2,
    provides_information_state_string=True,
    provides_information_state_tensor=True,
    provides_observation_string=False,
    provides_observation_tensor=False,
    parameter_specification={},
)
GAME_INFO = pyspiel.GameInfo(
    num_distinct_actions=NUMBERS,
    max_chance_outcomes=0,
    num_players=2,
    min_utility=-2.0,
    max_utility=2.0,
    utility_sum=0.0,
    max_game_length=2,
)


class Undercut(pyspiel.Game):
    """The higher number wins 1, but a number one below the other's wins 2."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(GAME_TYPE, GAME_INFO, params or {})

    def new_initial_state(self) -> UndercutState:
        return UndercutState(self)

    def make_py_observer(self, iig_obs_type: Any = None, params: Any = None) -> UndercutObserver:
        return UndercutObserver()


class UndercutState(pyspiel.State):
    """The numbers named so far. The second player does not see the first one's."""

    def __init__(self, game: Undercut) -> None:
        super().__init__(game)
        self.numbers: list[int] = []

    def current_player(self) -> int:
        return pyspiel.PlayerId.TERMINAL if self.is_terminal() else len(self.numbers)

    def _legal_actions(self, player: int) -> list[int]:
        return list(range(NUMBERS))

    def _apply_action(self, action: int) -> None:
        self.numbers.append(action)

    def is_terminal(self) -> bool:
        return len(self.numbers) == 2

    def returns(self) -> list[float]:
        if not self.is_terminal():
            return [0.0, 0.0]
        difference = self.numbers[0] - self.numbers[1]
        won = {-1: 2.0, 1: -2.0}.get(difference, float(np.sign(difference)))
        return [won, -won]

    def __str__(self) -> str:
        return " ".join(map(str, self.numbers))


class UndercutObserver:
    """A player sees which player it is, and nothing else."""

    def __init__(self) -> None:
        self.tensor = np.zeros(2, np.float32)
        self.dict = {"player": self.tensor}

    def set_from(self, state: UndercutState, player: int) -> None:
        self.tensor[:] = np.eye(2)[player]

    def string_from(self, state: UndercutState, player: int) -> str:
        return f"player {player}"


pyspiel.register_game(GAME_TYPE, Undercut)
# [end:game]

# [start:run]
tree = compile_game("undercut")
meta_game = ExactMetaGame(tree)
psro = meta_solving.make_loop(meta_game, get_solver("nash"))
parts = {"oracle": exact.make_oracle(tree), "meta_game": meta_game, "loop": psro}
start = loop.initialise(meta_game, psro)
*_, state = loop.run(start, seed=0, iterations=50, converged=lambda state: False, **parts)
table = mixture_table(tree, state.populations, state.meta_strategy)
print("numbers 1 to 5:", np.round(table[0], 4))
# [end:run]
np.testing.assert_allclose(table[0], [1 / 16, 5 / 16, 4 / 16, 5 / 16, 1 / 16], atol=1e-6)
