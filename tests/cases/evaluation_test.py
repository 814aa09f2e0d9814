"""Public complaints about exact evaluation as inputs, with the right answers: gains, mixtures, policies.

Each test names the numbers of its cases in the collection of complaints.
"""

import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyspiel
import pytest
from open_spiel.python.algorithms import exploitability

import acme_psro
from acme_psro.commands import run_psro
from acme_psro.evaluation.exact import evaluate_mixture
from acme_psro.games import traverse
from acme_psro.games.compile import compile_game
from acme_psro.games.loading import load_game
from acme_psro.games.tree import TERMINAL, GameTree
from acme_psro.policies import decoders
from acme_psro.policies.meta_strategy import ProductStrategy
from acme_psro.policies.stored import StoredPolicyError
from acme_psro.policies.tabular import make_policy, mixture_table, uniform_policy
from acme_psro.system.tables import read_csv
from tests.acme_psro.commands.launching import Launch, contents, make_launch

Compile = Callable[[str], GameTree]
GOOFSPIEL = "goofspiel(imp_info=True,num_cards=4,points_order=descending"


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs exact PSRO with these arguments in this process."""
    run = make_launch(run_psro.main, capsys)
    return lambda *arguments: run("--oracle=exact", *arguments)


def first_action(tree: GameTree) -> np.ndarray:
    """Returns the table of the policy that takes the first legal action."""
    return np.eye(tree.num_actions)[tree.legal_actions.argmax(axis=1)]


@pytest.mark.parametrize(
    ("game", "nash_conv"),
    [
        ("kuhn_poker", 0.916667),
        ("leduc_poker", 4.747222),
        ("kuhn_poker(players=3)", 2.0625),
        ("liars_dice(numdice=1,dice_sides=4)", 1.310119),
        (f"{GOOFSPIEL},returns_type=win_loss)", 1.416667),
        (f"{GOOFSPIEL},returns_type=point_difference)", 2.5),
        # Perfect information, and information states of players who see each other's failed moves.
        ("dark_hex(board_size=2)", 1.25),
        ("dark_hex(board_size=2,gameversion=adh)", 0.833333),
        pytest.param("tic_tac_toe", 1.919659, marks=pytest.mark.slow),
    ],
)
def test_cases_5_6_and_9_nash_conv_of_uniform_play(game: str, nash_conv: float, compiled: Compile) -> None:
    tree = compiled(game)
    assert traverse.nash_conv(tree, tree.uniform_policy()) == pytest.approx(nash_conv, abs=5e-7)


@pytest.mark.games("kuhn", "leduc")
def test_cases_9_10_and_12_different_policies_have_different_figures_and_openspiels(case: Any) -> None:
    tree = case.tree
    tables = {"uniform": tree.uniform_policy(), "first": first_action(tree)}
    known = {"kuhn": {"uniform": 0.916667, "first": 2.0, "bet": 0.666667}, "leduc": {"uniform": 4.747222}}
    known["leduc"]["first"] = 2.0
    if case.string == "kuhn_poker":
        tables["bet"] = np.tile([0.0, 1.0], (tree.num_infosets, 1))
    for name, table in tables.items():
        found = traverse.nash_conv(tree, table)
        assert found == pytest.approx(known[case.string.removesuffix("_poker")][name], abs=5e-7)
        lookup = {
            key: [(int(action), float(row[action])) for action in np.flatnonzero(legal)]
            for key, row, legal in zip(tree.keys, table, tree.legal_actions, strict=True)
        }
        expected = pyspiel.exploitability(case.game, pyspiel.TabularPolicy(lookup))
        assert found / 2 == pytest.approx(expected, abs=1e-9)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize("alpha", [0.0, 0.1, 1 / 3])
def test_cases_2_and_11_nobody_gains_in_kuhns_equilibria(case: Any, alpha: float) -> None:
    bet = {
        "0": alpha, "1": 0.0, "2": 3 * alpha, "0pb": 0.0, "1pb": alpha + 1 / 3, "2pb": 1.0,
        "0p": 1 / 3, "1p": 0.0, "2p": 1.0, "0b": 0.0, "1b": 1 / 3, "2b": 1.0,
    }  # fmt: skip
    tree = case.tree
    table = np.array([[1 - bet[key], bet[key]] for key in tree.keys])
    alone = [(make_policy(tree, player, table[tree.infosets_of(player)]),) for player in range(2)]
    result = evaluate_mixture(tree, alone, ProductStrategy((np.ones(1),) * 2))
    assert (result.per_player_gain >= 0).all()
    assert result.nash_conv == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(result.expected_returns, [-1 / 18, 1 / 18], atol=1e-15)


def test_case_11_uniform_play_comes_to_an_end_with_certainty(case: Any) -> None:
    tree, uniform = case.tree, case.tree.uniform_policy()
    reach = np.zeros(tree.num_nodes)
    reach[0] = 1.0
    for node in np.flatnonzero(tree.num_children):
        children = slice(tree.first_child[node], tree.first_child[node] + tree.num_children[node])
        reach[children] = reach[node] * tree.probability[children]
        if tree.infoset[node] >= 0:
            row = uniform[tree.infoset[node]]
            reach[children] *= row[tree.action_of_slot[tree.infoset[node]][tree.slot[children]]]
    assert reach[tree.player == TERMINAL].sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.games("kuhn")
def test_case_7_populations_of_two_and_one(case: Any) -> None:
    tree = case.tree
    first = make_policy(tree, 0, first_action(tree)[tree.infosets_of(0)])
    populations = [(uniform_policy(tree, 0), first), (uniform_policy(tree, 1),)]
    weights = ProductStrategy((np.array([1.0, 0.0]), np.ones(1)))
    np.testing.assert_array_equal(mixture_table(tree, populations, weights), tree.uniform_policy())
    swapped = ProductStrategy((np.array([0.0, 1.0]), np.ones(1)))
    found = mixture_table(tree, populations, swapped)
    reached = [tree.keys.index(key) for key in ("0", "1", "2")]
    np.testing.assert_array_equal(found[reached], [[1.0, 0.0]] * 3)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda table: table * 0.6, r"row 0 .*, is \[0\.3, 0\.3\]: give probabilities .* add up to 1"),
        (lambda table: np.where(np.arange(12)[:, None] == 3, np.nan, table), "row 3 .* nan"),
        (lambda table: table[:-1], r"shape \(11, 2\), not \(12, 2\)"),
        (lambda table: table + np.array([1.0, -1.0]), "row 0 .* add up to 1"),
    ],
)
def test_case_13_tables_that_are_no_policies_are_refused(case: Any, spoil: Any, says: str) -> None:
    table = spoil(case.tree.uniform_policy())
    with pytest.raises(ValueError, match=says) as caught:
        traverse.nash_conv(case.tree, table)
    assert "\n" not in str(caught.value)
    own = table[: len(table) // 2]
    with pytest.raises(ValueError, match="player 0's policy"):
        make_policy(case.tree, 0, own)


@pytest.mark.games("kuhn")
def test_case_4_a_stored_table_without_some_states_is_refused_with_one_of_them(case: Any) -> None:
    written = decoders.from_tree_policy(case.tree, 0, uniform_policy(case.tree, 0))
    keep = 3
    arrays = {
        "keys": written.arrays["keys"][: written.arrays["offsets"][keep]],
        "offsets": written.arrays["offsets"][: keep + 1],
        "table": written.arrays["table"][:keep],
    }
    partial = written._replace(arrays=arrays)
    missing = case.tree.keys[case.tree.infosets_of(0)][keep:]
    with pytest.raises(StoredPolicyError, match=f"lacks 3 information states .* such as '{missing[0]}'"):
        decoders.table_on_tree(case.tree, partial)
    state = case.state_of(int(np.flatnonzero(case.tree.infoset == case.tree.keys.index(missing[0]))[0]))
    with pytest.raises(StoredPolicyError, match=f"does not have the information state '{missing[0]}'"):
        decoders.decode_table(partial)([state], 0)


def test_case_14_the_report_of_three_players_says_what_exploitability_is(
    tmp_path: pathlib.Path, launch: Any
) -> None:
    flags = ("--game=kuhn_poker(players=3)", "--meta_solver=prd", "--iterations=1")
    assert launch(*flags, f"--output_dir={tmp_path}").code == 0
    assert "exploitability is NashConv / 3" in (tmp_path / "report.html").read_text()
    for row in read_csv(tmp_path / "metrics.csv"):
        assert row["exploitability"] == row["nash_conv"] / 3


def test_cases_10_42_and_47_runs_keep_their_policies_and_load_the_same_one_twice(
    tmp_path: pathlib.Path, launch: Any
) -> None:
    flags = ("--game=leduc_poker", f"--output_dir={tmp_path}")
    assert launch(*flags, "--iterations=2").code == 0
    before = {path: hashlib.sha256(data).digest() for path, data in _policy_files(tmp_path).items()}
    assert len(before) == 6
    assert launch(*flags, "--iterations=4", "--resume").code == 0
    after = {path: hashlib.sha256(data).digest() for path, data in _policy_files(tmp_path).items()}
    assert len(after) == 10 and before.items() <= after.items()

    files = contents(tmp_path)
    one, two = (acme_psro.load_policy(tmp_path) for _ in range(2))
    assert contents(tmp_path) == files
    tree = compile_game("leduc_poker")
    for node in np.flatnonzero(tree.player >= 0)[::97]:
        slots = []
        while node:
            slots.append(int(tree.slot[node]))
            node = tree.parent[node]
        state = load_game("leduc_poker").new_initial_state()
        for slot in reversed(slots):
            state.apply_action(state.legal_actions()[slot])
        assert one.action_probabilities(state) == two.action_probabilities(state)
    figure = read_csv(tmp_path / "metrics.csv")[-1]["exploitability"]
    assert exploitability.exploitability(one.game, one) == pytest.approx(figure, abs=1e-9)


def _policy_files(run: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of all policies of a run."""
    return contents(run / "checkpoints" / "policies")
