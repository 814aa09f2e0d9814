"""Tests of acme_psro.play.telling: sentences about decisions, values and ends."""

import math
from typing import Any

import numpy as np
import pytest

from acme_psro.games.loading import load_game
from acme_psro.play import session, telling, view
from acme_psro.play.opponents import Lineup, Opponents, Values, fixed
from acme_psro.play.session import Move, Session, Setting


def setting_of(game: str, player: int, probabilities: dict[int, float]) -> Setting:
    """Returns a setting in which the others always have these probabilities."""
    loaded = load_game(game)
    draw = fixed(lambda state, mover: probabilities, loaded.num_players())
    return Setting(Opponents(loaded, game, "", draw, lambda: None), player, seed=0)


def test_the_last_decision_is_shown_with_its_probabilities() -> None:
    setting = setting_of("kuhn_poker", 1, {0: 0.0, 1: 1.0})
    now = session.begin(setting)
    assert telling.tell_last_decisions(setting, now) == [
        "Player 0 at its last decision:",
        "  Pass  0.000",
        "  Bet   1.000  <- its choice",
    ]
    now = now._replace(lineup=Lineup(now.lineup.behaviour, ("policy 3 of 5, drawn", "")))
    title = "Player 0 at its last decision (policy 3 of 5, drawn):"
    assert telling.tell_last_decisions(setting, now)[0] == title


def test_every_other_player_that_has_decided_is_shown() -> None:
    setting = setting_of("kuhn_poker(players=3)", 1, {0: 1.0, 1: 0.0})
    now = session.begin(setting)
    titles = [line for line in telling.tell_last_decisions(setting, now) if line.startswith("Player")]
    assert titles == ["Player 0 at its last decision:"]
    now = session.act(setting, now, 1)
    titles = [line for line in telling.tell_last_decisions(setting, now) if line.startswith("Player")]
    assert titles == ["Player 0 at its last decision:", "Player 2 at its last decision:"]
    first = setting_of("kuhn_poker", 0, {0: 1.0})
    nothing = ["No other player has decided anything in this game yet."]
    assert telling.tell_last_decisions(first, session.begin(first)) == nothing


def test_of_many_actions_the_most_probable_ones_are_shown_and_the_choice() -> None:
    state = load_game("blotto").new_initial_state()
    probabilities = dict.fromkeys(range(2, 66), 1 / 64)
    probabilities |= {0: 0.0, 1: 0.0, 20: 33 / 64, 21: 0.0, **dict.fromkeys(range(22, 53), 0.0)}
    assert sum(probabilities.values()) == pytest.approx(1.0)
    position = session.Position(state, (Move(state, 0, 5, probabilities),))
    setting = setting_of("blotto", 1, {})
    now = Session(1, Lineup(lambda state, player: {}, ("", "")), (position,), ())
    _, first, *others, last = telling.tell_last_decisions(setting, now)
    assert first.split() == [view.name_action(state, 0, 20), f"{33 / 64:.3f}"]
    assert sum("<- its choice" in line for line in others) == 1
    assert len(others) == 11
    assert last == f"  and 54 others, together {1 - 33 / 64 - 11 / 64:.3f}"


def test_moves_are_told_with_their_movers() -> None:
    setting = setting_of("pig", 1, {0: 0.0, 1: 1.0})
    moves = session.begin(setting).moves
    assert telling.tell_moves(moves)[0] == "Player 0: stop"
    rolled = setting_of("pig", 1, {0: 0.5, 1: 0.5})
    told = [line for game in range(30) for line in _told(rolled, game)]
    assert any(line.startswith("Chance: Roll") for line in told)


def _told(setting: Setting, game: int) -> list[str]:
    now = session.new_game(setting, session.begin(setting)._replace(number=game))
    return telling.tell_moves(now.moves)


def test_values_say_how_they_are_known() -> None:
    assert telling.tell_values(Values([-1 / 18, 1 / 18]), 1) == [
        "Expected returns if all play as the run does (exact):",
        "  player 0: -0.05556",
        "  you: +0.05556",
    ]
    assert telling.tell_values(Values([0.0, 1e-17], [0.0321, math.nan]), 0) == [
        "Expected returns if all play as the run does (estimated by simulation):",
        "  you: 0 (standard error 0.032)",
        "  player 1: 0",
    ]
    unknown = ["The run does not know the value of this game."]
    assert telling.tell_values(None, 0) == unknown
    assert telling.tell_values(Values([math.nan, 1.0]), 0) == unknown


def test_ends_and_tallies_add_up() -> None:
    assert telling.tell_end([1.5, -1.0, -0.5], 1) == (
        "The game is over. Your return: -1; player 0: +1.5; player 2: -0.5"
    )
    assert telling.tell_end([3.0], 0) == "The game is over. Your return: +3"
    assert telling.tell_tally([]) == "No game was finished."
    assert telling.tell_tally([-2.0]) == "1 game: total return -2."
    assert telling.tell_tally([1.0, -2.0, 2.0]) == "3 games: total return +1, +0.3333 a game."


def test_ends_that_a_game_does_not_describe_are_left_out() -> None:
    def fail(state: Any, player: int) -> str:
        return str(state.observation_string(player))

    state = load_game("liars_dice(dice_sides=2)").new_initial_state()
    rng = np.random.default_rng(0)
    while not state.is_terminal():
        state.apply_action(int(rng.choice(state.legal_actions())))
    assert telling.describe_state(fail, state, 0) is None
    assert telling.describe_state(lambda state, player: "seen", state, 0) == "seen"
