"""Tests of opponents from mixture directories, one game at a time: distribution, seeds and errors."""

import pathlib
import sys
from typing import Any

import numpy as np
import pytest

if sys.version_info >= (3, 11):
    pytest.skip("dm_env comes with the Acme layer, which ends at Python 3.10", allow_module_level=True)

from acme_psro.environments import opponents
from acme_psro.environments.by_name import make_environment
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, mixture_files
from acme_psro.policies.meta_strategy import JointStrategy, ProductStrategy
from acme_psro.policies.mixtures import Mixture
from acme_psro.policies.tabular import Policy, combine, make_policy, uniform_policy

# The same marginals, but players 1 and 2 draw their policies independently or correlated.
MARGINALS = (np.array([]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
JOINT = JointStrategy(np.array([[0, 0, 0], [0, 1, 1]]), np.array([0.5, 0.5]))
GAME = "kuhn_poker(players=3)"


@pytest.fixture(scope="module")
def tree() -> GameTree:
    return compile_game(GAME, cache=False)


@pytest.fixture(scope="module")
def populations(tree: GameTree, pure_table: Any) -> list[list[Policy]]:
    """Two pure policies each for players 1 and 2, whose payoffs depend on their combination.

    Player 0 has no policies, because it is the learner.
    """
    return [
        [make_policy(tree, player, pure_table(tree, seed)[tree.infosets_of(player)]) for seed in seeds]
        for player, seeds in enumerate([(), (14, 114), (207, 307)])
    ]


def write(directory: pathlib.Path, tree: GameTree, populations: list[list[Policy]], weights: Any) -> str:
    policies = tuple(
        tuple(decoders.from_tree_policy(tree, player, policy) for policy in own)
        for player, own in enumerate(populations)
    )
    strategy = weights if isinstance(weights, JointStrategy) else ProductStrategy(tuple(weights))
    mixture_files.write(directory, Mixture(tree.game_string, policies, strategy))
    return str(directory)


def expected(tree: GameTree, populations: list[list[Policy]], weights: Any) -> float:
    """Computes the expected return of player 0, who plays uniformly, against the mixture."""
    if not isinstance(weights, JointStrategy):
        pairs = [(j, k) for j in range(2) for k in range(2)]
        weights = JointStrategy(
            np.array([(0, j, k) for j, k in pairs]),
            np.array([weights[1][j] * weights[2][k] for j, k in pairs]),
        )
    total = 0.0
    for (_, j, k), probability in zip(weights.profiles, weights.probabilities, strict=True):
        plans = [uniform_policy(tree, 0).plan, populations[1][j].plan, populations[2][k].plan]
        total += probability * traverse.expected_returns(tree, combine(tree, plans))[0]
    return total


def play(env: Any, episodes: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    returns = np.zeros(episodes)
    for index in range(episodes):
        timestep = env.reset()
        while not timestep.last():
            timestep = env.step(rng.choice(np.flatnonzero(timestep.observation.legal_actions)))
            returns[index] += timestep.reward
    return returns


@pytest.mark.parametrize("weights", [MARGINALS, JOINT], ids=["marginals", "joint"])
def test_the_others_play_the_mixture(
    weights: Any, tree: GameTree, populations: list[list[Policy]], tmp_path: pathlib.Path
) -> None:
    directory = write(tmp_path, tree, populations, weights)
    returns = play(make_environment(f"openspiel:{GAME}", 0, opponent=directory), 4000)
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert abs(returns.mean() - expected(tree, populations, weights)) < 3.5 * error
    # This number of episodes is enough to tell the two mixtures apart.
    other = JOINT if weights is MARGINALS else MARGINALS
    assert abs(returns.mean() - expected(tree, populations, other)) > 3.5 * error


def test_equal_seeds_give_equal_episodes(
    tree: GameTree, populations: list[list[Policy]], tmp_path: pathlib.Path
) -> None:
    directory = write(tmp_path, tree, populations, MARGINALS)
    once, again, other = (
        play(make_environment(f"openspiel:{GAME}", seed, opponent=directory), 50) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_a_policy_of_one_game_gives_legal_actions_only(
    tree: GameTree, populations: list[list[Policy]], tmp_path: pathlib.Path
) -> None:
    draw = opponents.read(write(tmp_path, tree, populations, MARGINALS), GAME)
    own, other, _ = draw(np.random.default_rng(0))  # type: ignore[misc]
    assert own is None
    state = make_environment(f"openspiel:{GAME}", 0, player=1).game.new_initial_state()
    for action in (0, 1, 2, 0):
        state.apply_action(action)
    probabilities = other.action_probabilities(state)
    assert list(probabilities) == state.legal_actions() == [0, 1]
    assert sum(probabilities.values()) == 1.0


def test_what_is_no_mixture_of_the_game_is_refused_in_one_line(
    tree: GameTree, populations: list[list[Policy]], tmp_path: pathlib.Path
) -> None:
    directory = write(tmp_path / "mixture", tree, populations, MARGINALS)
    with pytest.raises(
        ValueError, match=r"^the mixture in .* plays kuhn_poker\(players=3\), not leduc_poker\(\): "
    ):
        make_environment("openspiel:leduc_poker", 0, opponent=directory)
    with pytest.raises(ValueError, match=r"^there is no run in .*"):
        make_environment(f"openspiel:{GAME}", 0, opponent=str(tmp_path))
    (tmp_path / "mixture" / "policies" / "player_1_00001.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"player_1_00001\.npz is no stored policy, or was truncated"):
        make_environment(f"openspiel:{GAME}", 0, opponent=directory)
