"""Properties of meta-solvers, and the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from acme_psro.policies.meta_strategy import JointStrategy
from acme_psro.solvers import SOLVERS
from acme_psro.solvers.properties import PROPERTIES, Concept, Domain, fits, properties_of

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "meta_solvers.md"
ZERO_SUM = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]])


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_answers_are_of_the_kind_that_is_told(name: str) -> None:
    assert isinstance(SOLVERS[name](ZERO_SUM), JointStrategy) == properties_of(name).is_joint


def test_the_page_lists_every_meta_solver_with_its_games_and_its_kind_of_answer() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    kinds = {True: "a joint distribution", False: "marginals"}
    told = {name: (domain, kind) for name, domain, kind in rows}
    assert told == {
        name: (properties_of(name).domain.value, kinds[properties_of(name).is_joint]) for name in SOLVERS
    }


def test_every_row_is_of_a_meta_solver() -> None:
    assert PROPERTIES.keys() <= SOLVERS.keys()


def test_names_tell_the_concept() -> None:
    for name, each in PROPERTIES.items():
        if name.endswith("_cce"):
            assert each.concept is Concept.CCE and each.is_joint
        elif name.endswith("_ce"):
            assert each.concept is Concept.CE and each.is_joint


@pytest.mark.parametrize(
    ("name", "domain"), [("nash", Domain.TWO_PLAYER_ZERO_SUM), ("general_sum_nash", Domain.TWO_PLAYER)]
)
def test_domains(name: str, domain: Domain) -> None:
    assert properties_of(name).domain is domain
    assert [fits(name, players, zero_sum) for players, zero_sum in ((2, True), (2, False), (3, True))] == [
        True,
        domain is Domain.TWO_PLAYER,
        False,
    ]
    # A meta-solver of the user's own is taken as it is.
    assert fits("of_my_own", 5, False)
