"""Tests of the configuration of NeuPL's program."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig

Make = Callable[..., NeuPLProgramConfig]


def test_it_survives_json(small: Make) -> None:
    config = small(evaluation=0.2, num_actors=2)
    assert NeuPLProgramConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_network_is_told_the_row_and_the_player(small: Make) -> None:
    config = small(neupl={"population_size": 6})
    assert config.context_size == 7
    assert config.run.agent_overrides()["mixture_size"] == 7


def test_schedules_end_with_the_last_epoch(small: Make) -> None:
    config = small(epochs=3, epoch_steps=50)
    assert config.gradient_steps == 150
    assert config.run.gradient_steps(16, 16.0) == 150
    replay = {"batch_size": 512, "samples_per_insert": 32.0}
    assert small(epochs=3, epoch_steps=50, replay_settings=replay).run.gradient_steps(512, 32.0) == 150


def test_learner_and_replay_are_those_of_a_run_of_one_agent(small: Make) -> None:
    run = small(games_per_actor=10, num_actors=3, learner_devices="1", checkpoint_seconds=7.0).run
    assert (run.kind, run.games_per_actor, run.num_actors, run.distributed) == ("openspiel", 10, 3, True)
    assert (run.learner_devices, run.checkpoint_seconds) == ("1", 7.0)
    assert run.replay_overrides()["max_replay_size"] == 100_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"epoch_steps": 0}, "epoch_steps must be at least 1"),
        ({"min_outcomes": 0}, "min_outcomes must be at least 1"),
        ({"payoffs": "guessed"}, "no payoffs named 'guessed'"),
        ({"payoffs": "exact"}, "exact payoffs need a compiled game"),
        ({"evaluation": 0.0}, "evaluation must lie between 0 and 1, not 0.0"),
        ({"evaluation": 1.0}, "evaluation must lie between 0 and 1, not 1.0"),
        ({"games_per_actor": 1}, "games_per_actor must be at least 2, one as each player"),
        ({"outcome_uses": 0.0}, "outcome_uses must be above 0"),
        ({"max_nodes": -1}, "max_nodes must not be negative"),
        ({"num_actors": 0}, "--num_actors must be at least 1"),
        ({"seed": -1}, "--seed must be from 0"),
        ({"lp_launch_type": "vertex_ai"}, "runs on one machine"),
        ({"neupl": {"population_size": 1}}, "--population_size must be at least 2"),
        ({"neupl": {"graph": "circle"}}, "--graph=circle is not known"),
        ({"neupl": {"grapf": "cycle"}}, "did you mean graph"),
        ({"neupl": {"sink": "first_actions"}}, "use --oracle=device for others"),
        ({"exploiter_steps": -1}, "exploiter_steps must not be negative"),
        ({"neupl": {"simplex": 0.5}}, "simplex is not for NeuPL's program"),
        ({"freezing_games": 99}, "freezing_games must be at least 100, not 99: members are judged by them"),
        ({"neupl": {"patience": 0}}, "patience must be at least 1, not 0"),
        ({"agent_settings": {"mixture_size": 3}}, "agent_settings.mixture_size follows from the population"),
        ({"estimator": {"batch_size": 0}}, "batch_size must be at least 1"),
        ({"estimator": {"depth": 3}}, "estimator has no setting 'depth'"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str, small: Make) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("data", [{}, {"game": "kuhn_poker"}, {"game": "a", "epochs": 1, "more": 2}, []])
def test_other_json_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="no configuration of NeuPL's program"):
        NeuPLProgramConfig.from_json(data)
