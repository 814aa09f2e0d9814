"""Tests of simulation on a cluster: the returns of one process, whatever the number of nodes."""

import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.meta_game.cluster_workers import ClusterWorkers, playing
from acme_psro.meta_game.simulation import Chunk, SampledReturns, simulate
from acme_psro.meta_game.simulators import SimulationError
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicyError
from acme_psro.policies.tabular import make_policy
from tests.acme_psro.system.executors import ray_nodes

GAME = "kuhn_poker"
PROFILES = np.array(list(itertools.product(range(2), range(2))))
EPISODES = np.array([1300, 0, 1, 600])


class Files(NamedTuple):
    """Two policies of each player, in memory and in files."""

    policies: list[list[Any]]
    paths: list[list[pathlib.Path]]


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.cluster(num_nodes=2) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, random_table: Any) -> Files:
    directory = tmp_path_factory.mktemp("policies")
    tree = compile_game(GAME, cache=False)
    policies: list[list[Any]] = [[], []]
    paths: list[list[pathlib.Path]] = [[], []]
    for player, index in PROFILES.tolist():
        table = random_table(tree, 2 * player + index)[tree.infosets_of(player)]
        written = decoders.from_tree_policy(tree, player, make_policy(tree, player, table))
        paths[player].append(directory / f"player_{player}_{index}.npz")
        stored.write(paths[player][-1], written)
        policies[player].append(decoders.decode_table(written))
    return Files(policies, paths)


def _assert_same(one: SampledReturns, other: SampledReturns) -> None:
    for field, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, expected)


def test_nodes_give_what_one_process_gives_to_the_last_bit(nodes: ray_nodes.Nodes, files: Files) -> None:
    expected = simulate(GAME, files.policies, PROFILES, EPISODES, 9, 70)
    with ClusterWorkers(nodes.placing()) as workers:
        assert workers.describe() == "workers on the Ray cluster: 2"
        _assert_same(workers.simulate(GAME, files.paths, PROFILES, EPISODES, 9, 70), expected)
        # Workers that were closed start again, and are as many as asked for.
        workers.close()
        _assert_same(workers.simulate(GAME, files.paths, PROFILES, EPISODES, 9, 70), expected)
        nodes.remove(nodes.workers[0])
        try:
            _assert_same(workers.simulate(GAME, files.paths, PROFILES, EPISODES, 9, 70), expected)
        finally:
            nodes.add()
    with ClusterWorkers(nodes.placing(), most=1) as alone:
        assert alone.describe() == "workers on the Ray cluster: 1"
        _assert_same(alone.simulate(GAME, files.paths, PROFILES, EPISODES, 9, 70), expected)
        assert len(alone._sent) == 4


def test_nothing_to_play_is_no_work(nodes: ray_nodes.Nodes, files: Files) -> None:
    with ClusterWorkers(nodes.placing()) as workers:
        found = workers.simulate(GAME, files.paths, PROFILES[:0], 10, 0)
    assert [field.shape for field in found] == [(0,), (0, 2), (0, 2)]


def test_policies_that_do_not_fit_are_named(
    nodes: ray_nodes.Nodes, files: Files, tmp_path: pathlib.Path
) -> None:
    with ClusterWorkers(nodes.placing()) as workers:
        with pytest.raises(StoredPolicyError, match=r"^\S+player_1_0.npz is of player 1: [^\n]*$"):
            workers.simulate(GAME, files.paths[::-1], PROFILES[:1], 10, 0)
        missing = [[tmp_path / "no.npz"], files.paths[1][:1]]
        with pytest.raises(StoredPolicyError, match=r"^\S+no.npz cannot be read: [^\n]*$"):
            workers.simulate(GAME, missing, PROFILES[:1], 10, 0)


def test_a_cluster_without_room_is_an_error_in_one_line(nodes: ray_nodes.Nodes, files: Files) -> None:
    workers = ClusterWorkers(nodes.placing())
    with workers, pytest.MonkeyPatch.context() as patch:
        patch.setattr("acme_psro.system.executors.cluster.workers_that_fit", lambda placing: 0)
        patch.setattr("acme_psro.meta_game.cluster_workers._PATIENCE", 0.1)
        with pytest.raises(SimulationError, match=r"^the Ray cluster has had no worker for [^\n]*$"):
            workers.simulate(GAME, files.paths, PROFILES[:1], 10, 0)


def test_altered_policies_are_refused(files: Files) -> None:
    path = files.paths[0][0]
    about = "kuhn_poker()", [("0" * 64, str(path))], Chunk(0, (0,), 0, 1), 0
    with pytest.raises(StoredPolicyError, match="was altered on its way to another machine"):
        playing(decoders.DECODERS)(about, path.read_bytes())
