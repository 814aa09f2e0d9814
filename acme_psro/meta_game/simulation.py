"""Simulation of profiles of policies: many games of one profile side by side.

Episodes are played in chunks of one profile each. A chunk's random numbers follow from the seed, the profile
and the number of its first episode alone, so that a result does not depend on what else is simulated, in
which order, or in how many processes.

Dimensions: `n` profiles, `P` players, `E` episodes, `A` actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyspiel

from acme_psro.games.batch_policies import BatchPolicy
from acme_psro.games.loading import load_game
from acme_psro.games.playing import CHANCE, TERMINAL, draw, draw_each

# Games side by side: enough for a policy to be called on many states at once, and few enough for several
# workers to share what a profile needs.
CHUNK = 512
# Keeps random numbers apart from others of the same seed.
_STREAM = 0x5A3E


class SampledReturns(NamedTuple):
    """Returns of profiles, in utility units.

    Attributes:
      episodes: `[n]` int64, the number of episodes behind each mean.
      mean: `[n, P]` float64; NaN without episodes.
      standard_error: `[n, P]` float64, of the mean; NaN below two episodes.
    """

    episodes: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray


class Chunk(NamedTuple):
    """Episodes of one profile.

    Attributes:
      row: the profile's place among those to simulate.
      profile: every player's policy.
      first: number of the first episode.
      episodes: the number of episodes.
    """

    row: int
    profile: tuple[int, ...]
    first: int
    episodes: int


def simulate(
    game: str,
    policies: Sequence[Sequence[BatchPolicy]],
    profiles: np.ndarray,
    episodes: int | np.ndarray,
    seed: int,
    begun: int | np.ndarray = 0,
) -> SampledReturns:
    """Simulates profiles of policies; the same arguments give the same returns.

    Args:
      game: as `load_game` takes it.
      policies: `[P][n_p]`, policies of each player.
      profiles: `[n, P]` int, each player's policy, without duplicates.
      episodes: the number for each profile, or `[n]`.
      seed: not negative.
      begun: the number of episodes of each profile, or `[n]`, that were simulated before; these are new ones.

    Raises:
      ValueError: profiles are invalid, or numbers are negative.
    """
    loaded = load_game(game)
    sizes = [len(own) for own in policies]
    if len(sizes) != loaded.num_players():
        raise ValueError(
            f"{game} has {loaded.num_players()} players, not {len(sizes)}: give policies for each."
        )
    chunks = make_chunks(profiles, sizes, episodes, begun)
    played = []
    for chunk in chunks:
        own = [policies[player][index] for player, index in enumerate(chunk.profile)]
        played.append(play_chunk(loaded, own, chunk, seed))
    return gather(chunks, played, len(profiles), len(sizes))


def make_chunks(
    profiles: np.ndarray, sizes: Sequence[int], episodes: int | np.ndarray, begun: int | np.ndarray
) -> list[Chunk]:
    """Returns the episodes to play, profile after profile (see `simulate`).

    Raises:
      ValueError: profiles are invalid, or numbers are negative.
    """
    profiles = np.asarray(profiles)
    if profiles.ndim != 2 or profiles.shape[1] != len(sizes) or profiles.dtype.kind not in "iu":
        raise ValueError(
            f"profiles must be whole numbers [n, {len(sizes)}], a policy a player, not {profiles.dtype} of "
            f"shape {profiles.shape}."
        )
    if ((profiles < 0) | (profiles >= np.asarray(sizes))).any():
        raise ValueError(f"a profile names a policy that is not there: populations have sizes {list(sizes)}.")
    if len(np.unique(profiles, axis=0)) < len(profiles):
        raise ValueError("a profile is named twice: ask for more episodes of it instead.")
    counts = np.broadcast_to(np.asarray(episodes, np.int64), len(profiles))
    offsets = np.broadcast_to(np.asarray(begun, np.int64), len(profiles))
    if (counts < 0).any() or (offsets < 0).any():
        raise ValueError("numbers of episodes must not be negative.")
    return [
        Chunk(row, tuple(profile), int(offset) + start, min(CHUNK, int(count) - start))
        for row, (profile, count, offset) in enumerate(zip(profiles.tolist(), counts, offsets, strict=True))
        for start in range(0, int(count), CHUNK)
    ]


def play_chunk(
    game: pyspiel.Game, policies: Sequence[BatchPolicy], chunk: Chunk, seed: int
) -> SampledReturns:
    """Plays the chunk's episodes with its players' policies; `n` is 1."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM, *chunk.profile, chunk.first]))
    # A row a player: NumPy adds up rows pairwise.
    returns = np.ascontiguousarray(play(game, policies, chunk.episodes, rng).T)
    count = returns.shape[1]
    mean = returns.mean(axis=1)
    # The mean is subtracted first: the difference of two large sums of squares would cancel.
    squares = np.square(returns - mean[:, None]).sum(axis=1)
    error = np.sqrt(squares / (count - 1) / count) if count > 1 else np.full(len(mean), np.nan)
    return SampledReturns(np.array([count]), mean[None], error[None])


def play(
    game: pyspiel.Game, policies: Sequence[BatchPolicy], episodes: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns `[E, P]` float64: returns of games played side by side, one policy a player.

    Raises:
      ValueError: probabilities that do not add up to 1, or of actions that are not legal.
    """
    states = [game.new_initial_state() for _ in range(episodes)]
    active = states
    while active:
        # Games are grouped by mover, so that each policy is called once with a whole batch.
        waiting: dict[int, list[Any]] = {}
        for state in active:
            waiting.setdefault(_pass_chance(state, rng), []).append(state)
        waiting.pop(TERMINAL, None)
        # In a fixed order of players, because the order decides which random numbers each one gets.
        for mover, those in sorted(waiting.items()):
            _move(policies[mover], mover, those, rng)
        active = [state for those in waiting.values() for state in those]
    return np.array([state.returns() for state in states], np.float64)


def _pass_chance(state: Any, rng: np.random.Generator) -> int:
    """Plays chance moves; returns the player who is to move then."""
    while (mover := state.current_player()) == CHANCE:
        state.apply_action(draw(rng, state.chance_outcomes()))
    return mover


def _move(policy: BatchPolicy, mover: int, states: Sequence[Any], rng: np.random.Generator) -> None:
    actions = draw_each(rng, policy(states, mover)).tolist()
    for state, action in zip(states, actions, strict=True):
        try:
            state.apply_action_with_legality_check(action)
        except pyspiel.SpielError:
            raise ValueError(
                f"the policy of player {mover} chose action {action}, which is not legal: its probabilities "
                f"must be 0 beside {state.legal_actions()}."
            ) from None


def gather(
    chunks: Sequence[Chunk], played: Sequence[SampledReturns], num_profiles: int, num_players: int
) -> SampledReturns:
    """Returns of profiles from those of their chunks, in the chunks' order."""
    shape = (num_profiles, num_players)
    whole = SampledReturns(np.zeros(num_profiles, np.int64), np.full(shape, np.nan), np.full(shape, np.nan))
    for chunk, part in zip(chunks, played, strict=True):
        rows = slice(chunk.row, chunk.row + 1)
        before = SampledReturns(*(field[rows] for field in whole))
        for field, value in zip(whole, merge(before, part), strict=True):
            field[rows] = value
    return whole


def merge(one: SampledReturns, other: SampledReturns) -> SampledReturns:
    """Returns of the same profiles over the episodes of both (Chan, Golub & LeVeque 1983)."""
    count = one.episodes + other.episodes
    total = np.maximum(count, 1)[..., None]
    share = other.episodes[..., None] / total
    # The mean of no episodes is NaN, which would survive a multiplication by a share of 0.
    first, second = (np.where(each.episodes[..., None] > 0, each.mean, 0.0) for each in (one, other))
    apart = second - first
    mean = np.where(count[..., None] > 0, first + share * apart, np.nan)
    between = np.square(apart) * one.episodes[..., None] * share
    # Sums of squares about each mean, plus the squares between the two means: no term is negative, so that
    # nothing cancels however many parts are merged.
    squares = _squares(one) + _squares(other) + between
    variance = squares / np.maximum(total - 1, 1) / total
    return SampledReturns(count, mean, np.where(count[..., None] > 1, np.sqrt(variance), np.nan))


def _squares(returns: SampledReturns) -> np.ndarray:
    """Returns `[n, P]`: sums of squared distances from the mean."""
    count = returns.episodes[..., None]
    return np.where(count > 1, np.square(returns.standard_error) * count * (count - 1), 0.0)
