"""Learning curve of a run, as a picture that is renewed while the run goes on."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.display.plain_matplotlib import plain_matplotlib
from acme_psro.system import files, tables

# Drawing takes a fraction of a second, so that it is not done for every evaluation of a fast run.
_SECONDS_BETWEEN_PICTURES = 30.0


class CurveFile:
    """The learning curve of a run as `evaluation.png` in its directory.

    Args:
      config: configuration of the run.
      directory: output directory of the run.

    Attributes:
      path: path of the picture.
    """

    def __init__(self, config: AgentRunConfig, directory: Path) -> None:
        self.path = directory / "evaluation.png"
        self._title = f"{config.agent} in {config.environment}"
        self._directory = directory
        self._drawn_at = time.monotonic()

    def draw(self) -> bool:
        """Draws the evaluations that have been made. Returns False if there are none.

        Raises:
          Exception: the picture cannot be drawn, for many possible reasons.
        """
        rows = tables.read(self._directory / "evaluation.csv")
        if rows:
            write_curve(self.path, self._title, rows)
        return bool(rows)

    def renew(self) -> None:
        """Draws the evaluations if the picture is old. If that fails, the run goes on without it."""
        if time.monotonic() - self._drawn_at < _SECONDS_BETWEEN_PICTURES:
            return
        # At its end, the run draws the picture once more, and then tells why that is impossible.
        with contextlib.suppress(Exception):
            self.draw()
        self._drawn_at = time.monotonic()


@plain_matplotlib()
def write_curve(path: Path, title: str, rows: Sequence[Mapping[str, float]]) -> None:
    """Plots the mean return against actor steps, with a band of two standard errors, as a PNG.

    If the rows have exact values, these are plotted instead, together with the value of a best response.

    Args:
      path: path of the picture, which is replaced atomically.
      title: title of the picture.
      rows: rows of `evaluation.csv`, at least one.
    """
    # Imported here because it takes half a second, and a run without evaluations does not need it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    steps = [row["actor_steps"] for row in rows]
    if "exact_value" in rows[0]:
        axes.plot(steps, [row["exact_value"] for row in rows], "o-", color="C0", label="policy, exact")
        best = rows[-1]["best_response_value"]
        axes.axhline(best, color="0.4", linestyle="--", label="best response")
        axes.legend(frameon=False)
    else:
        means = [row["episode_return"] for row in rows]
        errors = [row["episode_return_stderr"] for row in rows]
        # The standard error of a single episode is not finite, and its band has no width.
        widths = [2 * error if math.isfinite(error) else 0.0 for error in errors]
        low = [mean - width for mean, width in zip(means, widths, strict=True)]
        high = [mean + width for mean, width in zip(means, widths, strict=True)]
        axes.fill_between(steps, low, high, color="C0", alpha=0.2, linewidth=0)
        axes.plot(steps, means, "o-", color="C0")
    axes.set_title(title)
    axes.set_xlabel("actor steps")
    axes.set_ylabel("return of an episode")
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    files.write_atomically(path, picture.getvalue())
