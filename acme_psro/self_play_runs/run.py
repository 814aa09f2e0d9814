"""A self-play run from its first update, or from a checkpoint, to its last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from acme_psro.agent_runs.progress import TRAINING, Progress
from acme_psro.self_play_runs import checkpoint, games, report
from acme_psro.self_play_runs.checkpoint import Saved
from acme_psro.self_play_runs.config import SelfPlayRunConfig
from acme_psro.self_play_runs.learners import make_learner
from acme_psro.self_play_runs.recording import Recorder
from acme_psro.self_play_runs.work import describe_row
from acme_psro.storage.run_config import read_config, write_config
from acme_psro.system.tables import Row

_SECONDS_BETWEEN_CHECKPOINTS = 30.0


class DivergedError(RuntimeError):
    """Training has left the finite numbers; the message is one line for the user."""


class Progressed(NamedTuple):
    """Progress of a run, as checkpoints keep it.

    Attributes:
      state: the learner's state.
      updates: number of updates so far.
      episodes: number of games that ended.
      sums: metrics, summed over the updates since the last evaluation.
      summed: number of these updates.
      rows: rows of metrics.
      seconds: seconds of training, of evaluation and of everything, so far.
    """

    state: Any
    updates: int
    episodes: int
    sums: dict[str, float]
    summed: int
    rows: list[Row]
    seconds: dict[str, float]


class SelfPlayRun:
    """A run that is prepared: its game is compiled, and its settings are checked.

    Args:
      config: the run's configuration.
      directory: the run's directory.
      note: called with lines for the user.

    Raises:
      ValueError: a setting or the game is not allowed.
    """

    def __init__(self, config: SelfPlayRunConfig, directory: Path, note: Callable[[str], None]) -> None:
        self._config, self._directory, self._note = config, directory, note
        self.game = games.compile_any(config.game, config.max_nodes, note)
        self._learner, self._settings = make_learner(config, self.game), config.to_json()
        # Equal decisions of a run and of a resumed one need equal numbers of updates between evaluations.
        self._total = -(-config.steps // self._learner.steps)
        every = config.evaluate_every or config.steps
        self._every = min(self._total, -(-every // self._learner.steps))

    def restore(self, warn: Callable[[str], None]) -> Progressed | None:
        """Returns the progress at the newest whole checkpoint, or None if there is none.

        Raises:
          CheckpointError: there are checkpoints, but none can be used.
        """
        saved = checkpoint.restore(self._directory / "checkpoints", self.game.digest, warn)
        if saved is None:
            return None
        state = self._learner.from_arrays(saved.arrays)
        about = {name: value for name, value in saved.about.items() if name != "game"}
        return Progressed(state=state, **about)

    def carry_out(self, restored: Progressed | None, progress: Progress) -> Row:
        """Trains up to the last update, and returns the last row of metrics.

        An interrupt saves what was learned until then.

        Raises:
          DivergedError: parameters are not finite any more.
        """
        write_config(self._directory, self._settings)
        now = restored or self._begin()
        saved_at = time.monotonic()
        with Recorder(self._directory, self._settings, now.rows) as recorder, progress:
            progress.start(now.updates * self._learner.steps)
            progress.enter(TRAINING)
            try:
                if not now.rows and self._config.evaluate_every:
                    now = self._evaluate(now, progress, recorder)
                while now.updates < self._total:
                    now = self._train(now)
                    progress.advance(now.updates * self._learner.steps, math.nan)
                    is_due = now.updates % self._every == 0 or now.updates == self._total
                    if is_due:
                        now = self._evaluate(now, progress, recorder)
                    if is_due or time.monotonic() - saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
                        self._save(now)
                        saved_at = time.monotonic()
            except KeyboardInterrupt:
                self._save(now)
                raise
            recorder.finish()
        stored = read_config(self._directory / "config.json")
        report.try_to_write(self._directory / "report.html", stored, now.rows, self._note)
        return now.rows[-1]

    def _begin(self) -> Progressed:
        state = self._learner.init(self._config.seed)
        nothing = {"training": 0.0, "evaluation": 0.0, "wall": 0.0}
        return Progressed(state, 0, 0, {}, 0, [], nothing)

    def _train(self, now: Progressed) -> Progressed:
        """Runs some updates, at most up to the next evaluation."""
        began = time.monotonic()
        next_evaluation = (now.updates // self._every + 1) * self._every
        num = min(self._learner.updates_per_call, min(next_evaluation, self._total) - now.updates)
        state, totals = self._learner.train(now.state, num)
        sums = {name: now.sums.get(name, 0.0) + value for name, value in totals.metrics.items()}
        loss = sums.get("loss", 0.0)
        if not math.isfinite(loss):
            raise DivergedError(
                f"training has diverged after {now.updates * self._learner.steps:,} steps: the loss is "
                f"{loss}; start again with a lower learning_rate."
            )
        return now._replace(
            state=state,
            updates=now.updates + num,
            episodes=now.episodes + totals.episodes,
            sums=sums,
            summed=now.summed + num,
            seconds=_add(now.seconds, "training", began),
        )

    def _evaluate(self, now: Progressed, progress: Progress, recorder: Recorder) -> Progressed:
        """Evaluates the newest policy exactly, stores it and adds a row of metrics."""
        began = time.monotonic()
        with progress.during("evaluating"):
            table = games.as_table(self._learner.policy(now.state))
            figures = games.evaluate(self.game, table)
        games.write_policies(self.game, table, self._directory / "policies")
        seconds = _add(now.seconds, "evaluation", began)
        row: Row = {
            "iteration": len(now.rows),
            "wall_seconds": seconds["wall"],
            "episodes": now.episodes,
            "env_steps": now.updates * self._learner.decisions,
            "gradient_steps": now.updates * self._learner.gradient_steps,
            "nash_conv": figures.nash_conv,
            "exploitability": figures.exploitability,
            **{f"gain_{player}": float(gain) for player, gain in enumerate(figures.per_player_gain)},
            "training_seconds": seconds["training"],
            "evaluation_seconds": seconds["evaluation"],
        }
        for name in _METRICS:
            row[name] = now.sums[name] / now.summed if name in now.sums else math.nan
        now = now._replace(sums={}, summed=0, rows=[*now.rows, row], seconds=seconds)
        recorder.add(now.rows)
        progress.note(describe_row(self._settings, row))
        return now

    def _save(self, now: Progressed) -> None:
        about: dict[str, Any] = {name: value for name, value in now._asdict().items() if name != "state"}
        saved = Saved({"game": self.game.digest, **about}, self._learner.to_arrays(now.state))
        checkpoint.save(self._directory / "checkpoints", now.updates, saved)


_METRICS = ("loss", "policy_loss", "value_loss", "entropy", "kl", "magnet_kl")


def _add(seconds: dict[str, float], name: str, began: float) -> dict[str, float]:
    """Returns the seconds so far, with those since `began` added under a name and to everything."""
    passed = time.monotonic() - began
    return {**seconds, name: seconds[name] + passed, "wall": seconds["wall"] + passed}
