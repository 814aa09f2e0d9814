"""The two sides of the acting benchmark: our loop with many parallel games, and Acme's loop with one game.

Both act with the same CrossQ policy as one player of the same environment, fetch its variables regularly and
write their experience to a separate Reverb server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import jax
import numpy as np
import reverb
from acme.utils import counting, loggers
from reverb.platform.default import checkpointers

from acme_psro.games import batch_policies, batched, environment, playing
from acme_psro.games.loading import load_game
from agents import crossq
from agents.acme_layer.batched_acting import BatchedLoop
from agents.acme_layer.replay import ReplayConfig
from agents.core import AgentCore
from agents.crossq import builder as crossq_builder
from experiments.benchmarks.shared import table

with contextlib.redirect_stdout(io.StringIO()):
    from open_spiel.python.policy import Policy

CONFIG = crossq.PRESETS["games"]
LOOP, OURS = "EnvironmentLoop", "ours"
# Steps of each side before it is measured; all programs are compiled in these steps.
_WARM_UP = 200


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the measurement.

    Attributes:
      games_per_actor: the number of games that our actor plays in parallel.
      player: the player that the actors control.
      loop_steps: env steps of a repetition of Acme's loop.
      batched_steps: env steps of a repetition of our loop.
      repetitions: the number of repetitions of each side; the sides alternate.
      seed: random seed of both sides.
    """

    games_per_actor: int = 16
    player: int = 0
    loop_steps: int = 2000
    batched_steps: int = 20_000
    repetitions: int = 5
    seed: int = 0


class Side(NamedTuple):
    """An actor with its loop.

    Attributes:
      run: acts for at least the given number of env steps.
      counter: counter of the env steps that the actor has made.
    """

    run: Callable[[int], None]
    counter: counting.Counter


@dataclasses.dataclass(frozen=True)
class Agent:
    """An untrained agent, which may also play the opponents, and its policy's variables."""

    builder: crossq_builder.CrossQBuilder
    networks: Any
    core: AgentCore
    variables: Any
    spec: acme.specs.EnvironmentSpec

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        """Returns the variables, in the same way as a learner."""
        return [self.variables] * len(names)


class NetworkPolicy(Policy):
    """The agent's network as an OpenSpiel policy, for single states and for batches of states.

    Args:
      game: the game that is played.
      agent: the agent whose network is used.
      most: maximum number of states in a batch.
    """

    def __init__(self, game: Any, agent: Agent, most: int) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._observe = playing.make_observe(game)
        self._probs = jax.jit(agent.core.probs)
        self._variables = jax.device_put(agent.variables)
        self._most = most

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        (row,) = self._answer([state], player, 1)
        return {action: float(row[action]) for action in state.legal_actions(player)}

    def of_many(self, states: Sequence[Any], player: int) -> np.ndarray:
        """Returns probabilities `[n, A]`. The batch is padded to a fixed size, so that JAX compiles once."""
        return self._answer(states, player, self._most)

    def _answer(self, states: Sequence[Any], player: int, size: int) -> np.ndarray:
        seen = self._observe([*states, *[states[0]] * (size - len(states))], player)
        rows = np.asarray(self._probs(self._variables, seen), np.float64)[: len(states)]
        return rows / rows.sum(axis=1, keepdims=True)


def make_agent(game: str, settings: Settings) -> Agent:
    """Makes CrossQ with its preset for games, and with a replay that never blocks."""
    spec = acme.make_environment_spec(environment.PlayerEnvironment(game, settings.player))
    replay = ReplayConfig(samples_per_insert_tolerance_rate=math.inf, max_replay_size=100_000)
    networks = crossq_builder.make_networks(spec, CONFIG)
    core = crossq.make_core(networks, CONFIG)
    variables = jax.device_get(core.variables(core.init(jax.random.PRNGKey(settings.seed))))
    return Agent(crossq_builder.CrossQBuilder(CONFIG, replay), networks, core, variables, spec)


def make_loop(
    game: str, agent: Agent, client: reverb.Client, opponent: NetworkPolicy | None, settings: Settings
) -> Side:
    """Makes the side with Acme's loop, actor and adder."""
    opponents = None if opponent is None else environment.fixed(opponent)
    played = environment.PlayerEnvironment(game, settings.player, opponents, settings.seed)
    policy = agent.builder.make_policy(agent.networks, agent.spec)
    adder = agent.builder.make_adder(client, agent.spec, policy)
    actor = agent.builder.make_actor(jax.random.PRNGKey(settings.seed), policy, agent.spec, agent, adder)
    counter = counting.Counter()
    loop = acme.EnvironmentLoop(played, actor, counter, loggers.NoOpLogger())
    return Side(lambda steps: loop.run(num_steps=steps), counter)


def make_batched(
    game: str, agent: Agent, client: reverb.Client, opponent: NetworkPolicy | None, settings: Settings
) -> Side:
    """Makes our side: one loop, actor and adder for many parallel games."""
    num_games = settings.games_per_actor
    policies = None if opponent is None else [opponent.of_many] * opponent.game.num_players()
    opponents = None if policies is None else batch_policies.fixed(policies)
    games = batched.GameBatch(game, settings.player, num_games, opponents, settings.seed)
    adder = agent.builder.make_batch_adder(client, num_games, games.nothing)
    key = jax.random.PRNGKey(settings.seed)
    actor = agent.builder.make_batched_actor(key, agent.networks, agent.spec, agent, adder)
    counter = counting.Counter()
    loop = BatchedLoop(games, actor, counter, loggers.NoOpLogger())
    return Side(lambda steps: loop.run(num_steps=steps), counter)


@contextlib.contextmanager
def replay_of(agent: Agent) -> Iterator[reverb.Client]:
    """Context manager that runs a Reverb server with an empty table for one actor."""
    with tempfile.TemporaryDirectory(prefix="acting_") as scratch:
        checkpointer = checkpointers.DefaultCheckpointer(scratch)
        server = reverb.Server(agent.builder.make_replay_tables(agent.spec, None), checkpointer=checkpointer)
        try:
            yield reverb.Client(f"localhost:{server.port}")
        finally:
            server.stop()


def measure(game: str, with_network: bool, settings: Settings) -> dict[str, float]:
    """Returns the seconds per env step of Acme's loop and of ours."""
    agent = make_agent(game, settings)
    opponent = NetworkPolicy(load_game(game), agent, settings.games_per_actor) if with_network else None
    with replay_of(agent) as theirs, replay_of(agent) as ours:
        sides = {
            LOOP: (make_loop(game, agent, theirs, opponent, settings), settings.loop_steps),
            OURS: (make_batched(game, agent, ours, opponent, settings), settings.batched_steps),
        }
        for side, steps in sides.values():
            side.run(min(steps, _WARM_UP))
        before = {name: _steps(side) for name, (side, _) in sides.items()}
        runs = {name: functools.partial(side.run, steps) for name, (side, steps) in sides.items()}
        seconds = table.medians(runs, settings.repetitions)
        made = {name: _steps(side) - before[name] for name, (side, _) in sides.items()}
    return {name: seconds[name] * settings.repetitions / made[name] for name in sides}


def _steps(side: Side) -> int:
    return int(side.counter.get_counts()["steps"])
