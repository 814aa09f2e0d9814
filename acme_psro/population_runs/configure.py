"""Configuration of a run from the arguments of `acme_psro.run`, with the defaults of the game and agent."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.games.loading import GameError, load_game, openspiel_errors
from acme_psro.games.plays import random_plays, repeats
from acme_psro.population_runs.config import CE_RESPONSES, ORACLE_NAMES, PSROConfig
from acme_psro.population_runs.defaults import (
    WARM_START,
    MemberSettings,
    default_agent,
    game_settings,
    neupl_settings,
)
from acme_psro.psro.registry import get_loop

if TYPE_CHECKING:
    import pyspiel

Settings = Mapping[str, Any]


def configure(
    game: str,
    *,
    loop: str,
    oracle: str,
    agent: str | None,
    preset: str | None,
    meta_solver: str | None,
    iterations: int | None,
    seed: int,
    tolerance: float,
    payoffs: str,
    max_nodes: int | None,
    device: Settings | None,
    launchpad: Settings | None,
    agent_settings: Settings | None,
    simulation: Settings | None,
    neupl: Settings | None,
    warm_start: str = "none",
    exact_every: int = 1,
    symmetric: bool = False,
    ce_responses: str | None = None,
) -> PSROConfig:
    """Returns a run's configuration: what is given, and the defaults of the game and agent for the rest.

    The arguments are those of `run`.

    Raises:
      ValueError: an argument is not allowed, or has no effect.
    """
    given, oracle = oracle, ORACLE_NAMES.get(oracle, oracle)
    _check_used(agent is not None, "agent", oracle != "exact", "--oracle=device or --oracle=launchpad")
    _check_used(preset is not None, "preset", oracle == "device", "--oracle=device")
    trains_members = get_loop(loop).trains_members
    _check_used(bool(device), "device", oracle == "device", "--oracle=device")
    _check_used(bool(device), "device", not trains_members, "--loop=psro")
    has_network = trains_members or get_loop(loop).distils
    _check_used(bool(neupl), "neupl", has_network, "--loop=neupl or --loop=neupl_jpsro")
    _check_used(bool(launchpad), "launchpad", oracle == "launchpad", "--oracle=launchpad")
    _check_used(bool(simulation), "simulation", oracle == "launchpad", "--oracle=launchpad")
    learned = "--oracle=device or --oracle=launchpad"
    _check_used(bool(agent_settings), "agent_settings", oracle != "exact", learned)
    _check_used(max_nodes is not None, "max_nodes", payoffs != "sampled", "--payoffs=exact or --payoffs=auto")
    _check_used(meta_solver is not None, "meta_solver", get_loop(loop).uses_solver, "--loop=psro")
    config = complete(
        game,
        loop=loop,
        oracle=given,
        agent=default_agent(loop) if agent is None else agent,
        preset=preset,
        meta_solver=meta_solver,
        iterations=None if iterations is None else _whole("iterations", iterations),
        seed=_whole("seed", seed),
        tolerance=_number("tolerance", tolerance),
        payoffs=payoffs,
        max_nodes=DEFAULT_MAX_NODES if max_nodes is None else _whole("max_nodes", max_nodes),
        device=device or {},
        launchpad=launchpad or {},
        agent_settings=agent_settings or {},
        simulation=simulation or {},
        neupl=neupl or {},
        warm_start=warm_start,
        exact_every=_whole("exact_every", exact_every),
        symmetric=symmetric,
        ce_responses=ce_responses,
    )
    needs = "--loop=jpsro with a meta-solver of correlated equilibria, such as max_gini_ce"
    _check_used(ce_responses is not None, "ce_responses", config.responds_to_recommendations, needs)
    return config


def complete(
    game: str,
    *,
    loop: str,
    oracle: str,
    agent: str,
    preset: str | None,
    meta_solver: str | None,
    iterations: int | None,
    seed: int,
    tolerance: float,
    payoffs: str,
    max_nodes: int,
    device: Settings,
    launchpad: Settings,
    agent_settings: Settings,
    simulation: Settings,
    neupl: Settings,
    warm_start: str = "none",
    exact_every: int = 1,
    symmetric: bool = False,
    ce_responses: str | None = None,
) -> PSROConfig:
    """Returns a configuration with the defaults of the game and agent for all settings that are not given.

    The arguments are those of `run`. Settings that the oracle does not use are left out.

    Raises:
      ValueError: a value is not allowed.
    """
    oracle = _settle_oracle(oracle, loop, launchpad)
    usual = game_settings(game, agent, loop, preset)
    if get_loop(loop).trains_members:
        from acme_psro.neupl import sinks

        neupl = sinks.settle(neupl)
    # Launchpad programs choose their own agent settings, see `acme_psro.agent_runs.config`.
    trains_members = get_loop(loop).trains_members
    usual_agent = usual.agent_settings if oracle == "device" or trains_members else {}
    members = MemberSettings({}, {})
    if trains_members and oracle == "device":
        members = neupl_settings(game, agent)
        usual_agent = {**usual_agent, **members.agent_settings}
    if warm_start == "population" and oracle == "device":
        usual_agent = {**usual_agent, **WARM_START.get(agent, {})}
    return PSROConfig(
        game=game,
        oracle=oracle,
        agent=agent,
        loop=loop,
        meta_solver=get_loop(loop).default_solver if meta_solver is None else meta_solver,
        iterations=usual.iterations if iterations is None else iterations,
        seed=seed,
        max_nodes=max_nodes,
        tolerance=tolerance,
        device={**usual.device, **device} if oracle == "device" and not trains_members else {},
        launchpad={**usual.launchpad, **launchpad} if oracle == "launchpad" else {},
        agent_settings={**usual_agent, **agent_settings} if oracle != "exact" else {},
        payoffs=payoffs,
        simulation=dict(simulation) if oracle == "launchpad" else {},
        neupl={**members.neupl, **neupl} if trains_members or get_loop(loop).distils else {},
        warm_start=warm_start,
        exact_every=exact_every,
        symmetric=symmetric,
        ce_responses=CE_RESPONSES[0] if ce_responses is None else ce_responses,
    )


def name_of(game: str | pyspiel.Game) -> str:
    """Returns a game's string.

    Raises:
      ValueError: the game is not one of OpenSpiel, or OpenSpiel's string of it loads another game.
    """
    if isinstance(game, str):
        return game.strip()
    # Imported here, because most games are given as strings.
    import pyspiel

    if not isinstance(game, pyspiel.Game):
        raise ValueError(f"game must be an OpenSpiel game or its string, not {game!r}.")
    spelled = str(game)
    if game.get_type().dynamics == pyspiel.GameType.Dynamics.SIMULTANEOUS:
        game = pyspiel.convert_to_turn_based(game)
    try:
        with openspiel_errors(spelled):
            is_same = repeats(load_game(spelled), random_plays(game))
    except GameError:
        is_same = False
    if not is_same:
        raise ValueError(
            f"OpenSpiel's string of this game, {spelled}, does not load the same game again: "
            "pass the string from which it was loaded."
        )
    return spelled


def _settle_oracle(oracle: str, loop: str, launchpad: Settings) -> str:
    """Returns the oracle's own name, after a check that it has programs of the kind that is asked for.

    Raises:
      ValueError: it has not.
    """
    program = launchpad.get("program", "launchpad")
    if program != "launchpad" and oracle == "launchpad":
        raise ValueError(f"--program={program} needs --oracle=program, not --oracle=launchpad.")
    if "program" in launchpad and get_loop(loop).trains_members:
        raise ValueError(
            f"--program={program} needs --loop=psro: the program of --loop={loop} is always one of Launchpad."
        )
    return ORACLE_NAMES.get(oracle, oracle)


def _check_used(is_given: bool, name: str, has_effect: bool, needs: str) -> None:
    if is_given and not has_effect:
        raise ValueError(f"{name} needs {needs}, and has no effect otherwise: leave it out.")


def _whole(name: str, value: int) -> int:
    try:
        # Also takes NumPy's integers, and no number with a fraction.
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, not {value!r}.") from None


def _number(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}.") from None
