"""Tests of simulation in processes: the same results whatever happens to workers, and nothing left behind."""

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.identity import name_game
from acme_psro.meta_game.simulation import SampledReturns, simulate
from acme_psro.meta_game.workers import SimulationError, Workers
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import make_policy

ROOT = pathlib.Path(__file__).resolve().parents[3]
GAME = "kuhn_poker"
PROFILES = np.array(list(itertools.product(range(2), range(2))))

# Plays uniformly, until it comes to the trouble that its policy tells of; so many times in all.
_TROUBLE = """
import os, pathlib, signal, time
from acme_psro.policies import decoders
from acme_psro.games import batch_policies

def decode(policy):
    uniform = batch_policies.uniform(policy.about["game"])
    place, times = pathlib.Path(policy.about["place"]), policy.about["times"]

    def play(states, player):
        for number in range(times):
            try:
                (place / f"{policy.about['trouble']}_{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            (place / f"pid_{os.getpid()}").touch()
            if policy.about["trouble"] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return uniform(states, player)

    return play

DECODERS = {**decoders.DECODERS, "trouble": decode}
"""

_PARENT = """
import pathlib, signal, sys
import numpy as np
from acme_psro.meta_game.workers import Workers
import trouble

if __name__ == "__main__":
    # What a shell starts in the background, as these tests may be, ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    directory = pathlib.Path(sys.argv[1])
    with Workers(2, trouble.DECODERS) as workers:
        paths = [[directory / "player_0.npz"], [directory / "player_1.npz"]]
        workers.simulate("kuhn_poker", paths, np.array([[0, 0]]), 2000, 0)
"""


class Files(NamedTuple):
    """Two policies of each player, in memory and in files."""

    policies: list[list[Any]]
    paths: list[list[pathlib.Path]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, random_table: Any) -> Files:
    directory = tmp_path_factory.mktemp("policies")
    tree = compile_game(GAME, cache=False)
    policies: list[list[Any]] = [[], []]
    paths: list[list[pathlib.Path]] = [[], []]
    for player, index in itertools.product(range(2), range(2)):
        table = random_table(tree, 2 * player + index)[tree.infosets_of(player)]
        written = decoders.from_tree_policy(tree, player, make_policy(tree, player, table))
        paths[player].append(directory / f"player_{player}_{index}.npz")
        stored.write(paths[player][-1], written)
        policies[player].append(decoders.decode_table(written))
    return Files(policies, paths)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as pool:
        yield pool


@pytest.fixture
def trouble(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module above, which workers can import."""
    (tmp_path / "trouble.py").write_text(_TROUBLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import trouble  # type: ignore[import-not-found]

    yield trouble
    sys.modules.pop("trouble", None)


@pytest.fixture
def troubled(tmp_path: pathlib.Path) -> Callable[[str, int], list[list[pathlib.Path]]]:
    """`(trouble, times) -> paths`: player 0 meets the trouble so many times, player 1 is uniform."""

    def make(kind: str, times: int) -> list[list[pathlib.Path]]:
        about = {"kind": "trouble", "game": "kuhn_poker()", "player": 0}
        about |= {"trouble": kind, "times": times, "place": str(tmp_path)}
        stored.write(tmp_path / "player_0.npz", StoredPolicy(about, {}))
        stored.write(tmp_path / "player_1.npz", decoders.uniform(name_game(GAME), 1))
        return [[tmp_path / "player_0.npz"], [tmp_path / "player_1.npz"]]

    return make


def assert_same(one: SampledReturns, other: SampledReturns) -> None:
    for field, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, expected)


def is_alive(pid: int) -> bool:
    """Returns True if there is such a process, and it has not ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def uniform_returns(episodes: int) -> SampledReturns:
    play = decoders.decode_uniform(decoders.uniform(name_game(GAME), 0))
    return simulate(GAME, [[play], [play]], np.array([[0, 0]]), episodes, 4)


def test_processes_give_what_one_gives_to_the_last_bit(files: Files, workers: Workers) -> None:
    episodes = np.array([1300, 0, 1, 600])
    expected = simulate(GAME, files.policies, PROFILES, episodes, 9, 70)
    assert_same(workers.simulate(GAME, files.paths, PROFILES, episodes, 9, 70), expected)
    with Workers(1) as alone:
        assert_same(alone.simulate(GAME, files.paths, PROFILES, episodes, 9, 70), expected)


def test_nothing_to_play_starts_no_workers(files: Files) -> None:
    found = Workers(2).simulate(GAME, files.paths, PROFILES[:0], 10, 0)
    assert [field.shape for field in found] == [(0,), (0, 2), (0, 2)]


def test_a_policy_that_is_written_anew_is_read_anew(
    files: Files, workers: Workers, tmp_path: pathlib.Path
) -> None:
    paths = [[tmp_path / "player_0.npz"], files.paths[1][:1]]
    for index in range(2):
        paths[0][0].write_bytes(files.paths[0][index].read_bytes())
        policies = [[files.policies[0][index]], files.policies[1][:1]]
        expected = simulate(GAME, policies, PROFILES[:1], 100, 0)
        assert_same(workers.simulate(GAME, paths, PROFILES[:1], 100, 0), expected)


def test_what_is_wrong_with_a_policy_comes_back_in_one_line(
    files: Files, workers: Workers, tmp_path: pathlib.Path
) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(files.paths[0][0].read_bytes()[:-40])
    with pytest.raises(
        StoredPolicyError, match=r"^[^\n]*broken\.npz is no stored policy, or was truncated[^\n]*$"
    ):
        workers.simulate(GAME, [[broken], files.paths[1]], PROFILES[:1], 10, 0)
    with pytest.raises(StoredPolicyError, match="is of player 1: it cannot play for 0"):
        workers.simulate(GAME, files.paths[::-1], PROFILES, 10, 0)
    with pytest.raises(StoredPolicyError, match=r"plays kuhn_poker\(\), not leduc_poker\(\)"):
        workers.simulate("leduc_poker", files.paths, PROFILES, 10, 0)
    with pytest.raises(ValueError, match="a profile is named twice"):
        workers.simulate(GAME, files.paths, PROFILES[[0, 0]], 10, 0)
    # They go on after that.
    expected = simulate(GAME, files.policies, PROFILES, 10, 0)
    assert_same(workers.simulate(GAME, files.paths, PROFILES, 10, 0), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": 0}, "at least 1 worker"),
        ({"num_workers": 1, "patience": 0.0}, "patience above 0"),
        ({"num_workers": 1, "max_restarts": -1}, "max_restarts not below 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Workers(**arguments)


def test_what_a_killed_worker_had_to_do_is_done_again(trouble: Any, troubled: Any) -> None:
    paths = troubled("killed", 2)
    with Workers(2, trouble.DECODERS) as workers:
        found = workers.simulate(GAME, paths, np.array([[0, 0]]), 3000, 4)
    assert len(list(paths[0][0].parent.glob("killed_*"))) == 2
    assert_same(found, uniform_returns(3000))


def test_workers_that_are_always_killed_are_given_up_in_one_line(trouble: Any, troubled: Any) -> None:
    paths = troubled("killed", 100)
    message = r"^workers that simulate kuhn_poker\(\) were killed or hung 2 times: [^\n]*$"
    with (
        Workers(1, trouble.DECODERS, max_restarts=1) as workers,
        pytest.raises(SimulationError, match=message),
    ):
        workers.simulate(GAME, paths, np.array([[0, 0]]), 100, 4)
    assert len(list(paths[0][0].parent.glob("killed_*"))) == 2


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(trouble: Any, troubled: Any) -> None:
    paths = troubled("hung", 1)
    # Long enough for a worker to start.
    with Workers(1, trouble.DECODERS, patience=60.0) as workers:
        found = workers.simulate(GAME, paths, np.array([[0, 0]]), 700, 4)
    (pid,) = paths[0][0].parent.glob("pid_*")
    assert not is_alive(int(pid.name.removeprefix("pid_")))
    assert_same(found, uniform_returns(700))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_and_without_a_word(
    ending: signal.Signals, trouble: Any, troubled: Any, tmp_path: pathlib.Path
) -> None:
    troubled("hung", 2)
    (tmp_path / "parent.py").write_text(_PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
    with open(tmp_path / "said", "wb") as said:
        parent = subprocess.Popen(command, env=environment, stderr=said, start_new_session=True)
    try:
        # Both workers hang in a game.
        pids = wait_for(lambda: list(tmp_path.glob("pid_*")), 2, 120.0)
        # Ctrl-C is for the whole group.
        (os.killpg if ending == signal.SIGINT else os.kill)(parent.pid, ending)
        parent.wait(60.0)
    finally:
        parent.kill()
        parent.wait()
    numbers = [int(path.name.removeprefix("pid_")) for path in pids]
    deadline = time.monotonic() + 20.0
    while any(map(is_alive, numbers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, numbers))
    words = (tmp_path / "said").read_text()
    assert "SpawnProcess" not in words
    assert words.count("KeyboardInterrupt") == (ending == signal.SIGINT)


def wait_for(look: Callable[[], list[Any]], number: int, seconds: float) -> list[Any]:
    deadline = time.monotonic() + seconds
    while len(look()) < number:
        assert time.monotonic() < deadline, "the workers did not begin"
        time.sleep(0.05)
    return look()


def test_closing_ends_all_workers(files: Files) -> None:
    before = set(workers_of(os.getpid()))
    workers = Workers(2)
    workers.simulate(GAME, files.paths, PROFILES, 10, 0)
    started = set(workers_of(os.getpid())) - before
    assert started
    workers.close()
    assert not any(map(is_alive, started))


def workers_of(pid: int) -> list[int]:
    listed = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in listed for child in path.read_text().split()]
    return [child for child in children if "spawn_main" in command_of(child)]


def command_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
