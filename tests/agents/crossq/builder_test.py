"""Tests of agents.crossq.builder: its defaults and the configurations that it refuses.

`tests.agents.acme_layer.builders_test` runs the builder with all kinds of actions.
"""

import sys

import pytest

if sys.version_info >= (3, 11):
    pytest.skip("the Acme layer ends at Python 3.10", allow_module_level=True)

from agents.acme_layer.replay import ReplayConfig
from agents.crossq import CrossQConfig
from agents.crossq.builder import CrossQBuilder


def test_defaults_are_those_of_the_agent_and_of_replay() -> None:
    assert CrossQBuilder().replay == ReplayConfig()
    assert CrossQBuilder().discount == CrossQConfig().discount
    assert CrossQBuilder(CrossQConfig(discount=0.5)).discount == 0.5


def test_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no use for sequences: .* must be 1, not 4\.$") as caught:
        CrossQBuilder(replay=ReplayConfig(sequence_length=4))
    assert "\n" not in str(caught.value)
