"""Writes the report of a run: one HTML file with figures, tables and the configuration."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from acme_psro.display import figures, progress
from acme_psro.system.files import write_atomically

Row = Mapping[str, float]
MetaStrategies = Sequence[Sequence[np.ndarray]]

# A learned best response counts as good where it misses at most this share of the exact gain.
TARGET_GAP = 0.03
_LATEST_ROWS = 10
_NO_GAPS = '<p class="note">No best response was learned, so there are no gaps to show.</p>'
_UNKNOWN_GAPS = (
    '<p class="note">The game was not compiled: what a best response gains is not known, so there are no '
    "gaps to show.</p>"
)

_CSS = """
:root {
  color-scheme: light dark;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --page: #f6f6f3; --surface: #ffffff; --ink: #16181d; --muted: #5a606b; --rule: #d9dbdf;
  --series-0: #0b6cb8; --series-1: #c2560a; --series-2: #00805c;
  --series-3: #a64a86; --series-4: #6a5acd; --series-5: #7a6a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1115; --surface: #181b21; --ink: #eceef2; --muted: #a2a9b4; --rule: #353a44;
    --series-0: #5aa9ee; --series-1: #f0924c; --series-2: #35bf95;
    --series-3: #dd8fc0; --series-4: #a99cf5; --series-5: #d3c04a;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 32px 20px 64px; background: var(--page);
  color: var(--ink); font: 16px/1.5 var(--sans); -webkit-text-size-adjust: 100%; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 1.15rem; }
.about { margin: 4px 0 0; color: var(--muted); }
.note { margin: 10px 0 0; color: var(--muted); font-size: .88rem; }
.outcome { margin: 16px 0 0; max-width: 70ch; }
dl { display: flex; flex-wrap: wrap; gap: 1px; margin: 24px 0 0; background: var(--rule);
  border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; }
dl div { flex: 1 1 150px; padding: 12px 14px; background: var(--surface); }
dt, dd.detail { color: var(--muted); font-size: .82rem; }
dd { margin: 0; }
dd.value { font-size: 1.2rem; font-weight: 600; line-height: 1.4; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 16px; }
figure { margin: 0; padding: 14px 16px 16px; background: var(--surface);
  border: 1px solid var(--rule); border-radius: 8px; min-width: 0; }
figure h3 { margin: 0 0 8px; font-size: 1rem; }
figure svg { display: block; width: 100%; max-width: 520px; height: auto; margin: 0 auto; }
figcaption { margin-top: 8px; color: var(--muted); font-size: .88rem; }
.scroll { overflow-x: auto; background: var(--surface); border: 1px solid var(--rule);
  border-radius: 8px; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: 7px 10px; text-align: left; vertical-align: top; }
tr + tr > *, tbody tr > * { border-top: 1px solid var(--rule); }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
.numbers th, .numbers td { text-align: right; white-space: nowrap; }
.numbers, dd.value { font-variant-numeric: tabular-nums; }
.config th { width: 1%; white-space: nowrap; font-weight: 500; }
.config td { overflow-wrap: anywhere; }
@media print { body { padding: 0; } figure, .scroll { break-inside: avoid; } }
"""


def write_report(
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, object],
    metrics: Sequence[Row],
    payoffs: np.ndarray,
    meta_strategies: MetaStrategies,
    outcome: str,
) -> None:
    """Writes a run's report as one HTML file that needs no other file, script or network.

    Args:
        path: the file to write, replaced atomically.
        config: the configuration, shown whole; `game` gives the title. Values may be nested.
        metrics: the rows of metrics.csv, the initial population first; at least one. Where they have
            standard errors, as `nash_conv_stderr`, figures are shown as lower bounds; the last may be nan.
        payoffs: `[P, n_0, .., n_{P-1}]` payoff tensor of the final populations, in the game's
            units; nan where unknown.
        meta_strategies: entry i holds the meta-strategies after iteration i, one `[n_p]` vector of
            probabilities a player; at least one entry.
        outcome: a sentence or two on how the run ended.

    Raises:
        ValueError: there are no rows or no meta-strategies, or the payoff tensor's shape does not
            fit the number of players or the final meta-strategies.
        OSError: the file cannot be written.
    """
    _check(metrics, payoffs, meta_strategies)
    gaps = _gaps(metrics)
    sections = [
        _head(config, metrics, outcome),
        "<h2>Convergence</h2>",
        _figures(_convergence(metrics)),
        "<h2>Meta-game and best responses</h2>",
        _figures(
            [
                *_meta_strategies(meta_strategies),
                _payoffs(payoffs, meta_strategies[-1]),
                *([gaps] if gaps else []),
            ]
        ),
        "" if gaps else (_UNKNOWN_GAPS if progress.is_bounded(metrics[-1]) else _NO_GAPS),
        f"<h2>Latest iterations</h2>{_latest(metrics)}",
        f"<h2>Configuration</h2>{_config(config)}",
    ]
    title = html.escape(str(config.get("game", "unnamed game")))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: report</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
    )
    write_atomically(path, page + "\n".join(sections) + "\n</body>\n</html>\n")


def _check(metrics: Sequence[Row], payoffs: np.ndarray, meta_strategies: MetaStrategies) -> None:
    if not metrics or not meta_strategies:
        raise ValueError(
            f"a report needs at least one metrics row and one meta-strategy, got {len(metrics)} "
            f"and {len(meta_strategies)}; write it after the initial population is evaluated"
        )
    sizes = tuple(len(marginal) for marginal in meta_strategies[-1])
    if payoffs.shape != (len(sizes), *sizes):
        raise ValueError(
            f"payoffs have shape {payoffs.shape}, but the final meta-strategies are over "
            f"populations of {sizes}; give payoffs of shape {(len(sizes), *sizes)}"
        )


def _head(config: Mapping[str, object], metrics: Sequence[Row], outcome: str) -> str:
    first, last = metrics[0], metrics[-1]
    players = progress.count_players(last)
    about = [
        f"{label} {config[key]}"
        for key, label in (
            ("oracle", "oracle"),
            ("agent", "agent"),
            ("meta_solver", "meta-solver"),
            ("seed", "seed"),
        )
        if config.get(key) is not None
    ]
    gaps = [gap for p in range(players) if math.isfinite(gap := _relative_gap(last, p))]
    numbers = [
        (name, _value(last, key), f"{bound}{_value(first, key)} at first")
        for name, key in (("Exploitability", "exploitability"), ("NashConv", "nash_conv"))
        for bound in ["lower bound; " if progress.is_bounded(last) else ""]
    ]
    numbers += [
        ("Iterations", f"{last['iteration']:.0f}", f"{players} players"),
        ("Wall time", progress.format_duration(last["wall_seconds"]), ""),
        ("Episodes", _count(last["episodes"]), f"{_count(last['env_steps'])} env steps"),
    ]
    if gaps:
        worst = progress.format_percent(max(gaps))
        numbers.append(("Best-response gap", worst, "largest of the last iteration"))
    cells = "".join(
        f'<div><dt>{name}</dt><dd class="value">{value}</dd><dd class="detail">{detail}</dd></div>'
        for name, value, detail in numbers
    )
    return (
        f"<h1>{html.escape(str(config.get('game', 'unnamed game')))}</h1>\n"
        f'<p class="about">{html.escape(" · ".join(about))}</p>\n'
        f'<p class="outcome">{html.escape(outcome)}</p>\n<dl>{cells}</dl>'
    )


def _convergence(metrics: Sequence[Row]) -> list[str]:
    """Returns exploitability over wall time, and over episodes or, without any, iterations."""
    seconds, time_unit = _time_axis([row["wall_seconds"] for row in metrics])
    axes = [("Over wall time", "time", seconds, f"wall time ({time_unit})")]
    if any(row["episodes"] > 0 for row in metrics):
        episodes, label = _count_axis([row["episodes"] for row in metrics], "episodes")
        axes.append(("Over episodes", "episodes", episodes, label))
        more = "Episodes are those played to train best responses and to estimate payoffs."
    else:
        axes.append(("Over iterations", "iterations", _column(metrics, "iteration"), "iteration"))
        more = "Shown over iterations, since this run played no episodes."
    exploitability = _column(metrics, "exploitability")
    nash_conv = _column(metrics, "nash_conv")
    if figures.suits_log_scale([*exploitability, *nash_conv]):
        scale = "The vertical axis is logarithmic."
    else:
        scale = "The vertical axis is linear."
    players = progress.count_players(metrics[-1])
    meaning = (
        f"NashConv is what the {players} players together gain by exact best responses to the "
        f"mixture; exploitability is NashConv / {players}. {scale}"
    )
    if progress.is_bounded(metrics[-1]):
        meaning = (
            f"Lower bounds: what the {players} players together gain, in simulated games, by responses that "
            f"were trained against the mixture; bars are one standard error up and down. Exploitability is "
            f"NashConv / {players}. {scale}"
        )
    parts = []
    for (heading, name, x, x_label), caption in zip(axes, (meaning, more), strict=True):
        lines = [
            figures.Line("exploitability", x, exploitability, _errors(metrics, "exploitability")),
            figures.Line("NashConv", x, nash_conv, _errors(metrics, "nash_conv")),
        ]
        svg = figures.draw_convergence(f"convergence-{name}", lines, x_label, "game units")
        parts.append(_figure(heading, svg, caption))
    return parts


def _gaps(metrics: Sequence[Row]) -> str:
    """Returns the figure of the relative best-response gaps, or nothing where there are none."""
    players = range(progress.count_players(metrics[-1]))
    iterations = _column(metrics, "iteration")
    lines = [
        figures.Line(f"player {p}", iterations, [100 * _relative_gap(row, p) for row in metrics])
        for p in players
    ]
    gaps = [gap for line in lines for gap in line.y if math.isfinite(gap)]
    if not gaps:
        return ""
    target = 100 * TARGET_GAP
    svg = figures.draw_gaps("gaps", lines, target)
    within = sum(gap <= target for gap in gaps)
    caption = (
        f"What a learned best response misses of the exact best response’s gain, when it is "
        f"added to the population. {within} of {len(gaps)} are within {target:g}&nbsp;%."
    )
    return _figure("Gap of the learned best responses", svg, caption)


def _meta_strategies(meta_strategies: MetaStrategies) -> list[str]:
    parts = []
    for player in range(len(meta_strategies[-1])):
        strategies = [marginals[player] for marginals in meta_strategies]
        final = np.asarray(strategies[-1])
        svg = figures.draw_meta_strategy(f"meta-strategy-{player}", strategies, player)
        caption = (
            f"Probability of each policy after each iteration; grey: not found yet. At the end "
            f"{np.count_nonzero(final > 0.01)} of {len(final)} policies have more than 1&nbsp;%."
        )
        parts.append(_figure(f"Meta-strategy of player {player}", svg, caption))
    return parts


def _payoffs(payoffs: np.ndarray, final: Sequence[np.ndarray]) -> str:
    """Returns the heat map of player 0's payoffs against player 1's policies."""
    matrix = np.asarray(payoffs[0], dtype=np.float64)
    caption = "Expected return of player 0 for each pair of policies"
    if matrix.ndim > 2:
        for marginal in reversed(final[2:]):
            matrix = matrix @ np.asarray(marginal, dtype=np.float64)
        others = " and ".join(f"player {p}" for p in range(2, len(final)))
        caption += f", averaged over the final meta-strategy of {others}"
    columns = "policy of player 1" if matrix.ndim == 2 else ""
    if matrix.ndim == 1:
        matrix = matrix[:, None]
        caption = "Expected return of player 0 for each policy"
    missing = "; grey: unknown" if np.isnan(matrix).any() else ""
    svg = figures.draw_payoffs("payoffs", matrix, "policy of player 0", columns)
    caption += f". Blue: player 0 gains; orange: player 0 loses{missing}."
    return _figure("Payoffs of player 0", svg, caption)


def _latest(metrics: Sequence[Row]) -> str:
    players = range(progress.count_players(metrics[-1]))
    header = (
        ["iteration", "wall time", "episodes", "NashConv", "exploitability"]
        + [f"gain {p}" for p in players]
        + ["best-response gap", "populations"]
    )
    rows = [
        [
            f"{row['iteration']:.0f}",
            progress.format_duration(row["wall_seconds"]),
            f"{row['episodes']:,.0f}",
            _value(row, "nash_conv"),
            _value(row, "exploitability"),
            *(_value(row, f"gain_{p}") for p in players),
            progress.format_gaps(row),
            progress.format_populations(row),
        ]
        for row in metrics[-_LATEST_ROWS:]
    ]
    gain = "what the player gains by an exact best response to the mixture"
    if progress.is_bounded(metrics[-1]):
        gain = (
            "what the player gains by a response that was trained against the mixture, with its standard "
            "error: a lower bound on what there is to gain"
        )
    note = f'<p class="note">Gain: {gain}. Gaps and population sizes are in the order of the players.</p>'
    return _table("numbers", header, rows) + note


def _config(config: Mapping[str, object]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in _flatten(config)
    )
    return f'<div class="scroll"><table class="config"><tbody>{rows}</tbody></table></div>'


def _flatten(config: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yields a nested configuration as dotted names and texts."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", json.dumps(value, default=str)


def _figures(parts: Sequence[str]) -> str:
    return f'<div class="figures">{"".join(parts)}</div>'


def _figure(heading: str, svg: str, caption: str) -> str:
    return f"<figure><h3>{heading}</h3>{svg}<figcaption>{caption}</figcaption></figure>"


def _table(kind: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _count(number: float) -> str:
    if number >= 1e9:
        return f"{number / 1e9:.1f} billion"
    if number >= 1e6:
        return f"{number / 1e6:.1f} million"
    return f"{number:,.0f}"


def _value(row: Row, name: str) -> str:
    return html.escape(progress.format_bound(row, name)).replace("&gt;=", "≥")


def _errors(metrics: Sequence[Row], name: str) -> list[float] | None:
    return _column(metrics, f"{name}_stderr") if progress.is_bounded(metrics[-1]) else None


def _column(metrics: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in metrics]


def _relative_gap(row: Row, player: int) -> float:
    return float(row.get(f"relative_gap_{player}", math.nan))


def _time_axis(seconds: Sequence[float]) -> tuple[list[float], str]:
    longest = max(seconds)
    divisor, unit = 1, "s"
    if longest >= 3 * 3600:
        divisor, unit = 3600, "h"
    elif longest >= 180:
        divisor, unit = 60, "min"
    return [value / divisor for value in seconds], unit


def _count_axis(counts: Sequence[float], name: str) -> tuple[list[float], str]:
    largest = max(counts)
    divisor, label = 1.0, name
    if largest >= 2e6:
        divisor, label = 1e6, f"{name} (millions)"
    elif largest >= 2e3:
        divisor, label = 1e3, f"{name} (thousands)"
    return [count / divisor for count in counts], label
