"""Tests of the nodes of a program, with real calls between them.

As a script, `python layout_test.py DIRECTORY`, this file runs a Launchpad program in threads. A separate
process is needed because threads cannot be stopped while they wait in Reverb or Courier.
"""

import json
import os
import pathlib
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
import launchpad as lp
import numpy as np
from absl import flags

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.checkpoints import Saved, open_checkpoints
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.agent_runs.program import layout

pytestmark = pytest.mark.usefixtures("quick_module")

ROOT = pathlib.Path(__file__).resolve().parents[4]
CONFIG = AgentRunConfig(
    "crossq",
    "openspiel:kuhn_poker",
    1000,
    evaluate_every=100,
    agent_settings={
        "critic_hidden_sizes": [8],
        "policy_hidden_sizes": [8],
        "num_critics": 1,
        "policy_delay": 1,
    },
    replay_settings={"batch_size": 16, "min_replay_size": 40, "samples_per_insert": 4.0},
    distributed=True,
    # Nodes that share a process have no handles of their own.
    replay_with_learner=False,
)


def test_counts_go_on_from_the_checkpoint(tmp_path: pathlib.Path) -> None:
    program = layout.AgentLayout(CONFIG, make_parts(CONFIG), tmp_path)
    assert program.counter().get_counts() == {}
    counts = {"actor_steps": 50.0, "learner_steps": 3.0, "training_seconds": 2.5}
    with open_checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(Saved({"steps": np.int32(0)}, counts))
    assert program.counter().get_counts() == counts


@pytest.mark.parametrize(
    ("launch_type", "with_learner", "is_on_its_own"),
    [
        ("local_mp", True, False),
        ("local_mp", False, True),
        ("local_mt", True, True),
        ("vertex_ai", True, True),
    ],
)
def test_replay_is_with_the_learner_where_both_have_processes(
    launch_type: str, with_learner: bool, is_on_its_own: bool, tmp_path: pathlib.Path
) -> None:
    changes = {"lp_launch_type": launch_type, "replay_with_learner": with_learner}
    config = AgentRunConfig(**CONFIG.to_json() | changes)
    made = layout.make_program(config, make_parts(config), tmp_path)
    assert ("replay" in made.groups) is is_on_its_own
    assert len(made.groups["learner"]) == 1


def test_environments_are_made_elsewhere_from_what_was_sent() -> None:
    factory = pickle.loads(pickle.dumps(layout.EnvironmentFactory(CONFIG)))
    one, other = (factory(np.uint32(2**32 - 1)).reset().observation for _ in range(2))
    assert (one.info_state == other.info_state).all()


@pytest.mark.slow
def test_a_program_learns_by_calls_between_its_nodes(tmp_path: pathlib.Path, compiled: pathlib.Path) -> None:
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {
        "TMPDIR": str(tmp_path / "temporary"),
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, __file__, str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["labels"] == ["actor", "counter", "evaluator", "learner", "replay"]
    assert found["actors"] == 2
    assert found["moved"]
    counts = found["counts"]
    assert counts["learner_gradient_steps"] == 4 * counts["learner_steps"] >= 8
    assert counts["actor_steps"] >= 40


def _launch(directory: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """Runs a program until its learner has made two steps, and returns observations of it."""
    config = AgentRunConfig(**CONFIG.to_json() | {"num_actors": 2, "actor_steps": 1_000_000})
    run_directory.begin(directory, config)
    made = layout.make_program(config, make_parts(config), directory)
    yield "labels", sorted(made.groups)
    yield "actors", len(made.groups["actor"])
    lp.launch(made, launch_type="test_mt")
    learner = made.groups["learner"][0].create_handle().dereference()
    counter = made.groups["counter"][0].create_handle().dereference()
    (before,) = learner.get_variables(["policy"])
    while counter.get_counts().get("learner_steps", 0) < 2:
        time.sleep(0.1)
    (after,) = learner.get_variables(["policy"])
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    yield "moved", any(bool((one != other).any()) for one, other in pairs)
    # Counters tell each other once a second.
    time.sleep(1.5)
    yield "counts", dict(counter.get_counts())


if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    print(json.dumps(dict(_launch(pathlib.Path(sys.argv[1])))), flush=True)
    os._exit(0)
