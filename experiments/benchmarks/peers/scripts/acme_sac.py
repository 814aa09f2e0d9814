"""Training of Acme's own SAC, in its local layout, on a task of continuous control."""

from __future__ import annotations

import statistics
import time
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split
import acme
import dm_env
import jax
from acme import specs
from acme.agents.jax import normalization, sac
from acme.jax.layouts import local_layout
from acme.utils import loggers

from acme_psro.environments.by_name import make_environment
from experiments.benchmarks.peers.scripts import control_task


class Sac:
    """The agent of `sac.SAC`, without logging and without checkpoints in the home directory.

    It does one gradient step for each env step after `learning_starts`, and its target entropy is that of
    Acme's examples. Everything else has Acme's default, which normalises observations.

    Attributes:
      agent: the agent that acts and learns.
    """

    def __init__(self, spec: specs.EnvironmentSpec, task: control_task.ControlTask) -> None:
        config = sac.SACConfig(
            target_entropy=sac.target_entropy_from_env_spec(spec),
            # The values that `sac.SAC` sets: the layout itself waits for enough experience.
            min_replay_size=1,
            samples_per_insert_tolerance_rate=float("inf"),
        )
        self._networks = sac.make_networks(spec, tuple(task.hidden_sizes))
        self._builder = normalization.NormalizationBuilder(
            sac.SACBuilder(config, logger_fn=loggers.NoOpLogger),
            spec,
            is_sequence_based=False,
            batch_dims=(0,),
        )
        self.agent = local_layout.LocalLayout(
            seed=task.seed,
            environment_spec=spec,
            builder=self._builder,
            networks=self._networks,
            policy_network=sac.apply_policy_and_sample(self._networks),
            batch_size=config.batch_size,
            samples_per_insert=config.batch_size,
            min_replay_size=task.learning_starts,
            prefetch_size=config.prefetch_size,
            checkpoint=False,
        )

    def evaluator(self, key: jax.Array) -> acme.Actor:
        """Returns an actor that takes the mode of the current policy's distribution."""
        policy = sac.apply_policy_and_sample(self._networks, eval_mode=True)
        # An actor fetches the statistics for normalisation only from time to time; a new actor begins with
        # the current ones.
        return self._builder.make_actor(key, policy, variable_source=self.agent)


class Training:
    """Training of an agent in several portions of env steps."""

    def __init__(self, environment: dm_env.Environment, agent: Any) -> None:
        self._environment, self._agent = environment, agent
        self._steps = 0
        self._last: dm_env.TimeStep | None = None

    def run_to(self, mark: int) -> None:
        """Continues training until `mark` env steps were done in total."""
        while self._steps < mark:
            if self._last is None or self._last.last():
                self._last = self._environment.reset()
                self._agent.observe_first(self._last)
            action = self._agent.select_action(self._last.observation)
            self._last = self._environment.step(action)
            self._agent.observe(action, next_timestep=self._last)
            self._agent.update()
            self._steps += 1


def episode_return(actor: acme.Actor, environment: dm_env.Environment) -> float:
    """Plays one episode and returns its undiscounted return."""
    step, total = environment.reset(), 0.0
    actor.observe_first(step)
    while not step.last():
        step = environment.step(actor.select_action(step.observation))
        total += float(step.reward)
    return total


def main() -> None:
    """Trains the agent and reports an evaluation at each mark."""
    task = control_task.parse()
    environment = make_environment(task.environment, task.seed)
    side = Sac(specs.make_environment_spec(environment), task)
    training = Training(environment, side.agent)
    evaluation_environment = make_environment(task.environment, task.evaluation_seed)
    for mark, key in zip(
        task.marks, jax.random.split(jax.random.PRNGKey(task.seed), len(task.marks)), strict=True
    ):
        training.run_to(mark)
        began = time.perf_counter()
        actor = side.evaluator(key)
        returns = [episode_return(actor, evaluation_environment) for _ in range(task.episodes)]
        control_task.report(mark, statistics.mean(returns), time.perf_counter() - began)


if __name__ == "__main__":
    main()
