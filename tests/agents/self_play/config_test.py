"""Presets of the self-play agent, and settings that are refused."""

import math
from typing import Any

import pytest

from agents.self_play import PRESETS, SelfPlayConfig
from agents.settings import replace


def test_presets_differ_in_their_terms() -> None:
    ppo, mmd, nash_pg = (PRESETS[name] for name in ("ppo", "mmd", "nash_pg"))
    assert (ppo.kl, ppo.magnet) == (0, 0)
    assert mmd.kl > 0 == mmd.magnet
    assert nash_pg.magnet > 0 == nash_pg.kl
    assert [config.has_magnet for config in (ppo, mmd, nash_pg)] == [False, False, True]


def test_default_is_mmd() -> None:
    assert SelfPlayConfig() == PRESETS["mmd"]


def test_clip_may_be_infinite() -> None:
    assert replace("self_play", SelfPlayConfig(), {"clip": "inf"}).clip == math.inf


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"magnet_period": 0}, "magnet_period must be at least 1, not 0"),
        ({"horizon": 0}, "horizon must be at least 1, not 0"),
        ({"entropy": -0.1}, "entropy must be a number from 0 on, not -0.1"),
        ({"kl": math.nan}, "kl must be a number from 0 on, not nan"),
        ({"kl": math.inf}, "kl must be a number from 0 on, not inf"),
        ({"clip": 0.0}, "clip must be above 0, not 0.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"discount": 1.1}, r"discount must be in \[0, 1\], not 1.1"),
        ({"magnet_average": -1.0}, r"magnet_average must be in \[0, 1\], not -1.0"),
        ({"annealing": "linear"}, "annealing must be one of none, sqrt, not 'linear'"),
        ({"activation": "elu"}, "activation must be one of tanh, relu, not 'elu'"),
        ({"hidden_sizes": (64, 0)}, "hidden_sizes must be above 0"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SelfPlayConfig(**changes)
