"""Tests of agents.registry."""

import pytest

from agents.settings import check_known


def test_names_that_are_not_known_are_refused_with_those_that_are() -> None:
    check_known("oracle", "exact", ("exact", "device"))
    with pytest.raises(ValueError, match=r"^no oracle named 'magic'; use one of exact, device\.$"):
        check_known("oracle", "magic", ("exact", "device"))
