"""Tests of all agents' builders: networks for each type of actions, and the runners of Acme's main branch.

As a program, `python -m tests.agents.acme_layer.builders_test AGENT`, this file runs a Launchpad program in
threads, which stop only when their process ends.
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

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import launchpad as lp
from absl import flags
from acme import specs
from acme.testing import fakes

from agents.core import Observation
from tests.agents.rows import Rows
from tests.agents.small_agents import SMALL_AGENTS

pytestmark = pytest.mark.usefixtures("quick_compilation")
ROOT = pathlib.Path(__file__).resolve().parents[3]
REPLAY = {"batch_size": 8, "min_replay_size": 8, "samples_per_insert": 8.0}
# The legal actions of the environment `Masked`.
LEGAL = (1, 2)

needs_experiments = pytest.mark.skipif(
    importlib.util.find_spec("acme.jax.experiments") is None,
    reason="acme.jax.experiments is in Acme's main branch only, not in the release that is installed",
)
every_agent = pytest.mark.parametrize("agent", SMALL_AGENTS)


class Masked(fakes.Environment):
    """A fake environment with three actions, the first of which is illegal."""

    def __init__(self) -> None:
        legal = np.array([False, True, True])
        observations = Observation(
            specs.Array((2,), np.float32),
            # Acme's fakes observe the minimum of each spec.
            specs.BoundedArray((3,), bool, legal, True),
            specs.Array((0,), np.float32),
        )
        rewards, discounts = specs.Array((), np.float32), specs.BoundedArray((), np.float32, 0.0, 1.0)
        spec = specs.EnvironmentSpec(observations, specs.DiscreteArray(3), rewards, discounts)
        super().__init__(spec, episode_length=10)

    def step(self, action: Any) -> Any:
        assert action in LEGAL
        return super().step(action)


def _environment(kind: str, seed: int = 0) -> Any:
    """Makes one of Acme's fake environments."""
    del seed
    if kind == "continuous":
        return fakes.ContinuousEnvironment(action_dim=2, observation_dim=3, bounded=True, episode_length=10)
    if kind == "masked":
        return Masked()
    return fakes.DiscreteEnvironment(
        num_actions=3, num_observations=2, obs_shape=(2,), obs_dtype=np.float32, episode_length=10
    )


def _config(agent: str, kind: str) -> Any:
    return SMALL_AGENTS[agent].configs["continuous" if kind == "continuous" else "discrete"]


@every_agent
@pytest.mark.parametrize("kind", ["discrete", "masked", "continuous"])
def test_policies_fit_the_environment(agent: str, kind: str) -> None:
    small, config = SMALL_AGENTS[agent], _config(agent, kind)
    spec = specs.make_environment_spec(_environment(kind))
    networks = small.make_networks(spec, config)
    builder, core = small.make_builder(config, small.replay(**REPLAY)), small.make_core(networks, config)
    variables = core.variables(jax.jit(core.init)(jax.random.PRNGKey(0)))
    observation = jax.tree.map(lambda each: each.generate_value(), spec.observations)
    taken = set()
    for evaluation in (False, True):
        policy = builder.make_policy(networks, spec, evaluation)
        select, state = jax.jit(policy.select_action), policy.init(jax.random.PRNGKey(1))
        for _ in range(20):
            action, state = select(variables, observation, state)
            spec.actions.validate(np.asarray(action))
            taken.add(tuple(np.ravel(action).tolist()))
    if kind == "masked":
        assert taken == {(action,) for action in LEGAL}
    else:
        assert len(taken) > 2


@every_agent
def test_the_bounds_are_the_environment_s_own(agent: str) -> None:
    actions = specs.BoundedArray((2,), np.float32, [0.0, -3.0], [1.0, 5.0])
    spec = specs.make_environment_spec(_environment("continuous"))._replace(actions=actions)
    bounds = SMALL_AGENTS[agent].make_networks(spec, _config(agent, "continuous")).bounds
    assert bounds is not None
    np.testing.assert_array_equal(bounds, [[0.0, -3.0], [1.0, 5.0]])
    spec = specs.make_environment_spec(_environment("discrete"))
    assert SMALL_AGENTS[agent].make_networks(spec, _config(agent, "discrete")).bounds is None


@every_agent
def test_unbounded_actions_are_refused(agent: str) -> None:
    spec = specs.make_environment_spec(fakes.ContinuousEnvironment(bounded=False))
    with pytest.raises(ValueError, match="no finite bounds: wrap the environment") as caught:
        SMALL_AGENTS[agent].make_networks(spec, _config(agent, "continuous"))
    assert "\n" not in str(caught.value)


def _experiment(agent: str, kind: str, rows: dict[str, Rows]) -> Any:
    from acme.jax import experiments

    small, config = SMALL_AGENTS[agent], _config(agent, kind)
    return experiments.ExperimentConfig(
        builder=small.make_builder(config, small.replay(**REPLAY)),
        network_factory=lambda spec: small.make_networks(spec, config),
        environment_factory=functools.partial(_environment, kind),
        max_num_actor_steps=60,
        seed=0,
        logger_factory=lambda label, steps_key=None, instance=0: rows.setdefault(label, Rows()),
        checkpointing=None,
    )


@needs_experiments
@every_agent
@pytest.mark.parametrize("kind", ["masked", "continuous"])
def test_it_runs_with_run_experiment(
    agent: str, kind: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme.jax import experiments

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows: dict[str, Rows] = {}
    experiments.run_experiment(_experiment(agent, kind, rows), eval_every=30, num_eval_episodes=1)
    assert rows["actor"].rows[-1]["actor_steps"] == 60
    # One gradient step for each decision, except for decisions that have not arrived yet.
    assert 30 <= rows["learner"].rows[-1]["learner_steps"] <= 60
    assert np.isfinite([row["critic_loss"] for row in rows["learner"].rows]).all()
    assert rows["evaluator"].rows[-1]["evaluator_episodes"] == 3


@needs_experiments
@every_agent
def test_it_runs_with_make_distributed_experiment(agent: str, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tests.agents.acme_layer.builders_test", agent]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["learner_steps"] == counts["learner_gradient_steps"] == 6
    assert counts["actor_steps"] >= 8


def _launch(agent: str) -> dict[str, Any]:
    """Runs six learner steps of a program with one actor and an evaluator, and returns its counts."""
    from acme.jax import experiments

    program = experiments.make_distributed_experiment(_experiment(agent, "continuous", {}), num_actors=1)
    (learner_node,) = program.groups["learner"]
    learner_node.disable_run()
    lp.launch(program, launch_type="test_mt", serialize_py_nodes=False)
    learner: acme.Learner = learner_node.create_handle().dereference()
    for _ in range(5):
        learner.step()
    # Counters synchronise when they are incremented, at most once a second.
    time.sleep(1.1)
    learner.step()
    return dict(program.groups["counter"][0].create_handle().dereference().get_counts())


if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    print(json.dumps(_launch(sys.argv[1])), flush=True)
    os._exit(0)
