"""Tests of the picture of a run's evaluations."""

import math
import pathlib
import struct
from typing import Any

import pytest
from matplotlib.figure import Figure

from acme_psro.agent_runs.curve import write_curve

PNG = b"\x89PNG\r\n\x1a\n"


def row(steps: float, mean: float, error: float = 0.5, **others: float) -> dict[str, float]:
    return {"actor_steps": steps, "episode_return": mean, "episode_return_stderr": error, **others}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collects the axes of every picture that a test makes."""
    axes: list[Any] = []
    subplots = Figure.subplots

    def record(self: Figure) -> Any:
        axes.append(subplots(self))
        return axes[-1]

    monkeypatch.setattr(Figure, "subplots", record)
    return axes


def test_a_picture_is_written_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "evaluation.png"
    path.write_text("an older one")
    write_curve(path, "crossq in gymnasium:Ant-v5", [row(0, 1.0), row(10, 2.0)])
    data = path.read_bytes()
    assert data.startswith(PNG)
    assert data.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", data[16:24]) == (768, 480)
    assert list(tmp_path.iterdir()) == [path]


def test_means_and_two_standard_errors_around_them(tmp_path: pathlib.Path, drawn: list[Any]) -> None:
    write_curve(tmp_path / "a.png", "title", [row(0, 1.0, 0.5), row(10, 2.0, math.nan)])
    (axes,) = drawn
    assert axes.get_title() == "title"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("actor steps", "return of an episode")
    assert axes.lines[0].get_xydata().tolist() == [[0, 1], [10, 2]]
    around = {tuple(point) for point in axes.collections[0].get_paths()[0].vertices.tolist()}
    assert around == {(0, 0), (0, 2), (10, 2)}


def test_exact_values_are_drawn_instead_below_the_best_response(
    tmp_path: pathlib.Path, drawn: list[Any]
) -> None:
    exact = [row(0, 1.0, exact_value=0.1, best_response_value=0.5)]
    exact.append(row(8, 3.0, exact_value=0.4, best_response_value=0.5))
    write_curve(tmp_path / "a.png", "title", exact)
    (axes,) = drawn
    policy, best = axes.lines
    assert policy.get_xydata().tolist() == [[0, 0.1], [8, 0.4]]
    assert list(best.get_ydata()) == [0.5, 0.5]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["policy, exact", "best response"]


def test_one_evaluation_is_a_picture_too(tmp_path: pathlib.Path) -> None:
    write_curve(tmp_path / "a.png", "title", [row(5, -3.0)])
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
