"""Tests of population_runs.defaults, and of configurations with these settings."""

import dataclasses
import json
import math
import re
from typing import Any

import pytest

from acme_psro.games.compile import DEFAULT_MAX_NODES
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.oracles.device.oracle import DeviceConfig
from acme_psro.population_runs import defaults
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.response_agents import make_agent
from agents import registry


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("oracle", "magic", "exact, device"),
        ("agent", "dqn", "crossq"),
        ("meta_solver", "nosh", "nash, prd, regret_matching, regret_matching_cce, regret_matching_ce, shor"),
        ("iterations", 0, "--iterations must be at least 1, not 0"),
        ("iterations", -1, "--iterations must be at least 1, not -1"),
        ("max_nodes", 0, "--max_nodes must be at least 1"),
        ("seed", -1, "--seed must not be negative"),
        ("tolerance", -1e-9, "--tolerance must not be negative"),
        ("tolerance", math.nan, "--tolerance must be a number, not nan"),
        ("tolerance", math.inf, "--tolerance must be finite, not inf"),
        ("device", {"num_envs": 0}, "num_envs must be at least 1, not 0"),
        ("device", {"gradient_steps": -5}, "--gradient_steps_per_response must be at least 1, not -5"),
        ("device", {"max_extensions": -1}, "max_extensions must be at least 0, not -1"),
        ("payoffs", "guessed", "no kind of payoffs named 'guessed'; use one of auto, exact, sampled"),
        ("payoffs", "sampled", "--payoffs=sampled needs --oracle=launchpad: device compiles the game"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refusal:
        PSROConfig(game="kuhn_poker", **{setting: value})
    assert "\n" not in str(refusal.value)


def test_limits_are_allowed() -> None:
    config = PSROConfig("kuhn_poker", iterations=1, max_nodes=1, tolerance=0.0, device={"max_extensions": 0})
    assert config.device == {"max_extensions": 0}


def test_defaults_are_the_documented_ones() -> None:
    config = PSROConfig("kuhn_poker")
    chosen = (config.oracle, config.agent, config.meta_solver, config.seed, config.max_nodes)
    assert chosen == ("device", "crossq", "nash", 0, DEFAULT_MAX_NODES)
    assert (config.payoffs, config.simulation) == ("auto", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "agent"),
    [(name, agent) for name in sorted(defaults.SETTINGS) for agent in defaults.SETTINGS[name]],
)
def test_every_setting_makes_a_configuration_that_oracle_and_agent_take(name: str, agent: str) -> None:
    setting = defaults.SETTINGS[name][agent]
    config = PSROConfig(name, agent=agent, **setting._asdict())
    assert DeviceConfig(**config.device).gradient_steps > 0
    assert callable(make_agent(config))
    assert json.loads(json.dumps(config.to_json())) == config.to_json()


@pytest.mark.parametrize(
    ("game", "name"),
    [
        ("kuhn_poker", "kuhn_poker"),
        ("kuhn_poker(players=2)", "kuhn_poker"),
        (" kuhn_poker (players=2)", "kuhn_poker"),
        ("tic_tac_toe", "default"),
        ("", "default"),
    ],
)
def test_a_games_setting_goes_by_its_short_name(game: str, name: str) -> None:
    assert defaults.game_settings(game, "crossq") is defaults.SETTINGS[name]["crossq"]


@pytest.mark.parametrize("agent", registry.response_agents())
def test_an_agent_has_its_default_setting_where_a_game_has_none_for_it(
    agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(defaults.SETTINGS, "kuhn_poker", {})
    assert defaults.game_settings("kuhn_poker", agent) is defaults.SETTINGS["default"][agent]


def test_an_unknown_agent_has_no_setting() -> None:
    with pytest.raises(ValueError, match=r"^no agent named 'dqn'; use one of crossq"):
        defaults.game_settings("kuhn_poker", "dqn")


@pytest.mark.parametrize("preset", sorted(defaults.PRESETS))
@pytest.mark.parametrize("agent", registry.response_agents())
def test_presets_replace_the_budget_of_a_games_setting(preset: str, agent: str) -> None:
    usual, chosen = (
        defaults.game_settings("leduc_poker", agent),
        defaults.game_settings("leduc_poker", agent, preset=preset),
    )
    assert chosen.device != usual.device
    assert chosen._replace(device=usual.device) == usual
    config = DeviceConfig(**PSROConfig("leduc_poker", agent=agent, **chosen._asdict()).device)
    assert 0 < config.games_per_response < config.max_games_per_response


def test_the_frugal_preset_plays_fewer_games() -> None:
    fast, frugal = (defaults.PRESETS[name]["games_per_response"] for name in ("fast", "frugal"))
    assert frugal < fast


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no preset named 'quick'; use one of fast, frugal"):
        defaults.game_settings("kuhn_poker", "crossq", preset="quick")


def test_members_move_slowly_in_games_that_hide_moves() -> None:
    slow = defaults.neupl_settings("phantom_ttt(gameversion=abrupt)", "conditional_mpo")
    usual = defaults.game_settings("phantom_ttt", "conditional_mpo", "neupl").agent_settings
    assert NeuPLConfig(**slow.neupl).num_envs > NeuPLConfig().num_envs
    assert slow.agent_settings["learning_rate"] < usual["learning_rate"]
    assert slow.agent_settings["final_learning_rate"] < slow.agent_settings["learning_rate"]
    # V-MPO has bounds and a budget of its own.
    assert defaults.neupl_settings("phantom_ttt", "vmpo") == defaults.neupl_settings("leduc_poker", "vmpo")


def test_members_whose_agent_keeps_no_old_decisions_play_more_and_learn_as_often() -> None:
    assert defaults.neupl_settings("kuhn_poker", "conditional_mpo") == ({}, {})
    usual, fresh = NeuPLConfig(), NeuPLConfig(**defaults.neupl_settings("kuhn_poker", "vmpo").neupl)
    assert fresh.updates == usual.updates
    assert fresh.num_envs > usual.num_envs
    # Games of at least two decisions of each player: nothing is learned from much more than once.
    assert fresh.updates_per_round * fresh.batch_size <= 2 * (2 * fresh.num_envs * 2)
    assert defaults.game_settings("kuhn_poker", "vmpo", "neupl").iterations == 100
