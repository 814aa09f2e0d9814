"""Nested names are joined by dots, in order."""

from types import MappingProxyType

from acme_psro.system.nested import flatten


def test_nested_names_are_joined_by_dots_in_their_order() -> None:
    nested = {"b": 1, "a": MappingProxyType({"d": {"e": [1, {"f": 2}]}, "c": None}), "g": {}}
    assert list(flatten(nested).items()) == [("b", 1), ("a.d.e", [1, {"f": 2}]), ("a.c", None)]


def test_a_prefix_stands_before_all_names() -> None:
    assert flatten({"a": {"b": 1}, "c": 2}, "x.") == {"x.a.b": 1, "x.c": 2}
