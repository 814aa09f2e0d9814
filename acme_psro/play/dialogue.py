"""Answers to the lines that a person types, as text; nothing is read or printed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from acme_psro.play import session as sessions
from acme_psro.play import telling, view
from acme_psro.play.session import Session, Setting

HELP = (
    "NUMBER or NAME   makes that move; the beginning of a name is enough if no other begins so",
    "show, or ?       shows with which probabilities the others made their last decisions",
    "value            shows the expected returns if all play as the run does",
    "undo             takes your last move back, with all that followed; chance and the others are not",
    "                 drawn again, so that the same move has the same consequences",
    "new              begins another game; an unfinished one does not count",
    "quit             ends, as Ctrl-D and Ctrl-C do; an empty line repeats the state",
)
# Actions that a message on a bad move lists.
_MOST_LISTED = 8
# Characters of a line that a message repeats.
_MOST_REPEATED = 60


class Reply(NamedTuple):
    """An answer.

    Attributes:
      session: the session after it.
      lines: lines to print.
      is_refusal: True if the line typed was no move and no command.
      is_last: True if the person wants to end.
    """

    session: Session
    lines: list[str]
    is_refusal: bool = False
    is_last: bool = False


@dataclasses.dataclass(frozen=True)
class Dialogue:
    """A setting with the form of its text.

    Attributes:
      setting: the players and the seed.
      describe: describes a state to a player, see `acme_psro.play.view.make_view`.
      width: characters in a line.
    """

    setting: Setting
    describe: Callable[[Any, int], str]
    width: int = 100


def introduce(dialogue: Dialogue) -> Reply:
    """Begins a session with a few lines about it."""
    setting = dialogue.setting
    session = sessions.begin(setting)
    name, players = setting.opponents.name, setting.opponents.game.num_players()
    lines = [f"{name}: you are player {setting.player} of {players}. (--seed={setting.seed} repeats this.)"]
    if players > 1:
        others = f"Player {1 - setting.player} plays" if players == 2 else "The others play"
        lines.append(f"{others} {setting.opponents.manner}.")
    lines.append("Type a move, or show, value, undo, new, help or quit.")
    return Reply(session, [*lines, *_begin_game(dialogue, session)])


def answer(dialogue: Dialogue, session: Session, line: str) -> Reply:
    """Answers one line: a move, a command, or an empty line, which repeats the state.

    Args:
      dialogue: the setting and the form.
      session: the session so far, which is not changed.
      line: the line as it was typed.
    """
    text = " ".join(line.split())
    if not text:
        return Reply(session, _present(dialogue, session))
    command = _COMMANDS.get(text.lower())
    return command(dialogue, session) if command is not None else _move(dialogue, session, text)


def find_actions(names: Mapping[int, str], text: str) -> list[int]:
    """Returns the actions that a text may mean: one, or several that it does not tell apart, or none.

    It means the action of that number; otherwise that name; otherwise those whose names begin so.

    Args:
      names: names of the legal actions, by number.
      text: a text with single spaces.
    """
    is_number = text.isascii() and text.isdecimal()
    numbers = {str(action): action for action in names}
    if is_number and (number := text.lstrip("0") or "0") in numbers:
        return [numbers[number]]
    # Case counts if there are two such names, as of pawns and bishops in chess.
    exact = [action for action, name in names.items() if name == text]
    same = exact or [action for action, name in names.items() if name.lower() == text.lower()]
    # A wrong number must not be taken for the beginning of a name that begins with a digit.
    if same or is_number:
        return same
    return [action for action, name in names.items() if name.lower().startswith(text.lower())]


def _move(dialogue: Dialogue, session: Session, text: str) -> Reply:
    state, player = session.state, dialogue.setting.player
    typed = repr(text if len(text) <= _MOST_REPEATED else f"{text[:_MOST_REPEATED]}..")
    if state.is_terminal():
        return _refuse(session, f"the game is over, and {typed} is no command: type new, undo, help or quit.")
    names = view.name_actions(state, player)
    found = find_actions(names, text)
    if len(found) != 1:
        fitting = {number: names[number] for number in found} or names
        listed = ", ".join(f"{number} ({name})" for number, name in fitting.items())
        allowed = listed if len(fitting) <= _MOST_LISTED else f"one of the {len(names)} moves listed above"
        wrong = "fits several moves" if found else "is not a move here"
        return _refuse(session, f"{typed} {wrong}: choose {allowed}, or type help.")
    after = sessions.act(dialogue.setting, session, found[0])
    return Reply(after, _present(dialogue, after))


def _refuse(session: Session, reason: str) -> Reply:
    return Reply(session, [reason], is_refusal=True)


def _show(dialogue: Dialogue, session: Session) -> Reply:
    return Reply(session, telling.tell_last_decisions(dialogue.setting, session))


def _value(dialogue: Dialogue, session: Session) -> Reply:
    setting = dialogue.setting
    return Reply(session, telling.tell_values(setting.opponents.values(), setting.player))


def _undo(dialogue: Dialogue, session: Session) -> Reply:
    before = sessions.undo(session)
    if before is None:
        return _refuse(session, "you have made no move in this game that could be taken back.")
    return Reply(before, ["Your last move is taken back.", *_present(dialogue, before, with_moves=False)])


def _new(dialogue: Dialogue, session: Session) -> Reply:
    after = sessions.new_game(dialogue.setting, session)
    return Reply(after, _begin_game(dialogue, after))


def _help(dialogue: Dialogue, session: Session) -> Reply:
    del dialogue
    return Reply(session, list(HELP))


def _quit(dialogue: Dialogue, session: Session) -> Reply:
    del dialogue
    return Reply(session, [], is_last=True)


_COMMANDS: dict[str, Callable[[Dialogue, Session], Reply]] = {
    "?": _show,
    "show": _show,
    "value": _value,
    "undo": _undo,
    "new": _new,
    "help": _help,
    "quit": _quit,
    "exit": _quit,
}


def _begin_game(dialogue: Dialogue, session: Session) -> list[str]:
    return ["", f"Game {session.number}", *_present(dialogue, session)]


def _present(dialogue: Dialogue, session: Session, with_moves: bool = True) -> list[str]:
    """Returns the present state as the person may see it, with its legal actions or its returns."""
    setting, state = dialogue.setting, session.state
    lines = []
    if with_moves and view.is_open(setting.opponents.game):
        lines = telling.tell_moves(session.positions[-1].moves)
    seen = telling.describe_state(dialogue.describe, state, setting.player)
    lines += view.show_text("You see:", seen) if seen is not None else []
    if state.is_terminal():
        return [*lines, telling.tell_end(state.returns(), setting.player), "Type new, undo, show or quit."]
    return [*lines, *view.show_actions(view.name_actions(state, setting.player), dialogue.width)]
