"""Builder of the self-play agent: its replay is a queue, and it learns in Acme's runners."""

import dataclasses
import functools
import pathlib
import sys
import tempfile

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import jax
from acme import specs
from acme.utils import counting, loggers

from agents.acme_layer import released
from agents.acme_layer.replay import ReplayConfig
from agents.self_play import PRESETS, SelfPlayConfig
from agents.self_play.builder import DEFAULT_REPLAY, SelfPlayBuilder, make_networks
from tests.agents.acme_layer.released_test import Control, Game
from tests.agents.rows import Rows

_QUEUE = ReplayConfig(
    batch_size=32,
    min_replay_size=8,
    max_replay_size=64,
    samples_per_insert=1.0,
    sequence_length=4,
    prefetch_size=1,
    num_parallel_calls=1,
    variable_update_period=1,
    queue=True,
)
_SMALL = dataclasses.replace(
    PRESETS["mmd_constant"], hidden_sizes=(16,), learning_rate=0.01, minibatches=2, entropy=0.01
)


def test_defaults_are_those_of_the_agent_and_a_queue() -> None:
    builder = SelfPlayBuilder()
    assert (builder.replay, builder.discount) == (DEFAULT_REPLAY, SelfPlayConfig().discount)
    assert DEFAULT_REPLAY.queue and DEFAULT_REPLAY.sequence_length > 1


def test_replay_that_keeps_old_decisions_is_refused() -> None:
    with pytest.raises(ValueError, match="give it a replay with queue"):
        SelfPlayBuilder(replay=ReplayConfig())


def test_batches_that_do_not_fit_the_minibatches_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 32 cannot be split into 5 minibatches"):
        SelfPlayBuilder(dataclasses.replace(_SMALL, minibatches=5), _QUEUE)


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="discrete actions only"):
        make_networks(specs.make_environment_spec(Control()))


@pytest.mark.usefixtures("quick_compilation")
def test_it_learns_in_one_process(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best policy has a return of 4, and a random one of 2."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    builder, spec = SelfPlayBuilder(_SMALL, _QUEUE), acme.make_environment_spec(Game())
    networks = functools.partial(make_networks, config=_SMALL)
    rows, counter = Rows(), counting.Counter()
    agent = released.make_local_agent(
        builder, networks, spec, seed=0, logger_fn=lambda *args: rows, counter=counter
    )
    acme.EnvironmentLoop(Game(), agent, counter, loggers.NoOpLogger()).run(num_steps=1200)
    assert np.isfinite([row["loss"] for row in rows.rows]).all()
    # Every decision is learned from in one update.
    assert counter.get_counts()["learner_steps"] <= 1200 // 32
    policy = builder.make_policy(networks(spec), spec, evaluation=True)
    evaluator, results = builder.make_actor(jax.random.PRNGKey(1), policy, spec, agent), Rows()
    acme.EnvironmentLoop(Game(seed=1), evaluator, logger=results).run(num_episodes=25)
    assert np.mean([row["episode_return"] for row in results.rows]) > 3.5
