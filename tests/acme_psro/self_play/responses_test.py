"""Best responses by self-play's agent: opponents play as they are told, and the response gains."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.profiles import make_profiles
from acme_psro.oracles.device.config import DeviceConfig
from acme_psro.oracles.device.training import OpponentProfiles, Trained
from acme_psro.self_play.board import make_board
from acme_psro.self_play.moves import FixedOpponents, start
from acme_psro.self_play.playing import play
from acme_psro.self_play.responses import make_train, plan_budget
from acme_psro.self_play.training import RolloutConfig, make_board_core
from agents.self_play import PRESETS, SelfPlayConfig

_TREE = compile_game("kuhn_poker")
_BOARD = make_board(_TREE)
_AGENT = SelfPlayConfig(hidden_sizes=(16,), learning_rate=0.01, horizon=20_000, entropy=0.01)


def _first_and_last_actions() -> jax.Array:
    """Returns two policies for all players: always the first legal action, and always the last."""
    legal = _TREE.legal_actions
    last = legal.shape[1] - 1 - legal[:, ::-1].argmax(axis=1)
    eye = np.eye(legal.shape[1], dtype=np.float32)
    return jnp.stack([eye[legal.argmax(axis=1)], eye[last]])


def test_opponents_play_their_profiles_and_only_the_player_s_decisions_count() -> None:
    profiles = make_profiles(_BOARD.arrays, _first_and_last_actions(), jnp.array([0.25, 0.75]))
    opponents = FixedOpponents(jnp.int32(1), profiles, jnp.array([1.0, 0.5]))
    core = make_board_core(_BOARD, _AGENT)
    params = core.init(jax.random.key(0)).params
    games = start(_BOARD, jax.random.key(1), 200, opponents)
    played = play(_BOARD, core, params, games, jax.random.key(2), 30, opponents)[1]
    assert played.weight is not None
    theirs = np.asarray(played.player) == 0
    np.testing.assert_array_equal(np.asarray(played.weight)[theirs], 0.0)
    assert set(np.unique(np.asarray(played.weight)[~theirs])) == {0.5, 1.0}
    # Every game begins with player 0, whose action tells the profile, and with it the weight of what follows.
    weight, action, ended = (np.asarray(each) for each in (played.weight, played.action, played.ended))
    assert 0.7 < (action[1:][ended[:-1]] == 1).mean() < 0.8
    follows = theirs[:-1] & ~theirs[1:] & ~ended[:-1]
    np.testing.assert_array_equal(weight[1:][follows], np.where(action[:-1][follows] == 0, 1.0, 0.5))


def _respond(player: int, snapshots: int) -> Trained:
    agent = dataclasses.replace(PRESETS["mmd"], **_changes())
    train = make_train(_BOARD, agent, RolloutConfig(num_games=32, decisions=16), 40, snapshots)
    opponents = OpponentProfiles(
        tables=jnp.asarray(_TREE.uniform_policy()[None], jnp.float32),
        weights=jnp.ones(1),
        members=jnp.zeros(1, jnp.int32),
        contexts=jnp.zeros((1, 0)),
        decision_weights=jnp.ones(1),
    )
    return jax.jit(train)(jax.random.key(0), jnp.int32(player), opponents)


def _changes() -> dict[str, object]:
    return {"hidden_sizes": (16,), "learning_rate": 0.01, "entropy": 0.01, "horizon": 20_000}


@pytest.mark.long
def test_a_response_gains_most_of_what_there_is_to_gain() -> None:
    trained = _respond(1, snapshots=2)
    assert trained.probs.shape == (2, 1, *_TREE.legal_actions.shape)
    assert int(trained.episodes) > 5000
    assert int(trained.gradient_steps) == 40 * 4 * 4
    # Player 1 decides once in every game, and no one else's decisions are counted.
    assert abs(int(trained.decisions) - int(trained.episodes)) <= 32
    uniform = _TREE.uniform_policy()
    table = uniform.copy()
    rows = _TREE.rows_of(1)
    learned = np.asarray(trained.probs[-1, 0], np.float64)[rows]
    table[rows] = learned / learned.sum(axis=1, keepdims=True)
    plan = traverse.realisation_plan(_TREE, uniform)
    before = traverse.expected_returns(_TREE, plan)[1]
    after = traverse.expected_returns(_TREE, traverse.realisation_plan(_TREE, table))[1]
    best = traverse.best_response(_TREE, plan, 1).value
    assert after - before > 0.9 * (best - before)
    # It stays stochastic.
    assert ((learned > 1e-3) & (learned < 1 - 1e-3)).any()


@pytest.mark.parametrize(
    ("gradient_steps", "snapshots", "updates", "kept"), [(160, 10, 10, 10), (161, 10, 20, 10), (16, 10, 1, 1)]
)
def test_gradient_steps_are_rounded_up_to_whole_updates_and_snapshots(
    gradient_steps: int, snapshots: int, updates: int, kept: int
) -> None:
    config = DeviceConfig(gradient_steps=gradient_steps, num_envs=64, batch_size=256, snapshots=snapshots)
    budget = plan_budget(SelfPlayConfig(epochs=4, minibatches=4), config)
    # Four minibatches of 256 decisions are 16 decisions in each of 64 games.
    assert budget == (RolloutConfig(num_games=64, decisions=16), updates, kept)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_envs": 100}, "num_envs must divide the 1,024 decisions of a rollout"),
        ({"games_per_response": 10}, "set device.games_per_response to 0, not 10"),
    ],
)
def test_budgets_that_do_not_fit_are_refused(settings: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan_budget(SelfPlayConfig(), DeviceConfig(**{"num_envs": 64, "batch_size": 256} | settings))
