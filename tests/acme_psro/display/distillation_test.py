"""Tests of acme_psro.display.distillation."""

from __future__ import annotations

import math

from acme_psro.display import distillation


def rows() -> list[dict[str, float]]:
    """Returns rows of metrics of three players."""
    first = {"iteration": 0.0, **dict.fromkeys(("distillation_gap", "distillation_kl"), math.nan)}
    first |= dict.fromkeys(("kept_kl", "kept_drift"), math.nan)
    later = {"distillation_kl": 1e-5, "kept_kl": 1e-4, "kept_drift": 0.0}
    found = [first, *({"iteration": n, "distillation_gap": 0.1 / n, **later} for n in (1.0, 2.0))]
    return [
        {
            **row,
            **{
                f"{name}_{p}": 1.0 + row["iteration"]
                for name in ("population", "different")
                for p in range(3)
            },
        }
        for row in found
    ]


def test_figures_of_losses_and_of_sizes() -> None:
    losses, kls, sizes = distillation.make_distillation(rows())
    assert "Loss by distillation" in losses and "<svg" in losses
    assert "nats" in kls
    assert "3 / 3 / 3 of 3 / 3 / 3" in sizes


def test_the_largest_loss_of_all_iterations_is_the_headline() -> None:
    (tile,) = distillation.make_tiles(rows())
    assert "0.1000" in tile
    (unknown,) = distillation.make_tiles(rows()[:1])
    assert "-" in unknown


def test_other_runs_have_none() -> None:
    assert distillation.make_distillation([{"iteration": 0.0}]) == []
    assert distillation.make_tiles([{"iteration": 0.0}]) == []
