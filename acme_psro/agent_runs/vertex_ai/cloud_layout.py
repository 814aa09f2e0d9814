"""Layout of a program in Vertex AI, in which every node ends by itself at the end of the run."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import agents.acme_layer.compat  # noqa: F401

# isort: split

import reverb
from acme import core
from acme.utils import counting
from launchpad import context

from acme_psro.agent_runs import directory as run_directory
from acme_psro.agent_runs.program import layout
from acme_psro.agent_runs.program.learning import LearnerRunner
from acme_psro.agent_runs.program.workers import Evaluator, ReportingLoop, StepsLimiter
from agents.core import Key

_POLL_SECONDS = 2.0
# Time between the request to stop and the end of the process. Launchpad kills a process after ten seconds,
# which Vertex AI would count as a failure.
_END_SECONDS = 8.0


class CloudLayout(layout.AgentLayout):
    """Layout of a run whose nodes end when the files in its directory show that the run has ended.

    Launchpad cannot send signals to nodes on other machines. It would cancel the whole job instead, and
    Vertex AI does not count a cancelled job as successful.
    """

    def replay(self) -> list[reverb.Table]:
        end_with_run(self._directory)
        return super().replay()

    def counter(self) -> counting.Counter:
        end_with_run(self._directory)
        return super().counter()

    def learner(self, random_key: Key, replay: reverb.Client, counter: counting.Counter) -> LearnerRunner:
        end_with_run(self._directory)
        return super().learner(random_key, replay, counter)

    def actor(
        self,
        random_key: Key,
        replay: reverb.Client,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        actor_id: int,
    ) -> ReportingLoop:
        end_with_run(self._directory)
        return super().actor(random_key, replay, variable_source, counter, actor_id)

    def coordinator(self, counter: counting.Counter, max_actor_steps: int) -> StepsLimiter:
        end_with_run(self._directory)
        # Makes `lp.stop()` do nothing in this node, instead of cancelling the job.
        own = context.get_context()
        own.initialize(own.launch_type, own.launch_config, program_stopper=lambda: None)
        return super().coordinator(counter, max_actor_steps)

    def evaluator(
        self,
        random_key: Key,
        variable_source: core.VariableSource,
        counter: counting.Counter,
        make_actor: Callable[..., core.Actor],
    ) -> Evaluator:
        end_with_run(self._directory)
        return super().evaluator(random_key, variable_source, counter, make_actor)


def end_with_run(directory: Path) -> None:
    """Starts a thread that ends this process a few seconds after the end of the run.

    The exit code is 0 if the run finished and 1 if it failed in a way that would happen again. After other
    failures, the process continues, and Vertex AI restarts the failed node.

    Args:
      directory: output directory of the run.
    """

    def watch() -> None:
        while (code := _exit_code(directory)) is None:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_END_SECONDS)
        os._exit(code)

    # Launchpad's alarm may arrive when Python no longer handles signals. It would then end the process with
    # an error, which Vertex AI would count as a failure.
    atexit.register(signal.signal, signal.SIGALRM, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def _exit_code(directory: Path) -> int | None:
    """Returns the exit code for a run that has ended, or None if it may still make progress."""
    if run_directory.has_finished(directory):
        return 0
    failure = run_directory.read_failure(directory)
    return 1 if failure is not None and failure.is_final else None
