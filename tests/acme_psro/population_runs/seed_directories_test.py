"""Tests of acme_psro.population_runs.seed_directories."""

import pathlib

import pytest

from acme_psro.population_runs import seed_directories
from acme_psro.storage.run_config import RunDirectoryError


def _begin(directory: pathlib.Path) -> None:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text("{}")


def test_seeds_are_found_by_their_names_in_the_order_of_numbers(tmp_path: pathlib.Path) -> None:
    for name in ("seed_10", "seed_9", "seed_x", "seeds_1", "other"):
        _begin(tmp_path / name)
    (tmp_path / "seed_3").mkdir()
    (tmp_path / "seed_4").touch()
    assert seed_directories.find_seeds(tmp_path) == [9, 10]
    assert seed_directories.find_seeds(tmp_path / "missing") == []
    assert seed_directories.directory_of(tmp_path, 10) == tmp_path / "seed_10"


def test_several_seeds_do_not_begin_in_the_directory_of_one_run(tmp_path: pathlib.Path) -> None:
    _begin(tmp_path / "run")
    for resume in (False, True):
        with pytest.raises(RunDirectoryError, match="holds a run of one seed: choose another --output_dir"):
            seed_directories.check_for_seeds(tmp_path / "run", [0, 1], resume)


def test_only_what_has_begun_is_resumed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"no runs to resume in .*: leave out --resume"):
        seed_directories.check_for_seeds(tmp_path, [0, 1], resume=True)
    _begin(tmp_path / "seed_1")
    seed_directories.check_for_seeds(tmp_path, [0, 1], resume=True)
    with pytest.raises(RunDirectoryError, match="no runs to resume"):
        seed_directories.check_for_seeds(tmp_path, [2, 3], resume=True)


def test_one_run_does_not_begin_in_the_directory_of_several_seeds(tmp_path: pathlib.Path) -> None:
    seed_directories.check_for_one(tmp_path)
    _begin(tmp_path / "seed_7")
    with pytest.raises(RunDirectoryError, match=r"holds runs of several seeds: .* such as .*seed_7\.$"):
        seed_directories.check_for_one(tmp_path)
    # The directory of one of them is that of one run.
    seed_directories.check_for_one(tmp_path / "seed_7")


def test_the_directories_of_seeds_are_named_to_those_who_read_one(tmp_path: pathlib.Path) -> None:
    seed_directories.check_names_one(tmp_path)
    for seed in (3, 4):
        _begin(tmp_path / f"seed_{seed}")
    with pytest.raises(RunDirectoryError, match=r"name one of them, .*/seed_3, seed_4\.$"):
        seed_directories.check_names_one(tmp_path)
    seed_directories.check_names_one(tmp_path / "seed_3")
    for seed in range(5, 20):
        _begin(tmp_path / f"seed_{seed}")
    with pytest.raises(RunDirectoryError, match=r"/seed_3, seed_4, seed_5, seed_6, seed_7, \.\. seed_19\.$"):
        seed_directories.check_names_one(tmp_path)
    # A run's directory may hold others.
    (tmp_path / "config.json").write_text("{}")
    seed_directories.check_names_one(tmp_path)
