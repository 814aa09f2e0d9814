"""Learning curve of a run, as a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from acme_psro.display.plain_matplotlib import plain_matplotlib
from acme_psro.system import files


@plain_matplotlib()
def write_curve(path: Path, title: str, rows: Sequence[Mapping[str, float]]) -> None:
    """Plots the mean return against actor steps, with a band of two standard errors, as a PNG.

    If the rows have exact values, these are plotted instead, together with the value of a best response.

    Args:
      path: path of the picture, which is replaced atomically.
      title: title of the picture.
      rows: rows of `evaluation.csv`, at least one.
    """
    # Imported here because it takes half a second, and only a run that has ended needs it.
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
