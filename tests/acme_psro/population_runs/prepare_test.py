"""Tests that payoffs are chosen as configured, and that a resumed run keeps its choice."""

import json
import pathlib
from typing import Any

import pytest

from acme_psro.agent_runs import installed
from acme_psro.population_runs import exact, prepare
from acme_psro.population_runs.config import PSROConfig
from acme_psro.population_runs.exact import ExactRun
from acme_psro.population_runs.prepare import prepare_run, prepare_seeds, settle_payoffs
from acme_psro.population_runs.sampled import SampledRun
from acme_psro.population_runs.sampled_members import SampledMembersRun


@pytest.fixture(autouse=True)
def _packages_of_programs_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs be prepared where programs cannot be started, as no test of this file starts one."""
    monkeypatch.setattr(installed, "check_acme_layer", lambda user: None)


def config(payoffs: str = "auto", oracle: str = "launchpad", **more: Any) -> PSROConfig:
    return PSROConfig("kuhn_poker", oracle=oracle, payoffs=payoffs, **more)


def prepared(given: PSROConfig, directory: pathlib.Path) -> tuple[Any, list[str]]:
    warnings: list[str] = []
    return prepare_run(given, directory, 0.0, warnings.append, print), warnings


def test_a_game_that_compiles_has_exact_payoffs(tmp_path: pathlib.Path) -> None:
    for payoffs in ("auto", "exact"):
        kind, warnings = prepared(config(payoffs), tmp_path)
        assert isinstance(kind, ExactRun) and warnings == []
        assert kind.config.payoffs == "exact"


def test_a_larger_game_is_played_where_programs_learn(tmp_path: pathlib.Path) -> None:
    kind, warnings = prepared(config(max_nodes=10), tmp_path)
    assert isinstance(kind, SampledRun) and kind.config.payoffs == "sampled"
    (line,) = warnings
    assert line.startswith("kuhn_poker() has more than 10 nodes (")
    assert line.endswith(" counted): payoffs are simulated (--payoffs=sampled does so at once).")
    for given in (
        config("exact", max_nodes=10),
        settle_payoffs(config(oracle="exact", max_nodes=10), tmp_path),
    ):
        with pytest.raises(ValueError, match="more than 10 nodes"):
            prepared(given, tmp_path)


def test_members_in_a_larger_game_have_the_payoffs_that_their_program_estimates(
    tmp_path: pathlib.Path,
) -> None:
    members = {"loop": "neupl", "agent": "conditional_mpo"}
    kind, (line,) = prepared(config(max_nodes=10, **members), tmp_path)
    assert isinstance(kind, SampledMembersRun) and kind.config.payoffs == "sampled"
    assert line.endswith(": payoffs are estimated by the program (--payoffs=sampled does so at once).")
    kind, warnings = prepared(config("sampled", **members), tmp_path)
    assert isinstance(kind, SampledMembersRun) and warnings == []
    assert isinstance(prepared(config(**members), tmp_path)[0], ExactRun)
    for given in (
        config("exact", max_nodes=10, **members),
        settle_payoffs(config(oracle="device", max_nodes=10, **members), tmp_path),
    ):
        with pytest.raises(ValueError, match="more than 10 nodes"):
            prepared(given, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sampled_payoffs_compile_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "compile_game", lambda *given, **more: pytest.fail("compiled"))
    kind, warnings = prepared(config("sampled"), tmp_path)
    assert isinstance(kind, SampledRun) and warnings == []


@pytest.mark.parametrize(
    ("written", "payoffs"),
    [({"payoffs": "sampled"}, "sampled"), ({"payoffs": "exact"}, "exact"), ({}, "exact"), (None, "auto")],
)
def test_what_is_left_open_is_as_the_run_in_the_directory_has_it(
    tmp_path: pathlib.Path, written: dict[str, str] | None, payoffs: str
) -> None:
    if written is not None:
        (tmp_path / "config.json").write_text(json.dumps(written))
    assert settle_payoffs(config(), tmp_path).payoffs == payoffs
    assert settle_payoffs(config("sampled"), tmp_path).payoffs == "sampled"
    assert settle_payoffs(config(oracle="device"), tmp_path).payoffs == "exact"


def test_settings_of_programs_are_checked_before_a_game_is_compiled(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "compile_game", lambda *given, **more: pytest.fail("compiled"))
    with pytest.raises(ValueError, match="actor_steps must be at least 1"):
        prepared(config(launchpad={"actor_steps": 0}), tmp_path)
    with pytest.raises(ValueError, match="--payoff_episodes must be at least 2"):
        prepared(config(simulation={"payoff_episodes": 0}), tmp_path)


@pytest.mark.parametrize("payoffs", ["auto", "exact", "sampled"])
def test_programs_without_their_packages_are_refused_first(
    payoffs: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(user: str) -> None:
        raise ValueError(f"{user} needs acme")

    monkeypatch.setattr(installed, "check_acme_layer", refuse)
    monkeypatch.setattr(prepare, "compile_game", lambda *given, **more: pytest.fail("compiled"))
    with pytest.raises(ValueError, match=r"^--oracle=launchpad needs acme$"):
        prepared(config(payoffs), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_seeds_share_a_game_that_is_compiled_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    compile_game, shared = prepare.compile_game, "networks cannot tell states apart."

    def counting(game: str, *arguments: Any, **options: Any) -> Any:
        compiled.append(game)
        return compile_game(game, *arguments, **options)

    monkeypatch.setattr(prepare, "compile_game", counting)
    monkeypatch.setattr(exact, "describe_shared", lambda tree: shared)
    directories = {seed: tmp_path / f"seed_{seed}" for seed in (5, 6, 7)}
    warnings: list[str] = []
    given = config("exact", oracle="device", seed=5)
    runs = prepare_seeds(given, directories, 0.0, warnings.append, print)
    assert [run.config.seed for run in runs] == [5, 6, 7]
    assert compiled == ["kuhn_poker"]
    # What all runs have to say is said once.
    assert warnings == [shared]
    assert not list(tmp_path.iterdir())


def test_settings_of_seeds_are_checked(tmp_path: pathlib.Path) -> None:
    given = config("exact", oracle="device", device={"gradient_step": 5})
    with pytest.raises(ValueError, match="gradient_step"):
        prepare_seeds(given, {0: tmp_path}, 0.0, pytest.fail, print)
