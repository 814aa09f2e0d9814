"""Tests of stored policies: what is written is read, what was altered is refused, tables play as they say."""

import pathlib
import pickle
from typing import Any, NoReturn

import numpy as np
import pytest

from acme_psro.games.identity import name_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import decoders, stored
from acme_psro.policies.stored import StoredPolicy, StoredPolicyError
from acme_psro.policies.tabular import make_policy, uniform_policy

ABOUT = {"kind": "table", "game": "kuhn_poker()", "player": 1}
ARRAYS = {
    "numbers": np.arange(6.0).reshape(2, 3),
    "['layer/~/w'].b": np.array(7, np.int32),
    "mask": np.array([True, False]),
    "nothing": np.zeros((0, 4), np.float32),
}


def assert_same(one: StoredPolicy, other: StoredPolicy) -> None:
    assert one.about == other.about
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert (array.dtype, array.shape) == (other.arrays[name].dtype, other.arrays[name].shape)
        assert array.tobytes() == other.arrays[name].tobytes()


def states_of(case: Any, player: int) -> dict[int, Any]:
    """A state at each information state of the player, by its number."""
    tree = case.tree
    nodes = np.flatnonzero(tree.player == player)
    return {int(tree.infoset[node]): case.state_of(node) for node in nodes}


def test_what_is_written_is_read(tmp_path: pathlib.Path) -> None:
    policy = StoredPolicy(ABOUT | {"settings": {"sizes": [3, 4], "rate": 0.1}}, ARRAYS)
    stored.write(tmp_path / "policy.npz", policy)
    assert_same(stored.read(tmp_path / "policy.npz"), policy)


def test_equal_policies_give_equal_files(tmp_path: pathlib.Path) -> None:
    stored.write(tmp_path / "one.npz", StoredPolicy(ABOUT, ARRAYS))
    backwards = dict(reversed(ARRAYS.items())), dict(reversed(ABOUT.items()))
    stored.write(tmp_path / "two.npz", StoredPolicy(backwards[1], backwards[0]))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_nothing_is_pickled(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise AssertionError("something was pickled")

    for name in ("load", "loads", "Unpickler", "dump", "dumps"):
        monkeypatch.setattr(pickle, name, refuse)
    stored.write(tmp_path / "policy.npz", StoredPolicy(ABOUT, ARRAYS))
    assert_same(stored.read(tmp_path / "policy.npz"), StoredPolicy(ABOUT, ARRAYS))


def test_a_pickle_in_a_file_is_refused_and_not_run(tmp_path: pathlib.Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (pathlib.Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "policy.npz", about=np.array([Trap()], object))
    with pytest.raises(StoredPolicyError, match=r"^.* is no stored policy, or was truncated or altered: .*$"):
        stored.read(tmp_path / "policy.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "policy.npz"
    stored.write(path, StoredPolicy(ABOUT, ARRAYS))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(StoredPolicyError, match=r"^[^\n]* truncated or altered: make it again\.$"):
            stored.read(path)


def test_an_altered_file_is_refused_or_means_the_same(tmp_path: pathlib.Path) -> None:
    """A few bytes of a zip file, as those of times, mean nothing to anybody."""
    path, policy = tmp_path / "policy.npz", StoredPolicy(ABOUT, ARRAYS)
    stored.write(path, policy)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 3):
        altered = bytearray(whole)
        altered[place] ^= 0x41
        path.write_bytes(altered)
        try:
            assert_same(stored.read(path), policy)
        except StoredPolicyError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > len(whole) / 6


def test_an_array_that_was_replaced_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "policy.npz"
    stored.write(path, StoredPolicy(ABOUT, ARRAYS))
    with np.load(path) as archive:
        members = dict(archive)
    members["arrays/numbers"] = members["arrays/numbers"] + 1e-9
    np.savez(path, **members)
    with pytest.raises(StoredPolicyError, match="truncated or altered"):
        stored.read(path)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (StoredPolicy({"kind": "table", "game": "g"}, {}), "must name its player, not None"),
        (StoredPolicy(ABOUT | {"kind": 3}, {}), "must name its kind, not 3"),
        (StoredPolicy(ABOUT | {"player": True}, {}), "must name its player, not True"),
        (StoredPolicy(ABOUT, {"x": np.array(["a"])}), "array x of a stored policy holds <U1"),
        (StoredPolicy(ABOUT, {"x": np.array([None])}), "array x of a stored policy holds object"),
    ],
)
def test_what_no_policy_is_is_not_written(policy: StoredPolicy, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoredPolicyError, match=message):
        stored.write(tmp_path / "policy.npz", policy)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoredPolicyError, match=r"none\.npz cannot be read: No such file or directory\.$"):
        stored.read(tmp_path / "none.npz")


def test_another_version_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stored, "_VERSION", 2)
        stored.write(tmp_path / "policy.npz", StoredPolicy(ABOUT, ARRAYS))
    with pytest.raises(StoredPolicyError, match="has version 2; this program reads 1"):
        stored.read(tmp_path / "policy.npz")


@pytest.mark.games("kuhn", "kuhn_3p", "leduc", "liars_dice", "goofspiel", "auction", "coordinated_pennies")
def test_a_table_plays_as_it_says_at_every_information_state(
    case: Any, random_table: Any, tmp_path: pathlib.Path
) -> None:
    tree: GameTree = case.tree
    for player in range(tree.num_players):
        rows = tree.infosets_of(player)
        table = random_table(tree, player)[rows]
        written = decoders.from_tree_policy(tree, player, make_policy(tree, player, table))
        stored.write(tmp_path / "policy.npz", written)
        play = decoders.decode(stored.read(tmp_path / "policy.npz"), decoders.DECODERS)
        states = states_of(case, player)
        assert len(states) == rows.stop - rows.start
        played = play(list(states.values()), player)
        np.testing.assert_array_equal(played, table[[infoset - rows.start for infoset in states]])


@pytest.mark.games("kuhn_3p", "leduc", "goofspiel", "catch")
def test_uniform_plays_legal_actions_alike(case: Any) -> None:
    written = decoders.uniform(name_game(case.string), 0)
    assert written.about == {"kind": "uniform", "game": case.tree.game_string, "player": 0}
    play = decoders.decode(written, decoders.DECODERS)
    states = states_of(case, 0)
    played = play(list(states.values()), 0)
    np.testing.assert_allclose(played, case.tree.uniform_policy()[list(states)], rtol=1e-15)


@pytest.mark.games("kuhn")
def test_an_unknown_state_is_one_line(case: Any) -> None:
    tree = case.tree
    play = decoders.decode_table(decoders.from_tree_policy(tree, 0, uniform_policy(tree, 0)))
    (infoset, state), *_ = states_of(case, 1).items()
    message = (
        r"^player 1's table, of kuhn_poker\(\), does not have the information state "
        rf"'{tree.keys[infoset]}': it is of another game or another player\.$"
    )
    with pytest.raises(StoredPolicyError, match=message):
        play([state], 1)


@pytest.mark.games("catch", "repeated_dilemma", "tic_tac_toe")
def test_numbered_keys_of_earlier_versions_are_read_in_their_order(case: Any, random_table: Any) -> None:
    tree, rows = case.tree, case.tree.infosets_of(0)
    policy = make_policy(tree, 0, random_table(tree, 1)[rows])
    written = decoders.from_tree_policy(tree, 0, policy)
    names = [f"{number}/0|{key.partition('|')[2]}" for number, key in enumerate(tree.keys[rows])]
    texts = [name.encode() for name in names]
    arrays = {
        **written.arrays,
        "keys": np.frombuffer(b"".join(texts), np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
    }
    old = StoredPolicy(written.about, arrays)
    if case.has_strings:
        with pytest.raises(StoredPolicyError, match="lacks"):
            decoders.table_on_tree(tree, old)
    else:
        np.testing.assert_array_equal(decoders.table_on_tree(tree, old), policy.table)


@pytest.mark.games("kuhn")
@pytest.mark.parametrize("change", ["row", "negative", "nan", "twice", "missing", "shape"])
def test_arrays_that_are_no_table_are_refused(case: Any, change: str) -> None:
    written = decoders.from_tree_policy(case.tree, 0, uniform_policy(case.tree, 0))
    arrays = dict(written.arrays)
    table = arrays["table"].copy()
    if change == "row":
        arrays["table"] = table[1:]
    elif change == "negative":
        arrays["table"] = table + np.array([1.0, -1.0])
    elif change == "nan":
        arrays["table"] = table * np.nan
    elif change == "twice":
        arrays["offsets"] = np.zeros_like(arrays["offsets"])
    elif change == "missing":
        del arrays["keys"]
    else:
        arrays["table"] = table.ravel()
    with pytest.raises(StoredPolicyError, match="player 0's table needs a key for each row"):
        decoders.decode_table(written._replace(arrays=arrays))


def test_a_kind_without_decoder_is_named() -> None:
    with pytest.raises(
        StoredPolicyError, match="no decoder for policies of kind 'oracle'; there are uniform, table"
    ):
        decoders.decode(StoredPolicy(ABOUT | {"kind": "oracle"}, {}), decoders.DECODERS)


def test_a_policy_of_another_game_or_player_does_not_fit() -> None:
    policy = decoders.uniform(name_game("kuhn_poker"), 1)
    stored.check_fits(policy, "kuhn_poker()", 1, "it")
    with pytest.raises(StoredPolicyError, match=r"^it plays kuhn_poker\(\), not leduc_poker\(\): "):
        stored.check_fits(policy, "leduc_poker()", 1, "it")
    with pytest.raises(StoredPolicyError, match=r"^it is of player 1: it cannot play for 0\.$"):
        stored.check_fits(policy, "kuhn_poker()", 0, "it")
