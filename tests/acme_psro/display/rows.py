"""Rows of metrics and a terminal for tests of displays."""

import io


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_row(
    iteration: int, players: int = 2, nash_conv: float = 0.5, gap: float = 0.025
) -> dict[str, float]:
    row: dict[str, float] = {
        "iteration": iteration,
        "wall_seconds": 12.5 * iteration,
        "nash_conv": nash_conv,
        "exploitability": nash_conv / players,
    }
    for player in range(players):
        row[f"relative_gap_{player}"] = gap
        row[f"population_{player}"] = iteration + 1
    return row


def bounded(row: dict[str, float], error: float = 0.03) -> dict[str, float]:
    """Returns the row as one of lower bounds with standard errors."""
    return row | {"nash_conv_stderr": error, "exploitability_stderr": error / 2}
