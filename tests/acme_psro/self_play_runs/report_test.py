"""Report of a self-play run: figures and settings in one file, and no harm if it cannot be written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.report import try_to_write, write_report

_CONFIG = SelfPlayRunConfig("kuhn_poker", algorithm="ppo", seed=7).to_json()


def _row(steps: int, exploitability: float, entropy: float = math.nan) -> dict[str, Any]:
    return {
        "env_steps": steps,
        "episodes": steps // 2,
        "wall_seconds": 3.0,
        "nash_conv": 2 * exploitability,
        "exploitability": exploitability,
        "entropy": entropy,
        "kl": entropy / 100,
    }


@pytest.mark.parametrize(("steps", "unit"), [(1000, "steps"), (3_000_000, "steps (millions)")])
def test_it_has_the_figures_and_every_setting(steps: int, unit: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    # Before training, the loss has no terms.
    write_report(path, _CONFIG, [_row(0, 0.4583), _row(steps, 0.125, 0.5)])
    text = path.read_text()
    assert f"Exploitability 0.1250 after {steps:,} steps." in text
    assert "0.4583 after 0 steps" in text
    assert text.count("<svg") == 2 and f"over {unit}" in text
    assert "algorithm ppo · seed 7" in text and "agent_settings.gae_lambda" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_one_evaluation_is_enough_and_none_is_not(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", _CONFIG, [_row(1000, 0.1, 0.5)])
    with pytest.raises(ValueError, match="at least one evaluation"):
        write_report(tmp_path / "report.html", _CONFIG, [])


def test_a_report_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    said: list[str] = []
    try_to_write(tmp_path / "nowhere" / "report.html", _CONFIG, [], said.append)
    assert said == [
        "warning: there is no report: ValueError: a report needs at least one evaluation: let the run go on."
    ]
