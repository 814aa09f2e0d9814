"""Starts from the population: a response begins in the network that earlier responses of its player learned.

Every response of a run is a member of one network a player. A new one gets what members share from the one
that learned last. In place of parameters of its own it gets the mean of the members' in the player's own
mixture, which Fusion-PSRO (Lian et al. 2024, arXiv:2405.21027) takes of whole networks. The policies of
earlier members are stored as tables, so it does no harm that later ones change what they share.

Dimensions: `n` members, `K` policies of the player's population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acme_psro.oracles.base import BestResponseTask, Memory
from acme_psro.policies.meta_strategy import marginal
from agents.core import AgentCore, Joining, Key, Left, Observation, State, Transition

# Members that are hardly ever played say nothing of the mixture.
_LEAST_WEIGHT = 1e-6
# Names of arrays in the memory begin with this.
_START = "population"
Task = BestResponseTask[Any, Any]


class Start(NamedTuple):
    """First parameters of a response, as data of a compiled program.

    Attributes:
      is_known: `[]` bool, False if there is no member yet; `left` does not count then.
      left: the network, and the new member's first parameters.
    """

    is_known: np.ndarray
    left: Left


class Network(NamedTuple):
    """A player's network and its members.

    Attributes:
      shared: nested arrays, what members share.
      members: nested arrays `[n, ..]`, what each member has of its own, the newest last.
      indices: `[n]` int, the index of each member's policy in the player's population.
    """

    shared: Any
    members: Any
    indices: np.ndarray


def begin(core: AgentCore, start: Start | None) -> AgentCore:
    """Returns the agent with a first state that begins in the population; as it is if there is no start."""
    if start is None:
        return core
    joining = _joining_of(core)

    def init(key: Key) -> State:
        # Only the parameters are selected: the state's step counter must stay the same in all lanes.
        fresh = joining.leave(core.init(key))
        left = jax.tree.map(lambda known, new: jnp.where(start.is_known, known, new), start.left, fresh)
        return joining.join(key, left)

    return core._replace(init=init)


def leave(core: AgentCore, start: Start | None, state: State) -> Left | None:
    """Returns what a trained member leaves behind; None if there was no start."""
    return None if start is None else _joining_of(core).leave(state)


def stack(starts: Sequence[Start | None]) -> Start | None:
    """Returns the starts of lanes `[L]` with an axis of lanes in front; None if there are none."""
    return None if starts[0] is None else jax.tree.map(lambda *leaves: np.stack(leaves), *starts)


def unstack(left: Left | None, num: int) -> list[Left | None]:
    """Returns for each of `num` lanes what it left behind, from arrays `[L, ..]`."""
    leaves, structure = jax.tree.flatten(left)
    return [jax.tree.unflatten(structure, [np.asarray(leaf)[lane] for leaf in leaves]) for lane in range(num)]


def add_context(observation: Observation) -> Observation:
    """Returns the observation of the only member in a network: its index, 0, is the context `[.., 1]`."""
    return observation._replace(context=jnp.zeros((*observation.context.shape[:-1], 1), jnp.float32))


def see_member(core: AgentCore) -> AgentCore:
    """Returns an agent of one member, whose context is always the member's index, 0.

    Args:
      core: an agent with contexts of one number.
    """

    def update(state: State, batch: Transition) -> Any:
        return core.update(state, batch._replace(observation=add_context(batch.observation)))

    return core._replace(
        update=update,
        act=lambda variables, key, seen: core.act(variables, key, add_context(seen)),
        perform=lambda variables, key, seen: core.perform(variables, key, add_context(seen)),
        behaviour=lambda variables, seen: core.behaviour(variables, add_context(seen)),
        probs=lambda variables, seen: core.probs(variables, add_context(seen)),
        log_prob=lambda variables, seen, action: core.log_prob(variables, add_context(seen), action),
    )


class PopulationStart:
    """The networks of all players, from which their responses begin.

    Args:
      core: the agent, one that members can join.

    Raises:
      ValueError: the agent is not.
    """

    def __init__(self, core: AgentCore) -> None:
        example = jax.eval_shape(lambda: _joining_of(core).leave(core.init(jax.random.key(0))))
        self._nothing = Left(*jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), example))
        self._networks: dict[int, Network] = {}

    def start(self, task: Task | None) -> Start:
        """Returns the start of a response to a task, or of one in a fresh network if the task is None."""
        network = None if task is None else self._networks.get(task.player)
        if task is None or network is None:
            return Start(np.array(False), self._nothing)
        size = len(task.populations[task.player])
        own = marginal(task.meta_strategy, task.player, size)
        return Start(np.array(True), Left(network.shared, mean_member(network, own)))

    def add(self, tasks: Sequence[Task], left: Sequence[Left | None]) -> None:
        """Adds the members that the responses to the tasks are.

        A response's policy will be the population's next one. If it does not join the population, the next
        response has the same index, and its member takes the place of this one.

        Args:
          tasks: the tasks, at most one a player.
          left: what the response to each left behind; None if there is no response.
        """
        for task, own in zip(tasks, left, strict=True):
            if own is not None:
                index = len(task.populations[task.player])
                self._networks[task.player] = _append(self._networks.get(task.player), index, own)

    def adopt(self, player: int, part: str, learned: Mapping[str, Any], members: np.ndarray) -> None:
        """Takes what another network has learned of all members, in place of one part of a player's network.

        Args:
          player: the player.
          part: the part's name, such as "policy", if the agent's members have parts with names.
          learned: modules by name, of the same shapes; those that members do not share are not taken.
          members: `[n, ..]`, what each member has of its own in it, in the order of the population.
        """
        network = self._networks.get(player)
        if network is None:
            return
        # Responses that did not join their population are no members.
        joined = network.indices <= len(members)
        shared = {**network.shared, part: {name: learned[name] for name in network.shared[part]}}
        own = jax.tree.map(lambda leaf: leaf[joined], network.members)
        indices = network.indices[joined]
        if len(indices):
            own = {**own, part: members[indices - 1]}
            self._networks[player] = Network(shared, own, indices)

    def memory(self) -> Memory:
        """Returns the networks as arrays by name."""
        arrays: dict[str, np.ndarray] = {}
        for player, network in self._networks.items():
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(network)]
            arrays |= dict(zip(_names(player, len(leaves)), leaves, strict=True))
        return arrays

    def remember(self, memory: Memory) -> None:
        """Takes the networks from a memory, which may hold other arrays too.

        Raises:
          ValueError: they are those of another agent.
        """
        players = {int(name.split("_")[1]) for name in memory if name.startswith(f"{_START}_")}
        self._networks = {player: self._read(memory, player) for player in players}

    def _read(self, memory: Memory, player: int) -> Network:
        """Returns a player's network from a memory."""
        num = len(memory.get(_names(player, 1)[0], ()))
        example = Network(
            self._nothing.network,
            jax.tree.map(lambda leaf: np.zeros((num, *leaf.shape), leaf.dtype), self._nothing.member),
            np.zeros(num, int),
        )
        leaves, structure = jax.tree.flatten(example)
        found = [memory.get(name) for name in _names(player, len(leaves))]
        if any(one is None or one.shape != leaf.shape for one, leaf in zip(found, leaves, strict=True)):
            raise ValueError("the network in the checkpoint is of another agent or game.")
        return Network(*jax.tree.unflatten(structure, found))


def _names(player: int, num: int) -> list[str]:
    """Returns the names of a network's arrays in the memory; the last one is that of the indices."""
    return [f"{_START}_{player}_{leaf}" for leaf in (*range(num - 1), "indices")]


def _append(network: Network | None, index: int, left: Left) -> Network:
    """Returns the network with a new member, in the place of any with the same index."""
    own = jax.tree.map(lambda leaf: np.asarray(leaf)[None], left.member)
    if network is None:
        return Network(left.network, own, np.array([index]))
    stays = network.indices != index
    members = jax.tree.map(lambda old, new: np.concatenate([old[stays], new]), network.members, own)
    return Network(left.network, members, np.append(network.indices[stays], index))


def mean_member(network: Network, weights: np.ndarray) -> Any:
    """Returns the first parameters of a new member: the mean of the members' in a mixture.

    If the mixture has none of them, it is the newest member's. So it is always if what is mixed is not the
    population, as in XDO.

    Args:
      network: the player's network.
      weights: `[K]`, the player's own mixture of its population.
    """
    is_mixed = network.indices < len(weights)
    own = np.where(is_mixed, weights[np.where(is_mixed, network.indices, 0)], 0.0)
    if own.sum() < _LEAST_WEIGHT:
        own = np.eye(len(own))[-1]
    share = own / own.sum()
    return jax.tree.map(lambda leaf: np.tensordot(share, leaf, 1).astype(leaf.dtype), network.members)


def _joining_of(core: AgentCore) -> Joining:
    if core.joining is None:
        raise ValueError("a response that starts from the population needs an agent that members can join.")
    return core.joining
