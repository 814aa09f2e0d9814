"""Results of population runs: metrics, payoffs, meta-strategies and policies, read from a run's directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acme_psro.policies import as_openspiel
from acme_psro.policies.meta_strategy import MetaStrategy, ProductStrategy, require_product
from acme_psro.population_runs.metrics import Row
from acme_psro.population_runs.seed_directories import check_names_one
from acme_psro.psro.loop import require_independent
from acme_psro.storage import run_directory

if TYPE_CHECKING:
    from open_spiel.python.policy import Policy

    from acme_psro.policies.decoders import Decoder


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """A population run, finished or still running, as of its newest checkpoint.

    Dimensions: `P` players, `n_p` policies of player p, `R` rows of metrics, one for the initial populations
    and one for each iteration.

    Attributes:
      run_dir: the run's directory.
      game: the game's name, which `acme_psro.games.loading.load_game` takes.
      config: the configuration, as in `config.json`.
      metrics: `[R]` rows by name of the column, as in `metrics.csv`; utilities are in the game's units.
      payoffs: `[P, n_1, .., n_P]` float64, the players' expected returns in every profile of policies. Of
        runs with sampled payoffs these are means.
      payoff_standard_errors: the standard errors of sampled payoffs, in the same shape; None if payoffs are
        exact.
      meta_strategies: `[R]`, the meta-strategy of each row.
      population_sizes: `[P]`, the numbers `n_p`.
    """

    run_dir: Path
    game: str
    config: Mapping[str, Any]
    metrics: list[Row]
    payoffs: np.ndarray
    payoff_standard_errors: np.ndarray | None
    meta_strategies: list[MetaStrategy]
    population_sizes: tuple[int, ...]
    _run: run_directory.StoredRun
    _decoders: Mapping[str, Decoder] | None

    @property
    def meta_strategy(self) -> MetaStrategy:
        """The newest meta-strategy."""
        return self.meta_strategies[-1]

    def policy(self) -> Policy:
        """Returns the newest mixture as one OpenSpiel policy for all players, weighted by reach.

        A joint distribution, as of `--loop=jpsro`, is one policy only if the players draw independently in
        it. Otherwise `meta_strategy` has its profiles, and `member` the policies that they name.

        Raises:
          ValueError: the players' policies are drawn together, or no decoder takes a policy.
        """
        if isinstance(self._run, run_directory.StoredExactRun):
            return as_openspiel.table_policy(self._run.tree, self._run.mixture_table())
        return self._draw(require_independent(self.meta_strategy, self.population_sizes))

    def member(self, player: int, index: int) -> Policy:
        """Returns one policy of a population as an OpenSpiel policy.

        The other players play uniformly in it, or their sinks if the game is not compiled and these come from
        files.

        Args:
          player: the player, in `0 .. P-1`.
          index: the policy, in `0 .. n_p-1`; 0 is the initial one.

        Raises:
          IndexError: there is no such policy.
        """
        size = self.population_sizes[player]
        if not 0 <= index < size:
            raise IndexError(f"player {player} has policies 0 to {size - 1}, not {index}.")
        run = self._run
        if isinstance(run, run_directory.StoredExactRun):
            table = run.tree.uniform_policy()
            table[run.tree.infosets_of(player)] = run.record.state.populations[player][index].table
            return as_openspiel.table_policy(run.tree, table)
        # Every run begins with uniform policies, or with sinks, which is what the others play here.
        chosen = [index if other == player else 0 for other in range(len(self.population_sizes))]
        weights = [np.eye(size)[k] for size, k in zip(self.population_sizes, chosen, strict=True)]
        return self._draw(ProductStrategy(tuple(weights)))

    def _draw(self, strategy: MetaStrategy) -> Policy:
        """Returns a mixture of the populations of a run whose game is no tree."""
        run = self._run
        if isinstance(run, run_directory.StoredGraphRun):
            return as_openspiel.graph_mixture_policy(run.graph, run.record.state.populations, strategy)
        assert isinstance(run, run_directory.StoredSampledRun), "mixtures on a tree are one table"
        populations = run.record.state.populations
        return as_openspiel.mixture_policy(run.game, populations, require_product(strategy), self._decoders)


def load_run(run_dir: Path, decoders: Mapping[str, Decoder] | None = None) -> Result:
    """Reads a run without changing anything. The run may still be running.

    Args:
      run_dir: the directory of a run of `run_psro`.
      decoders: functions that make policies of stored ones, by kind; None: those of
        `acme_psro.policies.decoders`.

    Raises:
      ValueError: there is no run, there are those of several seeds, none has a whole checkpoint, or the game
        has changed since.
    """
    run_dir = Path(run_dir).expanduser()
    check_names_one(run_dir)
    run = run_directory.read(run_dir)
    errors = None
    if isinstance(run, run_directory.StoredSampledRun):
        payoffs, errors = run.record.state.payoffs.mean, run.record.state.payoffs.standard_error
    else:
        payoffs = run.record.state.payoffs
    return Result(
        run_dir=run_dir,
        game=run.game,
        config=run.config,
        metrics=run.record.metrics,
        payoffs=payoffs,
        payoff_standard_errors=errors,
        meta_strategies=run.record.meta_strategies,
        population_sizes=tuple(len(population) for population in run.record.state.populations),
        _run=run,
        _decoders=decoders,
    )
