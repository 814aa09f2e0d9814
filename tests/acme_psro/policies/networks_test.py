"""Tests of networks as stored policies: through a file and back they play as the agent that learned them."""

import dataclasses
import json
import math
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from acme_psro.games.identity import name_game
from acme_psro.games.loading import load_game
from acme_psro.meta_game.simulation import simulate
from acme_psro.policies import as_table, decoders, networks, stored
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from agents import conditional_mpo, crossq
from agents.core import Observation

SIZES = {"policy_hidden_sizes": (8, 4), "critic_hidden_sizes": (8,)}
CONFIGS = {
    "crossq": dataclasses.replace(crossq.PRESETS["games"], **SIZES),
    "conditional_mpo": dataclasses.replace(conditional_mpo.PRESETS["games"], **SIZES),
    "vmpo": dataclasses.replace(conditional_mpo.PRESETS["vmpo_games"], **SIZES),
}


class Made(NamedTuple):
    """An agent's policy, and the same as data."""

    core: Any
    variables: Any
    policy: StoredPolicy


def make(agent: str, game: str, player: int = 0, seed: int = 0) -> Made:
    """A policy with parameters out of the air, which is far from uniform."""
    about = networks.about_network(name_game(game), player, agent, CONFIGS[agent])
    core = networks.make_network(about).core
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(lambda key: core.variables(core.init(key)), jax.random.PRNGKey(0))
    # Variances are not negative.
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            np.ones(leaf.shape, leaf.dtype)
            if "variance" in jax.tree_util.keystr(path)
            else rng.normal(0.0, 0.7, leaf.shape).astype(leaf.dtype)
        ),
        like,
    )
    return Made(core, variables, StoredPolicy(about, networks.to_arrays(variables)))


def states_of(case: Any, player: int) -> tuple[list[Any], np.ndarray]:
    """A state at each information state of the player, and their numbers."""
    tree = case.tree
    infosets, nodes = np.unique(np.where(tree.player == player, tree.infoset, -1), return_index=True)
    keep = infosets >= 0
    return [case.state_of(int(node)) for node in nodes[keep]], infosets[keep]


@pytest.mark.games("kuhn_3p", "leduc", "catch")
@pytest.mark.parametrize("agent", ["crossq", "conditional_mpo"])
def test_a_network_plays_the_same_after_a_file(agent: str, case: Any, tmp_path: pathlib.Path) -> None:
    player = case.tree.num_players - 1
    made = make(agent, case.string, player)
    stored.write(tmp_path / "policy.npz", made.policy)
    play = decoders.decode(stored.read(tmp_path / "policy.npz"), decoders.DECODERS)
    states, infosets = states_of(case, player)
    played = play(states, player)
    legal = case.tree.legal_actions[infosets]
    seen = Observation(case.tree.info_state[infosets], legal, np.zeros((len(infosets), 0), np.float32))
    np.testing.assert_allclose(played, jax.jit(made.core.probs)(made.variables, seen), atol=1e-6)
    assert played.dtype == np.float64
    np.testing.assert_allclose(played.sum(axis=1), 1.0, atol=1e-12)
    assert (played[~legal] == 0).all()
    assert (played >= 0).all()
    # It says something: not what an untrained network would.
    assert np.abs(played - legal / legal.sum(axis=1, keepdims=True)).max() > 0.1


def test_a_network_is_compiled_for_a_few_numbers_of_states_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor again for another policy of the same kind."""
    traced = []
    parts = networks.AGENTS["crossq"].core()

    def counting(*given: Any) -> Any:
        core = parts.make_core(*given)
        return core._replace(probs=lambda *of: traced.append(of[1].info_state.shape[0]) or core.probs(*of))

    counted = networks.AGENTS["crossq"]._replace(core=lambda: parts._replace(make_core=counting))
    monkeypatch.setitem(networks.AGENTS, "crossq", counted)
    networks._compile.cache_clear()
    try:
        policies = [networks.decode(make("crossq", "kuhn_poker", seed=s).policy) for s in (0, 1)]
        state = load_game("kuhn_poker").new_initial_state()
        for action in (0, 1):
            state.apply_action(action)
        for number in [*range(1, 40), 255, 256, 257, 1000, 1024, 1025, 3000]:
            rows = [policy([state] * number, 0) for policy in policies]
            for each in rows:
                assert each.shape == (number, 2)
                assert (each == each[0]).all() or np.ptp(each, axis=0).max() < 1e-6
            assert np.abs(rows[0][0] - rows[1][0]).max() > 1e-3
        assert sorted(traced) == [16, 64, 256, 1024]
    finally:
        networks._compile.cache_clear()


def test_networks_of_all_agents_are_simulated_with() -> None:
    made = [make(agent, "kuhn_poker(players=3)", player) for player, agent in enumerate(CONFIGS)]
    policies = [[networks.decode(each.policy)] for each in made]
    found = simulate("kuhn_poker(players=3)", policies, np.array([[0, 0, 0]]), 700, seed=0)
    assert found.standard_error.max() < 0.5
    np.testing.assert_allclose(found.mean.sum(), 0.0, atol=1e-12)


def test_decoding_stays_on_the_cpu() -> None:
    made = make("crossq", "kuhn_poker")
    variables = networks.to_variables(made.core, made.policy.arrays)
    assert {device.platform for leaf in jax.tree.leaves(variables) for device in leaf.devices()} == {"cpu"}


def test_settings_survive_json() -> None:
    config = dataclasses.replace(CONFIGS["conditional_mpo"], max_gradient_norm=math.inf, horizon=77)
    about = networks.about_network(name_game("kuhn_poker"), 1, "conditional_mpo", config)
    about = json.loads(json.dumps(about, allow_nan=False))
    assert about["settings"]["max_gradient_norm"] == "inf"
    assert networks.config_of(about) == config
    # Made once for all policies of the kind.
    assert networks.make_network(about).core is networks.make_network(about).core


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "dqn"}, "no agent named 'dqn' to decode; there are crossq, conditional_mpo, vmpo"),
        ({"settings": {"momentum": 1}}, "cannot be built: crossq has no setting 'momentum'"),
        ({"settings": {"learning_rate": -1.0}}, "cannot be built: CrossQ's learning_rate must be above 0"),
        ({"settings": {"policy_hidden_sizes": "many"}}, "must be a list of whole numbers"),
        ({"game": "coordinated_mp()"}, "cannot be built: .* offers no tensors to observe"),
        ({"game": "no_such_game"}, "cannot be built: unknown game 'no_such_game'"),
        ({"settings": None}, "cannot be built"),
        ({"context": ["a"]}, "cannot be built"),
    ],
)
def test_what_describes_no_network_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    policy = make("crossq", "kuhn_poker").policy
    with pytest.raises(StoredPolicyError, match=rf"^[^\n]*{message}[^\n]*$"):
        networks.decode(policy._replace(about=policy.about | change))


@pytest.mark.parametrize("change", ["missing", "further", "shape", "type"])
def test_arrays_of_other_networks_are_refused(change: str) -> None:
    policy = make("crossq", "kuhn_poker").policy
    arrays = dict(policy.arrays)
    name = ".params['linear']['w']"
    if change == "missing":
        del arrays[name]
    elif change == "further":
        name = "further"
        arrays[name] = np.zeros(3, np.float32)
    elif change == "shape":
        arrays[name] = arrays[name].T
    else:
        arrays[name] = arrays[name].astype(np.float64)
    with pytest.raises(StoredPolicyError) as caught:
        networks.decode(policy._replace(arrays=arrays))
    assert str(caught.value) == f"the arrays are not of the network that is named beside them: see {name}."


def test_a_network_that_diverged_is_refused_when_it_plays() -> None:
    policy = make("crossq", "kuhn_poker").policy
    arrays = {
        name: np.full_like(array, np.nan) if array.dtype.kind == "f" else array
        for name, array in policy.arrays.items()
    }
    play = networks.decode(policy._replace(arrays=arrays))
    state = load_game("kuhn_poker").new_initial_state()
    for action in (0, 1):
        state.apply_action(action)
    with pytest.raises(StoredPolicyError, match="probabilities that do not add up to 1: its policy diverged"):
        play([state], 0)


def test_every_kind_has_a_decoder() -> None:
    assert set(decoders.DECODERS) == {"uniform", "table", "graph_table", "network"}


@pytest.mark.games("leduc")
def test_a_greedy_network_takes_its_most_probable_action(case: Any) -> None:
    policy = make("crossq", case.string).policy
    states, infosets = states_of(case, 0)
    said = [policy.about, policy.about | {"greedy": False}, policy.about | {"greedy": True}]
    plain, same, greedy = (networks.decode(policy._replace(about=about))(states, 0) for about in said)
    np.testing.assert_array_equal(plain, same)
    np.testing.assert_array_equal(greedy, np.eye(greedy.shape[1])[plain.argmax(axis=1)])
    assert not (greedy == plain).all() and greedy.dtype == np.float64
    # On a compiled game it is the same.
    table = as_table.make_table(case.tree, policy._replace(about=said[2]))
    np.testing.assert_array_equal(table[infosets - case.tree.infosets_of(0).start], greedy)


def test_to_be_greedy_is_true_or_false() -> None:
    policy = make("crossq", "kuhn_poker").policy
    with pytest.raises(StoredPolicyError, match="greedy must be true or false, not 1"):
        networks.decode(policy._replace(about=policy.about | {"greedy": 1}))
