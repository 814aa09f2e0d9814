"""The Launchpad oracle where games are only played: which responses stay, and as what."""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from acme_psro.evaluation.sampled import Estimate
from acme_psro.games.identity import name_game
from acme_psro.meta_game.estimates import empty
from acme_psro.meta_game.sampled import SimulationConfig
from acme_psro.oracles.base import BestResponseTask, Counts, Oracle
from acme_psro.oracles.launchpad import sampled as launchpad_sampled
from acme_psro.oracles.launchpad.choice import Choice
from acme_psro.oracles.launchpad.sampled import make_oracle
from acme_psro.oracles.launchpad.tasks import Learned, Program, task_directory
from acme_psro.policies import decoders, mixture_files, stored
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError

GAME = "kuhn_poker()"
KEY = np.array([7, 0xABC], np.uint32)


class Measured:
    """A game in which every response gains so much; keeps what was measured."""

    name = GAME
    config = SimulationConfig(gain_episodes=40, payoff_workers=1)

    def __init__(self, gain: Estimate) -> None:
        self._gain = gain
        self.asked: list[tuple[StoredPolicy, int, int]] = []

    def estimate_gain(self, game: Any, response: pathlib.Path, player: int, *rest: Any) -> Estimate:
        assert game is self
        self.asked.append((stored.read(response), player, rest[-1]))
        return self._gain


Ask = Callable[..., tuple[list[Any], Measured, list[Program]]]


@pytest.fixture
def tasks(tmp_path: pathlib.Path) -> list[BestResponseTask]:
    """Of populations with two policies each, of which one is never drawn, and need not even be there."""
    populations = tuple(
        tuple(
            stored.write_file(tmp_path / f"{player}_{index}.npz", decoders.uniform(name_game(GAME), player))
            for index in range(2)
        )
        for player in range(2)
    )
    populations[1][0].path.unlink()
    strategy = ProductStrategy((np.array([0.5, 0.5]), np.array([0.0, 1.0])))
    return [BestResponseTask(player, populations, strategy, empty(2)) for player in range(2)]


@pytest.fixture
def ask(tmp_path: pathlib.Path, tasks: list[BestResponseTask], monkeypatch: pytest.MonkeyPatch) -> Ask:
    def respond(
        gain: Estimate,
        about: dict[str, Any] | None = None,
        tolerance: float = 1e-9,
        snapshots: int = 0,
        trembles: float = 0.0,
    ) -> tuple[list[Any], Measured, list[Program]]:
        seen: list[Program] = []

        def run_programs(asked: Sequence[Program]) -> list[Learned]:
            seen.extend(asked)
            found = []
            for program in asked:
                said = {"kind": "network", "game": GAME, "player": program.player, **(about or {})}
                names = [f"snapshot {number}" for number in range(snapshots)]
                *earlier, path = (
                    stored.write_file(
                        program.directory / f"{name}.npz",
                        StoredPolicy(said | ({"name": name} if snapshots else {}), {}),
                    ).path
                    for name in (*names, "final" if snapshots else "policy")
                )
                found.append(Learned(path, Counts(5, 6, 7), {"q": 0.5}, tuple(earlier)))
            return found

        game: Any = Measured(gain)
        monkeypatch.setattr(launchpad_sampled, "estimate_gain", game.estimate_gain)
        oracle: Oracle = make_oracle(game, tmp_path / "tasks", run_programs, place, tolerance, trembles)
        return list(oracle(KEY, tasks)), game, seen

    def place(player: int, index: int) -> pathlib.Path:
        return tmp_path / "policies" / f"{player}_{index}.npz"

    return respond


def test_a_response_is_the_programs_network_made_greedy(ask: Ask, tmp_path: pathlib.Path) -> None:
    responses, game, _ = ask(Estimate(0.5, 0.1))
    for player, response in enumerate(responses):
        assert response.policy.path == tmp_path / "policies" / f"{player}_2.npz"
        kept = stored.read(response.policy.path)
        assert kept.about == {"kind": "network", "game": GAME, "player": player, "greedy": True}
        assert game.asked[player][0].about == kept.about
        assert (response.gain, response.standard_error) == (0.5, 0.1)
        assert math.isnan(response.best_gain)
        assert response.counts == Counts(5 + 40, 6, 7)
        assert response.metrics == {"q": 0.5}
    assert len({seed for *_, seed in game.asked}) == 2
    # What was measured and is kept elsewhere is not left lying.
    assert not list((tmp_path / "tasks").rglob("response*.npz"))


def test_the_response_is_the_best_snapshot_measured_in_games_of_its_own(
    ask: Ask, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[tuple[list[str], int]] = []

    def choose(game: Any, candidates: Sequence[pathlib.Path], player: int, *rest: Any) -> Choice:
        policies = [stored.read(path) for path in candidates]
        assert all(policy.about["greedy"] for policy in policies)
        chosen.append(([policy.about["name"] for policy in policies], rest[-1]))
        return Choice(1, 300)

    monkeypatch.setattr(launchpad_sampled, "choose", choose)
    responses, game, _ = ask(Estimate(0.5, 0.1), snapshots=6)
    for player, response in enumerate(responses):
        assert stored.read(response.policy.path).about["name"] == "snapshot 3"
        policy, _, seed = game.asked[player]
        assert policy.about["name"] == "snapshot 3"
        names, choosing = chosen[player]
        # Only the newest ones are worth the games.
        assert names == ["snapshot 2", "snapshot 3", "snapshot 4", "snapshot 5", "final"]
        # A gain in the games by which a policy was chosen would be too high.
        assert choosing != seed
        assert response.counts == Counts(5 + 300 + 40, 6, 7)
    assert not list((tmp_path / "tasks").rglob("response*.npz"))


def test_opponents_tremble_as_configured(ask: Ask) -> None:
    with pytest.raises(StoredPolicyError, match="cannot be read"):
        # Only trembles need the policy without weight, which is not there.
        ask(Estimate(0.5, 0.1), trembles=0.05)
    _, _, programs = ask(Estimate(0.5, 0.1))
    assert [mixture_files.load(program.opponents).trembles for program in programs] == [0, 0]


def test_policies_of_other_kinds_are_played_as_they_are(ask: Ask) -> None:
    responses, _, _ = ask(Estimate(0.5, 0.1), {"kind": "uniform"})
    assert "greedy" not in stored.read(responses[0].policy.path).about


@pytest.mark.parametrize(
    ("gain", "tolerance", "kept"),
    [
        (Estimate(0.11, 0.1), 0.0, True),
        (Estimate(0.09, 0.1), 0.0, False),
        (Estimate(-0.5, 0.1), 0.0, False),
        (Estimate(0.11, 0.1), 0.12, False),
        (Estimate(0.0, 0.0), 0.0, False),
    ],
)
def test_a_response_stays_that_gains_more_than_its_error_and_the_tolerance(
    ask: Ask, tmp_path: pathlib.Path, gain: Estimate, tolerance: float, kept: bool
) -> None:
    responses, *_ = ask(gain, tolerance=tolerance)
    assert [response.policy is not None for response in responses] == [kept, kept]
    assert [response.gain for response in responses] == [gain.value] * 2
    assert (tmp_path / "policies").exists() == kept


def test_programs_are_asked_for_as_in_compiled_games(ask: Ask, tmp_path: pathlib.Path) -> None:
    _, _, (first, second) = ask(Estimate(0.5, 0.1))
    assert (first.game, first.player, second.player) == (GAME, 0, 1)
    assert first.directory == task_directory(tmp_path / "tasks", KEY, 0) / "run"
    assert first.seed != second.seed
    loaded = mixture_files.load(first.opponents)
    assert [len(own) for own in loaded.policies] == [0, 2]
    assert loaded.policies[1][0] is None and loaded.policies[1][1] is not None


@pytest.mark.parametrize("about", [{"player": 5}, {"game": "leduc_poker()"}])
def test_a_policy_of_something_else_is_refused(ask: Ask, about: dict[str, Any]) -> None:
    with pytest.raises(StoredPolicyError, match=r"policy\.npz"):
        ask(Estimate(0.5, 0.1), about)
