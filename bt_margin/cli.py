"""The command line: ``bt-margin``."""

import ast
import sys
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

from bt_margin.core.errors import MarginError, ParameterError, UnknownNameError
from bt_margin.core.path import BarPath
from bt_margin.core.tiers import TierTable
from bt_margin.data import Market, load_market, load_tiers
from bt_margin.data.sample import sample_market
from bt_margin.report.terminal import (
    console,
    print_comparison,
    print_plans,
    print_venue,
)
from bt_margin.study import (
    Comparison,
    PlannedPosition,
    StrategySource,
    bundled_strategies,
    compare,
    plan_position,
)
from bt_margin.venues import get_venue, venue_names

__all__ = ["main"]


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
    words = (word.strip() for text in texts for word in text.split(","))
    return tuple(word for word in words if word)


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
    "venues",
    multiple=True,
    default=("generic",),
    show_default=True,
    callback=_words,
    help=f"Whose rules hold, one or several: {', '.join(venue_names())}.",
)
@click.option(
    "--tiers",
    "tiers_path",
    type=click.Path(),
    help="JSON of ccxt's fetch_leverage_tiers or Binance's brackets [each venue's].",
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
    venues: tuple[str, ...],
    tiers_path: str | None,
    cash: float,
    bar_path: str,
    fill_order: str,
    bounds: bool,
    params: dict[str, Any],
    jobs: int,
    json_path: str | None,
) -> None:
    """Run STRATEGY under stock, isolated and cross accounting on the same data.

    Several venues and leverages stand beside each other.

    STRATEGY is a file, or file.py:Class; without it the bundled scalper runs.

    \b
    Example:
      bt-margin compare strategies/scalper.py --data FOLDER --symbol BTCUSDT
          --from 2020-03-01 --to 2020-04-01 --leverage 3,5,10,20 --json out.json
      bt-margin compare --venue binanceusdm,hyperliquid,generic --leverage 5,10
    """  # noqa: D301
    source = StrategySource.of(strategy or bundled_strategies() / "scalper.py")
    _check_writable(json_path)
    market = _market(data, symbols, interval, start, end)
    options: dict[str, Any] = {
        "leverage": leverage,
        "modes": modes,
        "venue": venues,
        "cash": cash,
        "strategy_params": params,
        "broker_params": {"bar_path": bar_path, "fill_order": fill_order},
        "bounds": bounds,
        "tiers": {s: load_tiers(tiers_path, s) for s in market} if tiers_path else None,
        "jobs": jobs,
    }
    comparison = _with_progress(source, market, options)
    print_comparison(console(), comparison)
    if json_path:
        comparison.to_json(json_path)
        click.echo(f"\nEverything is in {json_path}")


def _check_writable(path: str | None) -> None:
    """Refuse a place that cannot be written before the runs, not after them."""
    if path and Path(path).is_dir():
        raise ParameterError("--json", path, "it is a folder: give a file")
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
    screen = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    ) as bar:
        task = bar.add_task(source.title, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return compare(source, market, progress=tell, **options)


@main.command(name="price")
@click.option(
    "--side", default="long", show_default=True, help="Of the position: long or short."
)
@click.option("--entry", type=float, required=True, help="Entry price.")
@click.option("--leverage", type=float, required=True, help="The setting.")
@click.option("--notional", type=float, help="Worth at entry [that of one coin].")
@click.option(
    "--maintenance-margin-rate", "rate", type=float, help="Instead of a venue's tiers."
)
@click.option("--venue", default="generic", show_default=True, help="Whose rules hold.")
@click.option("--symbol", default="BTCUSDT", show_default=True, help="Whose tiers.")
@click.option("--compare", "all_venues", is_flag=True, help="All venues side by side.")
def price_command(
    side: str,
    entry: float,
    leverage: float,
    notional: float | None,
    rate: float | None,
    venue: str,
    symbol: str,
    all_venues: bool,
) -> None:
    """Say where a planned isolated position would be liquidated.

    \b
    Example:
      bt-margin price --side long --entry 65000 --leverage 10
      bt-margin price --entry 65000 --leverage 10 --notional 1000000 --compare
    """  # noqa: D301
    tiers = None if rate is None else TierTable.flat(rate, 1 / rate if rate else 1000)
    plans: list[PlannedPosition] = []
    refused: list[tuple[str, MarginError]] = []
    for name in venue_names() if all_venues else (venue,):
        try:
            plan = plan_position(
                get_venue(name),
                side=side,
                entry_price=entry,
                leverage=leverage,
                notional=notional,
                symbol=symbol,
                tiers=tiers,
            )
        except (ParameterError, UnknownNameError) as error:
            refused.append((name, error))
        else:
            plans.append(plan)
    if not plans:
        raise refused[0][1]
    print_plans(console(), plans)
    for name, reason in refused:
        click.echo(f"{name}: {reason}")


@main.command(name="venues")
@click.argument("name", required=False)
def venues_command(name: str | None) -> None:
    """List the venues, or the rules of venue NAME.

    \b
    Example:
      bt-margin venues binanceusdm
    """  # noqa: D301
    if name is None:
        for one in venue_names():
            click.echo(one)
        return
    print_venue(console(), get_venue(name))
