"""Configuration of the device oracle: the budget of one best response."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Budget of one response: games and updates.

    Attributes:
      gradient_steps: optimiser updates of a response; rounded up to whole rounds and snapshots.
      num_envs: games played side by side, for each player.
      batch_size: transitions in an update.
      buffer_size: transitions in the replay buffer; rounded down to whole rounds of all games.
      updates_per_round: updates in a round, after one decision in every game.
      snapshots: the number of exact evaluations of the policy, evenly spaced through training; the best
        snapshot is taken.
      max_extensions: the largest number of further trainings if a response gains less than `enough` of an
        exact response's gain. All players' lanes then train the weak players, and the best response is taken.
        Every training begins with new parameters, because old ones hardly moved when training continued.
      enough: see `max_extensions`.
      seeds_per_response: trainings of each response side by side, from different initial parameters; the best
        one is taken.
      games_per_response: games that are played for a response before it is trained, and kept for all later
        responses, see `acme_psro.oracles.device.kept_games`. If it is 0, games are played while agents learn,
        `num_envs` side by side, and forgotten. If it is not, nothing is played meanwhile, and `num_envs` and
        `buffer_size` do not matter.
      max_games_per_response: `games_per_response` is doubled for each extension, and for good after an
        iteration in which no player's response gained `enough`, but never beyond this.
      trembles: share of games against the others' average policy instead of their meta-strategy, so that
        the response is sensible at information states that the meta-strategy never reaches.
      tremble_weight: weight of decisions in these games; low, so that they decide only there.
      stochastic_responses: True if responses play with the agent's probabilities, False if they play its most
        probable actions. Best responses need not be stochastic, but stochastic ones exploit less and are
        harder to exploit.
      self_play: share of a response's games against a policy of the opponent that learns beside it to exploit
        it, and whose average joins the opponent's population, see `acme_psro.self_play.beside`; 0 for none.
        It needs a graph, and an agent that learns from whole rollouts.
      diversity: weight of a response's distance from the mixtures of its population, in the game's largest
        return a nat of KL divergence, see `acme_psro.oracles.device.diversity`; 0 to learn for returns alone.
        The snapshot with the largest sum of gain and weighted distance is taken then. It needs games that are
        played while agents learn.
      lanes_alone: True if each training is a call of its own, for as many at a time as there are cores, or
        workers on a cluster; False if all trainings of an iteration are one call. The numbers differ in their
        rounding, and so do runs.
    """

    gradient_steps: int = 1000
    num_envs: int = 512
    batch_size: int = 256
    buffer_size: int = 50_000
    updates_per_round: int = 4
    snapshots: int = 10
    max_extensions: int = 1
    enough: float = 0.8
    seeds_per_response: int = 1
    games_per_response: int = 0
    max_games_per_response: int = 100_000
    trembles: float = 0.2
    tremble_weight: float = 0.1
    stochastic_responses: bool = False
    diversity: float = 0.0
    self_play: float = 0.0
    lanes_alone: bool = False

    def __post_init__(self) -> None:
        counts = ("gradient_steps", "num_envs", "batch_size", "buffer_size")
        for name in (*counts, "updates_per_round", "snapshots", "seeds_per_response"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("max_extensions", "games_per_response"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}.")
        if self.max_games_per_response < self.games_per_response:
            raise ValueError(
                f"max_games_per_response must be at least games_per_response, {self.games_per_response}."
            )
        self._check_shares()
        self._check_diversity()
        if self.buffer_size < self.batch_size:
            raise ValueError(f"buffer_size must be at least batch_size, {self.batch_size}.")
        # One decision of every game is added at once.
        if self.buffer_size < self.num_envs:
            raise ValueError(f"buffer_size must be at least num_envs, {self.num_envs}.")

    def _check_shares(self) -> None:
        for name in ("enough", "trembles", "tremble_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {getattr(self, name)}.")
        if not 0 <= self.self_play < 1:
            raise ValueError(f"self_play must be a share of at least 0 and below 1, not {self.self_play}.")

    def _check_diversity(self) -> None:
        if not 0 <= self.diversity < math.inf:
            raise ValueError(f"diversity must be a number of at least 0, not {self.diversity}.")
        if self.diversity and self.games_per_response:
            raise ValueError(
                "diversity needs games that are played while agents learn: set games_per_response to 0."
            )

    @property
    def num_snapshots(self) -> int:
        return min(self.snapshots, -(-self.gradient_steps // self.updates_per_round))

    @property
    def rounds_per_snapshot(self) -> int:
        return -(-self.gradient_steps // (self.updates_per_round * self.num_snapshots))

    @property
    def updates(self) -> int:
        """Returns `gradient_steps`, rounded up to whole rounds and snapshots."""
        return self.num_snapshots * self.rounds_per_snapshot * self.updates_per_round

    @property
    def rounds_before_learning(self) -> int:
        """Rounds that fill a first batch, and bring games to all stages."""
        return max(4, -(-self.batch_size // self.num_envs))

    @property
    def decisions(self) -> int:
        """Returns the learner's decisions in one training, if games are played while it learns."""
        rounds = self.rounds_before_learning + self.updates // self.updates_per_round
        return rounds * self.num_envs
