"""Tests of population_runs.config: warm starts, and what they need; other options are in defaults_test."""

import pathlib
from typing import Any

import pytest

import acme_psro
from acme_psro.population_runs import defaults
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.configure import complete
from acme_psro.population_runs.settings import check_settings
from acme_psro.psro.registry import LOOPS
from tests.acme_psro.population_runs.fakes import untimed

pytestmark = pytest.mark.usefixtures("quick_module")

_MPO: dict[str, Any] = {"game": "kuhn_poker", "agent": "conditional_mpo"}
_WARM: dict[str, Any] = {**_MPO, "warm_start": "population"}
_TINY = {"gradient_steps": 24, "num_envs": 16, "batch_size": 32, "buffer_size": 500, "snapshots": 2}
_SMALL = {"policy_hidden_sizes": (8,), "critic_hidden_sizes": (8,)}


def _complete(**given: Any) -> PSROConfig:
    groups = ("device", "launchpad", "agent_settings", "simulation", "neupl")
    named = {"loop": "psro", "oracle": "device", "preset": None, "meta_solver": "nash", "payoffs": "auto"}
    numbers = {"iterations": 3, "seed": 0, "tolerance": 1e-7, "max_nodes": 1000}
    usual: dict[str, Any] = {**named, **numbers, **{group: {} for group in groups}}
    return complete(**{**usual, **given})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"warm_start": "yes"}, "no warm start named 'yes'; use one of none, population."),
        (
            {"agent": "crossq"},
            "--warm_start=population needs an agent whose network is told which member it is: "
            "use --agent=conditional_mpo, not crossq.",
        ),
        ({"oracle": "exact"}, "--warm_start=population needs --oracle=device, not exact."),
        ({"oracle": "launchpad"}, "--warm_start=population needs --oracle=device, not launchpad."),
        (
            {"loop": "neupl"},
            "--warm_start=population needs --loop=psro: --loop=neupl has one network for all members.",
        ),
    ],
)
def test_a_warm_start_that_has_nothing_to_begin_in_is_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        PSROConfig(**{**_WARM, **change})
    assert str(refusal.value) == says


@pytest.mark.parametrize("loop", [name for name, entry in LOOPS.items() if not entry.trains_members])
def test_every_loop_whose_populations_grow_may_start_warm(loop: str) -> None:
    config = PSROConfig(**_WARM, loop=loop, meta_solver=LOOPS[loop].default_solver)
    assert config.to_json()["warm_start"] == "population"


def test_runs_without_it_are_written_as_by_earlier_versions() -> None:
    assert "warm_start" not in PSROConfig(**_MPO).to_json()


@pytest.mark.parametrize("name", ["num_members", "mixture_size"])
def test_the_number_of_members_is_not_the_users(name: str) -> None:
    with pytest.raises(ValueError, match=f"agent_settings.{name} follows from the warm start: leave it out"):
        check_settings(PSROConfig(**_WARM, agent_settings={name: 2}))


def test_warm_starts_have_settings_of_their_own_which_the_user_may_replace() -> None:
    own = defaults.WARM_START["conditional_mpo"]
    assert own.items() <= _complete(**_WARM).agent_settings.items()
    assert not own.items() <= _complete(**_MPO).agent_settings.items()
    chosen = _complete(**_WARM, agent_settings={"epsilon_policy": 0.02}).agent_settings
    assert chosen == {**_complete(**_WARM).agent_settings, "epsilon_policy": 0.02}


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["psro", "xdo"])
def test_a_resumed_run_has_the_same_figures_as_one_in_one_go(tmp_path: pathlib.Path, loop: str) -> None:
    device = {**_TINY, "games_per_response": 200 if loop == "xdo" else 0}
    settings = {**_SMALL, **defaults.WARM_START["conditional_mpo"]}
    given: dict[str, Any] = {**_WARM, "loop": loop, "device": device, "agent_settings": settings}
    quiet: dict[str, Any] = {"show_progress": False}
    acme_psro.run(**given, iterations=3, output_dir=tmp_path / "whole", **quiet)
    acme_psro.run(**given, iterations=2, output_dir=tmp_path / "parts", **quiet)
    acme_psro.run(**given, iterations=3, output_dir=tmp_path / "parts", resume=True, **quiet)
    # As text, because NaN does not equal itself.
    assert repr(untimed(tmp_path / "parts")) == repr(untimed(tmp_path / "whole"))
    with pytest.raises(ValueError, match=r"another configuration .*warm_start is population, not none"):
        acme_psro.run(**{**given, "warm_start": "none"}, output_dir=tmp_path / "parts", resume=True, **quiet)
