"""Trials of game strings in another process, which finds out whether OpenSpiel can play them.

At some parameters OpenSpiel ends the process or never returns. The trial loads a game and plays it for a
moment under limits of time and memory. Its result is kept on disk if the game can be played.

This file is also the program that the other process runs; it imports only OpenSpiel and the standard library.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time

_SECONDS_OF_PLAY = 0.5
_BYTES = 4 << 30
# A machine that is busy may take many times the processor time of the trial.
_MOST_WAITING = 60.0
_MAX_REASON_CHARACTERS = 200
# Signs of expressions of C++ that are no message for the user.
_CODE = re.compile(r"::|->|CHECK_|[<>!=]=| [<>] |\w_\b|\bk[A-Z]|\w\(\)|\bstd\b|^\s*$")
_UNKNOWN = "unknown"
# See `acme_psro.system.own_modules`.
_OWN_MODULES = "ACME_PSRO_IMPORT_MODULES"
# Runs this file as a program. Modules of the current directory must not be found instead of installed ones.
_PROGRAM = """
import runpy, sys
sys.path[:] = filter(None, sys.path)
runpy.run_path(sys.argv[1], None, "__main__")
"""


class GameError(ValueError):
    """A game cannot be loaded or compiled. The message is one line for the user."""

    def __init__(self, message: str) -> None:
        # Games whose parameters are maps have names of several lines.
        super().__init__(" ".join(message.split()))


def plain_reason(error: BaseException) -> str:
    """Returns the reason in an error of OpenSpiel, without positions and expressions of its source code."""
    # Errors begin with a position such as /path/to/file.cc:123.
    text = re.sub(r"\S+\.(cc|h|py):\d+:?", "", str(error))
    # Only the first lines tell the reason. Some errors go on with all games or the state of the game.
    text = " ".join(text.split("Available games are")[0].split())
    text = text.removesuffix("Available parameters are:").strip()
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    if isinstance(error, UnicodeError):
        return "its descriptions of states are no text"
    # A single word is the name of a C++ function.
    if _CODE.search(text) or " " not in text:
        return "a parameter is missing or out of range"
    return text[:_MAX_REASON_CHARACTERS].rstrip(". ")


def register_python_games() -> None:
    """Registers the games that OpenSpiel implements in Python, which it does not do by itself."""
    # OpenSpiel announces optional modules that are not installed.
    with contextlib.redirect_stdout(io.StringIO()):
        import open_spiel.python.games  # noqa: F401


def find_fault(game_string: str) -> str | None:
    """Returns the reason why OpenSpiel cannot play a game, or None if it can.

    Args:
      game_string: the game as `pyspiel.load_game` takes it, with a name that is registered.
    """
    # Imported here because the other process runs this file without our packages.
    from acme_psro.games import cache

    # The content of files may change, so that games from files are tried whenever they are loaded. Games of
    # a user's own may change too, but not within a process.
    is_file, is_own = "filename" in game_string, _OWN_MODULES in os.environ
    kept = None if is_file or is_own else cache.mark_of(game_string)
    if kept is not None and kept.exists():
        return None
    reason = _try(game_string) if is_file else _try_once(game_string)
    if reason is None and kept is not None:
        # Without a cache directory each process tries its games itself.
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch()
    return None if reason == _UNKNOWN else reason


def _try(game_string: str) -> str | None:
    """Runs a trial; returns the reason why the game cannot be played, `_UNKNOWN` or None."""
    command = [sys.executable, "-c", _PROGRAM, __file__, game_string]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_MOST_WAITING,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"OpenSpiel does not start {game_string} within {_MOST_WAITING:.0f} s"
    # An interpreter that cannot be started says nothing about the game.
    except OSError:
        return _UNKNOWN
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"OpenSpiel does not start {game_string} within two seconds of processor time"
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"OpenSpiel crashes on {game_string} (signal {-done.returncode}, {name})"
    try:
        reason = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return _UNKNOWN
    if reason is None or reason == _UNKNOWN:
        return reason
    return f"OpenSpiel cannot play {game_string}: {reason}"


@functools.lru_cache(maxsize=256)
def _try_once(game_string: str) -> str | None:
    return _try(game_string)


def _main(game_string: str) -> None:
    """Tries a game; prints the reason why it cannot be played, as JSON, on standard output."""
    import resource

    import pyspiel

    if "python_" in game_string:
        register_python_games()
    _import_own_modules()
    # Importing may take longer than the game, and is not limited. Limits are whole seconds, so that one or
    # two seconds are left.
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + 1.0),) * 2)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_used_bytes() + _BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name = game_string.split("(", 1)[0].strip()
    if name not in pyspiel.registered_names():
        reason: str | None = _UNKNOWN
    else:
        try:
            reason = _play(game_string)
        except Exception as error:
            reason = plain_reason(error)
    print(json.dumps(reason), flush=True)
    # Games that fail may fail again when they are destroyed.
    os._exit(0)


def _import_own_modules() -> None:
    """Imports the user's modules, which may register the game."""
    if _OWN_MODULES in os.environ:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
        from acme_psro.system import own_modules

        own_modules.import_inherited()


def _used_bytes() -> int:
    """Returns the size of this process's address space, which modules of the user may have enlarged."""
    try:
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _play(game_string: str) -> str | None:
    """Plays a game at random for a moment; returns the first fault that is seen."""
    import pyspiel

    game = pyspiel.load_game(game_string)
    if game.get_type().dynamics == pyspiel.GameType.Dynamics.MEAN_FIELD:
        return None
    if game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    describe = _descriptions(game.get_type())
    rng = random.Random(0)
    end = time.process_time() + _SECONDS_OF_PLAY
    for _ in range(20):
        state = game.new_initial_state()
        while not state.is_terminal():
            moves = (
                [a for a, _ in state.chance_outcomes()] if state.is_chance_node() else state.legal_actions()
            )
            if not moves:
                kind = "a chance event" if state.is_chance_node() else "a decision"
                return f"it has {kind} without any move"
            for name in describe if not state.is_chance_node() else ():
                # A description that is not implemented is missed later, if at all.
                with contextlib.suppress(Exception):
                    getattr(state, name)(state.current_player())
            state.apply_action(rng.choice(moves))
            if time.process_time() > end:
                return None
        state.returns()
    return None


def _descriptions(game_type: object) -> list[str]:
    """Returns the names of the methods by which states describe themselves to a player."""
    names = (
        "information_state_string",
        "information_state_tensor",
        "observation_string",
        "observation_tensor",
    )
    return [name for name in names if getattr(game_type, f"provides_{name}")]


if __name__ == "__main__":
    _main(sys.argv[-1])
