"""Tests of evaluations: episodes that are played, and exact values against OpenSpiel's own."""

import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

import agents.acme_layer.compat  # noqa: F401

# isort: split

import acme
import dm_env
import jax
import numpy as np
from acme import specs
from acme.testing import fakes
from open_spiel.python import policy as openspiel_policies
from open_spiel.python.algorithms import expected_game_score

from acme_psro import load_policy
from acme_psro.agent_runs import evaluation, exact_evaluation
from acme_psro.agent_runs.config import AgentRunConfig
from acme_psro.agent_runs.parts import make_parts
from acme_psro.games.loading import load_game
from agents.core import AgentCore, Observation

MakeConfig = Callable[..., AgentRunConfig]


class Lengthening(dm_env.Environment):
    """Episodes of one, two, three, .. steps, each of which pays a half."""

    def __init__(self) -> None:
        self._length = self._left = 0

    def reset(self) -> dm_env.TimeStep:
        self._length += 1
        self._left = self._length
        return dm_env.restart(np.zeros(1, np.float32))

    def step(self, action: Any) -> dm_env.TimeStep:
        self._left -= 1
        end = dm_env.transition if self._left else dm_env.termination
        return end(np.float32(0.5), np.zeros(1, np.float32))._replace(discount=np.float32(self._left > 0))

    def observation_spec(self) -> Any:
        return specs.Array((1,), np.float32)

    def action_spec(self) -> Any:
        return specs.DiscreteArray(2)

    def reward_spec(self) -> Any:
        return specs.Array((), np.float32)

    def discount_spec(self) -> Any:
        return specs.BoundedArray((), np.float32, 0.0, 1.0)


def test_means_and_standard_errors_are_those_of_the_episodes() -> None:
    actor = fakes.Actor(acme.make_environment_spec(Lengthening()))
    row = evaluation.play(Lengthening(), actor, 4)
    returns = [0.5, 1.0, 1.5, 2.0]
    assert row["episode_return"] == np.mean(returns)
    assert row["episode_return_stderr"] == pytest.approx(np.std(returns, ddof=1) / 2)
    assert (row["episode_length"], row["episodes"]) == (2.5, 4)
    alone = evaluation.play(Lengthening(), actor, 1)
    assert alone["episode_return"] == 0.5
    assert math.isnan(alone["episode_return_stderr"])
    # Nothing is learned from these.
    assert actor.num_updates == 0


def make_core(config: AgentRunConfig) -> AgentCore:
    parts = make_parts(config)
    return parts.agent.make_core(parts.agent.network_factory(parts.spec))


class AgentPolicy(openspiel_policies.Policy):
    """Policy of the agent, queried in the states of OpenSpiel's own game."""

    def __init__(self, game: Any, agent: AgentCore, variables: Any) -> None:
        super().__init__(game, list(range(game.num_players())))
        self._probs = jax.jit(lambda rows: agent.probs(variables, rows))  # type: ignore[misc]
        self._known: dict[str, dict[int, float]] = {}

    def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
        player = state.current_player() if player_id is None else player_id
        name = state.information_state_string(player)
        if name not in self._known:
            info_state = np.asarray(state.information_state_tensor(player), np.float32)
            legal = np.asarray(state.legal_actions_mask(player), bool)
            probs = self._probs(Observation(info_state[None], legal[None], np.zeros((1, 0), np.float32)))[0]
            self._known[name] = {action: float(probs[action]) for action in state.legal_actions()}
        return self._known[name]


def value_in_openspiel(
    config: AgentRunConfig, agent: AgentCore, variables: Any, others: openspiel_policies.Policy
) -> float:
    game = load_game(config.environment.partition(":")[2])
    policies = [others] * game.num_players()
    policies[config.player] = AgentPolicy(game, agent, variables)
    return float(expected_game_score.policy_value(game.new_initial_state(), policies)[config.player])


@pytest.mark.parametrize(
    ("game", "player"), [("kuhn_poker", 1), ("kuhn_poker(players=3)", 2), ("leduc_poker", 0)]
)
def test_exact_values_against_uniform_play_are_openspiels(
    game: str, player: int, small: MakeConfig, compiled: pathlib.Path
) -> None:
    config = small(environment=f"openspiel:{game}", player=player)
    agent = make_core(config)
    variables = agent.variables(jax.jit(agent.init)(jax.random.PRNGKey(player)))
    evaluate = evaluation.make_exact_evaluation(config, agent)
    assert evaluate is not None
    value = evaluate(variables)
    uniform = openspiel_policies.UniformRandomPolicy(load_game(game))
    assert value.policy == pytest.approx(value_in_openspiel(config, agent, variables, uniform), abs=1e-6)
    assert value.policy < value.best_response


def test_exact_values_against_a_mixture_are_openspiels(
    kuhn_mixture: pathlib.Path, small: MakeConfig, compiled: pathlib.Path
) -> None:
    config = small(player=1, opponent=str(kuhn_mixture))
    agent = make_core(config)
    variables = agent.variables(jax.jit(agent.init)(jax.random.PRNGKey(0)))
    evaluate = evaluation.make_exact_evaluation(config, agent)
    against_uniform = evaluation.make_exact_evaluation(small(player=1), agent)
    assert evaluate is not None
    assert against_uniform is not None
    value = evaluate(variables)
    expected = value_in_openspiel(config, agent, variables, load_policy(kuhn_mixture))
    assert value.policy == pytest.approx(expected, abs=1e-6)
    assert value.policy != pytest.approx(against_uniform(variables).policy, abs=1e-3)
    # Kuhn poker is worth 1/18 to the second player, and more where the first is not at an equilibrium.
    assert value.best_response > 1 / 18 - 1e-9
    assert value.best_response < against_uniform(variables).best_response


def test_only_small_games_have_exact_values(small: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_core(small())
    assert evaluation.make_exact_evaluation(small(environment="gymnasium:Pendulum-v1"), agent) is None
    monkeypatch.setattr(exact_evaluation, "_MAX_NODES", 20)
    assert evaluation.make_exact_evaluation(small(), agent) is None


def test_every_evaluation_is_of_the_newest_policy_and_the_same_again_for_the_same_seed(
    small: MakeConfig, compiled: pathlib.Path
) -> None:
    config = small(evaluation_episodes=20)
    parts = make_parts(config)
    agent = make_core(config)
    init = jax.jit(agent.init)
    variables = [jax.device_get(agent.variables(init(jax.random.PRNGKey(seed)))) for seed in range(2)]
    rows = []
    for _ in range(2):
        source = fakes.VariableSource(variables[0])
        evaluate = evaluation.make_evaluation(config, parts.agent, parts.spec, source)
        rows.append([evaluate()])
        source._variables["policy"] = variables[1]
        rows[-1].append(evaluate())
    assert rows[0] == rows[1]
    exactly = evaluation.make_exact_evaluation(config, agent)
    assert exactly is not None
    assert [row["exact_value"] for row in rows[0]] == [exactly(each).policy for each in variables]
    assert [row["best_response_value"] for row in rows[0]] == [0.5, 0.5]
