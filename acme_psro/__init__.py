"""Population learning in games: policy-space response oracles over any OpenSpiel game."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.system import own_modules, packages

_ROOT = Path(__file__).resolve().parents[1]
packages.put_started_directory_last(_ROOT)
# `agents` is a common name: here it is noticed at once if another package or folder has it.
packages.check_own("agents", 'DISTRIBUTION = "acme-psro"', _ROOT)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from open_spiel.python.policy import Policy

    from acme_psro.agent_runs.learned import LearnedAgent
    from acme_psro.policies.decoders import Decoder
    from acme_psro.population_runs.callbacks import Callback as Callback
    from acme_psro.population_runs.callbacks import StopRun as StopRun
    from acme_psro.population_runs.result import Result
    from acme_psro.population_runs.run import run as run

    __version__: str
else:
    # Names that are imported from their modules when they are asked for.
    _MODULES = {
        "Callback": "acme_psro.population_runs.callbacks",
        "StopRun": "acme_psro.population_runs.callbacks",
        "run": "acme_psro.population_runs.run",
    }

    def __getattr__(name: str) -> object:
        """Returns `__version__`, or a name whose module is imported only now."""
        if name in _MODULES:
            import importlib

            return getattr(importlib.import_module(_MODULES[name]), name)
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import metadata

        try:
            return metadata.version("acme-psro")
        except metadata.PackageNotFoundError:
            return "unknown"

    def __dir__() -> list[str]:
        return sorted({*globals(), *_MODULES, "__version__"})


def load_policy(run_dir: str | os.PathLike[str], decoders: Mapping[str, Decoder] | None = None) -> Policy:
    """Returns the final mixture of a run as one OpenSpiel policy, weighted by reach.

    Of a self-play run it is the policy at its newest evaluation. It plays the turn-based form of games with
    simultaneous moves. Loading it runs no code from the run.

    Args:
      run_dir: the directory of a run of `acme-psro run`, `neupl` or `self-play`.
      decoders: functions that make policies of stored ones, by kind; None: those of
        `acme_psro.policies.decoders`, which knows uniform policies, tables and our agents' networks.

    Raises:
      ValueError: there is no run, no whole checkpoint of one, a policy that no decoder takes, or the game has
        changed since the run began.
    """
    from acme_psro.self_play_runs import result

    directory = Path(run_dir).expanduser()
    if result.is_self_play(directory):
        return result.load_policy(directory, decoders)
    return load_run(run_dir, decoders).policy()


def load_run(run_dir: str | os.PathLike[str], decoders: Mapping[str, Decoder] | None = None) -> Result:
    """Reads a population run: metrics, payoffs, meta-strategies and policies. Nothing is changed.

    The run may still be running. Loading it runs no code from the run.

    Args:
      run_dir: the directory of a run of `acme-psro run`.
      decoders: as in `load_policy`.

    Raises:
      ValueError: there is no run, no whole checkpoint of one, or its game has changed since.
    """
    from acme_psro.population_runs import result

    return result.load_run(Path(run_dir), decoders)


def load_agent(run_dir: str | os.PathLike[str], seed: int = 0) -> LearnedAgent:
    """Loads the agent that a run has learned, as an actor of Acme in evaluation mode.

    It starts no server, runs no code from the run and writes nothing. It needs the extra `acme`.

    Args:
      run_dir: the directory of a run of `acme-psro agent`.
      seed: seed of sampled actions, which only agents with discrete actions have.

    Raises:
      ValueError: there is no such run, or no whole checkpoint of one.
    """
    from acme_psro.agent_runs import learned

    return learned.load_agent(Path(run_dir).expanduser(), seed)


# Last, because such modules import this package themselves.
own_modules.import_inherited()
