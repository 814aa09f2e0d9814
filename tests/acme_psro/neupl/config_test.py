"""Configurations that are refused."""

from typing import Any

import pytest

from acme_psro.neupl.config import NeuPLConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population_size": 1}, "--population_size must be at least 2, a sink and a member"),
        ({"graph": "ring"}, "--graph=ring is not known"),
        ({"sink": "best"}, "sink must be one of uniform, first_actions, or the file of a stored policy"),
        ({"sink": "a.npz,best"}, "not a.npz,best"),
        ({"rounds": 0}, "rounds must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"active_members": -1}, "active_members must not be negative"),
        ({"row_tolerance": float("nan")}, "row_tolerance must not be negative"),
        ({"simplex": 1.5}, r"simplex must lie in \[0, 1\]"),
        ({"trembles": -0.1}, "trembles must lie in"),
    ],
)
def test_bad_settings_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        NeuPLConfig(**changes)
    assert "\n" not in str(raised.value)


def test_mixtures_are_drawn_only_if_they_are_trained() -> None:
    assert NeuPLConfig().num_drawn == 0
    assert NeuPLConfig(simplex=0.5, simplex_mixtures=4).num_drawn == 4


def test_a_sink_may_name_the_files_of_policies() -> None:
    assert NeuPLConfig().sink_files == NeuPLConfig(sink="first_actions").sink_files == ()
    files = NeuPLConfig(sink="runs/a.npz, b.npz").sink_files
    assert [str(path) for path in files] == ["runs/a.npz", "b.npz"]
