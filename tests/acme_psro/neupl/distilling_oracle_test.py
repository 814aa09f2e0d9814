"""The distilling oracle, with exact responses to learn from: members, what is kept, its memory."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame
from acme_psro.neupl import distilled_members
from acme_psro.neupl.distillation import DistillationConfig, Network
from acme_psro.neupl.distilling_oracle import DistillingOracle, members_of
from acme_psro.oracles import exact
from acme_psro.oracles.base import NO_MEMORY, BestResponseTask, Memory, Response
from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.psro import joint, loop, neupl_joint
from acme_psro.psro.loop import PSROState
from acme_psro.solvers import get_solver
from acme_psro.solvers.properties import Concept

pytestmark = pytest.mark.usefixtures("quick_module")

_SIZE = 16
_HIDDEN = 64


class ExactResponses:
    """Stands for the device oracle: it asks for no lanes, and its responses are exact."""

    population = None

    def __init__(self, tree: GameTree) -> None:
        self._respond = exact.make_oracle(tree)

    def train_lane(self, lane: Any) -> Any:
        return lane

    def ask(
        self, key: np.ndarray, tasks: Sequence[BestResponseTask]
    ) -> Generator[Any, Any, Sequence[Response[Policy]]]:
        yield from ()
        return self._respond(key, tasks)

    def memory(self) -> Memory:
        return NO_MEMORY

    def remember(self, memory: Memory) -> None:
        del memory


def make_network(example: Any, num_actions: int) -> Network:
    inputs = example.info_state.shape[1] + example.context.shape[1]

    def init(key: jax.Array) -> Any:
        first, last = jax.random.split(key)
        return {
            "first": jax.random.normal(first, (inputs, _HIDDEN)) * (2 / inputs) ** 0.5,
            "last": 0.01 * jax.random.normal(last, (_HIDDEN, num_actions)),
        }

    def apply(params: Any, seen: Any) -> jax.Array:
        both = jnp.concatenate([seen.info_state, seen.context], axis=1)
        return jax.nn.relu(both @ params["first"]) @ params["last"]

    return Network(init, apply)


def make_oracle(tree: GameTree, steps: int = 400, is_stochastic: bool = False) -> DistillingOracle:
    config = DistillationConfig(gradient_steps=steps, batch_size=256, learning_rate=0.02)
    responses: Any = ExactResponses(tree)
    return DistillingOracle(tree, responses, make_network, _SIZE, config, is_stochastic)


def run(tree: GameTree, oracle: DistillingOracle, iterations: int, state: Any = None) -> list[PSROState]:
    meta_game = ExactMetaGame(tree)
    jpsro = neupl_joint.make_loop(tree, meta_game, get_solver("max_gini_cce"))
    start = state or loop.initialise(meta_game, jpsro)
    parts: Any = {"oracle": oracle, "meta_game": meta_game, "loop": jpsro}
    return [start, *loop.run(start, 0, iterations, converged=lambda _: False, **parts)]


@pytest.fixture(scope="module")
def tree(compiled: Any) -> GameTree:
    return compiled("kuhn_poker(players=3)")


@pytest.fixture(scope="module")
def finished(tree: GameTree) -> tuple[DistillingOracle, list[PSROState]]:
    oracle = make_oracle(tree)
    return oracle, run(tree, oracle, 4)


def test_members_play_their_responses_and_earlier_ones_stay(finished: Any, tree: GameTree) -> None:
    _, states = finished
    # Player 2 has nothing to gain in the last iteration.
    assert [len(own) for own in states[-1].populations] == [5, 5, 4]
    for before, after in itertools.pairwise(states):
        figures = after.figures
        assert 0 <= figures["distillation_kl"] < 0.05
        assert figures["distillation_gap"] == pytest.approx(0.0, abs=1e-9)
        assert figures["kept_drift"] == pytest.approx(0.0, abs=1e-9)
        for olds, news in zip(before.populations, after.populations, strict=True):
            for old, new in zip(olds, news, strict=False):
                np.testing.assert_allclose(new.plan, old.plan, atol=1e-12)
    assert all(state.figures["kept_kl"] < 0.05 for state in states[2:])
    # The first policy is uniform, and no network's.
    uniform = tree.uniform_policy()[tree.infosets_of(0)]
    np.testing.assert_array_equal(states[-1].populations[0][0].table, uniform)


def test_the_same_as_with_the_responses_themselves(finished: Any, tree: GameTree) -> None:
    """The loop loses nothing if distillation does not."""
    meta_game = ExactMetaGame(tree)
    jpsro = joint.make_loop(tree, meta_game, get_solver("max_gini_cce"), Concept.CCE)
    parts: Any = {"oracle": exact.make_oracle(tree), "meta_game": meta_game, "loop": jpsro}
    *_, last = loop.run(loop.initialise(meta_game, jpsro), 0, 4, converged=lambda _: False, **parts)
    assert finished[1][-1].figures["cce_gap"] == pytest.approx(last.figures["cce_gap"], abs=1e-9)


def test_a_restored_oracle_goes_on_to_the_bit(finished: Any, tree: GameTree) -> None:
    whole = finished[1]
    first = make_oracle(tree)
    halfway = run(tree, first, 2)[-1]
    second = make_oracle(tree)
    second.remember({name: np.asarray(each) for name, each in first.memory().items()})
    for ours, theirs in zip(run(tree, second, 4, halfway)[1:], whole[3:], strict=True):
        assert ours.figures == theirs.figures
        np.testing.assert_array_equal(ours.payoffs, theirs.payoffs)
    for name, array in second.memory().items():
        np.testing.assert_array_equal(array, finished[0].memory()[name])


def test_stochastic_members_play_the_network_s_probabilities(tree: GameTree) -> None:
    oracle = make_oracle(tree, steps=150, is_stochastic=True)
    state = run(tree, oracle, 2)[-1]
    member = state.populations[0][1].table
    assert ((member > 0) & (member < 1)).any()
    # Little was lost, and what is said of it is exact.
    assert 0 < abs(state.figures["distillation_gap"]) < 0.2
    assert 0 < state.figures["kept_drift"] < 0.2


def test_players_who_gain_nothing_get_no_member(finished: Any, tree: GameTree) -> None:
    oracle = make_oracle(tree, steps=5)
    fold = tuple(
        make_policy(tree, player, np.eye(tree.num_actions)[tree.legal_actions[rows].argmax(axis=1)])
        for player in range(3)
        for rows in [tree.infosets_of(player)]
    )
    populations = tuple((policy,) for policy in fold)
    strategy = JointStrategy(np.zeros((1, 3), int), np.ones(1))
    tasks = [BestResponseTask(player, populations, strategy) for player in range(3)]
    key = np.array([1, 2], np.uint32)
    responses = oracle(key, tasks)
    gained = [response.policy is not None for response in responses]
    assert [len(response.others) for response in responses] == [1 + has for has in gained]
    assert any(gained)


def test_the_memory_of_another_network_is_refused(finished: Any, tree: GameTree) -> None:
    memory = dict(finished[0].memory())
    with pytest.raises(ValueError, match="members' network in the checkpoint is of another agent or game"):
        make_oracle(tree).remember({**memory, "members_embeddings": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match="which are not those of the populations"):
        network = distilled_members.MemberNetwork((), np.zeros((1, _SIZE)), np.zeros(1, np.int32))
        members_of(network, [(make_policy(tree, 0, tree.uniform_policy()[tree.infosets_of(0)]),)])


def test_room_for_members_is_a_function_of_their_number_alone() -> None:
    assert [distilled_members.room_for(num) for num in (0, 32, 33, 100)] == [32, 32, 64, 128]


def test_states_are_drawn_where_a_policy_leads(tree: GameTree) -> None:
    # Always the second action: to bet or to call. Information states after a pass are never reached.
    rows = tree.infosets_of(0)
    policy = make_policy(tree, 0, np.eye(tree.num_actions)[np.ones(rows.stop - rows.start, int)])
    chances = distilled_members.chances_of(tree, 0, policy, 0.2)
    assert chances.sum() == pytest.approx(1.0)
    leading = distilled_members.reach_of(tree, 0, policy)
    assert set(leading) == {0.0, 1.0}
    expected = 0.2 / len(leading) + np.where(leading > 0, 0.8 / leading.sum(), 0.0)
    np.testing.assert_allclose(chances, expected)
