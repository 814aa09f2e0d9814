"""Training of members: what is fixed never changes, equal rows share a policy, nothing is traced again."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.evaluation.least_exploitable import least_exploitable
from acme_psro.meta_game.exact import exact_payoffs
from acme_psro.neupl.config import NeuPLConfig
from acme_psro.neupl.history import read_history
from acme_psro.neupl.on_tree import TreeMembers
from acme_psro.neupl.oracle import NeuPLOracle
from acme_psro.neupl.sinks import make_sinks
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.psro.loop import iteration_key
from agents import settings
from agents.registry import AGENTS

pytestmark = pytest.mark.usefixtures("quick_module")

SMALL = NeuPLConfig(population_size=4, rounds=2, num_envs=64, updates_per_round=10, batch_size=128)


def make_oracle(
    tree: Any, config: NeuPLConfig, epochs: int = 10, agent: str = "conditional_mpo"
) -> NeuPLOracle:
    parts = AGENTS[agent].core()
    changes = {
        "discount": 1.0,
        "adam_b1": 0.5,
        "target_critic_period": 5,
        "learning_rate": 0.01,
        "final_learning_rate": 0.001,
        # Small networks compile faster.
        "policy_hidden_sizes": (32,),
        "critic_hidden_sizes": (32,),
        "mixture_size": config.context_size,
    }
    is_on_policy = AGENTS[agent].is_on_policy
    if is_on_policy:
        changes["target_policy_period"] = config.updates_per_round
    chosen = settings.replace(agent, parts.presets["games"], changes)

    def make(example: Any, num_actions: int, steps: int) -> Any:
        planned = dataclasses.replace(chosen, horizon=steps)
        return parts.make_core(parts.make_networks(example, num_actions, planned), planned)

    return NeuPLOracle(TreeMembers(tree), make, config, epochs, is_on_policy)


class Run:
    """A run of an oracle, epoch by epoch, without a loop around it."""

    def __init__(
        self,
        tree: Any,
        config: NeuPLConfig,
        epochs: int = 10,
        seed: int = 0,
        agent: str = "conditional_mpo",
    ) -> None:
        self.tree, self.config, self.seed = tree, config, seed
        self.oracle = make_oracle(tree, config, epochs, agent)
        self.populations = tuple((policy,) * config.population_size for policy in make_sinks(tree, config))
        self.payoffs = exact_payoffs(tree, self.populations)
        self.done = 0

    def train(self, epochs: int) -> list[Response]:
        """Trains for more epochs, and returns the last one's responses."""
        responses: list[Response] = []
        for _ in range(epochs):
            responses = list(self.oracle(*self.question()))
            self.take(responses)
        return responses

    def question(self) -> tuple[np.ndarray, list[Any]]:
        """Returns the key and the tasks of the next epoch."""
        uniform = np.full(self.config.population_size, 1 / self.config.population_size)
        strategy = ProductStrategy((uniform, uniform))
        tasks = [BestResponseTask(player, self.populations, strategy, self.payoffs) for player in range(2)]
        return iteration_key(self.seed, self.done), tasks

    def take(self, responses: list[Response]) -> None:
        """Goes on with the populations and payoffs of an epoch."""
        self.populations = tuple(response.others for response in responses)
        assert responses[0].payoffs is not None
        self.payoffs = responses[0].payoffs
        self.done += 1

    def copy(self) -> Run:
        """Returns a run with a new oracle that remembers what this one does."""
        other = Run(self.tree, self.config)
        other.oracle.remember({name: np.array(values) for name, values in self.oracle.memory().items()})
        other.populations, other.payoffs, other.done = self.populations, self.payoffs, self.done
        return other


def tables_of(responses: list[Response]) -> list[np.ndarray]:
    return [np.stack([policy.table for policy in response.others]) for response in responses]


def check_goes_on_as_if_it_had_never_stopped(run: Run) -> None:
    again = run.copy()
    for ours, theirs in zip(tables_of(again.train(1)), tables_of(run.train(1)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    memory = again.oracle.memory()
    for name, values in run.oracle.memory().items():
        np.testing.assert_array_equal(memory[name], values)


@pytest.mark.slow
@pytest.mark.games("kuhn")
def test_members_learn_kuhn_poker(case: Any) -> None:
    config = dataclasses.replace(SMALL, num_envs=256, batch_size=512, updates_per_round=20, rounds=5)
    run = Run(case.tree, config, 12)
    assert run.oracle.memory() == {}
    responses = run.train(12)
    # Uniform players can be exploited by 0.4583; four exact responses of PSRO by 0.0833.
    assert least_exploitable(case.tree, run.populations).exploitability < 0.08
    assert [response.counts.gradient_steps for response in responses] == [100, 0]
    # The loop need not compute payoffs again.
    for response in responses:
        np.testing.assert_array_equal(response.payoffs, exact_payoffs(case.tree, run.populations))
    assert responses[0].counts.env_steps == 5 * 2 * 256 * 2
    history = read_history(run.oracle.memory())
    assert history is not None
    assert list(history.epochs) == list(range(1, 13))
    with pytest.raises(ValueError, match="the network is of another game or population"):
        make_oracle(case.tree, SMALL).remember(run.oracle.memory() | {"leaf_0": np.zeros(3)})


@pytest.mark.long
@pytest.mark.games("kuhn")
def test_sinks_and_frozen_members_never_change_and_nothing_is_traced_again(case: Any) -> None:
    run = Run(case.tree, dataclasses.replace(SMALL, freezing=True, patience=1, enough=0.5))
    sinks = make_sinks(case.tree, run.config)
    frozen: dict[tuple[int, int], bytes] = {}
    for _ in range(5):
        for player, response in enumerate(run.train(1)):
            np.testing.assert_array_equal(response.others[0].table, sinks[player].table)
            for member in range(1, int(response.metrics["frozen"])):
                content = response.others[member].table.tobytes()
                assert frozen.setdefault((player, member), content) == content
    assert frozen
    assert run.oracle.traces == 1
    check_goes_on_as_if_it_had_never_stopped(run)


@pytest.mark.games("kuhn")
def test_members_with_equal_rows_are_one_policy(case: Any) -> None:
    """All members of the graph of uniform mixtures have the same row."""
    for table in tables_of(Run(case.tree, dataclasses.replace(SMALL, graph="uniform")).train(2)):
        for member in range(2, 4):
            np.testing.assert_array_equal(table[member], table[1])
        assert np.abs(table[1] - table[0]).max() > 0.01
        # Members are what the network says, with its probabilities, not its most probable actions.
        assert (table[1].max(axis=1) < 0.99).any()


@pytest.mark.long
@pytest.mark.games("rock_paper_scissors")
def test_players_of_a_symmetric_game_are_the_same(case: Any) -> None:
    first, second = tables_of(Run(case.tree, SMALL).train(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.long
@pytest.mark.games("kuhn")
def test_mixtures_of_the_simplex_are_drawn_anew_in_each_round(case: Any) -> None:
    config = dataclasses.replace(SMALL, simplex=0.5, simplex_mixtures=3, buffer_size=10_000)
    run = Run(case.tree, config)
    run.train(2)
    state = run.oracle._lane_state
    drawn = np.asarray(state.drawn)[0]
    assert drawn.shape[1:] == (2, 3, 4)
    used = drawn[: 2 * config.rounds]
    np.testing.assert_allclose(used.sum(axis=-1), 1.0, atol=1e-5)
    assert len(np.unique(used.round(6).reshape(-1, 4), axis=0)) == used[..., 0].size
    # Rows of mixtures in the buffer are numbered after the members. Half of all games are for them.
    members = np.asarray(state.buffer.items.member)[0, : int(state.buffer.held[0])]
    assert members.max() < 4 + 3 * len(drawn)
    assert (members >= 4).mean() == pytest.approx(0.5, abs=0.1)
    check_goes_on_as_if_it_had_never_stopped(run)


@pytest.mark.slow
@pytest.mark.games("kuhn")
def test_graphs_follow_from_payoffs_that_are_learned_from_games(case: Any) -> None:
    config = dataclasses.replace(SMALL, payoffs="estimated", num_envs=1024, stored_outcomes=5000)
    run = Run(case.tree, config)
    counts = run.train(1)[0].counts
    # The games are played beside those that are learned from, of which each slot plays one or two in a round.
    learned_from = counts.episodes - 2 * round(2 * 1024 * 3 / 7)
    assert 2 * 2 * 1024 <= learned_from <= 2 * (2 * 2 * 1024)
    assert counts.env_steps == 2 * (2 * 1024 * 2)
    errors = []
    for _ in range(7):
        responses = run.train(1)
        true = exact_payoffs(case.tree, run.populations)
        errors.append(responses[0].metrics["payoff_error"])
        assert errors[-1] == pytest.approx(np.abs(run.payoffs - true).mean())
        np.testing.assert_array_equal(run.payoffs[0], -run.payoffs[1])
    # A store of 5,000 outcomes has 312 for each of 16 pairs, whose returns have a standard deviation of about
    # 1.4: an error of 0.08. Members also change while they are in the store, less and less.
    assert np.mean(errors[-3:]) < 0.15
    assert np.abs(true).mean() > 0.2
    assert run.oracle.traces == 1
    check_goes_on_as_if_it_had_never_stopped(run)


@pytest.mark.long
@pytest.mark.games("kuhn")
@pytest.mark.slow
def test_an_agent_that_learns_from_its_newest_decisions_alone_learns_kuhn_poker(case: Any) -> None:
    config = dataclasses.replace(SMALL, rounds=20, num_envs=512, updates_per_round=4, batch_size=512)
    run = Run(case.tree, config, epochs=5, agent="vmpo")
    run.train(5)
    # Uniform players can be exploited by 0.4583.
    assert least_exploitable(case.tree, run.populations).exploitability < 0.3
    state = run.oracle._lane_state
    assert int(state.buffer.held[0]) == 2 * 512 * 2
    # The policy that acts is renewed at the end of each round.
    for target, online in zip(
        jax.tree.leaves(state.agent.target_policy), jax.tree.leaves(state.agent.policy), strict=True
    ):
        np.testing.assert_array_equal(target, online)
