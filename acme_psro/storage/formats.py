"""Formats of checkpoints: the two kinds of policies and payoffs, exact and sampled, as files and arrays.

Policies are stored policies (`acme_psro.policies.stored`) in both. Runs of compiled games that were begun
before that have files with a bare table, which are still read.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acme_psro.games.graph import GameGraph
from acme_psro.games.identity import content_digest
from acme_psro.games.tree import GameTree
from acme_psro.meta_game.base import PolicyT
from acme_psro.policies import decoders, stored
from acme_psro.policies.on_graph import GraphPolicy, make_graph_policy
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.storage import checkpoint
from acme_psro.storage.record import Format

if TYPE_CHECKING:
    from acme_psro.meta_game.estimates import SampledPayoffs


def of_tree(tree: GameTree, lasting: bool = True) -> Format[Policy, np.ndarray]:
    """Returns the format of a compiled game: policies are tables on it, payoffs one array.

    Args:
      tree: the compiled game.
      lasting: False if policies change after they have joined their populations.
    """

    def pack(policy: Policy, player: int) -> bytes:
        return stored.pack(decoders.from_tree_policy(tree, player, policy))

    def read(path: Path, player: int) -> Policy:
        if _has_bare_table(path):
            return make_policy(tree, player, checkpoint.unpack(path)["table"])
        policy = stored.read(path)
        stored.check_fits(policy, tree.game_string, player, str(path))
        return make_policy(tree, player, decoders.table_on_tree(tree, policy))

    return _of_compiled(tree.digest, pack, read, lasting)


def _has_bare_table(path: Path) -> bool:
    """Returns True if a file is of the format before stored policies; only its list of names is read."""
    with zipfile.ZipFile(path) as archive:
        return "table.npy" in archive.namelist()


def of_graph(graph: GameGraph, lasting: bool = True) -> Format[GraphPolicy, np.ndarray]:
    """Returns the format of a game that is a graph: policies are tables on it, payoffs one array.

    Args:
      graph: the compiled game.
      lasting: False if policies change after they have joined their populations.
    """

    def pack(policy: GraphPolicy, player: int) -> bytes:
        return stored.pack(decoders.from_graph_policy(graph, player, policy.table))

    def read(path: Path, player: int) -> GraphPolicy:
        policy = stored.read(path)
        stored.check_fits(policy, graph.game_string, player, str(path))
        return make_graph_policy(graph, player, decoders.table_on_graph(graph, policy))

    return _of_compiled(graph.digest, pack, read, lasting)


def _of_compiled(
    digest: str,
    pack: Callable[[PolicyT, int], bytes],
    read: Callable[[Path, int], PolicyT],
    lasting: bool,
) -> Format[PolicyT, np.ndarray]:
    """Returns the format of a compiled game with this digest, whose payoffs are one array."""
    return Format(
        game=digest,
        pack_policy=pack,
        read_policy=read,
        pack_payoffs=lambda payoffs: {"payoffs": payoffs},
        unpack_payoffs=lambda arrays: arrays["payoffs"],
        lasting=lasting,
    )


def of_files(game: str, lasting: bool = True) -> Format[PolicyFile, SampledPayoffs]:
    """Returns the format of a game whose payoffs are sampled: policies are the files themselves.

    Args:
      game: the game's name, see `acme_psro.games.identity`.
      lasting: False if policies change after they have joined their populations.
    """
    # It imports JAX, which runs of compiled games may do without.
    from acme_psro.meta_game.estimates import SampledPayoffs

    def pack(policy: PolicyFile, player: int) -> bytes:
        del player
        return policy.path.read_bytes()

    return Format(
        game=content_digest(game) or "",
        pack_policy=pack,
        read_policy=lambda path, player: stored.check_file(path, game, player),
        pack_payoffs=lambda payoffs: {
            "payoffs": payoffs.mean,
            "payoff_episodes": payoffs.episodes,
            "payoff_standard_errors": payoffs.standard_error,
        },
        unpack_payoffs=lambda arrays: SampledPayoffs(
            arrays["payoffs"], arrays["payoff_episodes"], arrays["payoff_standard_errors"]
        ),
        lasting=lasting,
    )
