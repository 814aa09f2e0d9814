"""Environments by name: `dm_control:DOMAIN:TASK`, `gymnasium:ID` and `openspiel:GAME`."""

from __future__ import annotations

import difflib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dm_env

FORMS = "dm_control:DOMAIN:TASK, gymnasium:ID or openspiel:GAME"


def make_environment(
    name: str, seed: int, *, player: int = 0, opponent: str | None = None
) -> dm_env.Environment:
    """Makes an environment; what it needs is imported only then.

    Continuous control comes in float32 with a flat observation and actions from -1 to 1. Games come with
    observations as `acme_psro.games.environment` describes them. All stop at the first NaN or infinity,
    with an `acme_psro.environments.wrappers.NonFiniteError`.

    Args:
      name: such as `dm_control:cartpole:swingup`, `gymnasium:HalfCheetah-v5`, `openspiel:leduc_poker`.
      seed: 0 to 2**32 - 1. Equal seeds and actions give equal episodes.
      player: of a game, whose decisions are asked for.
      opponent: of a game, a mixture directory or the directory of a run, whose mixture the others play; None
        is uniform.

    Raises:
      ValueError: an unknown name, or something that the environment does not have.
    """
    kind, _, rest = name.partition(":")
    makers = {"dm_control": _dm_control, "gymnasium": _gymnasium}
    if not rest or kind not in (*makers, "openspiel"):
        raise ValueError(f"unknown environment {name!r}: use {FORMS}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed must be from 0 to {2**32 - 1}, not {seed}.")
    if kind == "openspiel":
        return _openspiel(rest, seed, player, opponent)
    if player or opponent is not None:
        raise ValueError(f"--player and --opponent are for openspiel:GAME, not for {name}.")
    return makers[kind](rest, seed)


def _dm_control(task: str, seed: int) -> dm_env.Environment:
    with warnings.catch_warnings():
        # Where there is no display; one is needed for pictures only.
        warnings.simplefilter("ignore")
        from dm_control import suite
    from acme_psro.environments.wrappers import canonical

    known = {f"{domain}:{task}": (domain, task) for domain, task in suite.ALL_TASKS}
    if task not in known:
        near = difflib.get_close_matches(task, known)
        domains = ", ".join(sorted({domain for domain, _ in known.values()}))
        hint = f"did you mean {', '.join(near)}?" if near else f"its domains are {domains}."
        raise ValueError(f"dm_control has no DOMAIN:TASK {task!r}: {hint}")
    # Flat, because some tasks have matrices among their observations.
    environment = suite.load(
        *known[task], task_kwargs={"random": seed}, environment_kwargs={"flat_observation": True}
    )
    return canonical(environment, f"dm_control:{task}")


def _gymnasium(name: str, seed: int) -> dm_env.Environment:
    from acme_psro.environments import gymnasium_environment
    from acme_psro.environments.wrappers import canonical

    return canonical(gymnasium_environment.make(name, seed), f"gymnasium:{name}")


def _openspiel(game: str, seed: int, player: int, opponent: str | None) -> dm_env.Environment:
    from acme_psro.environments.wrappers import FiniteWrapper
    from acme_psro.games.environment import PlayerEnvironment

    others = None
    if opponent is not None:
        # Policies may be networks, which take longer to import than the rest.
        from acme_psro.environments import opponents

        others = opponents.read(opponent, game)
    return FiniteWrapper(PlayerEnvironment(game, player, others, seed), f"openspiel:{game}")
