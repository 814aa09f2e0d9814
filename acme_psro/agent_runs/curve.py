"""The curve of a run's evaluations, as a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from acme_psro.system import files


def write_curve(path: Path, title: str, rows: Sequence[Mapping[str, float]]) -> None:
    """Draws the mean return against actor steps, with two standard errors around it, as a PNG.

    Where returns are known exactly, they are drawn instead, below the best response's.

    Args:
      path: where to write; replaced atomically.
      title: above the picture.
      rows: of `evaluation.csv`, at least one.
    """
    # Half a second, and only a run that has ended needs it.
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
