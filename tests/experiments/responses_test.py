"""Best responses as runs of one agent."""

import pathlib
import sys

import pytest

from acme_psro.games.tree import compile_game
from acme_psro.oracles.launchpad import LaunchpadConfig, Program
from experiments import configs, responses


def make_program(directory: pathlib.Path, player: int = 1) -> Program:
    return Program("kuhn_poker()", player, directory / "opponents", directory / "run", 7)


def test_a_program_is_a_run_of_the_agent_against_the_mixture(tmp_path: pathlib.Path) -> None:
    config = configs.PSROConfig("kuhn_poker", oracle="launchpad", agent="conditional_mpo")
    settings = LaunchpadConfig(
        actor_steps=100, actors_per_response=3, games_per_actor=5, lp_launch_type="local_mt"
    )
    run = responses.make_run_config(config, settings, make_program(tmp_path))
    assert (run.agent, run.environment, run.player) == ("conditional_mpo", "openspiel:kuhn_poker()", 1)
    assert (run.opponent, run.seed) == (str(tmp_path / "opponents"), 7)
    assert (run.actor_steps, run.num_actors, run.games_per_actor) == (100, 3, 5)
    assert run.distributed and run.lp_launch_type == "local_mt"
    assert run.evaluate_every == 20


def test_a_setting_that_there_is_not_is_refused(tmp_path: pathlib.Path) -> None:
    config = configs.PSROConfig("kuhn_poker", oracle="launchpad", launchpad={"actor_steps": 0})
    with pytest.raises(ValueError, match="actor_steps must be at least 1, not 0"):
        responses.make_run_programs(config, print)


def test_a_child_that_refuses_its_input_says_why(tmp_path: pathlib.Path) -> None:
    if sys.version_info >= (3, 11):
        pytest.skip("the Acme layer ends at Python 3.10")
    config = configs.PSROConfig("kuhn_poker", oracle="launchpad")
    # There is no mixture to play against.
    with pytest.raises(ValueError, match="opponents"):
        responses.make_run_programs(config, print)([make_program(tmp_path)])


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_psro_by_programs_gains_in_kuhn_poker(tmp_path: pathlib.Path) -> None:
    from acme_psro import payoffs, population, psro
    from acme_psro.oracles.launchpad import make_oracle
    from acme_psro.solvers import get_solver
    from experiments.policy_tables import make_table

    tree = compile_game("kuhn_poker", cache=False)
    config = configs.PSROConfig("kuhn_poker", oracle="launchpad", launchpad={"actor_steps": 6000})
    oracle = make_oracle(tree, tmp_path, responses.make_run_programs(config, print), make_table)
    policies = [population.uniform_policy(tree, player) for player in range(2)]

    def fill(populations, known):  # type: ignore[no-untyped-def]
        return payoffs.exact_payoffs(tree, populations, known)

    solve = get_solver("nash")
    state = psro.initialise(policies, payoffs=fill, solve=solve)
    after = psro.step(state, psro.iteration_key(0, 0), oracle=oracle, payoffs=fill, solve=solve)
    for response in after.responses:
        assert response.gain > 0.8 * response.best_gain
        assert response.env_steps >= 6000 and response.gradient_steps > 0 and response.episodes > 0
