"""Tests of agents.crossq.builder: networks for every kind of actions, and the runners of Acme's main branch.

Run as a program, `python -m tests.agents.crossq.builder_test`, this file runs a Launchpad program in threads,
which only the end of a process stops.
"""

import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_compat  # noqa: F401

# isort: split

import acme
import launchpad as lp
from absl import flags
from acme import specs
from acme.testing import fakes

from agents.builder import ReplayConfig
from agents.crossq import CrossQConfig
from agents.crossq.builder import CrossQBuilder, make_networks
from tests.agents.rows import Rows

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = CrossQConfig(
    critic_hidden_sizes=(), policy_hidden_sizes=(), learn_temperature=False, normalise_inputs=False
)
REPLAY = ReplayConfig(
    batch_size=8, min_replay_size=8, samples_per_insert=8.0, prefetch_size=1, num_parallel_calls=1
)

needs_experiments = pytest.mark.skipif(
    importlib.util.find_spec("acme.jax.experiments") is None,
    reason="acme.jax.experiments is in Acme's main branch only, not in the release that is installed",
)


def _environment(kind: str, seed: int = 0) -> Any:
    """One of Acme's fakes."""
    del seed
    if kind == "continuous":
        return fakes.ContinuousEnvironment(action_dim=2, observation_dim=3, bounded=True, episode_length=10)
    return fakes.DiscreteEnvironment(
        num_actions=3, num_observations=2, obs_shape=(2,), obs_dtype=np.float32, episode_length=10
    )


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_policies_fit_the_environment(kind: str) -> None:
    spec = specs.make_environment_spec(_environment(kind))
    networks = make_networks(spec, CONFIG)
    builder = CrossQBuilder(CONFIG, REPLAY)
    variables = jax.jit(builder._make_core(networks).init)(jax.random.PRNGKey(0))
    variables = builder._make_core(networks).variables(variables)
    observation = jax.tree.map(lambda each: each.generate_value(), spec.observations)
    for evaluation in (False, True):
        policy = builder.make_policy(networks, spec, evaluation)
        action, _ = policy.select_action(variables, observation, policy.init(jax.random.PRNGKey(1)))
        spec.actions.validate(np.asarray(action))


def test_the_bounds_are_the_environment_s_own() -> None:
    actions = specs.BoundedArray((2,), np.float32, [0.0, -3.0], [1.0, 5.0])
    spec = specs.make_environment_spec(_environment("continuous"))._replace(actions=actions)
    bounds = make_networks(spec, CONFIG).bounds
    assert bounds is not None
    np.testing.assert_array_equal(bounds, [[0.0, -3.0], [1.0, 5.0]])
    assert make_networks(specs.make_environment_spec(_environment("discrete")), CONFIG).bounds is None


def test_unbounded_actions_are_refused() -> None:
    spec = specs.make_environment_spec(fakes.ContinuousEnvironment(bounded=False))
    with pytest.raises(ValueError, match="no finite bounds: wrap the environment"):
        make_networks(spec, CONFIG)


def test_defaults_are_those_of_the_agent_and_of_replay() -> None:
    assert CrossQBuilder().replay == ReplayConfig()
    assert CrossQBuilder()._discount == CrossQConfig().discount
    assert CrossQBuilder(CrossQConfig(discount=0.5))._discount == 0.5


def _experiment(kind: str, rows: dict[str, Rows]) -> Any:
    from acme.jax import experiments

    return experiments.ExperimentConfig(
        builder=CrossQBuilder(CONFIG, REPLAY),
        network_factory=lambda spec: make_networks(spec, CONFIG),
        environment_factory=functools.partial(_environment, kind),
        max_num_actor_steps=60,
        seed=0,
        logger_factory=lambda label, steps_key=None, instance=0: rows.setdefault(label, Rows()),
        checkpointing=None,
    )


@needs_experiments
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_it_runs_with_run_experiment(
    kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme.jax import experiments

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows: dict[str, Rows] = {}
    experiments.run_experiment(_experiment(kind, rows), eval_every=30, num_eval_episodes=1)
    assert rows["actor"].rows[-1]["actor_steps"] == 60
    # One gradient step for each decision, but for what is still on its way.
    assert 30 <= rows["learner"].rows[-1]["learner_steps"] <= 60
    assert np.isfinite([row["critic_loss"] for row in rows["learner"].rows]).all()
    assert rows["evaluator"].rows[-1]["evaluator_episodes"] == 3


@needs_experiments
def test_it_runs_with_make_distributed_experiment(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tests.agents.crossq.builder_test"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["learner_steps"] == counts["learner_gradient_steps"] == 6
    assert counts["actor_steps"] >= 8


def _launch() -> dict[str, Any]:
    """Six learner steps of a program with one actor and an evaluator; what was counted."""
    from acme.jax import experiments

    program = experiments.make_distributed_experiment(_experiment("continuous", {}), num_actors=1)
    (learner_node,) = program.groups["learner"]
    learner_node.disable_run()
    lp.launch(program, launch_type="test_mt", serialize_py_nodes=False)
    learner: acme.Learner = learner_node.create_handle().dereference()
    for _ in range(5):
        learner.step()
    # Counters tell each other once a second, when they count.
    time.sleep(1.1)
    learner.step()
    return dict(program.groups["counter"][0].create_handle().dereference().get_counts())


if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    print(json.dumps(_launch()), flush=True)
    os._exit(0)
