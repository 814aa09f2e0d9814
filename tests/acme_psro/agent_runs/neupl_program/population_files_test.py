"""Tests of populations as files: what is read plays as what was written."""

import pathlib
from typing import Any

import jax
import numpy as np
import pytest

from acme_psro.agent_runs.neupl_program import frozen, population_files
from acme_psro.agent_runs.neupl_program.members import make_contexts
from acme_psro.agent_runs.neupl_program.population_files import NeuPLPopulation
from acme_psro.games.tree import GameTree
from acme_psro.oracles.base import Counts
from acme_psro.policies import decoders, networks, stored
from acme_psro.policies.as_table import make_table
from acme_psro.policies.stored import PolicyFile
from acme_psro.policies.tabular import make_policy
from agents import conditional_mpo as mpo
from agents.core import Observation

COUNTS = Counts(episodes=70, env_steps=120, gradient_steps=9)
CONFIG = mpo.ConditionalMPOConfig(policy_hidden_sizes=(8,), critic_hidden_sizes=(8,), mixture_size=5)


@pytest.fixture
def core(tree: GameTree) -> Any:
    arrays: Any = (tree.info_state[:1], tree.legal_actions[:1], np.zeros((1, 5), np.float32))
    return mpo.make_core(mpo.make_networks(Observation(*arrays), 2, CONFIG), CONFIG)


@pytest.fixture
def variables(core: Any) -> Any:
    # The head begins near 0, with which all members would play alike.
    noise = np.random.default_rng(0)
    made = core.variables(core.init(jax.random.PRNGKey(0)))
    return jax.tree.map(lambda leaf: leaf + noise.normal(size=leaf.shape).astype(np.float32), made)


@pytest.fixture
def population(variables: Any, graph: np.ndarray) -> NeuPLPopulation:
    about = networks.about_network("kuhn_poker()", 0, "conditional_mpo", CONFIG)
    payoffs = np.random.default_rng(1).normal(size=(2, 4, 4))
    return NeuPLPopulation(3, about, networks.to_arrays(variables), graph, payoffs, COUNTS)


def test_a_population_is_read_as_it_was_written(population: NeuPLPopulation, tmp_path: pathlib.Path) -> None:
    assert not population_files.exists(tmp_path)
    population_files.write(tmp_path, population)
    assert population_files.exists(tmp_path)
    found = population_files.read(tmp_path)
    assert (found.epoch, found.about, found.counts) == (3, population.about, COUNTS)
    np.testing.assert_array_equal(found.graph, population.graph)
    np.testing.assert_array_equal(found.payoffs, population.payoffs)
    assert found.variables.keys() == population.variables.keys()
    for name, array in found.variables.items():
        np.testing.assert_array_equal(array, population.variables[name])


def test_fixed_members_are_what_their_files_say(population: NeuPLPopulation, tmp_path: pathlib.Path) -> None:
    before = population_files.member(population, 1, 2)
    assert population.num_frozen == 1
    name = frozen.write(tmp_path, 2, before)
    files = {(1, 2): PolicyFile(frozen.place(tmp_path, name))}
    # The network has changed since.
    changed = {key: 2 * array for key, array in population.variables.items()}
    population_files.write(tmp_path, population._replace(variables=changed, fixed=files))
    found = population_files.read(tmp_path)
    assert found.fixed == files
    assert stored.digest(population_files.member(found, 1, 2)) == stored.digest(before)
    assert stored.digest(population_files.member(found, 0, 2)) != stored.digest(
        population_files.member(population, 0, 2)
    )
    assert found.num_frozen == 1
    assert found._replace(fixed={**files, (0, 1): files[1, 2]}).num_frozen == 2


def test_sinks_are_part_of_a_population(
    population: NeuPLPopulation, tree: GameTree, tables: np.ndarray, tmp_path: pathlib.Path
) -> None:
    policy = make_policy(tree, 1, tables[2][tree.infosets_of(1)])
    sink = decoders.from_tree_policy(tree, 1, policy)
    population_files.write(tmp_path, population._replace(sinks={1: sink}, evaluation_games=50))
    found = population_files.read(tmp_path)
    assert found.evaluation_games == 50
    assert stored.digest(population_files.member(found, 1, 0)) == stored.digest(sink)
    assert population_files.member(found, 0, 0) == decoders.uniform("kuhn_poker()", 0)
    assert found.variables.keys() == population.variables.keys()


@pytest.mark.parametrize("player", [0, 1])
def test_members_play_by_their_contexts(
    player: int, population: NeuPLPopulation, core: Any, variables: Any, tree: GameTree
) -> None:
    rows = tree.infosets_of(player)
    tables = []
    for index in range(4):
        policy = population_files.member(population, player, index)
        tables.append(make_table(tree, policy))
        context = np.tile(make_contexts(population.graph[player, index], player), (len(tables[-1]), 1))
        arrays: Any = (tree.info_state[rows], tree.legal_actions[rows], context)
        own = tree.uniform_policy()[rows] if index == 0 else core.probs(variables, Observation(*arrays))
        np.testing.assert_allclose(tables[-1], own, atol=1e-5)
    assert np.abs(tables[1] - tables[2]).max() > 0.01


def test_members_are_written_as_policies(population: NeuPLPopulation, tmp_path: pathlib.Path) -> None:
    files = population_files.write_members(population, population_files.place_in(tmp_path))
    assert [len(own) for own in files] == [4, 4]
    assert files[1][2].path == tmp_path / "policies" / "player_1_00002.npz"
    for player, own in enumerate(files):
        for each in own:
            policy = stored.read(each.path)
            stored.check_fits(policy, "kuhn_poker()", player, "the member")
            decoders.decode(policy, decoders.DECODERS)


def test_files_that_hold_no_population_are_refused(
    population: NeuPLPopulation, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=r"population\.npz cannot be read: No such file"):
        population_files.read(tmp_path)
    path = tmp_path / "population.npz"
    stored.write(path, decoders.uniform("kuhn_poker()", 0))
    with pytest.raises(ValueError, match="kind 'uniform', no population"):
        population_files.read(tmp_path)
    population_files.write(tmp_path, population)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="was truncated or altered"):
        population_files.read(tmp_path)


def test_a_population_is_no_policy(population: NeuPLPopulation, tmp_path: pathlib.Path) -> None:
    population_files.write(tmp_path, population)
    with pytest.raises(ValueError, match="no decoder for policies of kind 'neupl_population'"):
        decoders.decode(stored.read(tmp_path / "population.npz"), decoders.DECODERS)
