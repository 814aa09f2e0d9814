"""Tasks of programs: valid budgets, directories that follow from keys, and files that may be removed."""

import math
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import BestResponseTask
from acme_psro.oracles.launchpad.config import LaunchpadConfig
from acme_psro.oracles.launchpad.tasks import Program, task_directory, tidy_tasks, write_task
from acme_psro.policies import decoders, mixture_files
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import StoredPolicy
from acme_psro.policies.tabular import Policy, make_policy

KEY = np.array([7, 0xABC], np.uint32)


@pytest.mark.parametrize(
    "name", ["actor_steps", "actors_per_response", "games_per_actor", "max_parallel_programs", "snapshots"]
)
def test_refuses_budgets_of_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        LaunchpadConfig(**{name: 0})


def test_unknown_launch_types_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no lp_launch_type named 'vertex'; there are local_mp, local_mt"):
        LaunchpadConfig(lp_launch_type="vertex")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plateau_patience", 1),
        ("plateau_patience", -2),
        ("plateau_min_improvement", -0.1),
        ("plateau_min_improvement", math.inf),
        ("plateau_min_improvement", math.nan),
        ("learner_devices", "0,"),
        ("learner_devices", "0, 1"),
        ("learner_devices", "gpu0"),
        ("learner_devices", "-1"),
        ("trembles", -0.1),
        ("trembles", 1.0),
        ("trembles", math.nan),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be") as refusal:
        LaunchpadConfig(**{name: value})
    assert str(value) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plateau_patience", 0),
        ("plateau_patience", 2),
        ("learner_devices", ""),
        ("learner_devices", "0,1,0"),
        ("trembles", 0.0),
        ("trembles", 0.99),
        ("snapshots", 1),
    ],
)
def test_limits_are_allowed(name: str, value: Any) -> None:
    assert getattr(LaunchpadConfig(**{name: value}), name) == value


def test_tidying_leaves_what_was_found_and_other_tasks_alone(tmp_path: pathlib.Path) -> None:
    later = KEY + np.uint32(1)
    for key in (KEY, later):
        place = task_directory(tmp_path, key, 0)
        for name in (
            "opponents/mixture.json",
            "opponents/policies/player_1_00000.npz",
            "run/checkpoints/100/state/data",
            "run/snapshots/policy_000000000050.npz",
            "run/policy.npz",
            "run/finished.json",
            "run/learner.csv",
        ):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).touch()
    # Player 1 had nothing to learn.
    tidy_tasks(tmp_path, KEY, 2)
    tidy_tasks(tmp_path, KEY, 2)
    place = task_directory(tmp_path, KEY, 0)
    assert sorted(path.name for path in place.rglob("*")) == [
        "finished.json",
        "learner.csv",
        "policy.npz",
        "run",
    ]
    assert len([path for path in task_directory(tmp_path, later, 0).rglob("*") if path.is_file()]) == 7


@pytest.fixture(scope="module")
def kuhn() -> GameTree:
    return compile_game("kuhn_poker", cache=False)


def make_task(tree: GameTree, random_table: Any, first: int) -> BestResponseTask:
    """A task of player 0, as XDO asks for it: against a policy that is first in every population.

    Args:
      tree: the game.
      random_table: makes tables from seeds.
      first: seed of this policy. The two other policies of a population are always the same.
    """
    populations = tuple(
        tuple(
            make_policy(tree, player, random_table(tree, seed)[tree.infosets_of(player)])
            for seed in (first, 50, 51)
        )
        for player in range(2)
    )
    return BestResponseTask(0, populations, ProductStrategy((np.eye(3)[0], np.eye(3)[0])))


def write(tree: GameTree, directory: pathlib.Path, task: BestResponseTask, **options: Any) -> Program:
    def to_stored(player: int, policy: Policy) -> StoredPolicy:
        return decoders.from_tree_policy(tree, player, policy)

    return write_task(tree.game_string, directory, KEY, task, to_stored, **options)


def opponent_of(program: Program) -> np.ndarray:
    policy = mixture_files.load(program.opponents).policies[1][0]
    assert policy is not None
    return policy.arrays["table"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_task_with_other_opponents_never_gets_what_an_earlier_one_left(
    interrupted: bool,
    kuhn: GameTree,
    random_table: Any,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Policies are known by their content: two tasks may have different ones at the same index."""
    before, after = (make_task(kuhn, random_table, first) for first in (1, 2))
    program = write(kuhn, tmp_path, before)
    program.directory.mkdir()
    (program.directory / "finished.json").touch()
    if interrupted:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
            patch.setattr(mixture_files, "write", _fail)
            write(kuhn, tmp_path, after)
    again = write(kuhn, tmp_path, after)
    assert again == program
    np.testing.assert_array_equal(opponent_of(again), after.populations[1][0].table)
    assert not program.directory.exists()


def _fail(*arguments: Any) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize("trembles", [0.0, 0.05])
def test_the_same_task_finds_what_its_program_left(
    trembles: float, kuhn: GameTree, random_table: Any, tmp_path: pathlib.Path
) -> None:
    task = make_task(kuhn, random_table, 1)
    program = write(kuhn, tmp_path, task, trembles=0.05)
    program.directory.mkdir()
    (program.directory / "policy.npz").touch()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    # Other trembles are no reason to learn the response again.
    assert write(kuhn, tmp_path, make_task(kuhn, random_table, 1), trembles=trembles) == program
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times
    # Once the response is stored elsewhere its opponents may go, but it is still found.
    tidy_tasks(tmp_path, KEY, 2)
    assert write(kuhn, tmp_path, task, trembles=trembles) == program
    assert (program.directory / "policy.npz").exists()
    np.testing.assert_array_equal(opponent_of(program), task.populations[1][0].table)


def test_a_task_of_an_earlier_version_goes_on(
    kuhn: GameTree, random_table: Any, tmp_path: pathlib.Path
) -> None:
    task = make_task(kuhn, random_table, 1)
    program = write(kuhn, tmp_path, task)
    program.directory.mkdir()
    # Earlier versions wrote no digest.
    (program.opponents.parent / "opponents.sha256").unlink()
    assert write(kuhn, tmp_path, task, trembles=0.05) == program
    assert program.directory.exists()
    assert mixture_files.load(program.opponents).trembles == 0.0


def test_trembles_come_with_all_policies(kuhn: GameTree, random_table: Any, tmp_path: pathlib.Path) -> None:
    task = make_task(kuhn, random_table, 1)
    for trembles, known in ((0.0, [True, False, False]), (0.05, [True, True, True])):
        loaded = mixture_files.load(write(kuhn, tmp_path / str(trembles), task, trembles=trembles).opponents)
        assert loaded.trembles == trembles
        assert [policy is not None for policy in loaded.policies[1]] == known
        assert loaded.policies[0] == ()
        assert isinstance(loaded.meta_strategy, ProductStrategy)
        assert loaded.meta_strategy.marginals[1].tolist() == [1, 0, 0]
