"""Configuration of self-play runs: defaults, what is recorded, and bad input."""

import dataclasses
import json
from typing import Any

import pytest

from acme_psro.self_play.tabular import TabularConfig
from acme_psro.self_play_runs.config import ALGORITHMS, TABULAR, SelfPlayRunConfig
from agents.self_play import PRESETS


def test_the_horizon_is_the_number_of_steps_unless_it_is_given() -> None:
    config = SelfPlayRunConfig("kuhn_poker", steps=5000)
    assert config.agent().horizon == 5000
    given = SelfPlayRunConfig("kuhn_poker", steps=5000, agent_settings={"horizon": 9000})
    assert given.agent().horizon == 9000


def test_all_settings_are_recorded_and_make_the_same_configuration_again() -> None:
    config = SelfPlayRunConfig("kuhn_poker", "ppo", steps=5000, agent_settings={"entropy": 0.3})
    stored = json.loads(json.dumps(config.to_json()))
    assert stored["agent_settings"].keys() == dataclasses.asdict(config.agent()).keys()
    assert stored["rollout"] == {"num_games": 128, "decisions": 32}
    again = SelfPlayRunConfig(**stored)
    assert again.agent() == config.agent() and again.rollout_size() == config.rollout_size()
    assert again.to_json() == config.to_json()


@pytest.mark.parametrize("algorithm", sorted({*ALGORITHMS} - {TABULAR}))
def test_every_algorithm_of_networks_is_a_preset_whose_settings_can_be_replaced(algorithm: str) -> None:
    config = SelfPlayRunConfig(
        "kuhn_poker", algorithm, agent_settings={"entropy": 1, "hidden_sizes": [8], "clip": "inf"}
    )
    assert config.agent().kl == PRESETS[algorithm].kl
    assert (config.agent().entropy, config.agent().hidden_sizes) == (1.0, (8,))
    assert json.loads(json.dumps(config.to_json()))["agent_settings"]["clip"] == "inf"


def test_an_algorithm_on_tables_has_settings_of_its_own_and_no_rollouts() -> None:
    config = SelfPlayRunConfig("kuhn_poker", TABULAR, 100, agent_settings={"temperature": 0.5})
    stored = json.loads(json.dumps(config.to_json()))
    assert stored["agent_settings"] == {**dataclasses.asdict(TabularConfig()), "temperature": 0.5}
    assert stored["rollout"] == {}
    assert SelfPlayRunConfig(**stored).to_json() == config.to_json()
    with pytest.raises(ValueError, match=r"plays no games: leave out --set=rollout\.num_games\.$"):
        SelfPlayRunConfig("kuhn_poker", TABULAR, rollout={"num_games": 3})
    with pytest.raises(ValueError, match="no setting 'entropy'"):
        SelfPlayRunConfig("kuhn_poker", TABULAR, agent_settings={"entropy": 3})


def test_rollouts_are_checked_against_the_minibatches() -> None:
    config = SelfPlayRunConfig("kuhn_poker", rollout={"num_games": 3, "decisions": 3})
    with pytest.raises(ValueError, match="cannot be split into 4 minibatches"):
        config.rollout_size()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "mdm"}, "no algorithm named 'mdm'; use one of ppo, mmd"),
        ({"steps": 0}, "--steps must be at least 1, not 0"),
        ({"max_nodes": 0}, "--max_nodes must be at least 1, not 0"),
        ({"seed": -1}, "--seed must not be negative, not -1"),
        ({"evaluate_every": -1}, "--evaluate_every must not be negative, not -1"),
        ({"agent_settings": {"entropie": 1.0}}, "no setting 'entropie'; did you mean entropy"),
        ({"agent_settings": {"entropy": "much"}}, "entropy must be a number"),
        ({"agent_settings": {"epochs": 0}}, "epochs must be at least 1"),
    ],
)
def test_bad_input_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        SelfPlayRunConfig("kuhn_poker", **changes)
    assert "\n" not in str(raised.value)


def test_unknown_settings_of_rollouts_are_named() -> None:
    with pytest.raises(ValueError, match="no setting 'num_envs'"):
        SelfPlayRunConfig("kuhn_poker", rollout={"num_envs": 3}).rollout_size()
