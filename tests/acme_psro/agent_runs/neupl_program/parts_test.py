"""Tests of the program's components."""

from collections.abc import Callable
from typing import Any

import pytest

from acme_psro.agent_runs.neupl_program import parts
from acme_psro.agent_runs.neupl_program.config import NeuPLProgramConfig

Make = Callable[..., NeuPLProgramConfig]


def test_observations_have_contexts(small: Make) -> None:
    config = small()
    made = parts.make_parts(config)
    assert made.spec.observations.context.shape == (5,)
    assert made.spec.observations.info_state.shape == (11,)
    about = parts.describe(config, made.agent)
    assert (about["game"], about["agent"]) == ("kuhn_poker()", "conditional_mpo")
    assert about["settings"]["mixture_size"] == 5
    # Two players with returns of up to 2 each.
    assert about["settings"]["reward_scale"] == 0.5
    assert about["settings"]["horizon"] == config.gradient_steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agent": "crossq"}, "needs an agent whose network is told which member it is"),
        ({"game": "kuhn_pokr"}, "unknown game 'kuhn_pokr'"),
        ({"game": "kuhn_poker(players=3)"}, "for two-player zero-sum games"),
        ({"game": "tiny_hanabi"}, "for two-player zero-sum games"),
        ({"payoffs": "exact", "max_nodes": 20}, "--max_nodes"),
        ({"agent_settings": {"num_members": 3}}, "num_members follows from the population"),
        ({"agent_settings": {"depth": 3}}, "has no setting 'depth'"),
        ({"neupl": {"sink": "/nowhere/a.npz"}}, "a.npz cannot be read: No such file"),
        ({"replay_settings": {"sequence_length": 2}}, "keeps single transitions"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, small: Make) -> None:
    with pytest.raises(ValueError, match=message):
        parts.make_parts(small(**changes))
