"""Command `acme-psro`, also `python -m acme_psro`: starts one of the launchers.

acme-psro run --game=kuhn_poker --oracle=exact --output_dir=DIR
acme-psro neupl --game=leduc_poker --population_size=8 --output_dir=DIR
acme-psro self-play --game=leduc_poker --algorithm=mmd --output_dir=DIR
acme-psro sweep --sweep=FILE.yaml --output_dir=DIR
acme-psro agent --agent=crossq --environment=dm_control:cartpole:swingup --actor_steps=50000
acme-psro evaluate --run_dir=DIR
acme-psro play --run_dir=DIR --player=0
"""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

BAD_INPUT = 2


class Command(NamedTuple):
    """A launcher behind a word.

    Attributes:
      module: the launcher's module, imported only when its word is given; its function `start` runs it.
      summary: what it does, for the list of commands.
    """

    module: str
    summary: str


COMMANDS = {
    "run": Command("acme_psro.commands.run_psro", "runs PSRO on an OpenSpiel game and writes a report"),
    "neupl": Command(
        "acme_psro.commands.run_neupl", "runs NeuPL, all members in one network, and writes a report"
    ),
    "self-play": Command(
        "acme_psro.commands.run_self_play", "trains one network by self-play, evaluated exactly"
    ),
    "sweep": Command(
        "acme_psro.commands.run_sweep", "carries out a grid of runs and compares them, with error bands"
    ),
    "agent": Command("acme_psro.commands.run_agent", "trains one agent in one environment"),
    "evaluate": Command("acme_psro.commands.evaluate", "evaluates a run of PSRO and prints one JSON object"),
    "play": Command("acme_psro.commands.play", "plays a game against a run in the terminal"),
}


def main() -> None:
    """Starts the launcher that the first argument names, with all further arguments."""
    word, *arguments = sys.argv[1:] or ["--help"]
    if word in ("--help", "-h", "help"):
        print(usage())
    elif word == "--version":
        import acme_psro

        print(f"acme-psro {acme_psro.__version__}")
    elif word in COMMANDS:
        sys.argv = [f"acme-psro {word}", *arguments]
        importlib.import_module(COMMANDS[word].module).start()
    else:
        print(f"error: there is no command {word!r}.\n{usage()}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def usage() -> str:
    """Returns the list of commands."""
    rows = [f"  {word:<10}{command.summary}" for word, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: acme-psro COMMAND [--FLAG=VALUE ..]",
            *rows,
            "acme-psro COMMAND --help lists a command's flags.",
        ]
    )


if __name__ == "__main__":
    main()
