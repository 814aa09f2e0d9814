"""Public complaints about learning agents as inputs, with the right answers: masks, statistics, loading.

Each test names the numbers of its cases in the collection of complaints.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.agent_runs import directory
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.storage.run_config import RunDirectoryError
from agents import conditional_mpo, crossq
from agents.conditional_mpo import discrete as mpo_discrete
from agents.conditional_mpo.base import EvaluationParams
from agents.conditional_mpo.networks import MPONetworks
from agents.core import Observation, Transition, join
from agents.crossq import base as crossq_base
from agents.crossq import discrete as crossq_discrete
from agents.networks import masked_log_probs
from agents.registry import AGENTS
from tests.acme_psro.commands.launching import ROOT

GAMMA = 0.9
# The first action is legal and worth -5, the second is not and would be worth 0.
VALUES = jnp.array([[1.0, 2.0], [-5.0, 0.0]])


def _decision(discount: float, legal: list[bool]) -> Transition:
    """Returns one decision that pays 0.5 and leads to a state with these legal actions."""
    return Transition(
        observation=Observation(jnp.eye(2), jnp.array([[True, True], legal]), jnp.zeros((2, 0))),
        now=jnp.array([0]),
        then=jnp.array([1]),
        action=jnp.array([1]),
        reward=jnp.array([0.5]),
        discount=jnp.array([discount]),
        weight=jnp.ones(1),
    )


def _look_up(params: Any, observation: Observation) -> jax.Array:
    return observation.info_state @ params


def _crossq_target(batch: Transition) -> float:
    """Returns the target of CrossQ's critic, from its loss."""
    network = crossq.networks.Network(
        init=lambda key: (jnp.zeros((2, 2)), ()),
        apply=lambda params, stats, observation, weight, is_training: (_look_up(params, observation), stats),
    )
    config = dataclasses.replace(crossq.PRESETS["games"], discount=GAMMA, num_critics=1)
    model = crossq_base.Model(crossq.CrossQNetworks(policy=network, critic=network), config)
    log_probs = masked_log_probs(jnp.array([[0.0, 0.0], [0.0, 50.0]]), batch.observation.legal_actions)

    def loss(q: jax.Array) -> jax.Array:
        return crossq_discrete.critic_loss(q[None], (), log_probs, jnp.float32(0.0), batch, model)[0]

    # The gradient of half the squared difference of value and target.
    return float(VALUES[0, 1] - jax.grad(loss)(VALUES)[0, 1])


def _mpo_target(batch: Transition) -> float:
    """Returns the target of MPO's critic."""
    network = conditional_mpo.networks.Network(init=lambda key: jnp.zeros((2, 2)), apply=_look_up)
    config = dataclasses.replace(conditional_mpo.PRESETS["games"], discount=GAMMA, num_atoms=1)
    model = conditional_mpo.base.Model(MPONetworks(network, network, network), config)
    params = EvaluationParams(jnp.array([[0.0, 0.0], [0.0, 50.0]]), VALUES)
    return float(mpo_discrete.evaluate(model, params, jax.random.key(0), batch).target[0])


@pytest.mark.parametrize("target", [_crossq_target, _mpo_target])
def test_case_41_targets_count_legal_actions_only(target: Any) -> None:
    assert target(_decision(1.0, [True, False])) == pytest.approx(0.5 - 5 * GAMMA, abs=1e-5)
    # Behind the end of a game, nothing is legal.
    assert target(_decision(0.0, [False, False])) == pytest.approx(0.5, abs=1e-6)


def _small_core(name: str) -> Any:
    parts = AGENTS[name].core()
    small = {"policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,)}
    if AGENTS[name].learns_from_rollouts:
        small = {"hidden_sizes": (8,), "minibatches": 1}
    config = dataclasses.replace(parts.presets["games"], **small)
    example = Observation(jnp.zeros((1, 3)), jnp.ones((1, 2), bool), jnp.zeros((1, 0)))
    return parts.make_core(parts.make_networks(example, 2, config), config)


@pytest.mark.usefixtures("quick_compilation")
@pytest.mark.parametrize("legal", [[True, True], [True, False]])
@pytest.mark.parametrize("name", sorted(AGENTS))
def test_case_16_a_batch_of_one_decision_leaves_everything_finite(name: str, legal: list[bool]) -> None:
    core = _small_core(name)
    seen = Observation(jnp.ones((1, 3)), jnp.array([legal]), jnp.zeros((1, 0)))
    batch = join(seen, jnp.zeros(1, int), jnp.ones(1), jnp.zeros(1), seen)
    update, state = jax.jit(core.update), core.init(jax.random.key(0))
    # CrossQ updates its policy in every third step.
    for _ in range(3):
        state, _ = update(state, batch)
    for leaf in jax.tree.leaves(state):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            assert np.isfinite(leaf).all()


@pytest.mark.usefixtures("quick_compilation")
def test_case_49_evaluation_does_not_move_running_statistics() -> None:
    core = _small_core("crossq")
    seen = Observation(5.0 + jnp.arange(12.0).reshape(4, 3), jnp.ones((4, 2), bool), jnp.zeros((4, 0)))
    batch = join(seen, jnp.zeros(4, int), jnp.ones(4), jnp.zeros(4), seen)
    state, _ = jax.jit(core.update)(core.init(jax.random.key(0)), batch)
    variables = core.variables(state)
    before = jax.tree.map(np.array, variables)
    first = core.probs(variables, seen)
    for _ in range(3):
        core.perform(variables, jax.random.key(1), seen)
    np.testing.assert_array_equal(core.probs(variables, seen), first)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.array, core.variables(state)), before)


@pytest.mark.parametrize("settings", [{"samples_per_insert": 64.0}, {"min_replay_size": 5}])
def test_case_46_a_run_is_not_resumed_with_another_rate_of_samples(
    settings: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """A restored replay would keep its old limits, and wait for ever."""
    config = AgentRunConfig("crossq", "openspiel:kuhn_poker", 10_000, replay="reverb")
    directory.begin(tmp_path, config)
    (tmp_path / "checkpoints" / "500").mkdir(parents=True)
    changed = dataclasses.replace(config, replay_settings=settings)
    with pytest.raises(RunDirectoryError, match=next(iter(settings))):
        directory.check(tmp_path, changed, resume=True)


def _python(*arguments: str) -> str:
    """Runs Python in a new process and returns what it prints."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_case_47_loading_a_policy_starts_neither_learning_nor_reverb(tmp_path: pathlib.Path) -> None:
    flags = ("--game=kuhn_poker", "--oracle=exact", "--iterations=2", f"--output_dir={tmp_path}")
    _python("-m", "acme_psro", "run", *flags)
    script = (
        "import json, sys, threading, acme_psro; policy = acme_psro.load_policy(sys.argv[1]);"
        "state = policy.game.new_initial_state(); state.apply_action(0); state.apply_action(1);"
        "heavy = {'reverb', 'tensorflow', 'acme', 'launchpad', 'jax'} & set(sys.modules);"
        "print(json.dumps([policy.action_probabilities(state), sorted(heavy), threading.active_count()]))"
    )
    told = [_python("-c", script, str(tmp_path)) for _ in range(2)]
    probabilities, heavy, threads = json.loads(told[0])
    assert told[0] == told[1]
    assert sum(probabilities.values()) == pytest.approx(1.0)
    assert (heavy, threads) == ([], 1)
