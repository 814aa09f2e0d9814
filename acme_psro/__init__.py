"""Population learning in games: policy-space response oracles over any OpenSpiel game."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acme_psro.system import packages

_ROOT = Path(__file__).resolve().parents[1]
packages.put_started_directory_last(_ROOT)
# `agents` is a common name: here it is noticed at once if another package or folder has it.
packages.check_own("agents", 'DISTRIBUTION = "acme-psro"', _ROOT)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from open_spiel.python.policy import Policy

    from acme_psro.policies.decoders import Decoder

    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Returns `__version__`, which is looked up only when it is asked for."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import metadata

        try:
            return metadata.version("acme-psro")
        except metadata.PackageNotFoundError:
            return "unknown"


def load_policy(run_dir: str | os.PathLike[str], decoders: Mapping[str, Decoder] | None = None) -> Policy:
    """Returns the final mixture of a run as one OpenSpiel policy, weighted by reach.

    It plays the turn-based form of games with simultaneous moves. Loading it runs no code from the run.

    Args:
      run_dir: the directory of a run of `experiments.run_psro`.
      decoders: functions that make policies of stored ones, by kind; None: those of
        `acme_psro.policies.decoders`, which knows uniform policies, tables and our agents' networks.

    Raises:
      ValueError: there is no run, no whole checkpoint of one, or a policy that no decoder takes.
    """
    from acme_psro.policies import as_openspiel
    from acme_psro.policies.meta_strategy import require_product
    from acme_psro.storage import run_directory

    run = run_directory.read(Path(run_dir))
    if isinstance(run, run_directory.StoredExactRun):
        return as_openspiel.table_policy(run.tree, run.mixture_table())
    state = run.record.state
    strategy = require_product(state.meta_strategy)
    return as_openspiel.mixture_policy(run.game, state.populations, strategy, decoders)
