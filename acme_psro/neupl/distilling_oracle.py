"""The oracle of NeuPL-JPSRO: best responses that are distilled into one network for all players.

Every response is learned on the device, by an agent whose network is then forgotten. The members' network
learns to play it in a context of its own, and the member that it makes of it is the response that joins (Liu
et al. 2024, arXiv:2401.05133). Earlier members are held to what they were, but may move a little, so that
the oracle answers with whole populations, as `Response.others`. The network is its memory.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.evaluation import deviations
from acme_psro.games.tree import GameTree
from acme_psro.neupl import distillation, distilled_members
from acme_psro.neupl.distillation import DistillationConfig, Lesson, Network
from acme_psro.neupl.distilled_members import MemberNetwork
from acme_psro.oracles.asking import Results
from acme_psro.oracles.base import BestResponseTask, Memory, Response
from acme_psro.oracles.device.lane_oracle import LaneOracle
from acme_psro.oracles.device.lanes import Lane
from acme_psro.oracles.device.oracle import DeviceOracle, settle
from acme_psro.oracles.exact import deviation_of
from acme_psro.policies.tabular import Policy, Population, make_policy
from agents.core import Observation

# (example observation `[1, ..]`, number of actions) -> the members' network.
MakeNetwork = Callable[[Observation, int], Network]
Task = BestResponseTask[Policy, np.ndarray]
# Names of the network's arrays in the memory begin with this.
_MEMBERS = "members_"
# The part of an agent's network that members are, see `acme_psro.oracles.device.population_start`.
_POLICY = "policy"
_MEMBERS_DRAW = 1


class Taught(NamedTuple):
    """Result of a distillation.

    Attributes:
      network: the network with its new members.
      probs: `[m, R, A]` float32, what all members play.
      kls: `[m]`, the mean KL of each from what it was to learn, in nats: from its response if it is new, and
        from what it was before otherwise.
      num_old: the number of earlier members, which come first.
    """

    network: MemberNetwork
    probs: np.ndarray
    kls: np.ndarray
    num_old: int


class DistillingOracle(LaneOracle[Policy]):
    """An oracle whose responses are members of one network.

    Args:
      tree: the compiled game.
      responses: learns best responses.
      make_network: makes the members' network.
      embedding_size: numbers in a member's embedding.
      config: the budget of a distillation.
      is_stochastic: True if members play with the network's probabilities, False if they play its most
        probable actions; as the responses do.
    """

    def __init__(
        self,
        tree: GameTree,
        responses: DeviceOracle,
        make_network: MakeNetwork,
        embedding_size: int,
        config: DistillationConfig,
        is_stochastic: bool,
    ) -> None:
        self._tree, self._responses, self._config = tree, responses, config
        self._is_stochastic = is_stochastic
        self._info_state = jnp.asarray(tree.info_state, jnp.float32)
        self._legal = jnp.asarray(tree.legal_actions)
        context = jnp.zeros((1, tree.num_players + embedding_size))
        example = Observation(self._info_state[:1], self._legal[:1], context)
        self._net = make_network(example, tree.num_actions)
        self._embedding_size = embedding_size
        players = tree.num_players
        self._distil = jax.jit(functools.partial(distillation.distil, self._net, config, players))
        self._log_probs = jax.jit(
            lambda places, learned: distillation.all_log_probs(self._net, places, learned, players)
        )
        self._members: MemberNetwork | None = None

    def train_lane(self, lane: Lane) -> Any:
        return self._responses.train_lane(lane)

    def ask(self, key: np.ndarray, tasks: Sequence[Task]) -> Generator[Lane, Results, list[Response[Policy]]]:
        """Returns a generator of the members that responses become; the arguments are those of `LaneOracle`.

        Every member comes with its player's whole population. A player whose response gains nothing gets no
        member, and the network stays as it is if no player's does.
        """
        found = yield from self._responses.ask(key, tasks)
        # The iteration's own key, with a number behind it, so that nothing is drawn as for the responses.
        seeds = np.random.SeedSequence([*key.tolist(), _MEMBERS_DRAW]).spawn(2)
        rng = np.random.default_rng(seeds[1])
        before = self._members or self._start(seeds[0])
        new = [
            (task.player, response.policy)
            for task, response in zip(tasks, found, strict=True)
            if response.policy is not None
        ]
        populations = tasks[0].populations
        if not new:
            self._members = before
            return [self._keep(populations, task, each) for task, each in zip(tasks, found, strict=True)]
        taught = self._teach(before, new, populations, rng)
        self._members = taught.network
        self._offer(taught.network)
        return [
            self._answer(taught, populations, task, each) for task, each in zip(tasks, found, strict=True)
        ]

    def _start(self, seed: np.random.SeedSequence) -> MemberNetwork:
        """Returns the network without members, with random parameters."""
        key = jax.random.wrap_key_data(jnp.asarray(seed.generate_state(2, np.uint32)))
        nothing = np.zeros((0, self._embedding_size), np.float32)
        return MemberNetwork(self._net.init(key), nothing, np.zeros(0, np.int32))

    def _teach(
        self,
        before: MemberNetwork,
        new: Sequence[tuple[int, Policy]],
        populations: Sequence[Population],
        rng: np.random.Generator,
    ) -> Taught:
        """Returns the network with a new member for each of the policies."""
        tree, config = self._tree, self._config
        network = distilled_members.add_members(before, rng, np.array([player for player, _ in new]))
        places = distilled_members.make_places(tree, self._info_state, self._legal, network.players)
        start = distilled_members.to_learned(network)
        num_old = len(before.players)
        # Earlier members are held to what the network makes of them by now, not to their responses.
        targets = np.exp(np.asarray(self._log_probs(places, start)))
        for number, (_, policy) in enumerate(new, num_old):
            targets[number] = 0.0
            targets[number, : len(policy.table)] = policy.table
        aims = [*members_of(before, populations), *(policy for _, policy in new)]
        chances = np.stack(
            [
                distilled_members.chances_of(tree, player, aim, config.elsewhere)
                for player, aim in zip(network.players, aims, strict=True)
            ]
        )
        is_new = np.arange(len(aims)) >= num_old
        drawn = distillation.draw_pairs(rng, chances, is_new, config)
        weight = distillation.position_weights(len(new), num_old, config)
        lesson = Lesson(jnp.asarray(targets), jnp.asarray(drawn), jnp.asarray(weight))
        learned = self._distil(places, start, lesson)
        log_probs = self._log_probs(places, learned)
        kls = np.asarray(distillation.kl(lesson.targets, log_probs))[: len(aims)]
        return Taught(
            distilled_members.from_learned(learned, network.players),
            np.exp(np.asarray(log_probs))[: len(aims)],
            (chances * kls).sum(axis=1),
            num_old,
        )

    def _offer(self, network: MemberNetwork) -> None:
        """Lets the next responses begin in the members' network, if they do not begin in fresh ones."""
        start = self._responses.population
        if start is None:
            return
        for player in range(self._tree.num_players):
            own = network.embeddings[network.of_player(player)]
            seat = np.tile(np.eye(self._tree.num_players, dtype=np.float32)[player], (len(own), 1))
            start.adopt(player, _POLICY, network.params, np.concatenate([seat, own], axis=1))

    def _answer(
        self, taught: Taught, populations: Sequence[Population], task: Task, found: Response[Policy]
    ) -> Response[Policy]:
        """Returns a player's whole population with its new member, if it has one."""
        tree, player = self._tree, task.player
        rows = tree.infosets_of(player)
        own = taught.network.of_player(player)
        probs = taught.probs[own, : rows.stop - rows.start]
        tables = settle(probs, tree.legal_actions[rows], self._is_stochastic)
        population = (populations[player][0], *(make_policy(tree, player, table) for table in tables))
        kls = taught.kls[own]
        old, joined = kls[own < taught.num_old], kls[own >= taught.num_old]
        metrics = dict(found.metrics)
        if len(old):
            metrics["kept_kl"] = float(old.max())
        if not len(joined):
            return dataclasses.replace(found, metrics=metrics, others=population)
        (gain,) = deviations.gains(tree, deviation_of(tree, task), [population[-1]])
        metrics |= {"distillation_gap": found.gain - gain, "distillation_kl": float(joined[0])}
        return dataclasses.replace(
            found, policy=population[-1], gain=gain, metrics=metrics, others=population
        )

    @staticmethod
    def _keep(populations: Sequence[Population], task: Task, found: Response[Policy]) -> Response[Policy]:
        """Returns a player's population as it was."""
        return dataclasses.replace(found, others=tuple(populations[task.player]))

    def memory(self) -> Memory:
        """Returns what the responses remember, and the network once there is one."""
        if self._members is None:
            return self._responses.memory()
        arrays = distilled_members.to_memory(self._members)
        return {**self._responses.memory(), **{f"{_MEMBERS}{name}": each for name, each in arrays.items()}}

    def remember(self, memory: Memory) -> None:
        """Makes the oracle go on as if it had not stopped.

        Raises:
          ValueError: the memory is of another game or agent.
        """
        self._responses.remember(memory)
        own = {
            name.removeprefix(_MEMBERS): each for name, each in memory.items() if name.startswith(_MEMBERS)
        }
        if own:
            self._members = distilled_members.from_memory(self._start(np.random.SeedSequence(0)), own)


def members_of(network: MemberNetwork, populations: Sequence[Population]) -> list[Policy]:
    """Returns the policies of all members of a network, in its order; the first ones of all are none.

    Raises:
      ValueError: the populations are not those of the network.
    """
    left = [iter(population[1:]) for population in populations]
    sizes = [len(network.of_player(player)) for player in range(len(populations))]
    if sizes != [len(population) - 1 for population in populations]:
        raise ValueError(f"the network has {sizes} members, which are not those of the populations.")
    return [next(left[player]) for player in network.players]
