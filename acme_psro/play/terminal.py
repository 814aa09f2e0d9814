"""A session in a terminal, or with commands from a pipe: reads lines and prints answers."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from typing import TextIO

from acme_psro.play.dialogue import Dialogue, Reply, answer, introduce
from acme_psro.play.opponents import Opponents
from acme_psro.play.session import Setting, all_results
from acme_psro.play.telling import tell_tally
from acme_psro.play.view import make_view

_PROMPT = "> "
_BOLD, _RED, _PLAIN = "\033[1m", "\033[31m", "\033[0m"
# Output that is not on a terminal does not depend on one.
_WIDTH = 100
_HEADINGS = ("Game ", "The game is over.")


def play(opponents: Opponents, player: int, seed: int) -> None:
    """Plays games until the person quits, input ends or Ctrl-C is pressed; prints a tally then.

    Args:
      opponents: the other players, and the game.
      player: the person's player.
      seed: the seed of all random numbers, >= 0.

    Raises:
      ValueError: a policy of the run cannot play.
    """
    source: TextIO = sys.stdin or io.StringIO()
    if isinstance(source, io.TextIOWrapper):
        # Bytes that are no text are a bad move, not the end of the program.
        source.reconfigure(errors="backslashreplace")
    is_terminal = source.isatty() and sys.stdout.isatty()
    has_colours = is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    if is_terminal:
        # It gives `input` the keys that edit a line. Some systems do not have it.
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
    setting = Setting(opponents, player, seed)
    # Terminals of unknown size have 0 columns.
    columns = (shutil.get_terminal_size().columns if is_terminal else 0) or _WIDTH
    dialogue = Dialogue(setting, make_view(opponents.game, opponents.seen_by), columns)
    reply = introduce(dialogue)
    try:
        _print(reply, has_colours)
        while not reply.is_last:
            line = _read(source, is_terminal)
            if line is None:
                print()
                break
            reply = answer(dialogue, reply.session, line)
            _print(reply, has_colours)
    except KeyboardInterrupt:
        print()
    print(tell_tally(all_results(setting, reply.session)))


def _read(source: TextIO, is_terminal: bool) -> str | None:
    """Returns the next line, or None at the end of the input."""
    if is_terminal:
        try:
            return input(_PROMPT)
        except EOFError:
            return None
    print(_PROMPT, end="", flush=True)
    line = source.readline()
    if not line:
        return None
    # A terminal shows what is typed. A transcript of commands from a pipe should show it too.
    print(line.rstrip("\n"), flush=True)
    return line


def _print(reply: Reply, has_colours: bool) -> None:
    for line in reply.lines:
        if has_colours and reply.is_refusal:
            line = f"{_RED}{line}{_PLAIN}"
        elif has_colours and line.startswith(_HEADINGS):
            line = f"{_BOLD}{line}{_PLAIN}"
        print(line)
    sys.stdout.flush()
