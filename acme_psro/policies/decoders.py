"""Decoders: functions that make playable policies of stored ones, by kind.

Dimensions: `n` states, `I_p` information states and `O_p` observations of player p, `A` actions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyspiel

from acme_psro.games.graph import GameGraph
from acme_psro.games.information_states import make_namer
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree
from acme_psro.games.views import make_labeller
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import Policy

if TYPE_CHECKING:
    from acme_psro.games.batch_policies import BatchPolicy

# Makes the policy that a stored one describes; raises a StoredPolicyError if it cannot.
Decoder = Callable[[StoredPolicy], "BatchPolicy"]

_TOLERANCE = 1e-6
# Keys may hold any text; a message is one line.
_MOST_CHARACTERS = 100


def decode(policy: StoredPolicy, decoders: Mapping[str, Decoder]) -> BatchPolicy:
    """Returns the policy, made by the decoder of its kind.

    Raises:
      StoredPolicyError: no decoder for its kind, or the decoder refuses it.
    """
    kind = policy.about["kind"]
    if kind not in decoders:
        raise StoredPolicyError(f"no decoder for policies of kind {kind!r}; there are {', '.join(decoders)}.")
    return decoders[kind](policy)


def uniform(game: str, player: int) -> StoredPolicy:
    """Returns the stored policy that plays all legal actions with equal probability.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      player: the policy's player.
    """
    return StoredPolicy({"kind": "uniform", "game": game, "player": player}, {})


def decode_uniform(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "uniform"."""
    # It imports JAX, which tables do without.
    from acme_psro.games import batch_policies

    return batch_policies.uniform(policy.about["game"])


def from_tree_policy(tree: GameTree, player: int, policy: Policy) -> StoredPolicy:
    """Returns a policy of kind "table" from one on a compiled game."""
    arrays = _with_keys(tree.keys[tree.infosets_of(player)], policy.table)
    return StoredPolicy({"kind": "table", "game": tree.game_string, "player": player}, arrays)


def from_graph_policy(graph: GameGraph, player: int, table: np.ndarray) -> StoredPolicy:
    """Returns a policy of kind "graph_table", from one on a graph of merged states.

    Args:
      graph: the compiled game.
      player: the policy's player.
      table: `[O_p, A]`, its probabilities.
    """
    about = {"kind": "graph_table", "game": graph.game_string, "player": player, "seen_by": graph.seen_by}
    return StoredPolicy(about, _with_keys(graph.keys[graph.observations_of(player)], table))


def _with_keys(keys: Sequence[str], table: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays of a table and of its rows' names."""
    texts = [key.encode() for key in keys]
    return {
        "keys": np.frombuffer(b"".join(texts), np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "table": np.asarray(table, np.float64),
    }


def table_of(policy: StoredPolicy) -> tuple[dict[str, int], np.ndarray]:
    """Returns each key's row, and the rows, of a policy of kind "table" or "graph_table".

    The keys are names of information states, or of what the player observes.

    Raises:
      StoredPolicyError: its arrays are not a table.
    """
    try:
        text, offsets = policy.arrays["keys"].tobytes(), policy.arrays["offsets"].tolist()
        table = np.asarray(policy.arrays["table"], np.float64)
        keys = [text[start:stop].decode() for start, stop in itertools.pairwise(offsets)]
        rows = {key: row for row, key in enumerate(keys)}
        sums = table.sum(axis=1)
        good = len(rows) == len(keys) == len(table) and (table >= 0).all()
    except (KeyError, TypeError, ValueError):
        good = False
    # Written so that NaN is caught.
    if not good or not (np.abs(sums - 1) <= _TOLERANCE).all():
        raise StoredPolicyError(
            f"player {policy.about['player']}'s table needs a key for each row and rows that are "
            "distributions: make it again."
        )
    return rows, table


def table_on_tree(tree: GameTree, policy: StoredPolicy) -> np.ndarray:
    """Returns `[I_p, A]`: a policy of kind "table", its rows in the order of a compiled game.

    Raises:
      StoredPolicyError: its arrays are not a table, or lack information states of the game.
    """
    rows, table = table_of(policy)
    keys = tree.keys[tree.infosets_of(policy.about["player"])]
    unknown = [key for key in keys if key not in rows]
    if unknown and _has_numbered_keys(list(rows), keys):
        return table
    if unknown:
        raise StoredPolicyError(
            f"the table lacks {len(unknown)} information states of {tree.game_string}, such as "
            f"{unknown[0][:_MOST_CHARACTERS]!r}: it is of another version of the game."
        )
    return table[[rows[key] for key in keys]]


def _has_numbered_keys(stored: Sequence[str], keys: Sequence[str]) -> bool:
    """Returns True if stored keys are those that an earlier version gave to games without strings.

    They named the previous information state by its number, before a bar, and the observation after it. The
    order of the rows was the same as now.
    """
    return len(stored) == len(keys) and all(
        re.fullmatch(r"(\d+/\d+)?", old.partition("|")[0]) and old.partition("|")[2] == new.partition("|")[2]
        for old, new in zip(stored, keys, strict=True)
    )


def table_on_graph(graph: GameGraph, policy: StoredPolicy) -> np.ndarray:
    """Returns `[O_p, A]`: a policy of kind "graph_table", its rows in the order of a compiled graph.

    Raises:
      StoredPolicyError: its arrays are not a table, or lack observations of the graph.
    """
    rows, table = table_of(policy)
    keys = graph.keys[graph.observations_of(policy.about["player"])]
    unknown = [key for key in keys if key not in rows]
    if unknown:
        raise StoredPolicyError(
            f"the table lacks {len(unknown)} observations of {graph.game_string}, such as "
            f"{unknown[0][:_MOST_CHARACTERS]!r}: it is of another version of the game."
        )
    return table[[rows[key] for key in keys]]


def decode_table(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "table", which raises a StoredPolicyError at states that the table lacks.

    Raises:
      StoredPolicyError: the arrays are not a table.
    """
    return _look_up(policy, make_namer(load_game(policy.about["game"])), "information state")


def decode_graph_table(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "graph_table", which raises a StoredPolicyError at states that it lacks.

    Raises:
      StoredPolicyError: the arrays are not a table, or the game offers no such observations.
    """
    game, seen_by = policy.about["game"], policy.about.get("seen_by")
    try:
        labeller = make_labeller(load_game(game), str(seen_by))
    except GameError as error:
        raise StoredPolicyError(f"a policy of {game} cannot be used: {error}") from None
    return _look_up(policy, labeller, "observation")


def _look_up(policy: StoredPolicy, name: Callable[[pyspiel.State, int], str], what: str) -> BatchPolicy:
    """Returns the policy that looks up the names of states in a table.

    Raises:
      StoredPolicyError: the arrays are not a table.
    """
    rows, table = table_of(policy)

    def play(states: Sequence[pyspiel.State], player: int) -> np.ndarray:
        try:
            return table[[rows[name(state, player)] for state in states]]
        except KeyError as error:
            unknown = repr(error.args[0])[:_MOST_CHARACTERS]
            raise StoredPolicyError(
                f"player {player}'s table, of {policy.about['game']}, does not have the {what} {unknown}: it "
                "is of another game or another player."
            ) from None

    return play


def decode_network(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "network"; imports JAX and the agents only now.

    Raises:
      StoredPolicyError: no such network, or arrays of another one.
    """
    from acme_psro.policies import networks

    return networks.decode(policy)


DECODERS: dict[str, Decoder] = {
    "uniform": decode_uniform,
    "table": decode_table,
    "graph_table": decode_graph_table,
    "network": decode_network,
}
