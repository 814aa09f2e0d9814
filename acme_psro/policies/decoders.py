"""Decoders: functions that make playable policies of stored ones, by kind.

Dimensions: `n` states, `I_p` information states of player p, `A` actions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyspiel

from acme_psro.games.information_states import make_namer
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import Policy

if TYPE_CHECKING:
    from acme_psro.games.batched import BatchPolicy

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
    from acme_psro.games import batched

    return batched.uniform(policy.about["game"])


def from_tree_policy(tree: GameTree, player: int, policy: Policy) -> StoredPolicy:
    """Returns a policy of kind "table" from one on a compiled game."""
    texts = [key.encode() for key in tree.keys[tree.infosets_of(player)]]
    arrays: dict[str, np.ndarray] = {
        "keys": np.frombuffer(b"".join(texts), np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
        "table": np.asarray(policy.table, np.float64),
    }
    return StoredPolicy({"kind": "table", "game": tree.game_string, "player": player}, arrays)


def table_of(policy: StoredPolicy) -> tuple[dict[str, int], np.ndarray]:
    """Returns each information state string's row, and the rows `[I_p, A]`, of a policy of kind "table".

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


def decode_table(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "table", which raises a StoredPolicyError at states that the table lacks.

    Raises:
      StoredPolicyError: the arrays are not a table.
    """
    rows, table = table_of(policy)
    game = policy.about["game"]
    name = make_namer(load_game(game))

    def play(states: Sequence[pyspiel.State], player: int) -> np.ndarray:
        try:
            return table[[rows[name(state, player)] for state in states]]
        except KeyError as error:
            unknown = repr(error.args[0])[:_MOST_CHARACTERS]
            raise StoredPolicyError(
                f"player {player}'s table, of {game}, does not have the information state {unknown}: it is "
                "of another game or another player."
            ) from None

    return play


def decode_network(policy: StoredPolicy) -> BatchPolicy:
    """Decodes a policy of kind "network"; imports JAX and the agents only now.

    Raises:
      StoredPolicyError: no such network, or arrays of another one.
    """
    from acme_psro.policies import networks

    return networks.decode(policy)


DECODERS: dict[str, Decoder] = {"uniform": decode_uniform, "table": decode_table, "network": decode_network}
