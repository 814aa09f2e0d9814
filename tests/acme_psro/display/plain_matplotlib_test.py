"""Tests of acme_psro.display.plain_matplotlib: figures are drawn whatever the environment says."""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_DRAW = """
import os
from acme_psro.display import heat_maps
svg = heat_maps.draw_payoffs("payoffs", __import__("numpy").eye(2), "y", "x")
assert svg.startswith("<svg")
import matplotlib
print(matplotlib.rcParams["backend"], os.environ["MPLBACKEND"])
"""


def _draw(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _DRAW],
        cwd=_ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_of_no_kernel", "bogus"])
def test_a_backend_that_does_not_exist_is_no_obstacle(backend: str) -> None:
    assert _draw(MPLBACKEND=backend).endswith(backend)


def test_a_backend_that_exists_stays_the_users_choice() -> None:
    assert _draw(MPLBACKEND="svg") == "svg svg"


def test_the_users_own_style_does_not_apply(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "matplotlibrc"
    file.write_text("text.usetex: True\ntext.latex.preamble: \\usepackage{no_such_package}\n")
    assert _draw(MPLBACKEND="agg", MATPLOTLIBRC=str(file)) == "agg agg"
