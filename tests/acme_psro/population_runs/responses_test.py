"""Tests of best responses as runs of one agent."""

import pathlib
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from acme_psro.agent_runs import placement, program_jobs
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.plateau import Plateau
from acme_psro.games.compile import compile_game
from acme_psro.oracles.launchpad.config import LaunchpadConfig
from acme_psro.oracles.launchpad.tasks import Learned, Program
from acme_psro.policies import stored
from acme_psro.population_runs import responses
from acme_psro.population_runs.config import PSROConfig
from acme_psro.system import supervision
from acme_psro.system.jobs import Job


def make_program(directory: pathlib.Path, player: int = 1) -> Program:
    return Program("kuhn_poker()", player, directory / "opponents", directory / "run", 7)


def _learner(config: PSROConfig) -> responses.Learner:
    return responses.Learner(config.agent, config.agent_settings)


def test_a_program_is_a_run_of_the_agent_against_the_mixture(tmp_path: pathlib.Path) -> None:
    config = PSROConfig("kuhn_poker", oracle="launchpad", agent="conditional_mpo")
    settings = LaunchpadConfig(
        actor_steps=100, actors_per_response=3, games_per_actor=5, lp_launch_type="local_mt"
    )
    run = responses.make_run_config(_learner(config), settings, make_program(tmp_path))
    assert (run.agent, run.environment, run.player) == ("conditional_mpo", "openspiel:kuhn_poker()", 1)
    assert (run.opponent, run.seed) == (str(tmp_path / "opponents"), 7)
    assert (run.actor_steps, run.num_actors, run.games_per_actor) == (100, 3, 5)
    assert run.distributed and run.lp_launch_type == "local_mt"
    assert (run.evaluate_every, run.evaluation_episodes) == (20, 10)
    assert (run.plateau, run.learner_devices) == (None, "")
    assert run.snapshots == settings.snapshots > 1


def test_a_program_that_may_end_at_a_plateau_is_judged_more_often(tmp_path: pathlib.Path) -> None:
    config = PSROConfig("kuhn_poker", oracle="launchpad")
    settings = LaunchpadConfig(actor_steps=6000, plateau_patience=3, plateau_min_improvement=0.25)
    run = responses.make_run_config(_learner(config), settings, make_program(tmp_path))
    assert run.plateau == Plateau(3, 0.25)
    # Two times three evaluations, which are needed to see one, are a fifth of the budget.
    assert (run.evaluate_every, run.evaluation_episodes) == (200, 100)


@pytest.mark.parametrize(
    ("devices", "at_once", "seen", "fractions"),
    [
        ("", 1, [None, None, None], [None, None, None]),
        ("", 2, [None, None, None], ["0.375", "0.375", "0.375"]),
        ("0,1", 2, ["0", "1", "0"], ["0.375", None, "0.375"]),
        ("0,1,2", 3, ["0", "1", "2"], [None, None, None]),
        ("1", 1, ["1", "1", "1"], [None, None, None]),
    ],
)
def test_learners_of_parallel_programs_have_devices_in_turn(
    devices: str,
    at_once: int,
    seen: list[str | None],
    fractions: list[str | None],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Job] = []

    class AllStartedError(Exception):
        pass

    def run_all(jobs: list[Job], **options: object) -> None:
        assert options["at_once"] == at_once
        given.extend(jobs)
        raise AllStartedError

    for name in ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(supervision, "run_all", run_all)
    monkeypatch.setattr(placement, "_count_devices", lambda: 3)
    settings = {"learner_devices": devices, "max_parallel_programs": at_once}
    config = PSROConfig("kuhn_poker", oracle="launchpad", launchpad=settings)
    run_programs = responses.make_run_programs(config, print)
    with pytest.raises(AllStartedError):
        run_programs([make_program(tmp_path / str(player), player) for player in range(3)])
    assert [job.environment.get("CUDA_VISIBLE_DEVICES") for job in given] == seen
    assert [job.environment.get("XLA_PYTHON_CLIENT_MEM_FRACTION") for job in given] == fractions


@pytest.mark.parametrize(
    ("settings", "agent", "steps", "learning_rate"),
    [
        ({}, "crossq", 9000, {"learning_rate": 0.5}),
        ({"exploiter_agent": "ppo"}, "ppo", 9000, {}),
        ({"exploiter_agent": "ppo", "exploiter_steps": 20_000}, "ppo", 20_000, {}),
    ],
)
def test_exploiters_may_have_an_agent_and_a_budget_of_their_own(
    settings: dict,
    agent: str,
    steps: int,
    learning_rate: dict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[AgentRunConfig] = []
    monkeypatch.setattr(program_jobs, "make_job", lambda run, *_: begun.append(run))
    monkeypatch.setattr(supervision, "run_all", lambda jobs, **_: None)
    monkeypatch.setattr(responses, "_read_result", lambda run, program: run)
    config = PSROConfig(
        "kuhn_poker",
        oracle="launchpad",
        agent_settings={"learning_rate": 0.5},
        launchpad={"actor_steps": 9000, **settings},
    )
    for exploiters in (False, True):
        responses.make_run_programs(config, print, exploiters)([make_program(tmp_path)])
    usual, exploiter = begun
    assert (usual.agent, usual.actor_steps) == ("crossq", 9000)
    assert (exploiter.agent, exploiter.actor_steps) == (agent, steps)
    assert exploiter.agent_settings == learning_rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"plateau_min_improvement": 0.1}, "plateau_min_improvement needs a plateau_patience"),
        ({"actors_per_response": 5000}, "--actors_per_response=5000 asks for 5000 actors on "),
        ({"learner_devices": "5"}, "--learner_devices=5 asks for device 5, but JAX shows 1 CUDA device here"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_before_anything_runs(
    settings: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "_count_devices", lambda: 1)
    with pytest.raises(ValueError, match=message):
        responses.make_run_programs(PSROConfig("kuhn_poker", launchpad=settings), print)


def test_a_setting_that_there_is_not_is_refused(tmp_path: pathlib.Path) -> None:
    config = PSROConfig("kuhn_poker", oracle="launchpad", launchpad={"actor_steps": 0})
    with pytest.raises(ValueError, match="actor_steps must be at least 1, not 0"):
        responses.make_run_programs(config, print)


def test_a_child_that_refuses_its_input_says_why(tmp_path: pathlib.Path) -> None:
    if sys.version_info >= (3, 11):
        pytest.skip("the Acme layer ends at Python 3.10")
    config = PSROConfig("kuhn_poker", oracle="launchpad")
    # There is no mixture to play against.
    with pytest.raises(ValueError, match="opponents"):
        responses.make_run_programs(config, print)([make_program(tmp_path)])


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_psro_by_programs_gains_in_kuhn_poker(tmp_path: pathlib.Path) -> None:
    from acme_psro.meta_game.exact import ExactMetaGame
    from acme_psro.oracles.launchpad.exact import make_oracle
    from acme_psro.policies.as_table import make_table
    from acme_psro.psro import loop, meta_solving
    from acme_psro.solvers import get_solver

    tree = compile_game("kuhn_poker", cache=False)
    config = PSROConfig("kuhn_poker", oracle="launchpad", launchpad={"actor_steps": 6000})
    run_programs = responses.make_run_programs(config, print)
    asked: list[Program] = []
    found: list[Learned] = []

    def run(programs: Sequence[Program]) -> Sequence[Learned]:
        asked.extend(programs)
        found.extend(run_programs(programs))
        return found

    oracle = make_oracle(tree, tmp_path, run, make_table, trembles=0.05)
    meta_game = ExactMetaGame(tree)
    psro = meta_solving.make_loop(meta_game, get_solver("nash"))
    state = loop.initialise(meta_game, psro)
    after = loop.step(state, loop.iteration_key(0, 0), oracle=oracle, meta_game=meta_game, loop=psro)
    for response in after.responses:
        assert response.gain > 0.8 * response.best_gain
        counts = response.counts
        assert counts.env_steps >= 6000 and counts.gradient_steps > 0 and counts.episodes > 0
    for learned in found:
        assert 1 <= len(learned.snapshots) < 10
        tables = [make_table(tree, stored.read(path)) for path in learned.candidates]
        assert all(np.isfinite(table).all() for table in tables)
        # Policies at different times of training.
        assert np.abs(tables[0] - tables[-1]).max() > 0.01
    # Asked again, finished programs are not run again, and give the same policies.
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert list(run_programs(asked)) == found
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
