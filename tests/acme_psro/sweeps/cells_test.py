"""Tests of acme_psro.sweeps.cells and kinds."""

import pathlib
import re

import pytest

from acme_psro.sweeps.cells import make_cells, varied_keys
from acme_psro.sweeps.reading import SweepFileError
from tests.acme_psro.sweeps.files import SOLVERS, read


def test_cells_are_all_combinations_with_complete_configurations(tmp_path: pathlib.Path) -> None:
    text = SOLVERS.replace("  seeds", "  tolerance: [0, 0.1]\n  seeds")
    cells = make_cells(read(tmp_path, text))
    assert [cell.name for cell in cells] == [
        "nash-tolerance_0_0",
        "nash-tolerance_0_1",
        "uniform-tolerance_0_0",
        "uniform-tolerance_0_1",
        "prd-tolerance_0_0",
        "prd-tolerance_0_1",
    ]
    assert cells[3].varied == {"meta_solver": "uniform", "tolerance": 0.1}
    assert cells[3].config["meta_solver"] == "uniform" and cells[3].config["loop"] == "psro"
    assert "seed" not in cells[3].config
    assert {cell.total for cell in cells} == {3}
    assert varied_keys(cells) == ["meta_solver", "tolerance"] and varied_keys(cells[:2]) == ["tolerance"]
    assert cells[3].describe(["tolerance", "meta_solver"]) == "tolerance 0.1, uniform"


def test_a_grid_of_seeds_alone_is_one_cell(tmp_path: pathlib.Path) -> None:
    text = "base:\n  game: kuhn_poker\n  oracle: exact\ngrid:\n  seeds: [3, 4]\n"
    (cell,) = make_cells(read(tmp_path, text))
    assert (cell.name, dict(cell.varied), cell.total) == ("all", {}, 20)


def test_names_of_directories_are_plain_and_differ(tmp_path: pathlib.Path) -> None:
    text = SOLVERS.replace("  game: kuhn_poker\n", "").replace("[nash, uniform, prd]", "[prd]")
    text = text.replace("grid:", "grid:\n  game: [kuhn_poker(players=2), 'kuhn_poker(players=2,)']")
    names = [cell.name for cell in make_cells(read(tmp_path, text))]
    assert names == ["kuhn_poker_players_2_-prd", "kuhn_poker_players_2_-prd_2"]


EXACT = "base:\n  game: kuhn_poker\n  oracle: exact\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            EXACT + "grid:\n  meta_solver: [nash, nahs]",
            5,
            "meta_solver: .*nahs.*in the cell meta_solver=nahs",
        ),
        (EXACT + "grid:\n  loop: [psro, xdo]\n  meta_solver: [nash]", 6, "meta_solver: .*needs --loop=psro"),
        (EXACT + "grid:\n  iterations: [0]", 5, "iterations: --iterations must be at least 1, not 0."),
        (EXACT + "  agent: crossq\ngrid:\n  seeds: [0]", 4, "agent: agent needs --oracle=device"),
        (
            EXACT + "  device.num_envs: 2\ngrid:\n  seeds: [0]",
            4,
            "device.num_envs: device needs --oracle=device",
        ),
        ("base:\n  oracle: exact\ngrid:\n  seeds: [0]", 3, "grid: game is missing"),
        ("base:\n  oracle: exact\ngrid:\n  game: [kuhn_pokr]", 4, "game: .*kuhn_pokr"),
        (EXACT.replace("kuhn_poker", "catch") + "grid:\n  meta_solver: [nash]", 5, "meta_solver: .*1-player"),
        (EXACT + "grid:\n  loop: [psro]\n  preset: [frugal]", 6, "preset: preset needs --oracle=device"),
        (
            "base:\n  game: kuhn_poker\ngrid:\n  device.gradient_steps: [10, many]",
            4,
            "device.gradient_steps: .* must be a whole number, such as .*, not 'many'",
        ),
        (
            "base:\n  game: kuhn_poker\ngrid:\n  device.gradient_stps: [10]",
            4,
            "did you mean device.gradient_steps",
        ),
        ("base:\n  game: kuhn_poker\ngrid:\n  learning_rate: [0.1]", 4, "GROUP.NAME with one of the groups"),
        (
            EXACT + "grid:\n  meta_solver: [nash]\n  loop: [psro, neupl]\n  neupl.graph: [cycle]",
            7,
            "neupl.graph: ",
        ),
        (
            EXACT + f"grid:\n  iterations: {list(range(1, 101))}\n  seeds: {list(range(300))}",
            4,
            "grid: it has 30,000 runs, more than 20,000.",
        ),
    ],
)
def test_a_cell_that_is_refused_is_one_line_with_its_line_and_key(
    text: str, line: int, said: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(SweepFileError) as caught:
        make_cells(read(tmp_path, text))
    message = str(caught.value)
    assert f"solvers.yaml, line {line}: " in message and "\n" not in message, message
    assert re.search(said, message), message


def test_two_cells_of_the_same_run_are_refused(tmp_path: pathlib.Path) -> None:
    text = EXACT + "grid:\n  payoffs: [auto]\n  iterations: [3]\n  tolerance: [1.0e-7, 0.0000001]"
    with pytest.raises(SweepFileError, match=r"tolerance: 1e-07 is in the list twice"):
        make_cells(read(tmp_path, text))
    text = "base:\n  game: kuhn_poker\n  device: {gradient_steps: 300}\ngrid:\n  preset: [default, fast]\n"
    with pytest.raises(SweepFileError, match="line 5: preset: "):
        make_cells(read(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("command: neupl\n" + EXACT + "grid:\n  neupl.graph: [psro_nash, cycle]\n", 100),
        ("command: self-play\nbase: {game: kuhn_poker, steps: 5000}\ngrid:\n  algorithm: [mmd, ppo]\n", 5000),
        (
            "command: self-play\nbase: {game: matrix_mp, algorithm: tabular_mmd}\n"
            "grid:\n  evaluate_every: [5, 10]\n",
            500,
        ),
    ],
)
def test_other_commands_have_cells(text: str, total: int, tmp_path: pathlib.Path) -> None:
    file = read(tmp_path, text)
    cells = make_cells(file)
    assert [cell.total for cell in cells] == [total, total]
    assert all("seed" not in cell.config for cell in cells)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("command: neupl\n" + EXACT + "grid:\n  loop: [psro]\n", "loop: there is no such key"),
        (
            "command: self-play\nbase: {game: kuhn_poker}\ngrid:\n  algorithm: [md]\n",
            "line 4: algorithm: .*mmd",
        ),
        ("command: self-play\nbase: {game: no}\ngrid:\n  algorithm: [mmd]\n", "line 2: game: .*no"),
        ("command: self-play\nbase: {game: kuhn_poker}\ngrid:\n  steps: [0]\n", "line 4: steps: "),
        ("command: self-play\nbase: {game: kuhn_poker}\ngrid:\n  oracle: [exact]\n", "oracle: there is no"),
    ],
)
def test_other_commands_refuse_what_they_do_not_take(text: str, said: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SweepFileError, match=said):
        make_cells(read(tmp_path, text))
