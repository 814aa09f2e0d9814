"""Compiles an OpenSpiel game to arrays, or reads it from the cache of compiled games."""

from __future__ import annotations

from collections.abc import Callable

from acme_psro.games import cache as tree_cache
from acme_psro.games import walk
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree

DEFAULT_MAX_NODES = 5_000_000


def compile_game(
    game_string: str,
    max_nodes: int = DEFAULT_MAX_NODES,
    *,
    cache: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> GameTree:
    """Enumerates an OpenSpiel game, or reads it from the cache on disk.

    Args:
      game_string: as `pyspiel.load_game` takes it, e.g. `kuhn_poker(players=3)`. Games with simultaneous
        moves are played in their turn-based form.
      max_nodes: refuse a game with more nodes than this.
      cache: whether compiled games are kept on disk (see `acme_psro.games.cache`).
      on_progress: called with the number of nodes seen so far, every 100,000 nodes.

    Raises:
      GameError: unknown game, bad parameters, a game that cannot be enumerated, or one above `max_nodes`.
    """
    if max_nodes < 1:
        raise GameError(f"max_nodes must be at least 1, not {max_nodes}.")
    game = load_game(game_string)
    kept = cache and tree_cache.fits(str(game))
    tree = tree_cache.read(str(game)) if kept else None
    if tree is None:
        tree = walk.enumerate_game(game, max_nodes, on_progress)
        if kept:
            tree_cache.write(tree)
    if tree.num_nodes > max_nodes:
        raise walk.too_large(game, tree.num_nodes, max_nodes)
    return tree
