"""Information states that share an observation, so that no network can tell them apart.

Exact best responses tell all information states apart, and names of information states do. A network sees
tensors only, which some games make the same for several of them.
"""

from __future__ import annotations

import numpy as np
import pyspiel

from acme_psro.games.compile import compile_game
from acme_psro.games.information_states import make_play_namer
from acme_psro.games.loading import GameError, load_game
from acme_psro.games.tree import GameTree

# As many as exact evaluation compiles, see `acme_psro.agent_runs.evaluation`.
_MAX_NODES = 200_000
# A third of a second for most games. Plays are not finished if games are long.
_PLAYS = 100
_MOST_MOVES = 3000


def find_shared(game_string: str, player: int) -> str | None:
    """Returns a line on the information states of a player that networks cannot tell apart, if there are any.

    Args:
      game_string: the game as `acme_psro.games.loading.load_game` takes it. Small games are compiled.
      player: the player.

    Raises:
      GameError: the game cannot be loaded, has no tensors, or has no such player.
    """
    # Imported here, because it imports JAX, which exact runs do not need.
    from acme_psro.games import playing

    game = load_game(game_string)
    playing.checked_player(game, player)
    try:
        tree = compile_game(game_string, _MAX_NODES)
    except GameError:
        return describe_shared_in_plays(game, player)
    return describe_shared(tree, player)


def describe_shared(tree: GameTree, player: int | None = None) -> str | None:
    """Returns a line on the information states of a compiled game that networks cannot tell apart.

    Args:
      tree: the compiled game.
      player: the only player whose information states count, or None for all players.

    Returns:
      None if networks can tell all of them apart.
    """
    players = range(tree.num_players) if player is None else (player,)
    states = sum(len(tree.info_state[tree.infosets_of(each)]) for each in players)
    observations = sum(map(tree.count_observations, players))
    if observations == states:
        return None
    whose = "the" if player is None else f"player {player}'s"
    return (
        f"networks can tell only {observations:,} of {whose} {states:,} information states of "
        f"{tree.game_string} apart, as others share an observation; exact figures are of best responses that "
        "tell all apart."
    )


def describe_shared_in_plays(game: pyspiel.Game, player: int, seed: int = 0) -> str | None:
    """Returns such a line on a game that is too large to compile, from random plays of it.

    Args:
      game: the game, in turn-based form.
      player: the player whose information states count.
      seed: the seed of the plays.

    Returns:
      None if no two information states with the same observation were met. There may be some all the same.
    """
    from acme_psro.games import playing

    tensor_of, _ = playing.tensor_of(game)
    rng = np.random.default_rng(seed)
    names: dict[bytes, set[str]] = {}
    left = _MOST_MOVES
    for _ in range(_PLAYS):
        state, namer = game.new_initial_state(), make_play_namer(game)
        while not state.is_terminal() and left > 0:
            left -= 1
            mover = state.current_player()
            if mover >= 0:
                # Names are asked for in the order of play, those of all players.
                name = namer(state, mover)
                if mover == player:
                    seen = np.asarray(tensor_of(state, player), np.float32).tobytes()
                    names.setdefault(seen, set()).add(name)
            moves = [move for move, _ in state.chance_outcomes()] if mover < 0 else state.legal_actions()
            state.apply_action(int(rng.choice(moves)))
    met = sum(map(len, names.values()))
    if met == len(names):
        return None
    return (
        f"networks cannot tell all information states of {game} apart: random plays met {met:,} of player "
        f"{player}, with {len(names):,} different observations."
    )
