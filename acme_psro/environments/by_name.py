"""Environments by name: `dm_control:DOMAIN:TASK`, `gymnasium:ID` and `openspiel:GAME`."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dm_env

FORMS = "dm_control:DOMAIN:TASK, gymnasium:ID or openspiel:GAME"


def make_environment(
    name: str, seed: int, *, player: int = 0, opponent: str | None = None, trembling: bool = False
) -> dm_env.Environment:
    """Makes an environment. The packages that it needs are imported only in this call.

    Environments of continuous control have a flat observation and actions from -1 to 1, all in float32. Games
    have the observations that `acme_psro.games.environment` describes. All environments raise an
    `acme_psro.environments.wrappers.NonFiniteError` at the first NaN or infinity.

    Args:
      name: name of the environment, such as `dm_control:cartpole:swingup`, `gymnasium:HalfCheetah-v5` or
        `openspiel:leduc_poker`.
      seed: seed of the environment, from 0 to 2**32 - 1. Equal seeds and actions give equal episodes.
      player: number of the player that the agent controls, for games only.
      opponent: mixture directory, or directory of a run, whose mixture the other players play, for games
        only. If None, they play uniformly at random.
      trembling: True to play against the opponent's trembles too, as only a learner does; see
        `acme_psro.policies.mixture_files`.

    Raises:
      ValueError: the name or the seed is invalid, or an option does not apply to the environment.
    """
    library, _, rest = name.partition(":")
    if not rest or library not in (*ENVIRONMENTS, "openspiel"):
        own = [f"{each}:NAME" for each in ENVIRONMENTS if each not in _LIBRARIES]
        raise ValueError(f"unknown environment {name!r}: use {', '.join([*own, FORMS])}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed must be from 0 to {2**32 - 1}, not {seed}.")
    if library == "openspiel":
        return _openspiel(rest, seed, player, opponent, trembling)
    if player or opponent is not None:
        raise ValueError(f"--player and --opponent are for openspiel:GAME, not for {name}.")
    environment = ENVIRONMENTS[library](rest, seed)
    from acme_psro.environments.wrappers import canonical

    return canonical(environment, name)


def _dm_control(task: str, seed: int) -> dm_env.Environment:
    """Makes a task of the DeepMind Control Suite from its DOMAIN:TASK."""
    with warnings.catch_warnings():
        # On a machine without a display, importing warns about it. Only rendering needs a display.
        warnings.simplefilter("ignore")
        from dm_control import suite

    known = {f"{domain}:{task}": (domain, task) for domain, task in suite.ALL_TASKS}
    if task not in known:
        near = difflib.get_close_matches(task, known)
        domains = ", ".join(sorted({domain for domain, _ in known.values()}))
        hint = f"did you mean {', '.join(near)}?" if near else f"its domains are {domains}."
        raise ValueError(f"dm_control has no DOMAIN:TASK {task!r}: {hint}")
    # Without this, some tasks have matrices among their observations.
    return suite.load(
        *known[task], task_kwargs={"random": seed}, environment_kwargs={"flat_observation": True}
    )


def _gymnasium(name: str, seed: int) -> dm_env.Environment:
    """Makes an environment from its Gymnasium ID."""
    from acme_psro.environments import gymnasium_environment

    return gymnasium_environment.make(name, seed)


# Functions that make a dm_env environment from what follows the first colon of its name, and a seed, by what
# comes before the colon. Environments of a user's own are further entries.
ENVIRONMENTS: dict[str, Callable[[str, int], dm_env.Environment]] = {
    "dm_control": _dm_control,
    "gymnasium": _gymnasium,
}
_LIBRARIES = tuple(ENVIRONMENTS)


def _openspiel(
    game: str, seed: int, player: int, opponent: str | None, trembling: bool
) -> dm_env.Environment:
    """Makes the environment of one player of an OpenSpiel game."""
    from acme_psro.environments.wrappers import FiniteWrapper
    from acme_psro.games.environment import PlayerEnvironment

    others = None
    if opponent is not None:
        # Imported only here: stored policies may be networks, whose modules take long to import.
        from acme_psro.environments import opponents

        others = opponents.read(opponent, game, trembling=trembling)
    return FiniteWrapper(PlayerEnvironment(game, player, others, seed), f"openspiel:{game}")
