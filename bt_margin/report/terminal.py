"""The terminal: comparisons and plans as tables that fit its width."""

import sys
from collections.abc import Sequence
from datetime import datetime
from math import isnan

from rich.console import Console
from rich.table import Table

from bt_margin.study import Comparison, PlannedPosition, Run
from bt_margin.venues import Venue

__all__ = ["console", "print_comparison", "print_plans", "print_venue"]

_MOST_LIQUIDATIONS = 20  # shown on the terminal; the JSON has all
_MIDDLING = 100  # columns that the whole table of liquidations needs
_WIDE = 135  # columns that a table with one row for each run needs


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
        f"venue {comparison.venue}, cash {comparison.cash:,.2f};"
        " off: stock accounting, taker fee on every fill, no liquidation\n"
    )
    _print_figures(console, comparison)
    if len(comparison.liquidations):
        console.print()
        console.print(_liquidations_table(comparison, console.width))
    if comparison.bound_runs:
        _print_bounds(console, comparison)
    console.print()
    for sentence in (*comparison.explain(), *comparison.notes):
        console.print(sentence, soft_wrap=not console.is_terminal)


def _print_bounds(console: Console, comparison: Comparison) -> None:
    """Spread of the main figures over the paths, and the bars it comes from."""
    table = Table(
        *("leverage", "mode", "figure", "result", "lowest", "highest"),
        box=None,
        pad_edge=False,
        header_style="bold",
        title="Spread over four other paths inside the bars",
        title_justify="left",
        title_style="bold",
    )
    for row in comparison.spread.reset_index().to_dict("records"):
        if row["figure"] in ("final_balance", "max_drawdown", "trades", "liquidations"):
            form = "{:.1%}" if row["figure"] == "max_drawdown" else "{:,.2f}"
            ends = ("result", "lowest", "highest")
            numbers = [form.format(row[name]) for name in ends]
            setting = (f"{row['leverage']:g}x", str(row["mode"]), str(row["figure"]))
            table.add_row(*setting, *numbers)
    console.print()
    console.print(table)
    bars = comparison.ambiguous_bars
    words = "no bar could have gone two ways"
    if len(bars):
        words = f"ambiguous bars, which could have gone two ways: {len(bars)}"
    console.print(f"\n{words}")
    for bar in bars.sort_values("stake", ascending=False).head(10).itertuples():
        console.print(
            f"{bar.leverage:g}x {bar.mode} {bar.time:%Y-%m-%d %H:%M} {bar.symbol}:"
            f" {bar.above} above, {bar.below} below, {bar.stake:,.2f} at stake"
        )


def _shown_figures(run: Run) -> dict[str, str]:
    """The figures of a run by their heading, as a person reads them."""
    figures = run.figures
    use = figures.peak_margin_use
    return {
        "final balance": f"{figures.final_balance:,.2f}",
        "return": f"{figures.total_return:+.1%}",
        "max drawdown": f"{figures.max_drawdown:.1%}",
        "trades": str(figures.trades),
        "liqui-\ndations": str(figures.liquidations),
        "refused\norders": str(figures.refused_orders),
        "worst loss\non margin": f"{figures.worst_loss_on_margin:.1%}",
        "fees": f"{figures.fees:,.2f}",
        "funding": f"{figures.funding:,.2f}",
        "peak\nmargin use": "-" if isnan(use) else f"{use:.1%}",
        "idle balance": f"{figures.idle_balance:,.2f}",
    }


def _print_figures(console: Console, comparison: Comparison) -> None:
    """The figures: a row for each run, or on a narrow screen a column."""
    if console.width >= _WIDE:
        console.print(_wide_table(comparison.runs))
        return
    for leverage in dict.fromkeys(run.leverage for run in comparison.runs):
        runs = [run for run in comparison.runs if run.leverage == leverage]
        console.print(_narrow_table(f"{leverage:g}x", runs))


def _wide_table(runs: Sequence[Run]) -> Table:
    """One row for each leverage and mode."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("leverage", justify="right")
    table.add_column("mode")
    for heading in _shown_figures(runs[0]):
        table.add_column(heading, justify="right")
    for run in runs:
        table.add_row(f"{run.leverage:g}x", run.mode, *_shown_figures(run).values())
    return table


def _narrow_table(title: str, runs: Sequence[Run]) -> Table:
    """One column for each mode of a leverage."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title)
    for run in runs:
        table.add_column(run.mode, justify="right")
    columns = [_shown_figures(run) for run in runs]
    for heading in columns[0]:
        words = heading.replace("-\n", "").replace("\n", " ")
        table.add_row(words, *(column[heading] for column in columns))
    return table


def _liquidations_table(comparison: Comparison, width: int) -> Table:
    """The first liquidations; a narrow screen leaves size and entry out."""
    events = comparison.liquidations
    title = f"{len(events)} liquidations"
    if len(events) > _MOST_LIQUIDATIONS:
        title += f", the first {_MOST_LIQUIDATIONS}"
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=title,
        title_justify="left",
        title_style="bold",
    )
    for heading in ("run", "time (UTC)", "symbol"):
        table.add_column(heading)
    is_wide = width >= _MIDDLING
    for heading in (*(("size", "entry") if is_wide else ()), "mark", "cause", "loss"):
        table.add_column(heading, justify="right")
    for event in events.head(_MOST_LIQUIDATIONS).to_dict("records"):
        moment: datetime = event["time"]
        size_and_entry = (f"{event['size']:,.6g}", f"{event['entry_price']:,.8g}")
        table.add_row(
            f"{event['leverage']:g}x {event['mode']}",
            f"{moment:%Y-%m-%d %H:%M:%S}",
            str(event["symbol"]),
            *(size_and_entry if is_wide else ()),
            f"{event['mark_price']:,.8g}",
            str(event["cause"]),
            f"{event['loss']:,.2f}",
        )
    return table


def print_plans(console: Console, plans: Sequence[PlannedPosition]) -> None:
    """Planned positions side by side, and the condition with the numbers put in."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for plan in plans:
        table.add_column(plan.venue, justify="right")
    for heading, values in _plan_rows(plans):
        table.add_row(heading, *values)
    console.print(table)
    for plan in plans:
        console.print(f"{plan.venue}: {plan.formula}", soft_wrap=True)


def print_venue(console: Console, venue: Venue) -> None:
    """The rules of a venue, a line each, with their sources and open points."""
    policy = venue.liquidation
    tiers = [tier for table in venue.all_tables() for tier in table]
    lowest = min(tier.maintenance_margin_rate for tier in tiers)
    highest = max(tier.maintenance_margin_rate for tier in tiers)
    rates = f"{lowest:.4%}" if lowest == highest else f"{lowest:.4%} to {highest:.4%}"
    rows = [
        ("maintenance on", f"notional at {venue.maintenance_basis}"),
        ("maintenance margin rate", rates),
        ("closing fee in maintenance", f"{venue.closing_fee_rate:.4%}"),
        ("maker, taker", f"{venue.maker_fee_rate:.4%}, {venue.taker_fee_rate:.4%}"),
        ("cross margin on", f"notional at {venue.cross_margin_basis}"),
        ("isolated margin on", f"notional at {venue.isolated_margin_basis}"),
        (
            "liquidation",
            f"at {policy.settlement}, fee {policy.fee_rate:.4%},"
            f" cancels the orders of the {policy.cancel}"
            + (
                f", all is lost below {policy.backstop:.1%} of maintenance"
                if policy.backstop
                else ""
            ),
        ),
        (
            "tiers",
            (", ".join(sorted(venue.tables)) or "one for all")
            + (f", as of {venue.tables_as_of}" if venue.tables_as_of else ""),
        ),
        ("highest leverage", f"{venue.max_leverage:g}"),
        *(("source", source) for source in venue.sources),
        *(("not verified", point) for point in venue.unverified),
    ]
    for heading, value in rows:
        console.print(f"{heading:28}{value}", soft_wrap=True)


def _plan_rows(plans: Sequence[PlannedPosition]) -> list[tuple[str, list[str]]]:
    """The rows of planned positions, as a person reads them."""

    def price(value: float | None) -> str:
        return "none" if value is None else f"{value:,.8g}"

    def share(value: float | None) -> str:
        return "none" if value is None else f"{value:+.2%}"

    return [
        ("size", [f"{plan.size:,.8g}" for plan in plans]),
        ("notional", [f"{plan.notional:,.2f}" for plan in plans]),
        ("initial margin", [f"{plan.initial_margin:,.2f}" for plan in plans]),
        ("maintenance margin", [f"{plan.maintenance_margin:,.2f}" for plan in plans]),
        ("liquidation price", [price(plan.liquidation_price) for plan in plans]),
        ("distance", [share(plan.distance) for plan in plans]),
        ("bankruptcy price", [price(plan.bankruptcy_price) for plan in plans]),
    ]
