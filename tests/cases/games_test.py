"""Public complaints about games as inputs, with the right answers: sizes, information states, odd parameters.

Each test names the numbers of its cases in the collection of complaints.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

from acme_psro.commands import run_psro
from acme_psro.games import batch_policies, batched, traverse
from acme_psro.games.loading import load_game
from acme_psro.games.tree import GameTree
from tests.acme_psro.commands.launching import Launch, make_launch

Compile = Callable[[str], GameTree]
GOOFSPIEL = "goofspiel(imp_info=True,num_cards=4,points_order=descending"


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Launch:
    """Runs exact PSRO with these arguments in this process."""
    run = make_launch(run_psro.main, capsys)
    return lambda *arguments: run("--oracle=exact", *arguments)


@pytest.mark.parametrize(
    ("game", "infosets", "observations"),
    [
        ("kuhn_poker", 12, 12),
        ("kuhn_poker(players=3)", 48, 48),
        ("leduc_poker", 936, 936),
        ("liars_dice(numdice=1,dice_sides=4)", 1024, 1024),
        (f"{GOOFSPIEL})", 162, 162),
        ("dark_hex(board_size=2,gameversion=adh)", 94, 94),
        # OpenSpiel's strings tell how often the opponent has tried, its tensors do not.
        ("dark_hex(board_size=2)", 134, 70),
        ("oshi_zumo(coins=3,size=1,horizon=3)", 180, 42),
    ],
)
def test_case_1_and_18_sees_what_networks_cannot_tell_apart(
    compiled: Compile, game: str, infosets: int, observations: int
) -> None:
    tree = compiled(game)
    assert (tree.num_infosets, tree.num_observations) == (infosets, observations)


def test_case_1_tensors_hide_the_opponents_tries() -> None:
    for game, one, other in (
        ("dark_hex(board_size=3)", (4, 4, 0), (4, 0)),
        ("phantom_ttt", (0, 0, 1), (0, 1)),
    ):
        seen = []
        for moves in (one, other):
            state = load_game(game).new_initial_state()
            for move in moves:
                state.apply_action(move)
            seen.append(state.information_state_tensor(0))
        assert seen[0] == seen[1]


def game_value(tree: GameTree) -> float:
    """Returns the value to player 0 of a two-player zero-sum game, by the linear program of its sequences."""
    num, actions = tree.empty_sequence + 1, tree.num_actions
    chains = []
    for player in range(2):
        rows = np.arange(tree.num_infosets)[tree.infosets_of(player)]
        # The plan of an information state's actions adds up to that of the sequence before it.
        chain = scipy.sparse.lil_array((len(rows) + 1, num))
        chain[len(rows), tree.empty_sequence] = 1
        for index, row in enumerate(rows):
            chain[index, row * actions + np.flatnonzero(tree.legal_actions[row])] = 1
            chain[index, tree.parent_sequence[row]] = -1
        chains.append(chain.tocsr())
    payoffs = scipy.sparse.coo_array(
        (tree.terminal_returns[0], tuple(tree.terminal_sequences)), shape=(num, num)
    ).tocsr()
    own, other = chains
    # Maximises the opponent's last multiplier, over own plans and multipliers.
    result = scipy.optimize.linprog(
        np.concatenate([np.zeros(num), np.zeros(other.shape[0] - 1), [-1.0]]),
        A_ub=scipy.sparse.hstack([-payoffs.T, other.T]),
        b_ub=np.zeros(num),
        A_eq=scipy.sparse.hstack([own, scipy.sparse.csr_array((own.shape[0], other.shape[0]))]),
        b_eq=np.eye(own.shape[0])[-1],
        bounds=[(0, None)] * num + [(None, None)] * other.shape[0],
    )
    assert result.status == 0
    return -float(result.fun)


def test_case_25_suit_isomorphism_keeps_the_value(compiled: Compile) -> None:
    isomorphic, whole = compiled("leduc_poker(suit_isomorphism=true)"), compiled("leduc_poker")
    assert (isomorphic.num_nodes, isomorphic.num_infosets) == (1939, 288)
    assert game_value(isomorphic) == pytest.approx(-0.085606424078, abs=1e-9)
    assert game_value(whole) == pytest.approx(-0.085606424078, abs=1e-9)
    uniform = [traverse.nash_conv(tree, tree.uniform_policy()) for tree in (isomorphic, whole)]
    assert uniform == pytest.approx([4.747222222222222] * 2, abs=1e-12)


def test_case_17_a_game_of_maximal_length_is_played_to_its_end() -> None:
    moves = (0, 2, 1, 3, 4, 6, 5, 7, 7, 5, 6, 4, 3, 1, 2, 0, 8)
    game = "dark_hex(board_size=3,gameversion=adh,obstype=reveal-numturns)"

    def follow(states: Any, player: int) -> np.ndarray:
        return np.stack([np.eye(9)[moves[len(state.history())]] for state in states])

    games = batched.GameBatch(game, 0, 2, batch_policies.fixed([None, follow]))
    games.reset()
    assert len(moves) == games.game.max_game_length()
    for _ in range(len(moves)):
        steps = games.step(np.array([moves[len(state.history())] for state in games.states]))
        if steps.last.all():
            break
    assert steps.reward.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("game", "shape"),
    [
        ("markov_soccer", 124),
        ("oshi_zumo", 115),
        ("coop_box_pushing", 9),
        ("spades", 578),
        # A tensor of shape [1, 108].
        ("phantom_ttt(gameversion=abrupt)", 108),
    ],
)
def test_case_18_and_23_observations_are_flat_and_fall_back_quietly(
    game: str, shape: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert batched.GameBatch(game, 0, 2).reset().info_state.shape == (2, shape)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--game=spades", "--meta_solver=regret_matching"), "more than 5,000,000 nodes"),
        (("--game=2048", "--meta_solver=nash"), "1-player"),
        (("--game=cliff_walking", "--meta_solver=nash"), "1-player"),
        (("--game=pathfinding", "--meta_solver=nash"), "1-player"),
        (("--game=pathfinding", "--meta_solver=uniform"), "more than 5,000,000 nodes"),
        ((f"--game={GOOFSPIEL},returns_type=total_points)", "--meta_solver=nash"), "general-sum"),
        (("--game=nonsense_game",), "unknown game 'nonsense_game'"),
        (("--game=leduc_poker(players=3",), "Missing closing bracket"),
        (("--game=kuhn_poker(players=11)",), "2 to 10 are allowed"),
        (("--game=mfg_crowd_modelling",), "mean-field"),
        (("--game=negotiation",), "explicit chance"),
        (("--game=python_iterated_prisoners_dilemma",), "neither information states nor observations"),
    ],
)
def test_cases_19_20_21_and_26_are_refused_in_one_line_before_any_work(
    flags: tuple[str, ...], says: str, tmp_path: pathlib.Path, launch: Any
) -> None:
    ended = launch(*flags, f"--output_dir={tmp_path / 'run'}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ") and says in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_case_20_errors_of_games_with_maps_in_their_names_are_one_line(refusal: Any) -> None:
    assert "pathfinding" in refusal("pathfinding")


def test_case_21_the_range_of_differences_of_points(compiled: Compile) -> None:
    game = f"{GOOFSPIEL},returns_type=point_difference)"
    tree, loaded = compiled(game), load_game(game)
    assert tree.zero_sum
    assert (loaded.min_utility(), loaded.max_utility()) == (-5, 5)
    assert tree.utility_scale <= 5


def test_case_22_the_point_card_of_the_second_turn(compiled: Compile) -> None:
    game = "goofspiel(imp_info=True,num_cards=4,points_order=random)"
    state = load_game(game).new_initial_state()
    for action in (2, 0, 1, 0):
        state.apply_action(action)
    assert "Current point card: 1" in state.observation_string(0)
    tree = compiled(game)
    row = tree.keys.index(state.information_state_string(0))
    np.testing.assert_array_equal(tree.info_state[row], np.float32(state.information_state_tensor(0)))
    assert "Point card sequence: 3 1" in tree.keys[row]
