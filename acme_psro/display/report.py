"""Report of a run as one HTML file with figures, tables and the configuration."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from acme_psro.display import distillation, figures, formats, members, page, response_graphs
from acme_psro.display.figures import MetaStrategies
from acme_psro.display.formats import Row
from acme_psro.neupl.history import History
from acme_psro.system import surroundings
from acme_psro.system.files import write_atomically

_LATEST_ROWS = 10
_NO_GAPS = "No best response was learned, so there are no gaps to show."
_UNKNOWN_GAPS = (
    "The game was not compiled: what a best response gains is not known, so there are no gaps to show."
)
_UNKNOWN_EXPLOITABILITY = (
    "The game was not compiled, and no exploiter was trained: nothing is known of exploitability. Payoffs "
    "are estimated from games between members."
)
_EPOCHS = (
    "An epoch is an iteration of this loop: the interaction graph is made from the members’ payoffs, and "
    "then all members learn."
)


def write_report(
    path: str | os.PathLike[str],
    *,
    config: Mapping[str, object],
    metrics: Sequence[Row],
    payoffs: np.ndarray,
    meta_strategies: MetaStrategies | None,
    outcome: str,
    history: History | None = None,
) -> None:
    """Writes a run's report as one HTML file that needs no other file, script or network.

    Args:
      path: the file to write, replaced atomically.
      config: the run's configuration, shown completely; `game` gives the title. Values may be nested.
      metrics: the rows of metrics.csv, beginning with the initial population; at least one. If they
        have standard errors, such as `nash_conv_stderr`, their values are shown as lower bounds. In
        that case, the values of the last row may be nan.
      payoffs: `[P, n_0, .., n_{P-1}]` payoff tensor of the final populations, in the game's
        units; nan if unknown.
      meta_strategies: entry i holds the meta-strategies after iteration i, one `[n_p]` vector of
        probabilities for each player; at least one entry. None if they are not distributions over
        populations, as those of restricted games.
      outcome: one or two sentences on how the run ended.
      history: the interaction graphs of a population whose members all keep learning; None if there are
        none.

    Raises:
      ValueError: there are no rows or no meta-strategies, or the shape of the payoff tensor does not
        fit the number of players or the final meta-strategies.
      OSError: the file cannot be written.
    """
    _check(metrics, payoffs, meta_strategies)
    # The exact oracle learns nothing: its responses are exact, and their gaps are zero.
    is_learned = config.get("oracle") != "exact"
    title = str(config.get("game", "unnamed game"))
    settings = {name: value for name, value in config.items() if name != surroundings.KEY}
    made_by = dict(surroundings.describe_surroundings(config))
    sections = [
        page.make_head(title, _describe(config), outcome, _make_tiles(metrics, is_learned)),
        "<h2>Convergence</h2>",
        _make_convergence(metrics),
        *(
            _make_members(metrics, payoffs, meta_strategies, history)
            if formats.has_members(metrics[-1]) and meta_strategies is not None
            else _make_responses(metrics, payoffs, meta_strategies, is_learned)
        ),
        f"<h2>Latest iterations</h2>{_make_latest(metrics)}",
        f"<h2>Configuration</h2>{page.make_config_table(settings)}",
        f"<h2>Surroundings</h2>{page.make_config_table(made_by)}" if made_by else "",
    ]
    write_atomically(path, page.make_page(f"{title}: report", sections))


def _make_convergence(metrics: Sequence[Row]) -> str:
    """Returns the figures of exploitability, or a note if nothing is known of it."""
    if all(map(formats.is_never_known, metrics)):
        return page.make_note(_UNKNOWN_EXPLOITABILITY)
    return page.make_grid(figures.make_convergence(metrics))


def _make_responses(
    metrics: Sequence[Row], payoffs: np.ndarray, meta_strategies: MetaStrategies | None, is_learned: bool
) -> list[str]:
    """Returns the sections of a run whose populations grow by best responses."""
    gaps = figures.make_gaps(metrics) if is_learned else None
    no_gaps = _UNKNOWN_GAPS if formats.is_bounded(metrics[-1]) else _NO_GAPS
    meta_game = (
        [figures.make_restricted_game(metrics) or ""]
        if meta_strategies is None
        else [
            *figures.make_meta_strategies(meta_strategies),
            figures.make_payoffs(payoffs, meta_strategies[-1]),
            *response_graphs.make_response_graphs(payoffs),
        ]
    )
    return [
        f"<h2>{'Restricted game' if meta_strategies is None else 'Meta-game'} and best responses</h2>",
        page.make_grid(
            [*meta_game, *([] if gaps is None else [gaps]), *distillation.make_distillation(metrics)]
        ),
        page.make_note(no_gaps) if gaps is None else "",
    ]


def _make_members(
    metrics: Sequence[Row], payoffs: np.ndarray, meta_strategies: MetaStrategies, history: History | None
) -> list[str]:
    """Returns the sections of a run whose members all keep learning."""
    meta_game = [
        *figures.make_meta_strategies(meta_strategies, figures.MEMBERS),
        figures.make_payoffs(payoffs, meta_strategies[-1], figures.MEMBERS),
    ]
    return [
        "<h2>Members</h2>",
        page.make_grid(members.make_members(metrics, history)),
        page.make_note(_EPOCHS),
        "<h2>Meta-game</h2>",
        page.make_grid(meta_game),
    ]


def _check(metrics: Sequence[Row], payoffs: np.ndarray, meta_strategies: MetaStrategies | None) -> None:
    """Raises a ValueError if the arguments of a report are empty or do not fit together."""
    if not metrics or (meta_strategies is not None and not meta_strategies):
        raise ValueError(
            f"a report needs at least one metrics row and one meta-strategy, got {len(metrics)} "
            f"and {len(meta_strategies or ())}; write it after the initial population is evaluated"
        )
    if meta_strategies is None:
        return
    sizes = tuple(len(marginal) for marginal in meta_strategies[-1])
    if payoffs.shape != (len(sizes), *sizes):
        raise ValueError(
            f"payoffs have shape {payoffs.shape}, but the final meta-strategies are over "
            f"populations of {sizes}; give payoffs of shape {(len(sizes), *sizes)}"
        )


def _describe(config: Mapping[str, object]) -> str:
    """Returns the main settings of a run in one line of text, without those that are not set."""
    labels = {
        "loop": "loop",
        "oracle": "oracle",
        "agent": "agent",
        "meta_solver": "meta-solver",
        "seed": "seed",
    }
    if config.get("oracle") == "exact":
        # Older versions recorded an agent that such a run does not use.
        del labels["agent"]
    return " · ".join(
        f"{label} {config[key]}" for key, label in labels.items() if config.get(key) is not None
    )


def _make_tiles(metrics: Sequence[Row], is_learned: bool) -> list[page.Tile]:
    """Returns the headline numbers: results, iterations, cost and, if known, the gap of learned responses."""
    first, last = metrics[0], metrics[-1]
    players = formats.count_players(last)
    bound = "lower bound; " if formats.is_bounded(last) else ""
    tiles = [
        page.Tile(formats.capitalise(name), _value(last, key), f"{bound}{_value(first, key)} at first")
        for key, name in reversed(formats.convergence_columns(last).items())
    ]
    if formats.is_never_known(last):
        tiles = [page.Tile("Exploitability", "unknown", "no exploiter was trained")]
    # Tiles are for figures that are known: a run with exact responses computes this one only at the end.
    if math.isfinite(of_population := last.get("population_exploitability", math.nan)):
        value = formats.format_value(of_population)
        tiles.append(page.Tile("Population exploitability", value, "of the best mixture of the populations"))
    if formats.is_correlated(last):
        welfare = formats.format_value(last["welfare"])
        tiles.append(page.Tile("Welfare", welfare, "sum of the players’ expected returns"))
    tiles += [
        page.Tile("Iterations", f"{last['iteration']:.0f}", f"{players} players"),
        page.Tile("Wall time", formats.format_duration(last["wall_seconds"]), ""),
        page.Tile("Episodes", _count(last["episodes"]), f"{_count(last['env_steps'])} env steps"),
    ]
    gaps = [gap for p in range(players) if math.isfinite(gap := formats.relative_gap(last, p))]
    if formats.has_members(last):
        tiles.append(page.Tile("Effective size", formats.describe_sizes(last)[1], "members of each player"))
    # Even exact responses have gaps if all members move at the same time.
    if gaps and (is_learned or formats.has_members(last)):
        worst = formats.format_percent(max(gaps))
        detail = (
            "mean of a player’s members" if formats.has_members(last) else "largest of the last iteration"
        )
        tiles.append(page.Tile("Best-response gap", worst, detail))
    return [*tiles, *distillation.make_tiles(metrics)]


def _make_latest(metrics: Sequence[Row]) -> str:
    """Returns a table of the latest iterations as HTML, with a note that explains its columns."""
    players = range(formats.count_players(metrics[-1]))
    measures = {"nash_conv": "NashConv", "exploitability": "exploitability"}
    if formats.is_correlated(metrics[-1]):
        measures = {**formats.convergence_columns(metrics[-1]), "welfare": "welfare", **measures}
    header = (
        ["iteration", "wall time", "episodes", *measures.values(), "meta-regret"]
        + [f"gain {p}" for p in players]
        + ["best-response gap", formats.describe_sizes(metrics[-1])[0]]
    )
    rows = [
        [
            f"{row['iteration']:.0f}",
            formats.format_duration(row["wall_seconds"]),
            f"{row['episodes']:,.0f}",
            *(_value(row, name) for name in measures),
            # Rows of earlier versions have no meta-regret.
            formats.format_value(row.get("meta_regret", math.nan)),
            *(_value(row, f"gain_{p}") for p in players),
            formats.format_gaps(row),
            formats.describe_sizes(row)[1],
        ]
        for row in metrics[-_LATEST_ROWS:]
    ]
    gain = "what the player gains by an exact best response to the mixture"
    if formats.is_bounded(metrics[-1]):
        gain = (
            "what the player gains by a response that was trained against the mixture, with its standard "
            "error: a lower bound on what there is to gain, which allows for the error"
        )
    if formats.is_correlated(metrics[-1]):
        gain += ", in which each player draws for itself, as for NashConv and exploitability"
    note = (
        "Meta-regret: the most that a player gains by a policy of its population; 0 in an equilibrium of the "
        f"meta-game. Gain: {gain}. Gaps and population sizes are in the order of the players."
    )
    return page.make_number_table(header, rows) + page.make_note(note)


def _value(row: Row, name: str) -> str:
    """Returns a value of a row as HTML; if it is only a lower bound, with its standard error."""
    return html.escape(formats.format_bound(row, name)).replace("&gt;=", "≥")


def _count(number: float) -> str:
    """Returns a count in words from a million on, e.g. `2.5 million`, and in digits below."""
    if number >= 1e9:
        return f"{number / 1e9:.1f} billion"
    if number >= 1e6:
        return f"{number / 1e6:.1f} million"
    return f"{number:,.0f}"
