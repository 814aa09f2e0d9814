"""Training on kept games: what is played before a response, what is remembered, and what is learned."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.games import traverse
from acme_psro.games.device_arrays import GameArrays
from acme_psro.games.tree import GameTree
from acme_psro.oracles.asking import Results
from acme_psro.oracles.base import NO_WORK, Counts
from acme_psro.oracles.device import kept_games, node_play
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.experience import Item
from acme_psro.oracles.device.fitting import Fitted, Lesson, make_fit
from acme_psro.oracles.device.kept_games import Outcomes
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.node_play import NodePlay
from acme_psro.oracles.device.population_start import begin, leave, stack, unstack
from acme_psro.oracles.device.trainers import Attempt, Question, make_lanes
from agents.core import AgentCore

# Rewards are divided by their own spread, or by this share of the game's largest return if that is more.
_LEAST_SPREAD = 1e-3


class KeepingTrainer:
    """A trainer whose agents learn from kept games: those of all questions so far, weighed for the new one.

    Before a training, new games are played against the opponents in question: `games_per_response`, doubled
    as often as asked up to `max_games_per_response`.

    Args:
      tree: the compiled game.
      game: the same as arrays on the device.
      core: the agent.
      config: the budget of a response.

    Attributes:
      games: the games so far. It changes with every training, and may be replaced.
    """

    def __init__(self, tree: GameTree, game: GameArrays, core: AgentCore, config: DeviceConfig) -> None:
        self.games = kept_games.no_games(tree)
        self._tree, self._game, self._core, self._config = tree, game, core, config
        self._outcomes = [kept_games.find_outcomes(tree, player) for player in range(tree.num_players)]
        self._most = max(len(each.infoset) for each in self._outcomes)

    def train_lane(self, lane: Lane) -> Fitted:
        """Returns a training on a lesson, with what the agent leaves behind in place of its state."""
        lesson, start = lane.material
        fit = make_fit(self._tree, self._game, begin(self._core, start), self._config)
        fitted = fit(jax.random.wrap_key_data(lane.key), lane.player, lesson)
        return fitted._replace(state=leave(self._core, start, fitted.state))

    def __call__(
        self, key: jax.Array, lanes: Sequence[Question], doublings: int
    ) -> Generator[Lane, Results, list[Attempt]]:
        """Returns a generator of the lanes' trainings, see `acme_psro.oracles.device.trainers.Trainer`."""
        fit_key, play_key = jax.random.split(key)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(play_key)))
        num = min(self._config.games_per_response * 2**doublings, self._config.max_games_per_response)
        asked = {lane.player: lane for lane in lanes}
        played = {player: self._play(question, num, rng) for player, question in asked.items()}
        taught = [self._teach(lane, rng) for lane in lanes]
        lessons = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(each for each, _ in taught))
        fitted: Fitted = yield make_lanes(
            fit_key, [lane.player for lane in lanes], (lessons, stack([lane.start for lane in lanes]))
        )
        snapshots, left = fitted.snapshots, unstack(fitted.state, len(lanes))
        attempts = []
        for lane, (question, (_, effective)) in enumerate(zip(lanes, taught, strict=True)):
            # Games are counted in the first lane of their player, although all players may learn from them.
            counts = played.pop(question.player, NO_WORK) + Counts(gradient_steps=self._config.updates)
            metrics = {name: float(values[lane, -1]) for name, values in snapshots.metrics.items()}
            metrics |= {"kept_games": float(self.games.num), "effective_decisions": effective}
            attempts.append(Attempt(np.asarray(snapshots.probs)[lane, :, 0], metrics, counts, left[lane]))
        return attempts

    def _play(self, question: Question, num: int, rng: np.random.Generator) -> Counts:
        """Plays games against the opponents in question, keeps them and returns the work."""
        played = self._exploring(question)
        ends = kept_games.play(self._tree, played, num, rng)
        own = self._tree.player == question.player
        before = self.games.visits[own].sum()
        self.games = kept_games.keep(self._tree, self.games, played, ends)
        return Counts(num, int(self.games.visits[own].sum() - before))

    def _exploring(self, question: Question) -> NodePlay:
        """Returns the play of the opponents, who tremble at times, and of an explorer for the player."""
        share = self._config.trembles
        others = (1 - share) * question.plan + share * question.average
        table = traverse.behaviour(self._tree, others)
        rows = self._tree.infosets_of(question.player)
        uniform = traverse.realisation_plan(self._tree, self._tree.uniform_policy())
        # Half of an explorer's games go where its own policies go.
        table[rows] = traverse.behaviour(self._tree, (uniform + question.average) / 2)[rows]
        if question.joint_play is None:
            return node_play.by_table(self._tree, table)
        return node_play.against(self._tree, self._others(question, share), table, question.player)

    def _others(self, question: Question, share: float) -> np.ndarray:
        """Returns `[N]`: the opponents' contribution to reaching nodes if they tremble so often."""
        player = question.player
        if question.joint_play is None:
            plan = (1 - share) * question.plan + share * question.average
            return node_play.independent_others(self._tree, plan, player)
        # Opponents who draw their policies together tremble together too.
        together = node_play.coordinated_others(self._tree, question.joint_play, player)
        average = node_play.independent_others(self._tree, question.average, player)
        return (1 - share) * together + share * average

    def _teach(self, question: Question, rng: np.random.Generator) -> tuple[Lesson, float]:
        """Returns a lesson, and the effective number of decisions behind it."""
        config, outcomes = self._config, self._outcomes[question.player]
        share = config.trembles * config.tremble_weight
        others = self._others(question, share / (1 - config.trembles + share))
        weighed = kept_games.weigh(self._tree, outcomes, self.games, others, question.player)
        mixture = traverse.behaviour(self._tree, question.plan)
        reward = kept_games.subtract_mixture(self._tree, outcomes, weighed, mixture, question.player)
        items = self._items(outcomes, weighed.weight, reward)
        if self._most <= config.batch_size:
            return Lesson(items, None), weighed.effective
        shape = (config.num_snapshots, config.updates // config.num_snapshots, config.batch_size)
        drawn = kept_games.draw(weighed.weight, shape[0] * shape[1], shape[2], rng)
        return Lesson(items, jnp.asarray(drawn.reshape(shape), jnp.int32)), weighed.effective

    def _items(self, outcomes: Outcomes, weight: np.ndarray, reward: np.ndarray) -> Item:
        """Returns `[most]`: outcomes, padded with some of weight 0 to the same number for every player."""
        # What is to be gained becomes small as a run goes on, and learning rates and temperatures stay. The
        # bound keeps noise small where hardly anything can be gained or lost.
        spread = float(np.sqrt(np.average(reward**2, weights=weight)))
        scale = max(spread, _LEAST_SPREAD * self._tree.utility_scale)

        def padded(values: np.ndarray, dtype: type) -> jax.Array:
            return jnp.asarray(np.pad(values, (0, self._most - len(values))), dtype)

        return Item(
            infoset=padded(outcomes.infoset, jnp.int32),
            action=padded(outcomes.action, jnp.int32),
            reward=padded(reward / scale, jnp.float32),
            discount=padded(1.0 - outcomes.ends, jnp.float32),
            next_infoset=padded(outcomes.next_infoset, jnp.int32),
            weight=padded(weight, jnp.float32),
            member=None,
        )
