"""A response and a policy beside it: they learn from each other, averages by hand, runs, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import acme_psro
from acme_psro.commands import run_psro
from acme_psro.games import sweeps
from acme_psro.games.graph import graph_of_tree
from acme_psro.oracles.device.averages import average_policy
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.training import OpponentProfiles, Trained
from acme_psro.self_play.beside import make_train_beside
from acme_psro.self_play.board import make_board
from acme_psro.self_play.training import RolloutConfig
from agents.self_play import SelfPlayConfig
from tests.acme_psro.commands.launching import exit_code
from tests.acme_psro.games.graphs import random_table, tree_of

_GRAPH = graph_of_tree(tree_of("kuhn_poker"))
_AGENT = SelfPlayConfig(
    hidden_sizes=(16,), learning_rate=0.01, horizon=40_000, entropy=0.01, epochs=2, minibatches=2
)

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(name="trained", scope="module")
def _trained(quick_module: None) -> Trained:
    """Player 0's training against uniform play, with a policy of player 1 beside it."""
    del quick_module
    train = make_train_beside(make_board(_GRAPH), _AGENT, RolloutConfig(64, 16), 38, 2, 0.25)
    opponents = OpponentProfiles(
        tables=jnp.asarray(_GRAPH.uniform_policy()[None], jnp.float32),
        weights=jnp.ones(1),
        members=jnp.zeros(1, jnp.int32),
        contexts=jnp.zeros((1, 0)),
        decision_weights=jnp.ones(1),
    )
    return jax.jit(train)(jax.random.key(0), jnp.int32(0), opponents)


def _played(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns what both players earn, player 0 by one table and player 1 by another."""
    both = first.copy()
    both[_GRAPH.rows_of(1)] = second[_GRAPH.rows_of(1)]
    return sweeps.expected_returns(_GRAPH, both)


@pytest.mark.slow
def test_each_learns_against_the_other(trained: Trained) -> None:
    # 38 updates are rounded up to two snapshots of five rounds.
    assert int(trained.gradient_steps) == 2 * 40 * 4
    assert trained.probs.shape == (2, 2, *_GRAPH.legal_actions.shape)
    probs = np.asarray(trained.probs, np.float64)
    probs /= probs.sum(axis=-1, keepdims=True)
    response, beside = probs[-1]
    uniform = _GRAPH.uniform_policy()
    # Uniform play earns 0.125; a best response to it 0.5.
    assert _played(response, uniform)[0] > 0.4
    # Beside, player 1 has learned against the response, and does better than uniform play does.
    assert _played(response, beside)[1] > _played(response, uniform)[1] + 0.2
    # Both players' decisions count: at least one in a game, and no more than three.
    assert int(trained.episodes) < int(trained.decisions) < 3 * int(trained.episodes)


def test_an_average_weighs_snapshots_by_their_number_and_their_visits() -> None:
    tables = np.stack([random_table(_GRAPH, seed) for seed in range(2)])
    others = np.stack([random_table(_GRAPH, seed) for seed in range(2, 4)])
    rows = _GRAPH.rows_of(1)

    average = average_policy(_GRAPH, 1, tables, others)

    visits = [
        sweeps.observation_visits(_GRAPH, _join(own, other))
        for own, other in zip(tables, others, strict=True)
    ]
    row = rows.start + 2
    weights = np.array([visits[0][row], 2 * visits[1][row]])
    np.testing.assert_allclose(average[2], weights @ tables[:, row] / weights.sum(), atol=1e-9)
    np.testing.assert_allclose(average.sum(axis=1), 1.0)
    alike = average_policy(_GRAPH, 1, tables[:1].repeat(2, axis=0), others)
    np.testing.assert_allclose(alike, tables[0, rows], atol=1e-12)


def _join(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    both = other.copy()
    both[_GRAPH.rows_of(1)] = own[_GRAPH.rows_of(1)]
    return both


@pytest.mark.slow
def test_averages_join_the_other_player_s_population(tmp_path: Path) -> None:
    device: dict[str, Any] = {"gradient_steps": 160, "num_envs": 64, "batch_size": 128, "snapshots": 2}
    result = acme_psro.run(
        "kuhn_poker",
        agent="mmd",
        max_nodes=40,
        iterations=1,
        device={**device, "self_play": 0.2, "max_extensions": 0},
        output_dir=tmp_path / "run",
        show_progress=False,
    )

    assert result.population_sizes == (3, 3)
    # Responses play their most probable actions, averages do not.
    root = acme_psro.games.loading.load_game("kuhn_poker").new_initial_state()
    for _ in range(2):
        root.apply_action(root.legal_actions()[0])
    kinds = [max(result.member(0, k).action_probabilities(root).values()) for k in range(1, 3)]
    assert [kind == 1.0 for kind in kinds] == [True, False]
    assert result.metrics[-1]["nash_conv"] < result.metrics[0]["nash_conv"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--agent=mmd",), "device.self_play needs a game that compiles to a graph alone"),
        (("--max_nodes=40",), "device.self_play needs --agent=ppo or --agent=mmd"),
        (("--agent=mmd", "--max_nodes=40", "--loop=xdo"), "device.self_play needs --loop=psro"),
        (("--agent=mmd", "--max_nodes=40", "--loop=jpsro"), "device.self_play needs --loop=psro"),
    ],
)
def test_what_does_not_fit_is_one_line(
    flags: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--game=kuhn_poker", "--set=device.self_play=0.1", f"--output_dir={tmp_path / 'run'}")
    assert exit_code(run_psro.main, *given, *flags) == 2

    told = capsys.readouterr().err
    assert words in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_the_share_is_one(share: float) -> None:
    with pytest.raises(ValueError, match="self_play must be a share of at least 0 and below 1"):
        DeviceConfig(self_play=share)
