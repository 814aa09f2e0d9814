"""Networks that are asked together answer as each does by itself, and play the same games."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.games import batch_policies, batched
from acme_psro.games.batch_policies import BatchOpponents
from acme_psro.games.identity import name_game
from acme_psro.games.loading import load_game
from acme_psro.policies import decoders, joint_networks, networks
from acme_psro.policies.networks import NetworkPolicy
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from agents.crossq.config import PRESETS

SMALL = dataclasses.replace(PRESETS["games"], critic_hidden_sizes=(8,), policy_hidden_sizes=(8,))


def make(seed: int, game: str = "kuhn_poker", player: int = 1, config: Any = SMALL) -> NetworkPolicy:
    """Returns a network with random parameters."""
    about = networks.about_network(name_game(game), player, "crossq", config)
    core = networks.make_network(about).core
    variables = core.variables(core.init(jax.random.PRNGKey(seed)))
    rng = np.random.default_rng(seed)
    # Counts are integers, and variances must not become negative.
    noisy = jax.tree.map(
        lambda leaf: leaf + rng.random(leaf.shape, np.float32) if leaf.dtype == np.float32 else leaf,
        variables,
    )
    policy: Any = networks.decode(StoredPolicy(about, networks.to_arrays(noisy)))
    return policy


def states_of(case: Any, player: int) -> list[Any]:
    tree = case.tree
    return [case.state_of(int(node)) for node in np.flatnonzero(tree.player == player)]


@pytest.mark.games("kuhn", "kuhn_3p")
@pytest.mark.parametrize("numbers", [(0, 1), (4, 2, 0), (3, 3), (0, 1, 2, 3, 4)])
def test_answers_are_those_of_each_network(case: Any, numbers: Sequence[int]) -> None:
    policies = [make(seed, case.string) for seed in range(5)]
    joint_networks.join(policies)
    states = states_of(case, 1)
    asked = [states[: 1 + 5 * place] for place in range(len(numbers))]
    assert policies[0].joint is not None
    found = policies[0].joint[0](numbers, asked, 1)
    for number, own, answer in zip(numbers, asked, found, strict=True):
        np.testing.assert_allclose(answer, policies[number](own, 1), atol=1e-6)


def test_only_networks_of_one_shape_are_joined() -> None:
    wide = dataclasses.replace(SMALL, policy_hidden_sizes=(16,))
    policies: list[Any] = [make(0), make(1, config=wide), batch_policies.uniform("kuhn_poker"), make(2)]
    joint_networks.join(policies)
    assert policies[0].joint is not None and policies[3].joint is not None
    assert policies[0].joint[0] is policies[3].joint[0]
    assert [policies[0].joint[1], policies[3].joint[1]] == [0, 1]
    assert policies[1].joint is None
    assert not hasattr(policies[2], "joint")


def test_games_go_the_same_way_with_and_without_joint_calls() -> None:
    def play(joined: bool) -> list[Any]:
        policies = tuple(make(seed) for seed in range(4))
        if joined:
            joint_networks.join(policies)
        opponents = BatchOpponents(((), policies), lambda rng, episodes: rng.integers(4, size=(episodes, 2)))
        games = batched.GameBatch("kuhn_poker", 0, 16, opponents, seed=0)
        seen = [games.reset()]
        rng = np.random.default_rng(1)
        for _ in range(50):
            steps = games.step(rng.integers(2, size=16))
            seen += [steps.observation.info_state, steps.reward, steps.last]
        return seen[1:]

    for one, other in zip(play(True), play(False), strict=True):
        np.testing.assert_array_equal(one, other)


def test_as_many_shapes_are_compiled_however_many_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = [make(seed) for seed in range(8)]
    traces = []
    core_probs = policies[0].network.probs

    def counting(*arguments: Any) -> Any:
        traces.append(1)
        return core_probs(*arguments)

    for policy in policies:
        policy.network = policy.network._replace(probs=counting)
    joint_networks.join(policies)
    state = load_game("kuhn_poker").new_initial_state()
    for action in (0, 1, 0):
        state.apply_action(action)
    call = policies[0].joint[0]  # type: ignore[index]
    for count in range(3, 9):
        for states in range(1, 5):
            call(list(range(count)), [[state] * states] * count, 1)
    assert len(traces) == 1


def test_a_network_that_diverged_is_named() -> None:
    policies = [make(0), make(1)]
    policies[1].variables = jax.tree.map(lambda leaf: leaf * np.nan, policies[1].variables)
    joint_networks.join(policies)
    state = load_game("kuhn_poker").new_initial_state()
    for action in (0, 1, 0):
        state.apply_action(action)
    with pytest.raises(StoredPolicyError, match="its policy diverged"):
        policies[0].joint[0]([0, 1], [[state], [state]], 1)  # type: ignore[index]


def test_decoders_give_networks_that_can_be_joined() -> None:
    assert decoders.DECODERS["network"] is decoders.decode_network
    assert isinstance(make(0), NetworkPolicy)
