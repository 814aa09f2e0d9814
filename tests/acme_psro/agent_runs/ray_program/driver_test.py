"""Tests of programs on a Ray cluster of this process: a whole run, in which parts are lost."""

import contextlib
import dataclasses
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.ray_program.nodes import Nodes
from acme_psro.policies import stored
from acme_psro.system import tables
from tests.acme_psro.system.executors import ray_nodes

ray = pytest.importorskip("ray")

from acme_psro.agent_runs.ray_program.driver import Driver  # noqa: E402

MakeConfig = Callable[..., AgentRunConfig]
# Decisions after the learner was lost.
STEPS = 1600


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.cluster(num_nodes=2, num_cpus=2) as found:
        yield found


@contextlib.contextmanager
def driving(config: AgentRunConfig, directory: pathlib.Path, nodes: ray_nodes.Nodes) -> Iterator[Any]:
    """Runs a program in a thread, and yields its driver and the thread's error."""
    run_directory.begin(directory, config)
    errors: list[BaseException] = []
    places = Nodes(config, nodes.placing(), has_own_ray=False)
    with open_checkpoints(directory / "checkpoints") as checkpoints:
        driver = Driver(config, directory, places, checkpoints)

        def run() -> None:
            try:
                driver.run()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield driver, thread, errors
        finally:
            places.close()
            thread.join(30)
            assert not thread.is_alive()


def wait_until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def test_lost_parts_cost_no_more_than_they_have_to(
    small: MakeConfig,
    kuhn_mixture: pathlib.Path,
    tmp_path: pathlib.Path,
    nodes: ray_nodes.Nodes,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A lost actor is replaced while the learner goes on; a lost learner is resumed from its checkpoint."""
    config = small(
        distributed=True,
        actor_steps=10**6,
        num_actors=2,
        evaluate_every=STEPS // 4,
        checkpoint_seconds=0.5,
        snapshots=4,
        opponent=str(kuhn_mixture),
        replay_settings={"samples_per_insert": 4.0},
    )
    run = tmp_path / "run"
    with driving(config, run, nodes) as (driver, thread, errors):
        learner, actors = driver._learner, driver._actors
        wait_until(lambda: (run / "actor.csv").exists() and (run / "actor_1.csv").exists())
        ray.kill(actors._handles[1])
        before = ray.get(learner.report.remote())
        wait_until(lambda: ray.get(learner.report.remote()).messages[1] > before.messages[1] + 2)
        assert [slot.attempt for slot in actors._slots] == [0, 1]
        assert "actor 1 was lost and is replaced in 1 s" in capfd.readouterr().out
        # The learner went on meanwhile, and is the same one.
        assert ray.get(learner.report.remote()).counts["learner_steps"] > before.counts["learner_steps"]
        wait_until(lambda: (run_directory.newest_checkpoint(run) or 0) > before.counts["actor_steps"])
        ray.kill(learner)
        thread.join(30)
        assert not thread.is_alive()
    assert isinstance(errors[0], ray.exceptions.RayActorError)
    assert run_directory.read_finished(run, config) is None
    assert not run_directory.policy_file(run).exists()
    reached = run_directory.newest_checkpoint(run)
    assert reached > 0
    config = dataclasses.replace(config, actor_steps=reached + STEPS)
    with driving(config, run, nodes) as (driver, thread, errors):
        thread.join(90)
    assert not errors
    check_whole(config, run, reached)


def check_whole(config: AgentRunConfig, run: pathlib.Path, resumed_from: int) -> None:
    """Checks that the files of a run are those of a program that has finished."""
    finished = run_directory.read_finished(run, config)
    assert finished is not None and finished.reason == "budget"
    steps, updates = finished.counts["actor_steps"], finished.counts["learner_gradient_steps"]
    # An actor may have sent one message more than was wanted.
    assert config.actor_steps <= steps <= config.actor_steps + 2 * 160
    # 4 samples for each decision, in batches of 16; what was in replay when the learner was lost is gone.
    assert 0.8 * steps * 4 / 16 < updates <= 1.05 * steps * 4 / 16
    rows = {name: tables.read(run / f"{name}.csv") for name in ("learner", "actor", "actor_1", "evaluation")}
    for name in ("learner", "actor", "actor_1"):
        made = [row["actor_steps"] for row in rows[name]]
        assert made == sorted(made) and made[-1] > resumed_from
    assert [row["actor_steps"] for row in tables.read(run / "starts.csv")] == [0, resumed_from]
    assert rows["evaluation"][-1]["best_response_value"] >= rows["evaluation"][-1]["exact_value"]
    assert sorted(run_directory.signs_of_life(run, config)) == ["ending"]
    policy = stored.read(run_directory.policy_file(run))
    assert policy.about["agent"] == "crossq" and policy.about["player"] == 0
    assert 1 <= len(list((run / "snapshots").iterdir())) <= 3
    assert json.loads((run / "config.json").read_text())["actor_steps"] == config.actor_steps


def test_an_error_of_an_actor_ends_the_program(
    small: MakeConfig, tmp_path: pathlib.Path, nodes: ray_nodes.Nodes
) -> None:
    """A run of another game as the opponent is no accident that a replacement could mend."""
    wrong = tmp_path / "mixture"
    config = small(distributed=True, opponent=str(wrong))
    wrong.mkdir()
    (wrong / "config.json").write_text('{"game": "leduc_poker"}\n')
    with driving(config, tmp_path / "run", nodes) as (_, thread, errors):
        thread.join(60)
    assert isinstance(errors[0], ValueError)
    run_directory.write_failure(tmp_path / "run", errors[0])
    failure = run_directory.read_failure(tmp_path / "run")
    assert failure is not None and failure.is_final
    assert run_directory.newest_checkpoint(tmp_path / "run") == 0
