"""Tests of acme_psro.sweeps.directory."""

import pathlib

import pytest

from acme_psro.storage.run_config import RunDirectoryError
from acme_psro.sweeps.cells import Cell, make_cells
from acme_psro.sweeps.directory import run_directory_of, settle, write_manifest
from tests.acme_psro.sweeps.files import SOLVERS, read, write_run


def _cells(directory: pathlib.Path, text: str) -> list[Cell]:
    return make_cells(read(directory, text))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """The directory of a sweep that has begun."""
    root = tmp_path / "sweep"
    root.mkdir()
    write_manifest(root, "run", settle(root, "run", _cells(tmp_path, SOLVERS), (0, 1), False), (0, 1))
    return root


def test_an_equal_file_may_be_resumed_however_it_is_written(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    text = SOLVERS.replace("[nash, uniform, prd]", "[prd, nash, uniform]")
    text = text.replace("iterations: 3", "iterations: 3\n  loop: psro")
    cells = _cells(tmp_path, text)
    assert settle(root, "run", cells, (1, 0), True) == cells


def test_cells_and_seeds_may_be_added_and_cells_keep_their_directories(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    # Another key in the grid gives all cells other names.
    text = SOLVERS.replace("  seeds", "  tolerance: [1.0e-7, 0.1]\n  seeds")
    cells = settle(root, "run", _cells(tmp_path, text), (0, 1, 2), True)
    names = [cell.name for cell in cells]
    assert names[::2] == ["nash", "uniform", "prd"]
    assert names[1::2] == [f"{name}-tolerance_0_1" for name in ("nash", "uniform", "prd")]
    write_manifest(root, "run", cells, (0, 1, 2))
    assert settle(root, "run", _cells(tmp_path, text), (0, 1, 2), True) == cells


@pytest.mark.parametrize(
    ("old", "new", "seeds", "said"),
    [
        ("iterations: 3", "iterations: 4", (0, 1), "cell nash has iterations 3, not 4; cell uniform has"),
        ("[nash, uniform, prd]", "[nash, uniform]", (0, 1), 'cell prd has meta_solver "prd", not "nash"'),
        ("seeds: [0, 1]", "seeds: [0]", (0,), "seeds lack 1. Only cells and seeds may be added"),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_changed_file_is_refused_with_what_changed(
    old: str,
    new: str,
    seeds: tuple[int, ...],
    said: str,
    resume: bool,
    root: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(RunDirectoryError) as caught:
        settle(root, "run", _cells(tmp_path, SOLVERS.replace(old, new)), seeds, resume)
    assert f"{root} holds a sweep of another file: " in str(caught.value) and said in str(caught.value)


def test_resume_is_for_sweeps_that_have_begun(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cells = _cells(tmp_path, SOLVERS)
    with pytest.raises(RunDirectoryError, match="holds this sweep already: add --resume"):
        settle(root, "run", cells, (0, 1), False)
    with pytest.raises(RunDirectoryError, match=r"there is no sweep to resume in .*: leave out --resume"):
        settle(tmp_path / "other", "run", cells, (0, 1), True)
    with pytest.raises(RunDirectoryError, match="command is run, not neupl"):
        settle(root, "neupl", cells, (0, 1), True)


def test_other_directories_are_left_alone(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cells = _cells(tmp_path, SOLVERS)
    run = run_directory_of(tmp_path / "others", cells[0], 0)
    write_run(run, [0.5])
    with pytest.raises(RunDirectoryError, match=r"others/nash holds runs, and sweep\.json is missing"):
        settle(tmp_path / "others", "run", cells, (0, 1), False)
    for holding in (run, run.parent):
        with pytest.raises(RunDirectoryError, match="holds a run, not a sweep: choose another"):
            settle(holding, "run", cells, (0, 1), False)
    (root / "sweep.json").write_text('{"cells": 3}')
    with pytest.raises(RunDirectoryError, match=r"sweep.json cannot be read: it is truncated or altered"):
        settle(root, "run", cells, (0, 1), True)
    with pytest.raises(RunDirectoryError, match="is a file"):
        settle(root / "sweep.json" / "deeper", "run", cells, (0, 1), False)
