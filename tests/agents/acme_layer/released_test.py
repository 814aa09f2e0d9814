"""Tests of agents.acme_layer.released: all agents with the runners of dm-acme 0.4.0.

As a program, `python -m tests.agents.acme_layer.released_test DIRECTORY AGENT,KIND...`, this file runs
Launchpad programs in threads, as Acme's own tests do. These threads cannot be stopped while they wait in
Reverb or Courier, and so the test runs them in a process of their own, which can be stopped.
"""

import contextlib
import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

if importlib.util.find_spec("acme.jax.experiments"):
    pytest.skip("this Acme is newer than the release", allow_module_level=True)

import acme
import dm_env
import jax
import jax.numpy as jnp
import launchpad as lp
from absl import flags
from acme import specs
from acme.jax.layouts import distributed_layout
from acme.testing import fakes
from acme.utils import counting, loggers

from agents.acme_layer import released
from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.replay import ReplayConfig
from agents.core import AgentCore, Observation
from tests.agents.rows import Rows
from tests.agents.small_agents import SMALL_AGENTS, SmallAgent

pytestmark = pytest.mark.usefixtures("quick_compilation")
ROOT = pathlib.Path(__file__).resolve().parents[3]


class Game(dm_env.Environment):
    """A game that pays 1 for the action that the observation shows.

    One of the other actions is illegal. After the last decision of an episode, all actions are.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._left = 0
        self._observation = self._observe()

    def _observe(self) -> Observation:
        shown, forbidden = self._rng.choice(3, size=2, replace=False)
        legal = np.arange(3) != forbidden
        info_state = np.eye(3, dtype=np.float32)[shown]
        if self._left == 0:
            legal, info_state = np.zeros_like(legal), np.zeros_like(info_state)
        return Observation(info_state, legal, np.zeros(0, np.float32))

    def reset(self) -> dm_env.TimeStep:
        self._left = 4
        self._observation = self._observe()
        return dm_env.restart(self._observation)

    def step(self, action: Any) -> dm_env.TimeStep:
        assert self._observation.legal_actions[action]
        reward = np.float32(self._observation.info_state[action])
        self._left -= 1
        self._observation = self._observe()
        kind = dm_env.StepType.MID if self._left else dm_env.StepType.LAST
        return dm_env.TimeStep(kind, reward, np.float32(self._left > 0), self._observation)

    def observation_spec(self) -> Any:
        legal_actions = specs.Array((3,), bool)
        return Observation(specs.Array((3,), np.float32), legal_actions, specs.Array((0,), np.float32))

    def action_spec(self) -> Any:
        return specs.DiscreteArray(3)

    def reward_spec(self) -> Any:
        return specs.Array((), np.float32)

    def discount_spec(self) -> Any:
        return specs.BoundedArray((), np.float32, 0.0, 1.0)


class Control(Game):
    """A task whose reward is minus the squared distance of an action to the observed number, from 2 to 6."""

    def _observe(self) -> Any:
        return self._rng.uniform(2.0, 6.0, size=1).astype(np.float32)

    def step(self, action: Any) -> dm_env.TimeStep:
        self.action_spec().validate(action)
        reward = np.float32(-np.square(action - self._observation).sum())
        self._left -= 1
        self._observation = self._observe()
        kind = dm_env.StepType.MID if self._left else dm_env.StepType.LAST
        return dm_env.TimeStep(kind, reward, np.float32(self._left > 0), self._observation)

    def observation_spec(self) -> Any:
        return specs.Array((1,), np.float32)

    def action_spec(self) -> Any:
        return specs.BoundedArray((1,), np.float32, 2.0, 6.0)


REPLAY = {
    "batch_size": 32,
    # Fewer than a batch. The local layout samples only after a whole batch, and if Reverb limited the rate
    # from this size on, it would block the inserts before that.
    "min_replay_size": 8,
    "samples_per_insert": 64.0,
    "variable_update_period": 1,
}
KINDS: dict[str, type[Game]] = {"discrete": Game, "continuous": Control}


@pytest.fixture(autouse=True)
def _replay_writes_in_temporary_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def _parts(small: SmallAgent, kind: str, **settings: Any) -> tuple[CoreBuilder, Any]:
    """Makes a builder and a network factory."""
    config = small.configs[kind]
    builder = small.make_builder(config, small.replay(**REPLAY | settings))
    return builder, functools.partial(small.make_networks, config=config)


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("crossq", "discrete"),
        ("crossq", "continuous"),
        ("conditional_mpo", "discrete"),
        ("conditional_mpo", "continuous"),
        ("vmpo", "discrete"),
        pytest.param("vmpo", "continuous", marks=pytest.mark.slow),
    ],
)
def test_it_learns_in_one_process(agent: str, kind: str, tmp_path: pathlib.Path) -> None:
    """The returns of the best policy are 4 (discrete) and 0 (continuous).

    A random policy has 2 and -10.7, and one that always takes the middle of the interval has -5.3.
    """
    gradient_steps, least_return = {"discrete": (2, 3.9), "continuous": (4, -3.0)}[kind]
    builder, networks = _parts(SMALL_AGENTS[agent], kind, samples_per_insert=32.0 * gradient_steps)
    environment = KINDS[kind]()
    spec = acme.make_environment_spec(environment)
    rows, counter = Rows(), counting.Counter()
    learning = released.make_local_agent(
        builder,
        networks,
        spec,
        seed=0,
        logger_fn=lambda *args: rows,
        counter=counter,
        workdir=str(tmp_path / "work"),
    )
    acme.EnvironmentLoop(environment, learning, counter, loggers.NoOpLogger()).run(num_steps=300)
    counts = counter.get_counts()
    # From the first full batch on, each decision is followed by this number of gradient steps. The counts of
    # the actor and of the learner do not mix.
    assert counts["steps"] == 300
    assert counts["learner_steps"] == counts["learner_gradient_steps"] == gradient_steps * (300 - 32 + 1)
    assert np.isfinite([row["critic_loss"] for row in rows.rows]).all()
    policy = builder.make_policy(networks(spec), spec, evaluation=True)
    evaluator = builder.make_actor(jax.random.PRNGKey(1), policy, spec, learning)
    results = Rows()
    acme.EnvironmentLoop(KINDS[kind](seed=1), evaluator, logger=results).run(num_episodes=25)
    assert np.mean([row["episode_return"] for row in results.rows]) > least_return
    assert list((tmp_path / "work").rglob("ckpt-*"))


def test_the_evaluator_performs_what_actors_only_try() -> None:
    core = AgentCore(
        init=lambda key: jnp.zeros(()),
        update=lambda state, batch: (state, {}),
        variables=lambda state: state,
        act=lambda variables, key, observation: jnp.argmax(observation.legal_actions, axis=-1),
        perform=lambda variables, key, observation: jnp.argmax(observation.info_state, axis=-1),
    )
    replay = ReplayConfig(**REPLAY)  # type: ignore[arg-type]
    builder, counter, labels = CoreBuilder(lambda networks: core, 1.0, replay), counting.Counter(), []

    def logger_fn(*args: Any) -> loggers.Logger:
        labels.append(args)
        return loggers.NoOpLogger()

    layout = released.DistributedLayout(
        builder, lambda spec: None, Game, seed=0, num_actors=1, logger_fn=logger_fn
    )
    (evaluate,) = layout._evaluator_factories
    source = fakes.VariableSource(np.zeros(()))
    loop = evaluate(
        jax.random.PRNGKey(0),
        source,
        counter,
        lambda key, policy, source: layout._builder.make_actor(key, policy, variable_source=source),
    )
    assert [loop.run_episode()["episode_return"] for _ in range(3)] == [4.0] * 3
    assert labels == [("evaluator", "actor_steps")]


def test_the_first_step_is_made_inside_a_context() -> None:
    """It compiles, which takes as long as many others, and a display may want to say so."""
    core = AgentCore(
        init=lambda key: jnp.zeros(()),
        update=lambda state, batch: (state + 1.0, {"critic_loss": state}),
        variables=lambda state: state,
        act=lambda variables, key, observation: jnp.argmax(observation.legal_actions, axis=-1),
        perform=lambda variables, key, observation: jnp.argmax(observation.legal_actions, axis=-1),
    )
    builder = CoreBuilder(lambda networks: core, 1.0, ReplayConfig(batch_size=4, min_replay_size=4))
    spec, events = acme.make_environment_spec(Game()), list[Any]()
    agent = released.make_local_agent(builder, lambda spec: None, spec, seed=0, in_process=True)
    learner = agent.learner

    @contextlib.contextmanager
    def watched() -> Iterator[None]:
        events.append(float(learner.save()))
        yield
        events.append(float(learner.save()))

    agent.first_step_inside(watched)
    acme.EnvironmentLoop(Game(), agent, logger=loggers.NoOpLogger()).run(num_episodes=3)
    assert events == [0.0, 1.0]
    # What others read is the same learner, which went on.
    assert float(agent.learner.save()) == float(learner.save()) > 1.0
    agent.learner.restore(np.float32(7.0))
    assert agent.learner.get_variables(["policy"]) == [7.0]


# Compiling a program takes seconds, so that few combinations are run: an agent with replay, and one that
# uses each decision once.
PROGRAMS = (("crossq", "continuous"), ("vmpo", "discrete"))
MORE_PROGRAMS = (("crossq", "discrete"), ("conditional_mpo", "continuous"))


@pytest.mark.parametrize("programs", [PROGRAMS, pytest.param(MORE_PROGRAMS, marks=pytest.mark.slow)])
def test_they_learn_as_launchpad_programs(
    programs: tuple[tuple[str, str], ...], tmp_path: pathlib.Path
) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    named = [",".join(each) for each in programs]
    command = [sys.executable, "-m", "tests.agents.acme_layer.released_test", str(tmp_path), *named]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == [f"{agent}, {kind}" for agent, kind in programs]
    for counts in found.values():
        assert counts["learner_steps"] == counts["learner_gradient_steps"] == 6
        assert counts["actor_steps"] > 0
        assert counts["moved"]


def _launch(agent: str, kind: str, directory: str) -> dict[str, Any]:
    """Runs six learner steps of a program with one actor.

    Returns:
      The program's counts, and `moved`, which is True if the policy's variables have changed.
    """
    directory = f"{directory}/{agent}/{kind}"
    checkpointing = distributed_layout.CheckpointingConfig(directory=directory, add_uid=False)
    layout = released.DistributedLayout(
        *_parts(SMALL_AGENTS[agent], kind),
        KINDS[kind],
        seed=0,
        num_actors=1,
        # An evaluator would never stop, and it would share the interpreter's time with the other threads.
        evaluate=False,
        checkpointing_config=checkpointing,
    )
    program = layout.build()
    (learner_node,) = program.groups["learner"]
    learner_node.disable_run()
    lp.launch(program, launch_type="test_mt")
    learner = learner_node.create_handle().dereference()
    (before,) = learner.get_variables(["policy"])
    for _ in range(5):
        learner.step()
    (after,) = learner.get_variables(["policy"])
    moved = [
        bool((one != other).any()) for one, other in zip(*map(jax.tree.leaves, (before, after)), strict=True)
    ]
    # Counters synchronise when they are incremented, at most once a second.
    time.sleep(1.1)
    learner.step()
    counter = program.groups["counter"][0].create_handle().dereference()
    return {**counter.get_counts(), "moved": any(moved)}


if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    jax.config.update("jax_disable_most_optimizations", True)
    chosen = [each.split(",") for each in sys.argv[2:]]
    results = {f"{agent}, {kind}": _launch(agent, kind, sys.argv[1]) for agent, kind in chosen}
    print(json.dumps(results), flush=True)
    os._exit(0)
