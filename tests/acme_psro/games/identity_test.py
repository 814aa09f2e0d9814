"""A game is what it is, not what it is called: names that load again, edited files and Python games."""

import pathlib
from typing import Any

import pyspiel
import pytest
from open_spiel.python.games import kuhn_poker

from acme_psro.games.compile import compile_game
from acme_psro.games.identity import content_digest, is_fixed, name_game
from acme_psro.games.loading import load_game

PRISONERS = 'NFG 1 R "PD" { "a" "b" } { 2 2 }\n\n3 3 5 0 0 5 1 1\n'
SCISSORS = 'NFG 1 R "rps" { "a" "b" } { 3 3 }\n\n0 0 1 -1 -1 1 -1 1 0 0 1 -1 1 -1 -1 1 0 0\n'
CHICKEN = 'NFG 1 R "chicken" { "a" "b" } { 2 2 }\n\n0 0 2 7 7 2 6 6\n'


@pytest.fixture(autouse=True)
def _cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PSRO_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (("kuhn_poker", "kuhn_poker()", " kuhn_poker "), "kuhn_poker()"),
        (("leduc_poker(suit_isomorphism=true)",), "leduc_poker(suit_isomorphism=True)"),
        (("python_kuhn_poker",), "python_kuhn_poker()"),
        # OpenSpiel's own spelling of these loses the inner game, or does not load.
        (
            ("normal_form_extensive_game(game=kuhn_poker())",),
            "normal_form_extensive_game(game=kuhn_poker())",
        ),
        (
            ("restricted_nash_response(game=kuhn_poker())",),
            "restricted_nash_response(game=kuhn_poker())",
        ),
    ],
)
def test_name_is_openspiels_spelling_unless_that_loses_something(
    spellings: tuple[str, ...], name: str
) -> None:
    assert {name_game(spelling) for spelling in spellings} == {name}
    assert name_game(name) == name


def test_every_name_loads_the_same_game(case: Any) -> None:
    name = name_game(case.string)
    assert compile_game(name).digest == case.tree.digest
    assert name_game(name) == name


def test_normal_form_games_of_different_files_are_different_games(tmp_path: pathlib.Path) -> None:
    sizes = {}
    for label, content in (("pd", PRISONERS), ("rps", SCISSORS), ("chicken", CHICKEN)):
        (tmp_path / f"{label}.nfg").write_text(content)
        tree = compile_game(f"nfg_game(filename={tmp_path / label}.nfg)")
        sizes[label] = (tree.num_nodes, tree.utility_scale)
    assert sizes == {"pd": (7, 5.0), "rps": (13, 1.0), "chicken": (7, 7.0)}


def test_normal_forms_of_different_games_are_different_games() -> None:
    assert compile_game("normal_form_extensive_game(game=matrix_pd())").num_nodes == 7
    assert compile_game("normal_form_extensive_game(game=kuhn_poker())").num_nodes == 4161


def test_a_game_from_a_file_is_loaded_from_anywhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pd.nfg").write_text(PRISONERS)
    monkeypatch.chdir(tmp_path)
    tree = compile_game("nfg_game(filename=pd.nfg)")
    monkeypatch.chdir("/")
    assert load_game(tree.game_string).num_players() == 2
    assert compile_game(tree.game_string).digest == tree.digest


def test_content_follows_files_and_names_of_openspiels_games_need_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "game.nfg"
    digests = []
    for content in (PRISONERS, CHICKEN, PRISONERS):
        path.write_text(content)
        digests.append(content_digest(f"nfg_game(filename={path})"))
    assert digests[0] == digests[2] != digests[1]
    assert not is_fixed(f"nfg_game(filename={path})")
    for game in ("kuhn_poker", "python_kuhn_poker", "normal_form_extensive_game(game=kuhn_poker())"):
        assert is_fixed(game) and content_digest(game) is None


class OwnState(kuhn_poker.KuhnPokerState):
    """A state of Kuhn poker whose returns are multiplied by a number that an edit changes."""

    stakes = 1.0

    def returns(self) -> list[float]:
        return [self.stakes * value for value in super().returns()]


class OwnGame(kuhn_poker.KuhnPokerGame):
    """A game as a user may write it: it inherits OpenSpiel's spelling of another one."""

    def new_initial_state(self) -> OwnState:
        return OwnState(self)


pyspiel.register_game(
    pyspiel.GameType(
        short_name="python_own_kuhn",
        long_name="A user's Kuhn poker",
        dynamics=pyspiel.GameType.Dynamics.SEQUENTIAL,
        chance_mode=pyspiel.GameType.ChanceMode.EXPLICIT_STOCHASTIC,
        information=pyspiel.GameType.Information.IMPERFECT_INFORMATION,
        utility=pyspiel.GameType.Utility.ZERO_SUM,
        reward_model=pyspiel.GameType.RewardModel.TERMINAL,
        max_num_players=2,
        min_num_players=2,
        provides_information_state_string=True,
        provides_information_state_tensor=True,
        provides_observation_string=True,
        provides_observation_tensor=True,
    ),
    OwnGame,
)


def test_an_edited_python_game_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_fixed("python_own_kuhn")
    assert content_digest("python_own_kuhn") is not None
    assert compile_game("python_own_kuhn").utility_scale == 2.0
    monkeypatch.setattr(OwnState, "stakes", 3.0)
    assert compile_game("python_own_kuhn").utility_scale == 6.0


def test_a_relative_name_is_of_the_directory_in_which_it_is_given(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, content in (("one", PRISONERS), ("two", SCISSORS)):
        (tmp_path / label).mkdir()
        (tmp_path / label / "game.nfg").write_text(content)
        monkeypatch.chdir(tmp_path / label)
        assert name_game("nfg_game(filename=game.nfg)") == f"nfg_game(filename={tmp_path / label}/game.nfg)"
