"""Tests of the choice of machines."""

from __future__ import annotations

import re
from typing import Any

import pytest

from acme_psro.system.executors.placing import LOCAL, Placing


def test_everything_is_local_by_default() -> None:
    assert Placing() == LOCAL
    assert not LOCAL.is_remote
    assert Placing("ray").is_remote


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head.local:1", "[fe80::1]:65535"])
def test_addresses_that_are_some(address: str) -> None:
    assert Placing("ray", address).ray_address == address


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "slurm"}, "--executor must be local or ray, not 'slurm'."),
        *(
            ({"ray_address": address}, "--ray_address must be auto or HOST:PORT, such as 10.0.0.1:6379, not")
            for address in (
                "",
                "head",
                "head:",
                ":6379",
                "head:0",
                "head:65536",
                "ray://head:1",
                "a b:1",
                "a:1\n",
            )
        ),
        ({"cpus_per_response": 0.0}, "--cpus_per_response must be above 0, not 0.0."),
        ({"cpus_per_response": float("nan")}, "--cpus_per_response must be above 0, not nan."),
        ({"gpus_per_response": -1.0}, "--gpus_per_response must be at least 0, not -1.0."),
        ({"gpus_per_response": 1.5}, "--gpus_per_response must be a fraction of one GPU or a whole number"),
    ],
)
def test_bad_values_are_refused_by_the_name_of_their_flag(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Placing(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("gpus", "jobs"), [(0.0, 1), (0.25, 4), (0.3, 3), (1.0, 1), (2.0, 1)])
def test_jobs_share_a_gpu_if_they_take_a_fraction(gpus: float, jobs: int) -> None:
    assert Placing(gpus_per_response=gpus).jobs_per_gpu == jobs
