"""Tests of agents.acme_layer.learner with real agents: same updates as on the device, and restored states."""

import dataclasses
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from acme import specs, types
from acme.adders import reverb as reverb_adders
from acme.utils import loggers

from agents.acme_layer.builder import CoreBuilder
from agents.acme_layer.learner import CoreLearner
from agents.core import AgentCore, Observation
from agents.interface import make_interface
from tests.agents.small_agents import SMALL_AGENTS

pytestmark = pytest.mark.usefixtures("quick_compilation")
BATCH, STEPS, LENGTH = 8, 4, 4
NUMBER = specs.Array((), np.float32)
MASKED = Observation(specs.Array((3,), np.float32), specs.Array((3,), bool), specs.Array((0,), np.float32))
SPECS = {
    "discrete": specs.EnvironmentSpec(MASKED, specs.DiscreteArray(3), NUMBER, NUMBER),
    "continuous": specs.EnvironmentSpec(
        specs.Array((3,), np.float32), specs.BoundedArray((2,), np.float32, [-1, 0], [1, 4]), NUMBER, NUMBER
    ),
}
# With a delay of 2, CrossQ updates its policy in every second step only, so steps differ from each other.
CHANGES: dict[str, Any] = {
    "crossq": {"policy_delay": 2},
    "conditional_mpo, retrace": {"retrace": True},
}


class Made(NamedTuple):
    """An agent and its environment's spec.

    Attributes:
      spec: the environment's spec.
      core: the agent's functions.
      builder: the agent's builder for Acme.
      networks: the agent's networks.
      length: number of decisions in an item of the replay.
    """

    spec: specs.EnvironmentSpec
    core: AgentCore
    builder: CoreBuilder
    networks: Any
    length: int


def _make(agent: str, kind: str) -> Made:
    """Makes an agent by its name; with ", retrace" behind the name it learns from sequences."""
    name, _, retrace = agent.partition(", ")
    small, length = SMALL_AGENTS[name], LENGTH if retrace else 1
    config = dataclasses.replace(small.configs[kind], discount=0.9, **CHANGES.get(agent, {}))
    replay = small.replay(
        batch_size=BATCH,
        min_replay_size=1,
        samples_per_insert=1.0,
        sequence_length=length,
        gradient_steps_per_learner_step=STEPS,
    )
    networks = small.make_networks(SPECS[kind], config)
    core = small.make_core(networks, config)
    return Made(SPECS[kind], core, small.make_builder(config, replay), networks, length)


def _observe(rng: np.random.Generator, spec: Any, shape: tuple[int, ...]) -> Any:
    """Draws random observations `[*shape, ..]` of an environment."""
    info_state = rng.normal(size=(*shape, 3)).astype(np.float32)
    if not isinstance(spec.observations, Observation):
        return info_state
    # One of the three actions, drawn at random, is illegal.
    legal = np.arange(3) != rng.integers(3, size=(*shape, 1))
    return Observation(info_state, legal, np.zeros((*shape, 0), np.float32))


def _data(made: Made, seed: int) -> Any:
    """Returns data as from replay, for one step of the learner (`STEPS` batches)."""
    rng = np.random.default_rng(seed)
    num = BATCH * STEPS // made.length
    shape = (num,) if made.length == 1 else (num, made.length + 1)
    seen = _observe(rng, made.spec, shape)
    if isinstance(seen, Observation):
        action = np.asarray(seen.legal_actions).argmax(axis=-1).astype(np.int32)
    else:
        low, high = made.spec.actions.minimum, made.spec.actions.maximum
        action = rng.uniform(low, high, size=(*shape, 2)).astype(np.float32)
    reward, discount = rng.normal(size=shape), rng.integers(0, 2, size=shape)
    rest = (reward.astype(np.float32), discount.astype(np.float32))
    if made.length == 1:
        return types.Transition(seen, action, *rest, _observe(rng, made.spec, shape))
    extras = {
        "log_prob": rng.uniform(-2, 0, size=shape).astype(np.float32),
        # The last rows of some sequences are padding.
        "is_decision": np.arange(made.length + 1) < rng.integers(2, made.length + 2, size=(num, 1)),
    }
    return reverb_adders.Step(seen, action, *rest, np.zeros(shape, bool), extras)


def _learner(made: Made, *seeds: int, seed: int = 0) -> CoreLearner:
    """Makes a learner with a seed of its own, and with one sample of replay for each of `seeds`."""
    samples = iter([reverb.ReplaySample(info=None, data=_data(made, each)) for each in seeds])
    key, logger = jax.random.PRNGKey(seed), loggers.NoOpLogger()
    return made.builder.make_learner(key, made.networks, samples, lambda *args: logger, made.spec)


def _assert_equal(one: Any, other: Any) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("crossq", "discrete"),
        ("conditional_mpo", "discrete"),
        ("conditional_mpo", "continuous"),
        ("conditional_mpo, retrace", "discrete"),
        pytest.param("conditional_mpo, retrace", "continuous", marks=pytest.mark.slow),
        pytest.param("vmpo", "discrete", marks=pytest.mark.slow),
        pytest.param("vmpo", "continuous", marks=pytest.mark.slow),
    ],
)
def test_a_learner_learns_as_the_device_path_does(agent: str, kind: str) -> None:
    """From the same state and batches, the learner and a scan over updates reach equal states."""
    made = _make(agent, kind)
    learner = _learner(made, 0)
    before = learner.save()
    learner.step()
    interface = make_interface(made.spec)
    to_transition = interface.to_transition if made.length == 1 else interface.to_sequence

    @jax.jit
    def scan(state: Any, data: Any) -> Any:
        # Metrics are returned here too, as by the learner. If they were not, XLA would leave out their
        # operations, fuse the rest in another way, and round differently.
        return jax.lax.scan(made.core.update, state, jax.vmap(to_transition)(data))

    rows = BATCH // made.length
    batches = jax.tree.map(lambda leaf: leaf.reshape(STEPS, rows, *leaf.shape[1:]), _data(made, 0))
    after, _ = scan(before, batches)
    _assert_equal(learner.save(), after)
    assert int(after.step) == STEPS


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("conditional_mpo", "continuous"),
        pytest.param("conditional_mpo", "discrete", marks=pytest.mark.slow),
        pytest.param("vmpo", "continuous", marks=pytest.mark.slow),
    ],
)
def test_a_restored_agent_goes_on_to_the_bit(agent: str, kind: str) -> None:
    made = _make(agent, kind)
    learner, other = _learner(made, 0, 1), _learner(made, 1, seed=7)
    learner.step()
    other.restore(learner.save())
    for each in (learner, other):
        each.step()
    _assert_equal(other.save(), learner.save())
    assert int(other.save().step) == 2 * STEPS
