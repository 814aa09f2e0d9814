"""Learners of self-play runs: networks that learn from games, and tables that learn from exact values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from acme_psro.games.graph import GameGraph, graph_of_tree
from acme_psro.games.tree import GameTree
from acme_psro.self_play import tabular
from acme_psro.self_play_runs.config import SelfPlayRunConfig

# Decisions in one call, after which the run may be stopped, saved and shown; and updates of tables.
_STEPS_PER_CALL = 131_072
_SWEEPS_PER_CALL = 5


class Totals(NamedTuple):
    """Sums over some updates: games that ended, and metrics by name."""

    episodes: int
    metrics: dict[str, float]


class Learner(NamedTuple):
    """Functions of a learner, whose state they know, and its units.

    Attributes:
      init: seed -> state.
      train: (state, number of updates) -> (state, Totals).
      policy: state -> `[O, A]` probabilities, exactly 0 on illegal actions.
      to_arrays: state -> arrays by name, for a checkpoint.
      from_arrays: arrays by name -> state; raises a ValueError if they are of another learner.
      steps: the run's steps in one update.
      decisions: decisions of players that an update learns from; 0 if no games are played.
      gradient_steps: gradient steps of an update.
      updates_per_call: updates after which the run looks around.
    """

    init: Callable[[int], Any]
    train: Callable[[Any, int], tuple[Any, Totals]]
    policy: Callable[[Any], np.ndarray]
    to_arrays: Callable[[Any], dict[str, np.ndarray]]
    from_arrays: Callable[[Mapping[str, np.ndarray]], Any]
    steps: int
    decisions: int
    gradient_steps: int
    updates_per_call: int


def make_learner(config: SelfPlayRunConfig, game: GameTree | GameGraph) -> Learner:
    """Returns the configured algorithm's learner for a compiled game.

    Raises:
      ValueError: a setting is not allowed, or the game is not.
    """
    if config.is_tabular:
        return _of_table(config, graph_of_tree(game) if isinstance(game, GameTree) else game)
    return _of_network(config, game)


def _of_table(config: SelfPlayRunConfig, graph: GameGraph) -> Learner:
    if graph.is_cyclic:
        raise ValueError(
            f"--algorithm={config.algorithm} needs a game whose states do not come back, as those of "
            f"{config.game} do: choose another algorithm."
        )
    settings = config.table()

    def train(state: tabular.TabularState, num: int) -> tuple[tabular.TabularState, Totals]:
        sums = dict.fromkeys(tabular.Terms._fields, 0.0)
        for _ in range(num):
            state, terms = tabular.update(graph, settings, state)
            sums = {name: sums[name] + value for name, value in terms._asdict().items()}
        return state, Totals(0, sums)

    def from_arrays(arrays: Mapping[str, np.ndarray]) -> tabular.TabularState:
        shape = graph.legal_actions.shape
        names = set(tabular.TabularState._fields)
        if not names <= set(arrays) or any(arrays[name].shape != shape for name in names - {"updates"}):
            raise ValueError(_OTHER_LEARNER)
        return tabular.TabularState(arrays["log_probs"], arrays["magnet"], int(arrays["updates"]))

    return Learner(
        # Nothing is random.
        init=lambda seed: tabular.init(graph),
        train=train,
        policy=lambda state: tabular.policy(graph, state),
        to_arrays=lambda state: {name: np.asarray(value) for name, value in state._asdict().items()},
        from_arrays=from_arrays,
        steps=1,
        decisions=0,
        gradient_steps=1,
        updates_per_call=_SWEEPS_PER_CALL,
    )


def _of_network(config: SelfPlayRunConfig, game: GameTree | GameGraph) -> Learner:
    # Imported here, because tables do without JAX.
    import jax
    import jax.numpy as jnp

    from acme_psro.games import cache
    from acme_psro.self_play.board import make_board
    from acme_psro.self_play.training import TrainingState, make_training
    from acme_psro.system import compiled_programs, pytrees

    compiled_programs.keep_here(cache.directory() / "xla")
    agent, size = config.agent(), config.rollout_size()
    training = make_training(make_board(game), agent, size)

    def train(state: TrainingState, num: int) -> tuple[TrainingState, Totals]:
        state, totals = training.train(state, jnp.int32(num))
        return state, Totals(
            int(totals.episodes), {name: float(value) for name, value in totals.metrics.items()}
        )

    return Learner(
        init=lambda seed: training.init(jax.random.key(seed)),
        train=train,
        policy=lambda state: np.asarray(training.policy(state)),
        to_arrays=pytrees.to_arrays,
        from_arrays=lambda arrays: pytrees.from_arrays(
            jax.eval_shape(training.init, jax.random.key(0)), arrays, _OTHER_LEARNER
        ),
        steps=size.steps,
        decisions=size.steps,
        gradient_steps=agent.epochs * agent.minibatches,
        updates_per_call=max(1, _STEPS_PER_CALL // size.steps),
    )


_OTHER_LEARNER = "the checkpoint is of other networks or another game: start again in a new directory."
