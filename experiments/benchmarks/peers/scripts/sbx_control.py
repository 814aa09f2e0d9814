"""Training of sbx-rl's CrossQ on a task of continuous control, run by the peer's interpreter."""

from __future__ import annotations

import statistics
import time
from typing import Any

from sbx import CrossQ  # type: ignore[import-not-found]

from experiments.benchmarks.peers.scripts import control_task, gymnasium_tasks


def episode_return(model: Any, environment: Any) -> float:
    """Returns the return of an episode in which the policy acts deterministically."""
    observation, _ = environment.reset()
    total, over = 0.0, False
    while not over:
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = environment.step(action)
        total, over = total + float(reward), terminated or truncated
    return total


def main() -> None:
    """Trains the agent and reports an evaluation at each mark."""
    task = control_task.parse()
    model = CrossQ(
        "MlpPolicy",
        gymnasium_tasks.make(task.environment, task.seed),
        learning_starts=task.learning_starts,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": {"pi": task.hidden_sizes, "qf": task.hidden_sizes}},
        seed=task.seed,
    )
    environment = gymnasium_tasks.make(task.environment, task.evaluation_seed)
    for mark in task.marks:
        # Continues the unfinished episode.
        model.learn(mark - model.num_timesteps, reset_num_timesteps=False)
        began = time.perf_counter()
        returns = [episode_return(model, environment) for _ in range(task.episodes)]
        control_task.report(mark, statistics.mean(returns), time.perf_counter() - began)


if __name__ == "__main__":
    main()
