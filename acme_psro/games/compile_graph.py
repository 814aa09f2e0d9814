"""Compilation of an OpenSpiel game to a graph of merged states, with a cache of compiled graphs on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyspiel

from acme_psro.games import cache as game_cache
from acme_psro.games.graph import GameGraph
from acme_psro.games.graph_layout import lay_out_graph
from acme_psro.games.graph_plays import find_difference, find_horizon
from acme_psro.games.graph_size import bound_states
from acme_psro.games.identity import is_fixed, name_game
from acme_psro.games.loading import GameError, load_game, openspiel_errors
from acme_psro.games.merging import MergedGame, MergeError, merge_game
from acme_psro.games.plays import random_plays, repeats
from acme_psro.games.views import View, find_views
from acme_psro.games.walk import too_large

DEFAULT_MAX_NODES = 1_000_000


def compile_graph(
    game_string: str,
    max_nodes: int = DEFAULT_MAX_NODES,
    *,
    cache: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> GameGraph:
    """Finds all states of an OpenSpiel game, or reads them from the cache on disk.

    Histories are merged if nothing tells them apart, see `acme_psro.games.merging`. Merging is refused if it
    is found to be wrong. If OpenSpiel's descriptions do not tell the whole state of a game, less is merged:
    players see more, or chance nodes are told apart by the moves that lead there.

    Args:
      game_string: the game as `pyspiel.load_game` takes it, e.g. `phantom_ttt`. A game with simultaneous
        moves is compiled in its turn-based form.
      max_nodes: the largest number of nodes that is allowed, after merging.
      cache: if True, the graph is read from the cache on disk, or stored there (see `acme_psro.games.cache`).
      on_progress: called with the number of nodes found so far, every 10,000 nodes.

    Returns:
      The game as arrays.

    Raises:
      GameError: the game is unknown, its parameters are bad, it does not merge, or it has more than
        `max_nodes` nodes, which an estimate finds at once if there are many more.
    """
    if max_nodes < 1:
        raise GameError(f"max_nodes must be at least 1, not {max_nodes}.")
    name = name_game(game_string)
    game = load_game(name)
    use_cache = cache and is_fixed(name)
    graph = game_cache.read_graph(name) if use_cache else None
    if graph is None or not _is_of(graph, game):
        graph = _compile(name, game, max_nodes, on_progress)
        if use_cache:
            game_cache.write(graph)
    # A game from the cache may have been compiled with a larger limit.
    if graph.num_nodes > max_nodes:
        raise too_large(name, f"{graph.num_nodes:,} counted after merging", max_nodes)
    return graph


def describe_view(graph: GameGraph) -> str:
    """Returns a line on what the players of a graph see."""
    remark = f"; {graph.remark}" if graph.remark else ""
    # OpenSpiel spells the maps of some games in several lines.
    name = " ".join(graph.game_string.split())
    return f"players of {name} see {graph.seen_by}{remark}."


def _is_of(graph: GameGraph, game: pyspiel.Game) -> bool:
    """Returns True if a graph from the cache plays like the game."""
    with openspiel_errors(graph.game_string):
        try:
            return find_difference(graph, game) is None
        # The file may ask for a view that the game does not offer.
        except GameError:
            return False


def _compile(
    name: str, game: pyspiel.Game, max_nodes: int, on_progress: Callable[[int], None] | None
) -> GameGraph:
    """Compiles a game by the view that lets most states merge.

    Raises:
      GameError: see `compile_graph`.
    """
    with openspiel_errors(name):
        if not repeats(load_game(name), random_plays(game)):
            raise GameError(
                f"{name} cannot be compiled: it plays differently when the same moves are repeated, so that "
                "its payoffs do not depend on the moves alone; choose another game."
            )
        if game.new_initial_state().is_terminal():
            raise GameError(f"{name} is over before its first move: choose other game parameters.")
        horizon = find_horizon(game)
        views = find_views(game)
    reason = MergeError(
        f"{name} cannot be compiled to a graph: what OpenSpiel tells its players contradicts itself, or does "
        "not tell them which actions are legal; choose another game."
    )
    for view in views:
        try:
            merged, remark = _merge(name, game, view, horizon, max_nodes, on_progress)
        except MergeError as error:
            reason = error
            continue
        graph = lay_out_graph(
            name,
            game.num_players(),
            game.num_distinct_actions(),
            view._replace(remark=remark),
            merged,
            horizon,
        )
        with openspiel_errors(name):
            difference = find_difference(graph, game)
        if difference is None:
            return graph
        reason = MergeError(f"{name} cannot be compiled to a graph: {difference}; choose another game.")
    raise reason


def _merge(
    name: str,
    game: pyspiel.Game,
    view: View,
    horizon: int,
    max_nodes: int,
    on_progress: Callable[[int], None] | None,
) -> tuple[MergedGame, str]:
    """Returns the merged game and a remark on it.

    Raises:
      MergeError: states do not merge.
      GameError: the game has too many nodes, or is inconsistent.
    """

    def identify(state: Any) -> tuple[Any, ...]:
        seen = [view.key(state, player) for player in range(game.num_players())]
        return (str(state), state.current_player(), *seen)

    with openspiel_errors(name):
        bound = bound_states(game, identify, max_nodes)
    if bound is not None:
        raise too_large(name, f"at least {bound:.0e} after merging, by an estimate", max_nodes)
    try:
        return merge_game(name, game, view, horizon, max_nodes, on_progress), view.remark
    except MergeError:
        if game.get_type().chance_mode == pyspiel.GameType.ChanceMode.DETERMINISTIC:
            raise
    merged = merge_game(name, game, view, horizon, max_nodes, on_progress, merges_chance=False)
    remark = "its chance events are told apart by the moves before them, which their descriptions forget"
    return merged, "; ".join(filter(None, (view.remark, remark)))
