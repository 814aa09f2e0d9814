"""Checkpoints of runs by play: what is saved comes back, and what is broken is passed over."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import pytest

from acme_psro.games.compile import compile_game
from acme_psro.games.identity import name_game
from acme_psro.meta_game.estimates import SampledPayoffs, empty, extend
from acme_psro.oracles.base import Response
from acme_psro.policies import decoders, stored
from acme_psro.policies.tabular import make_policy
from acme_psro.psro import loop, meta_solving
from acme_psro.solvers import get_solver
from acme_psro.storage import checkpoint, formats
from acme_psro.storage.record import Format, Record

GAME = "kuhn_poker()"
FORM = formats.of_files(GAME)


class RandomMetaGame:
    """Random payoffs."""

    def __init__(self, first: tuple[stored.PolicyFile, ...]) -> None:
        self._first = first

    def first(self) -> tuple[stored.PolicyFile, ...]:
        return self._first

    def extend(self, populations: Any, known: SampledPayoffs | None) -> SampledPayoffs:
        sizes = [len(own) for own in populations]
        grown, rng = extend(known or empty(2), sizes), np.random.default_rng(sizes)
        mean = np.where(np.isnan(grown.mean), rng.normal(size=sizes), grown.mean)
        return SampledPayoffs(mean, grown.episodes + 7, rng.random((2, *sizes)))

    def tensor(self, payoffs: SampledPayoffs) -> np.ndarray:
        return payoffs.mean


def records(directory: pathlib.Path, random_table: Any) -> list[Record]:
    """Of three iterations; files are written before the record is."""
    tree = compile_game(GAME, cache=False)

    def write(player: int, index: int) -> stored.PolicyFile:
        policy = decoders.uniform(name_game(GAME), player)
        if index:
            table = random_table(tree, 10 * player + index)[tree.infosets_of(player)]
            policy = decoders.from_tree_policy(tree, player, make_policy(tree, player, table))
        return stored.write_file(checkpoint.policy_path(directory, player, index), policy)

    def oracle(key: np.ndarray, tasks: Any) -> list[Response]:
        sizes = [len(own) for own in tasks[0].populations]
        return [Response(write(player, size), 1.0, float("nan")) for player, size in enumerate(sizes)]

    meta_game = RandomMetaGame((write(0, 0), write(1, 0)))
    psro = meta_solving.make_loop(meta_game, get_solver("uniform"))
    state = loop.initialise(meta_game, psro)
    made = [Record(state, [{"iteration": 0, "nash_conv": float("nan")}], [state.meta_strategy])]
    checkpoint.save(directory, made[0], FORM)
    for iteration in range(3):
        key = loop.iteration_key(0, iteration)
        state = loop.step(state, key, oracle=oracle, meta_game=meta_game, loop=psro)
        rows = [*made[-1].metrics, {"iteration": iteration + 1, "nash_conv": float("nan")}]
        made.append(Record(state, rows, [*made[-1].meta_strategies, state.meta_strategy]))
        checkpoint.save(directory, made[-1], FORM)
    return made


def assert_same(found: Record, expected: Record) -> None:
    assert found.state.populations == expected.state.populations
    for one, other in zip(found.state.payoffs, expected.state.payoffs, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert isinstance(found.state.payoffs, SampledPayoffs)
    assert repr(found.metrics) == repr(expected.metrics)
    assert found.state.iteration == expected.state.iteration


def test_what_is_saved_comes_back(tmp_path: pathlib.Path, random_table: Any) -> None:
    made = records(tmp_path, random_table)
    assert_same(checkpoint.restore(tmp_path, FORM, pytest.fail), made[-1])


@pytest.mark.parametrize("harm", ["cut", "flip", "remove", "swap"])
def test_a_broken_policy_costs_what_stands_on_it(
    tmp_path: pathlib.Path, random_table: Any, harm: str
) -> None:
    made = records(tmp_path, random_table)
    path = checkpoint.policy_path(tmp_path, 1, 3)
    data = path.read_bytes()
    path.unlink()
    if harm == "swap":
        # A whole policy, but not this one.
        path.write_bytes(checkpoint.policy_path(tmp_path, 1, 2).read_bytes())
    elif harm != "remove":
        middle = len(data) // 2
        path.write_bytes(
            data[:middle] + (b"" if harm == "cut" else bytes([data[middle] ^ 1]) + data[middle + 1 :])
        )
    warnings: list[str] = []
    restored = checkpoint.restore(tmp_path, FORM, warnings.append)
    assert_same(restored, made[2])
    assert len(warnings) == 1 and "player_1_00003.npz is missing, truncated or altered" in warnings[0]
    checkpoint.prune(tmp_path, restored)
    names = {path.name for path in (tmp_path / "policies").iterdir()}
    assert names == {f"player_{player}_{index:05d}.npz" for player in range(2) for index in range(3)}


@pytest.mark.parametrize("form", [formats.of_files("leduc_poker()"), formats.of_tree(compile_game(GAME))])
def test_runs_of_another_game_or_kind_do_not_fit(
    tmp_path: pathlib.Path, random_table: Any, form: Format
) -> None:
    records(tmp_path, random_table)
    warnings: list[str] = []
    refusals = (checkpoint.CheckpointError, checkpoint.GameChangedError)
    with pytest.raises(refusals, match=r"no checkpoint in|the game is no longer the one"):
        checkpoint.restore(tmp_path, form, warnings.append)
    assert all("does not fit the game" in line and "\n" not in line for line in warnings)


def test_a_row_that_becomes_known_replaces_the_checkpoint(
    tmp_path: pathlib.Path, random_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its two files, either is still whole."""
    made = records(tmp_path, random_table)
    known = dataclasses.replace(
        made[-1], metrics=[*made[-1].metrics[:-1], {"iteration": 3, "nash_conv": 0.5}]
    )
    write = functools.partial(checkpoint.save, tmp_path, known, FORM)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint.json, "dumps", interrupt)
        write()
    assert_same(checkpoint.restore(tmp_path, FORM, pytest.fail), made[-1])
    write()
    assert_same(checkpoint.restore(tmp_path, FORM, pytest.fail), known)


def interrupt(*given: Any, **named: Any) -> str:
    """Ctrl-C, when the manifest's text is made."""
    if named.get("indent"):
        raise KeyboardInterrupt
    return "{}"
