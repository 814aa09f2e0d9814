"""Stored policies that are networks of our agents; nothing of Acme is imported.

A policy of kind "network" has these entries besides the common ones: "agent", a name of `AGENTS`;
"settings", the agent's whole configuration; "context", the numbers of context that its network is given; and
maybe "greedy", whether it always takes the action that its network gives the greatest probability. Its arrays
are the leaves of `core.variables(state)`, by their `jax.tree_util.keystr` paths.

Dimensions: `n` states, `A` actions, `D` numbers of an information state, `C` numbers of context.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from acme_psro.games import playing
from acme_psro.games.batch_policies import BatchPolicy, JointCall
from acme_psro.games.loading import load_game
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from agents import settings
from agents.core import AgentCore, Observation
from agents.registry import AGENTS

# Rows that a network is called with: as few as hold the states, so that it is compiled once for each.
_BUCKETS = (16, 64, 256, 1024)
_TOLERANCE = 1e-3


class Network(NamedTuple):
    """An agent in a game, without its parameters.

    Attributes:
      core: the agent.
      probs: (variables, Observation `[n, ..]`) -> `[n, A]` float32, compiled once for each `n`.
      context: `[C]` float32, given to the network in every state.
      greedy: True if the most probable action is always taken, the first one of several.
    """

    core: AgentCore
    probs: Callable[[Any, Observation], jax.Array]
    context: np.ndarray
    greedy: bool = False


def about_network(game: str, player: int, agent: str, config: Any) -> dict[str, Any]:
    """Returns the description of a policy of kind "network", for an agent without context.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      player: the policy's player.
      agent: a name of `AGENTS`.
      config: the agent's configuration, a dataclass.
    """
    chosen = {name: _to_json(value) for name, value in dataclasses.asdict(config).items()}
    return {
        "kind": "network",
        "game": game,
        "player": player,
        "agent": agent,
        "settings": chosen,
        "context": [],
    }


def _to_json(value: Any) -> Any:
    """Converts a setting to JSON as `agents.settings` reads it back; JSON has no infinity."""
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value


def make_network(about: dict[str, Any]) -> Network:
    """Returns the agent and its compiled policy, which policies with equal settings and shapes share.

    Raises:
      StoredPolicyError: settings, an agent or a game that there are not.
    """
    try:
        config = config_of(about)
        context = np.array(about["context"], np.float32).reshape(-1)
        game = load_game(about["game"])
        shapes = (playing.tensor_of(game)[1], game.num_distinct_actions(), len(context))
        core, probs = _compile(about["agent"], config, shapes)
        greedy = about.get("greedy", False)
        if not isinstance(greedy, bool):
            raise StoredPolicyError(f"whether a policy is greedy must be true or false, not {greedy!r}.")
    except StoredPolicyError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StoredPolicyError(f"the network of a stored policy cannot be built: {reason}") from None
    return Network(core, probs, context, greedy)


def config_of(about: dict[str, Any]) -> Any:
    """Returns the agent's configuration, a dataclass.

    Raises:
      StoredPolicyError: there is no such agent.
      ValueError: settings that it does not have or allow.
    """
    name = about.get("agent")
    if name not in AGENTS:
        raise StoredPolicyError(f"no agent named {name!r} to decode; there are {', '.join(AGENTS)}.")
    return settings.replace(name, AGENTS[name].core().defaults, about["settings"])


@functools.cache
def _compile(name: str, config: Any, shapes: tuple[int, int, int]) -> tuple[AgentCore, Any]:
    width, num_actions, context = shapes
    agent = AGENTS[name].core()
    networks = agent.make_networks(_padding(1, width, num_actions, context), num_actions, config)
    core = agent.make_core(networks, config)
    return core, jax.jit(core.probs)


def to_arrays(variables: Any) -> dict[str, np.ndarray]:
    """Returns the leaves of an agent's variables, by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def to_variables(core: AgentCore, arrays: dict[str, np.ndarray]) -> Any:
    """Returns the agent's variables, on the CPU.

    Raises:
      StoredPolicyError: the arrays are of other networks.
    """
    like = jax.eval_shape(lambda key: core.variables(core.init(key)), jax.random.PRNGKey(0))
    leaves, form = jax.tree_util.tree_flatten_with_path(like)
    expected = {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in leaves}
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise StoredPolicyError(
            f"the arrays are not of the network that is named beside them: see {wrong[0]}."
        )
    variables = jax.tree.unflatten(form, [arrays[name] for name in expected])
    return jax.device_put(variables, jax.local_devices(backend="cpu")[0])


def decode(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "network", which raises a StoredPolicyError if its probabilities are invalid.

    Raises:
      StoredPolicyError: no such network, or arrays of another one.
    """
    network = make_network(policy.about)
    variables = to_variables(network.core, policy.arrays)
    return NetworkPolicy(network, variables, playing.make_observe(load_game(policy.about["game"])))


class NetworkPolicy:
    """A network that plays, as a batch policy.

    Args:
      network: the network.
      variables: its arrays.
      observe: the function that observes states of the game, see `playing.make_observe`.

    Attributes:
      network: the network.
      variables: its arrays.
      observe: the function that observes states of the game.
      joint: the call that evaluates it together with others, and its number there; None if there is none.
    """

    def __init__(
        self, network: Network, variables: Any, observe: Callable[[Sequence[Any], int], Observation]
    ) -> None:
        self.network = network
        self.variables = variables
        self.observe = observe
        self.joint: tuple[JointCall, int] | None = None

    def __call__(self, states: Sequence[Any], player: int) -> np.ndarray:
        """Returns the probabilities `[n, A]` in `n` states.

        Raises:
          StoredPolicyError: the network gives no probabilities.
        """
        seen = self.observe(states, player)
        info_state, legal = np.asarray(seen.info_state), np.asarray(seen.legal_actions)
        return probabilities(self.network, self.variables, info_state, legal)


def probabilities(network: Network, variables: Any, info_state: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Returns a network's probabilities `[n, A]` float64 for `[n, D]` and legal actions `[n, A]`.

    It is called with as many rows as one of a few sizes has, so that it is compiled as often.

    Raises:
      StoredPolicyError: it gives no probabilities.
    """
    context = np.broadcast_to(network.context, (len(legal), len(network.context)))
    parts = []
    for start in range(0, len(legal), _BUCKETS[-1]):
        rows = slice(start, start + _BUCKETS[-1])
        part = (info_state[rows], legal[rows], context[rows])
        count = len(part[0])
        size = round_up(count, _BUCKETS)
        padding = _padding(size - count, info_state.shape[1], legal.shape[1], context.shape[1])
        padded: list[Any] = [np.concatenate(pair) for pair in zip(part, padding, strict=True)]
        parts.append(np.asarray(network.probs(variables, Observation(*padded)), np.float64)[:count])
    return check_probabilities(network, np.concatenate(parts), legal)


def check_probabilities(network: Network, found: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Returns a network's answers `[n, A]` as probabilities of legal actions, `[n, A]` float64.

    Raises:
      StoredPolicyError: they do not add up to 1.
    """
    whole = np.where(legal, found, 0.0)
    sums = whole.sum(axis=1, keepdims=True)
    # Written so that NaN is caught.
    if not (np.abs(sums - 1) <= _TOLERANCE).all():
        raise StoredPolicyError("a network gave probabilities that do not add up to 1: its policy diverged.")
    # Illegal actions have probability 0 and some legal action more, so argmax is legal.
    return np.eye(whole.shape[1])[whole.argmax(axis=1)] if network.greedy else whole / sums


def round_up(count: int, sizes: Sequence[int]) -> int:
    """Returns the smallest of the sizes, in ascending order, that is not below the count."""
    return next(size for size in sizes if size >= count)


def _padding(rows: int, width: int, num_actions: int, context: int) -> Observation:
    """Returns padding, with all actions legal so that a softmax over them is defined."""
    arrays: tuple[Any, ...] = (
        np.zeros((rows, width), np.float32),
        np.ones((rows, num_actions), bool),
        np.zeros((rows, context), np.float32),
    )
    return Observation(*arrays)
