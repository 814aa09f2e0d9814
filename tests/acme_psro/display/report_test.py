"""Tests of acme_psro.display.report."""

import html.parser
import math
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from acme_psro.display.report import write_report
from acme_psro.neupl import history
from acme_psro.neupl.values import Values

_ROOT = str(pathlib.Path(__file__).parents[3])
_VOID = {"meta", "br"}


class _Page(html.parser.HTMLParser):
    """Parser of a page that checks that its tags nest, and collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "text"):
            self.words.append(data)


def _metrics(
    iterations: int, players: int = 2, episodes: int = 5000, gap: float = 0.02
) -> list[dict[str, float]]:
    rows = []
    for i in range(iterations + 1):
        nash_conv = 4.0 * 0.5**i
        row: dict[str, float] = {
            "iteration": i,
            "wall_seconds": 1.0 + 30.0 * i,
            "episodes": episodes * i,
            "env_steps": 3 * episodes * i,
            "gradient_steps": 10 * i,
            "nash_conv": nash_conv,
            "exploitability": nash_conv / players,
        }
        for p in range(players):
            row |= {f"gain_{p}": nash_conv / players, f"gap_{p}": gap * nash_conv / players}
            row |= {f"relative_gap_{p}": gap if i else math.nan, f"population_{p}": i + 1}
        rows.append(row | {"iteration_seconds": 30.0})
    return rows


def _write(path: pathlib.Path, iterations: int = 3, players: int = 2, **changes: Any) -> tuple[str, _Page]:
    arguments: dict[str, Any] = {
        "config": {"game": "kuhn_poker", "oracle": "device", "agent": "crossq", "seed": 7},
        "metrics": _metrics(iterations, players),
        "payoffs": np.arange(players * (iterations + 1) ** players, dtype=float).reshape(
            (players,) + (iterations + 1,) * players
        ),
        "meta_strategies": [[np.full(i + 1, 1 / (i + 1))] * players for i in range(iterations + 1)],
        "outcome": "Reached 3 iterations.",
    }
    write_report(path / "report.html", **(arguments | changes))
    text = (path / "report.html").read_text(encoding="utf-8")
    return text, _Page(text)


def test_report_shows_headline_outcome_and_every_figure(tmp_path: pathlib.Path) -> None:
    text, page = _write(tmp_path)
    assert os.listdir(tmp_path) == ["report.html"]
    for words in (
        "kuhn_poker",
        "oracle device · agent crossq · seed 7",
        "Reached 3 iterations.",
        "Exploitability 0.2500 2.0000 at first",
        "NashConv 0.5000 4.0000 at first",
        "Iterations 3 2 players",
        "Wall time 1 min 31 s",
        "Episodes 15,000 45,000 env steps",
        "Best-response gap 2.0 %",
        "exploitability is NashConv / 2. The vertical axis is logarithmic.",
        "6 of 6 are within 3 %",
        "At the end 4 of 4 policies",
    ):
        assert words in page.text
    # Convergence, meta-strategies, payoffs, gaps, and the response graph of a general-sum meta-game.
    assert page.tags.count("figure") == page.tags.count("svg") == 2 + 2 + 1 + 1 + 1
    assert "episodes (thousands)" in text


def test_report_needs_no_other_resource_and_no_script(tmp_path: pathlib.Path) -> None:
    text, page = _write(tmp_path)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "http" not in text
    assert "@import" not in text
    for name, value in page.attributes:
        if name in ("href", "src"):
            assert (value or "").startswith(("#", "data:"))
    assert not re.findall(r"url\((?!#)", text)


def test_ids_are_unique_in_the_page(tmp_path: pathlib.Path) -> None:
    _, page = _write(tmp_path, players=3)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_config_is_shown_whole_and_escaped(tmp_path: pathlib.Path) -> None:
    attack = "<script>alert('x')</script>&"
    config = {"game": attack, "agent": attack, attack: 1, "nested": {"deep": {"rate": 1e-3}}}
    config |= {"none": None, "sizes": (64, 64), "path": pathlib.PurePosixPath("a/b"), "text": "a b"}
    text, page = _write(tmp_path, config=config, outcome=attack)
    assert "script" not in page.tags
    assert "<script" not in text
    assert page.text.count(attack) == 7  # title, heading, agent, outcome, three in the table
    for words in ("nested.deep.rate 0.001", "none null", "sizes [64, 64]", "a/b", "text a b"):
        assert words in page.text


def test_one_row_without_any_learning(tmp_path: pathlib.Path, recwarn: pytest.WarningsRecorder) -> None:
    _, page = _write(tmp_path, iterations=0)
    assert "No best response was learned" in page.text
    assert "Over iterations" in page.text
    assert page.tags.count("figure") == 5
    assert not recwarn.list


def test_no_episodes_shows_iterations_and_nan_gaps_are_left_out(tmp_path: pathlib.Path) -> None:
    text, page = _write(tmp_path, metrics=_metrics(3, episodes=0, gap=math.nan))
    assert "this run played no episodes" in page.text
    assert "over episodes" not in text
    assert "No best response was learned" in page.text


def test_zero_exploitability_gets_a_linear_axis(tmp_path: pathlib.Path) -> None:
    metrics = _metrics(3)
    metrics[-1] |= {"nash_conv": 0.0, "exploitability": 0.0}
    _, page = _write(tmp_path, metrics=metrics)
    assert "The vertical axis is linear." in page.text


def test_three_players_average_over_the_last_players_meta_strategy(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []

    def draw(name: str, payoffs: np.ndarray, *labels: str) -> str:
        drawn.append(payoffs)
        return "<svg></svg>"

    monkeypatch.setattr("acme_psro.display.heat_maps.draw_payoffs", draw)
    payoffs = np.zeros((3, 2, 2, 2))
    payoffs[0, 1, 0] = [4.0, 8.0]
    meta_strategies = [[np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.25, 0.75])]] * 2
    metrics = _metrics(1, players=3)
    _, page = _write(tmp_path, 1, 3, metrics=metrics, payoffs=payoffs, meta_strategies=meta_strategies)
    np.testing.assert_array_equal(drawn[0], [[0.0, 0.0], [7.0, 0.0]])
    assert "averaged over the final meta-strategy of player 2" in page.text
    assert "Meta-strategy of player 2" in page.text
    assert "exploitability is NashConv / 3" in page.text


def test_table_shows_the_last_ten_rows(tmp_path: pathlib.Path) -> None:
    _, page = _write(tmp_path, iterations=14)
    assert "populations 5 1 min" not in page.text
    assert re.search(r"populations 5 2 min 31 s", page.text)
    assert "15 / 15" in page.text
    assert "5 / 5" not in page.text.replace("15 / 15", "")


def test_unknown_payoffs_are_reported(tmp_path: pathlib.Path) -> None:
    payoffs = np.zeros((2, 4, 4))
    payoffs[0, 3, 1] = np.nan
    _, page = _write(tmp_path, payoffs=payoffs)
    assert "grey: unknown" in page.text


def test_a_hundred_policies_make_no_megabytes(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    text, _ = _write(tmp_path, iterations=99, payoffs=rng.normal(size=(2, 100, 100)))
    assert len(text) < 250_000


def test_bad_input_is_refused_and_writes_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="at least one metrics row"):
        _write(tmp_path, metrics=[])
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4\).*shape \(2, 4, 4\)"):
        _write(tmp_path, payoffs=np.zeros((2, 3, 4)))
    assert os.listdir(tmp_path) == []


def test_import_leaves_matplotlib_and_pyplot_alone(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys\n"
        "from acme_psro.display import curves, report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "curves.draw_gaps('g', [curves.Line('x', [1], [1.0])], 3.0)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = dict(os.environ, PYTHONPATH=_ROOT)
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def _bounded(metrics: list[dict[str, float]], last_known: bool = True) -> list[dict[str, float]]:
    """Returns the rows of `metrics` as a run with simulated payoffs would write them."""
    rows = []
    for index, row in enumerate(metrics):
        known = last_known or index < len(metrics) - 1
        errors = {f"{name}_stderr": 0.04 for name in ("nash_conv", "exploitability", "gain_0", "gain_1")}
        unknown = dict.fromkeys([*errors, "nash_conv", "exploitability", "gain_0", "gain_1"], math.nan)
        rows.append(
            row | errors | ({} if known else unknown) | {"gap_0": math.nan, "relative_gap_0": math.nan}
        )
    return rows


def test_lower_bounds_are_named_and_have_errors(tmp_path: pathlib.Path) -> None:
    _, page = _write(tmp_path, metrics=_bounded(_metrics(3, gap=math.nan)))
    for words in (
        "Exploitability ≥ 0.2500 ± 0.0400 lower bound; ≥ 2.0000 ± 0.0400 at first",
        "NashConv ≥ 0.5000 ± 0.0400",
        "Lower bounds: what the 2 players together gain, in simulated games",
        "bars are one standard error up and down",
        "what a best response gains is not known",
        "by a response that was trained against the mixture",
    ):
        assert words in page.text
    assert "exact best response" not in page.text
    assert "No best response was learned" not in page.text


def test_the_regret_of_meta_strategies_is_shown_if_it_is_known(tmp_path: pathlib.Path) -> None:
    old, *rows = _metrics(3, gap=math.nan)
    metrics = [old, *(row | {"meta_regret": 0.0123 * row["iteration"]} for row in rows)]
    text, page = _write(tmp_path, metrics=metrics)
    assert all(value in page.text for value in ("0.0123", "0.0246", "0.0369", "Meta-regret: the most that"))
    assert "nan" not in text


def test_figures_that_are_not_known_yet_are_left_out(
    tmp_path: pathlib.Path, recwarn: pytest.WarningsRecorder
) -> None:
    for iterations in (3, 0):
        metrics = _bounded(_metrics(iterations, gap=math.nan), last_known=False)
        text, page = _write(tmp_path, iterations, metrics=metrics)
        assert "Exploitability - lower bound" in page.text
        assert "nan" not in text
    assert not recwarn.list


def _of_members(metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    """Returns the rows of `metrics` as a run whose eight members all keep learning would write them."""
    figures = {"effective_size": 5.0, "payoff_drift": 0.25, "frozen_members": 1.0}
    return [row | figures | {"population_0": 8, "population_1": 8} for row in metrics]


@pytest.mark.parametrize("oracle", ["device", "exact"])
def test_members_have_a_section_of_their_own(tmp_path: pathlib.Path, oracle: str) -> None:
    rng = np.random.default_rng(0)
    kept = history.start(8)
    for _ in range(3):
        graph = np.tril(rng.uniform(0.1, 1.0, (2, 8, 8)), -1)
        graph /= np.maximum(graph.sum(axis=2, keepdims=True), 1e-9)
        kept = history.record(kept, graph, Values(*rng.uniform(size=(3, 2, 8))))
    text, page = _write(
        tmp_path,
        config={"game": "kuhn_poker", "oracle": oracle, "loop": "neupl"},
        metrics=_of_members(_metrics(3)),
        payoffs=rng.normal(size=(2, 8, 8)),
        meta_strategies=[[np.full(8, 1 / 8)] * 2] * 4,
        history=kept,
    )
    for words in (
        "Members Interaction graph of player 0",
        "Gap of each member",
        "An epoch is an iteration of this loop",
        "Effective size 5 of 8 members of each player",
        "Best-response gap 2.0 % mean of a player’s members",
        "best-response gap effective size 0 1.0 s",
        "Probability of each member after each epoch. At the end 8 of 8 members",
        "Expected return of player 0 for each pair of members",
    ):
        assert words in page.text
    assert "not found yet" not in page.text and "No best response was learned" not in page.text
    assert page.tags.count("figure") == page.tags.count("svg") == 2 + 6 + 3
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert "policy of player" not in text


def test_members_of_which_no_exploitability_is_known(
    tmp_path: pathlib.Path, recwarn: pytest.WarningsRecorder
) -> None:
    metrics = _of_members(_metrics(3, gap=math.nan))
    unknown = [_bounded([row], last_known=False)[0] for row in metrics]
    text, page = _write(
        tmp_path,
        config={"game": "phantom_ttt", "oracle": "launchpad", "loop": "neupl"},
        metrics=unknown,
        payoffs=np.zeros((2, 8, 8)),
        meta_strategies=[[np.full(8, 1 / 8)] * 2] * 4,
    )
    assert "Exploitability unknown no exploiter was trained" in page.text
    assert "nothing is known of exploitability. Payoffs are estimated" in page.text
    assert "Over wall time" not in page.text and "nan" not in text
    assert not recwarn.list
