"""Tests of agents.registry: presets of every agent, and the agents that find best responses."""

import pytest

from agents.registry import AGENTS, member_agents, response_agents


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_has_presets_of_its_own_type_for_control_and_games(name: str) -> None:
    parts = AGENTS[name].core()
    assert {"default", "games"} <= set(parts.presets)
    assert {type(preset) for preset in parts.presets.values()} == {type(parts.defaults)}


def test_on_policy_agents_find_best_responses_by_rollouts_alone() -> None:
    """They must learn from fresh actions of their own policy, not from a replay."""
    assert set(response_agents()) == set(AGENTS) - {"vmpo"}
    assert {name for name, agent in AGENTS.items() if agent.is_on_policy} == {"vmpo", "ppo", "mmd"}
    assert {name for name, agent in AGENTS.items() if agent.learns_from_rollouts} == {"ppo", "mmd"}


def test_members_share_a_network_that_takes_contexts() -> None:
    assert member_agents() == ("conditional_mpo", "vmpo")
