"""Compilation of an OpenSpiel game to arrays, with a cache of compiled games on disk."""

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
      game_string: the game as `pyspiel.load_game` takes it, e.g. `kuhn_poker(players=3)`. A game with
        simultaneous moves is compiled in its turn-based form.
      max_nodes: the largest number of nodes that is allowed.
      cache: if True, the compiled game is read from the cache on disk, or stored there (see
        `acme_psro.games.cache`).
      on_progress: called with the number of nodes found so far, every 100,000 nodes.

    Returns:
      The game as arrays.

    Raises:
      GameError: the game is unknown, its parameters are bad, it cannot be enumerated, or it has more than
        `max_nodes` nodes.
    """
    if max_nodes < 1:
        raise GameError(f"max_nodes must be at least 1, not {max_nodes}.")
    game = load_game(game_string)
    use_cache = cache and tree_cache.fits(str(game))
    tree = tree_cache.read(str(game)) if use_cache else None
    if tree is None:
        tree = walk.enumerate_game(game, max_nodes, on_progress)
        if use_cache:
            tree_cache.write(tree)
    # A game from the cache may have been compiled with a larger limit.
    if tree.num_nodes > max_nodes:
        raise walk.too_large(game, tree.num_nodes, max_nodes)
    return tree
