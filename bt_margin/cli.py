"""The command line: ``bt-margin``."""

import ast
import sys
from collections.abc import Sequence
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from bt_margin.core.errors import MarginError, ParameterError
from bt_margin.core.path import BarPath
from bt_margin.data import Market, load_market
from bt_margin.data.sample import sample_market
from bt_margin.study import (
    Comparison,
    Run,
    StrategySource,
    bundled_strategies,
    compare,
)
from bt_margin.venues import venue_names

__all__ = ["main"]

_MOST_LIQUIDATIONS = 20  # shown on the terminal; the JSON has all
_MIDDLING = 100  # columns that the whole table of liquidations needs
_WIDE = 135  # columns that a table with one row for each run needs


class _OneLineErrors(click.Group):
    """A group whose errors are one line and exit code 2, never a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line."""
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            message = error.format_message()
        except click.Abort:
            message = "stopped"
        except MarginError as error:
            message = str(error)
        click.echo(f"bt-margin: {' '.join(message.split())}", err=True)
        return sys.exit(2)


def _numbers(_: click.Context, option: click.Parameter, text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        message = f"{text!r} is not a list of numbers: write 3,5,10"
        raise click.BadParameter(message, param=option) from None


def _words(_: click.Context, option: click.Parameter, values: Any) -> tuple[str, ...]:  # noqa: ARG001
    """Words separated by commas, in one option or several."""
    texts = (values,) if isinstance(values, str) else values
    return tuple(word for text in texts for word in text.split(",") if word)


def _pairs(
    _: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """``name=value``, a Python value or else text."""
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            message = f"{text!r} has no value: write name=value"
            raise click.BadParameter(message, param=option)
        try:
            pairs[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            pairs[name] = value
    return pairs


@click.group(
    cls=_OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="bt_margin")
@click.pass_context
def main(context: click.Context) -> None:
    """Backtest a Backtrader strategy as a leveraged crypto perpetual."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@main.command(name="compare")
@click.argument("strategy", required=False)
@click.option("--data", type=click.Path(), help="Market folder [the bundled sample].")
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    callback=_words,
    help="Symbols, in the strategy's order [all in the folder].",
)
@click.option("--interval", help="Candles to use where a folder has several: 5m, 1h.")
@click.option("--from", "start", help="First bar: a date or time in UTC.")
@click.option("--to", "end", help="End, exclusive: a date or time in UTC.")
@click.option(
    "--leverage",
    default="10,50",
    show_default=True,
    callback=_numbers,
    help="One or several, separated by commas.",
)
@click.option(
    "--modes",
    default="off,isolated,cross",
    show_default=True,
    callback=_words,
    help="off is stock accounting, the baseline.",
)
@click.option(
    "--venue",
    default="generic",
    show_default=True,
    help=f"Whose rules hold: {', '.join(venue_names())}.",
)
@click.option("--cash", default=10_000.0, show_default=True, help="Starting cash.")
@click.option(
    "--bar-path",
    default="adaptive",
    show_default=True,
    help=f"Which extreme of a bar comes first: {', '.join(BarPath)}.",
)
@click.option(
    "--fill-order",
    default="queue",
    show_default=True,
    help="Orders of a bar: queue, as Backtrader; path, as the price reaches them.",
)
@click.option(
    "--bounds",
    is_flag=True,
    help="Also run four other paths inside the bars, and show the spread.",
)
@click.option(
    "--param",
    "params",
    multiple=True,
    callback=_pairs,
    help="Strategy parameter, name=value; may be repeated.",
)
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option("--json", "json_path", type=click.Path(), help="Write everything here.")
def compare_command(
    strategy: str | None,
    data: str | None,
    symbols: tuple[str, ...],
    interval: str | None,
    start: str | None,
    end: str | None,
    leverage: tuple[float, ...],
    modes: tuple[str, ...],
    venue: str,
    cash: float,
    bar_path: str,
    fill_order: str,
    bounds: bool,
    params: dict[str, Any],
    jobs: int,
    json_path: str | None,
) -> None:
    """Run STRATEGY under stock, isolated and cross accounting on the same data.

    STRATEGY is a file, or file.py:Class; without it the bundled scalper runs.

    \b
    Example:
      bt-margin compare strategies/scalper.py --data FOLDER --symbol BTCUSDT
          --from 2020-03-01 --to 2020-04-01 --leverage 3,5,10,20 --json out.json
    """  # noqa: D301
    source = StrategySource.of(strategy or bundled_strategies() / "scalper.py")
    _check_writable(json_path)
    market = _market(data, symbols, interval, start, end)
    options: dict[str, Any] = {
        "leverage": leverage,
        "modes": modes,
        "venue": venue,
        "cash": cash,
        "strategy_params": params,
        "broker_params": {"bar_path": bar_path, "fill_order": fill_order},
        "bounds": bounds,
        "jobs": jobs,
    }
    comparison = _with_progress(source, market, options)
    _print(comparison)
    if json_path:
        comparison.to_json(json_path)
        click.echo(f"\nEverything is in {json_path}")


def _check_writable(path: str | None) -> None:
    """Refuse a place that cannot be written before the runs, not after them."""
    if path and not Path(path).absolute().parent.is_dir():
        fix = f"make the folder {Path(path).absolute().parent} first"
        raise ParameterError("--json", path, fix)


def _market(
    data: str | None,
    symbols: tuple[str, ...],
    interval: str | None,
    start: str | None,
    end: str | None,
) -> Market:
    """The market that was asked for."""
    if data is not None:
        return load_market(
            data, symbols=symbols or None, interval=interval, start=start, end=end
        )
    market = sample_market()
    if symbols:
        market = market.select(*symbols)
    if start is not None or end is not None:
        market = market.between(start, end)
    return market


def _with_progress(
    source: StrategySource, market: Market, options: dict[str, Any]
) -> Comparison:
    """Compare with a progress bar, which only a terminal shows."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(source.title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return compare(source, market, progress=tell, **options)


def _print(comparison: Comparison) -> None:
    """Title, figures, liquidations and sentences."""
    # Wide enough for a table when the output is a file or a pipe.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in comparison.span)
    console.print(
        f"[bold]{comparison.strategy}[/bold] on {', '.join(comparison.symbols)}"
        f" ({comparison.market}), {first} to {last} UTC"
    )
    console.print(
        f"venue {comparison.venue}, cash {comparison.cash:,.2f};"
        " off: stock accounting, no liquidation\n"
    )
    _print_figures(console, comparison)
    if len(comparison.liquidations):
        console.print()
        console.print(_liquidations_table(comparison, console.width))
    if comparison.bound_runs:
        _print_bounds(console, comparison)
    console.print()
    for sentence in (*comparison.explain(), *comparison.notes):
        console.print(sentence, soft_wrap=not sys.stdout.isatty())


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
            numbers = [f"{row[name]:,.4g}" for name in ("result", "lowest", "highest")]
            setting = (f"{row['leverage']:g}x", str(row["mode"]), str(row["figure"]))
            table.add_row(*setting, *numbers)
    console.print()
    console.print(table)
    bars = comparison.ambiguous_bars
    console.print(
        f"\n{len(bars)} ambiguous bars: something waited on both sides of the open"
    )
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
