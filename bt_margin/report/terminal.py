"""The terminal: comparisons as tables that fit its width."""

import sys
from collections.abc import Hashable, Mapping, Sequence
from itertools import groupby
from math import isnan
from typing import Any

from rich.console import Console
from rich.table import Table

from bt_margin.study import Comparison, Run

from .tables import fits, narrowed, row_table

__all__ = ["console", "print_comparison"]

_SHOWN_SPREADS = ("final_balance", "max_drawdown", "trades", "liquidations")
_MOST_LIQUIDATIONS = 20  # shown on the terminal; the JSON has all
_LEAST_NEEDED = ("size", "entry", "mark")  # a narrow screen has no room for them
_WORDS = ("venue", "mode", "run", "figure", "time (UTC)", "symbol")  # set to the left


def console() -> Console:
    """Standard output; wide enough for a table when it is a file or a pipe."""
    return Console(
        highlight=False, markup=False, width=None if sys.stdout.isatty() else 150
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Title, figures, liquidations, bounds and sentences."""
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in comparison.span)
    console.print(
        f"{comparison.strategy} on {', '.join(comparison.symbols)}"
        f" ({comparison.market}), {first} to {last} UTC"
    )
    console.print(
        f"{'venues' if _has_several(comparison) else 'venue'}"
        f" {', '.join(comparison.venues)}, cash {comparison.cash:,.2f};"
        " off: stock accounting, taker fee on every fill, no liquidation\n"
    )
    _print_figures(console, comparison)
    if len(comparison.liquidations):
        console.print()
        console.print(_liquidations_table(console, comparison))
    if comparison.bound_runs:
        _print_bounds(console, comparison)
    console.print()
    for sentence in (*comparison.explain(), *comparison.notes):
        console.print(sentence, soft_wrap=not console.is_terminal)


def _has_several(comparison: Comparison) -> bool:
    """Whether the tables need a column for the venue."""
    return len(comparison.venues) > 1


def _venue(comparison: Comparison, venue: str) -> dict[str, str]:
    """The venue by its heading, where there are several."""
    return {"venue": venue} if _has_several(comparison) else {}


def _print_bounds(console: Console, comparison: Comparison) -> None:
    """Spread of the main figures over the paths, and the bars it comes from."""
    rows = []
    for row in comparison.spread.reset_index().to_dict("records"):
        if row["figure"] in _SHOWN_SPREADS:
            form = "{:.1%}" if row["figure"] == "max_drawdown" else "{:,.2f}"
            ends = ("result", "lowest", "highest")
            numbers = {name: form.format(row[name]) for name in ends}
            run = f"{row['leverage']:g}x {row['mode']}"
            words = {"run": run, "figure": str(row["figure"])}
            rows.append({**_venue(comparison, row["venue"]), **words, **numbers})
    console.print()
    title = "Spread over four other paths inside the bars"
    console.print(row_table(rows, words=_WORDS, title=title))
    bars = comparison.ambiguous_bars
    count = "no bar could have gone two ways"
    if len(bars):
        count = f"ambiguous bars, which could have gone two ways: {len(bars)}"
    console.print(f"\n{count}")
    for bar in bars.sort_values("stake", ascending=False).head(10).itertuples():
        place = f"{bar.venue} " if _has_several(comparison) else ""
        console.print(
            f"{place}{bar.leverage:g}x {bar.mode} {bar.time:%Y-%m-%d %H:%M}"
            f" {bar.symbol}: {bar.above} above, {bar.below} below,"
            f" {bar.stake:,.2f} at stake"
        )


def _shown_figures(comparison: Comparison, run: Run) -> dict[str, str]:
    """The figures of a run by their heading, as a person reads them.

    What was put in stands there where it was anything, in any run.
    """
    figures = run.figures
    use = figures.peak_margin_use
    has_deposits = any(one.figures.put_in for one in comparison.runs)
    return {
        "final\nbalance": f"{figures.final_balance:,.2f}",
        **({"put\nin": f"{figures.put_in:,.2f}"} if has_deposits else {}),
        "return": f"{figures.total_return:+.1%}",
        "max\ndrawdown": f"{figures.max_drawdown:.1%}",
        "trades": str(figures.trades),
        "liqui-\ndations": str(figures.liquidations),
        "refused\norders": str(figures.refused_orders),
        "worst loss\non margin": f"{figures.worst_loss_on_margin:.1%}",
        "fees": f"{figures.fees:,.2f}",
        "funding": f"{figures.funding:,.2f}",
        "peak\nmargin use": "-" if isnan(use) else f"{use:.1%}",
        "idle\nbalance": f"{figures.idle_balance:,.2f}",
    }


def _print_figures(console: Console, comparison: Comparison) -> None:
    """The figures: a row for each run, or on a narrow screen a column."""
    table = _wide_table(comparison)
    if fits(console, table):
        console.print(table)
        return
    for (venue, leverage), runs in groupby(
        comparison.runs, key=lambda run: (run.venue, run.leverage)
    ):
        place = f"{venue} " if _has_several(comparison) else ""
        title = f"{place}{leverage:g}x"
        console.print(_narrow_table(comparison, title, list(runs)))


def _wide_table(comparison: Comparison) -> Table:
    """One row for each venue, leverage and mode."""
    return row_table(
        [
            {
                **_venue(comparison, run.venue),
                "leverage": f"{run.leverage:g}x",
                "mode": run.mode,
                **_shown_figures(comparison, run),
            }
            for run in comparison.runs
        ],
        words=_WORDS,
    )


def _narrow_table(comparison: Comparison, title: str, runs: Sequence[Run]) -> Table:
    """One column for each mode of a venue and leverage."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for run in runs:
        table.add_column(run.mode, justify="right")
    columns = [_shown_figures(comparison, run) for run in runs]
    for heading in columns[0]:
        words = heading.replace("-\n", "").replace("\n", " ")
        table.add_row(words, *(column[heading] for column in columns))
    return table


def _liquidations_table(console: Console, comparison: Comparison) -> Table:
    """The first liquidations, in as many columns as the screen has room for."""
    events = comparison.liquidations
    title = f"{len(events)} liquidations"
    if len(events) > _MOST_LIQUIDATIONS:
        title += f", the first {_MOST_LIQUIDATIONS}"
    first = events.head(_MOST_LIQUIDATIONS).to_dict("records")
    rows = [_shown_liquidation(comparison, event) for event in first]
    return narrowed(
        console, rows, words=_WORDS, least_needed=_LEAST_NEEDED, title=title
    )


def _shown_liquidation(
    comparison: Comparison, event: Mapping[Hashable, Any]
) -> dict[str, str]:
    """A liquidation by its headings, as a person reads it."""
    return {
        **_venue(comparison, event["venue"]),
        "run": f"{event['leverage']:g}x {event['mode']}",
        "time (UTC)": f"{event['time']:%Y-%m-%d %H:%M:%S}",
        "symbol": str(event["symbol"]),
        "size": f"{event['size']:,.6g}",
        "entry": f"{event['entry_price']:,.8g}",
        "mark": f"{event['mark_price']:,.8g}",
        "cause": str(event["cause"]),
        "loss": f"{event['loss']:,.2f}",
    }
