"""How checkpoints keep what runs have: tables and exact payoffs, or files and simulated ones."""

from __future__ import annotations

from pathlib import Path

from acme_psro.games.tree import GameTree
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.storage import checkpoint
from acme_psro.storage.checkpoint import Format


def of_tree(tree: GameTree) -> Format:
    """Of a compiled game: policies are tables on it, payoffs one array."""

    def read(path: Path, player: int) -> Policy:
        return make_policy(tree, player, checkpoint.unpack(path)["table"])

    return Format(
        pack_policy=lambda policy: checkpoint.pack({"table": policy.table}),
        read_policy=read,
        pack_payoffs=lambda payoffs: {"payoffs": payoffs},
        unpack_payoffs=lambda arrays: arrays["payoffs"],
    )


def of_files(game: str) -> Format:
    """Of a game whose payoffs are simulated: policies are the files themselves.

    Args:
      game: `str` of OpenSpiel's, turn-based.
    """
    # They import JAX, which runs in compiled games may do without.
    from acme_psro.meta_game.estimates import SampledPayoffs
    from acme_psro.policies import stored

    return Format(
        pack_policy=lambda policy: policy.path.read_bytes(),
        read_policy=lambda path, player: stored.check_file(path, game, player),
        pack_payoffs=lambda payoffs: {
            "payoffs": payoffs.mean,
            "payoff_episodes": payoffs.episodes,
            "payoff_standard_errors": payoffs.standard_error,
        },
        unpack_payoffs=lambda arrays: SampledPayoffs(
            arrays["payoffs"], arrays["payoff_episodes"], arrays["payoff_standard_errors"]
        ),
    )
