"""Compilation of an OpenSpiel game to arrays, with a cache of compiled games on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyspiel

from acme_psro.games import cache as tree_cache
from acme_psro.games import walk
from acme_psro.games.identity import is_fixed, name_game
from acme_psro.games.loading import GameError, load_game, openspiel_errors
from acme_psro.games.plays import Play, estimate_nodes, fits_tree, random_plays, repeats
from acme_psro.games.size import find_excess
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
        `max_nodes` nodes, which an estimate finds before games that are far too large are enumerated.
    """
    if max_nodes < 1:
        raise GameError(f"max_nodes must be at least 1, not {max_nodes}.")
    name = name_game(game_string)
    game = load_game(name)
    with openspiel_errors(name):
        plays = random_plays(game)
    use_cache = cache and is_fixed(name)
    tree = tree_cache.read(name) if use_cache else None
    # A file that holds another game than its name says is not used, however well it is formed.
    if tree is None or not fits_tree(tree, plays):
        tree = _walk(name, game, plays, max_nodes, on_progress)
        if use_cache:
            tree_cache.write(tree)
    # A game from the cache may have been compiled with a larger limit.
    if tree.num_nodes > max_nodes:
        raise walk.too_large(name, f"{tree.num_nodes:,} counted", max_nodes)
    return tree


def _walk(
    name: str,
    game: pyspiel.Game,
    plays: Sequence[Play],
    max_nodes: int,
    on_progress: Callable[[int], None] | None,
) -> GameTree:
    """Enumerates a game, after checks that take less time.

    Raises:
      GameError: see `compile_game`.
    """
    estimate = estimate_nodes(plays)
    if estimate > max_nodes:
        raise walk.too_large(name, f"at least {estimate:.0e} by an estimate", max_nodes)
    with openspiel_errors(name):
        same = repeats(load_game(name), plays)
    if not same:
        raise GameError(
            f"{name} cannot be enumerated: it plays differently when the same moves are repeated, so that "
            "its payoffs do not depend on the moves alone; choose another game."
        )
    with openspiel_errors(name):
        excess = find_excess(game, max_nodes)
    if excess is not None:
        raise walk.too_large(name, str(excess), max_nodes)
    return walk.enumerate_game(name, game, max_nodes, on_progress)
