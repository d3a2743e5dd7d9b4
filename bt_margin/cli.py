"""The command line: ``bt-margin``."""

import ast
import sys
from datetime import date, datetime
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
from bt_margin.data import Market, load_market, load_tiers, write_tiers
from bt_margin.data.sample import sample_market
from bt_margin.report.plans import print_plans
from bt_margin.report.rules import print_tiers, print_venue, print_venues
from bt_margin.report.terminal import console, print_comparison
from bt_margin.study import (
    Comparison,
    PlannedPosition,
    StrategySource,
    bundled_strategies,
    compare,
    plan_position,
)
from bt_margin.venues import ContractKind, Venue, get_venue, venue_names

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


def _day(
    _: click.Context,
    option: click.Parameter,  # noqa: ARG001
    moment: datetime | None,
) -> date | None:
    """The day of a date that was given."""
    return None if moment is None else moment.date()


_date_option = click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    callback=_day,
    help="Rules of that day, YYYY-MM-DD [the latest].",
)


@main.command(name="price")
@click.option(
    "--side", default="long", show_default=True, help="Of the position: long or short."
)
@click.option("--entry", type=float, required=True, help="Entry price.")
@click.option("--leverage", type=float, required=True, help="The setting.")
@click.option(
    "--notional", type=float, help="Worth at entry; inverse: in coin [one coin]."
)
@click.option("--size", type=float, help="Contracts, in place of --notional.")
@click.option(
    "--contract-size",
    default=1.0,
    show_default=True,
    help="Coins per contract; inverse: quote units.",
)
@click.option(
    "--inverse/--linear",
    default=None,
    help="Settled in the coin, or in the quote currency [as the venue's are].",
)
@click.option(
    "--margin-mode", help="isolated or cross [isolated, where the venue has it]."
)
@click.option(
    "--wallet", type=float, help="Balance behind a cross position [its margin]."
)
@click.option(
    "--added-margin", default=0.0, help="Put on an isolated position beside its own."
)
@click.option(
    "--maintenance-margin-rate", "rate", type=float, help="Instead of a venue's tiers."
)
@click.option("--venue", default="generic", show_default=True, help="Whose rules hold.")
@click.option("--symbol", default="BTCUSDT", show_default=True, help="Whose tiers.")
@_date_option
@click.option("--compare", "all_venues", is_flag=True, help="All venues side by side.")
def price_command(
    side: str,
    entry: float,
    leverage: float,
    notional: float | None,
    size: float | None,
    contract_size: float,
    inverse: bool | None,
    margin_mode: str | None,
    wallet: float | None,
    added_margin: float,
    rate: float | None,
    venue: str,
    symbol: str,
    day: date | None,
    all_venues: bool,
) -> None:
    """Say where a planned position would be liquidated, and what it costs to open.

    \b
    Example:
      bt-margin price --side long --entry 65000 --leverage 10
      bt-margin price --entry 65000 --leverage 10 --notional 1000000 --compare
      bt-margin price --entry 65000 --leverage 10 --margin-mode cross --wallet 20000
      bt-margin price --entry 50000 --leverage 10 --inverse --size 60000
    """  # noqa: D301
    plan: dict[str, Any] = {
        "side": side,
        "entry_price": entry,
        "leverage": leverage,
        "notional": notional,
        "size": size,
        "symbol": symbol,
        "tiers": _flat_tiers(rate),
        "margin_mode": margin_mode,
        "wallet_balance": wallet,
        "added_margin": added_margin,
        "inverse": bool(inverse) if all_venues else inverse,
        "contract_size": contract_size,
        "day": day,
    }
    plans: list[PlannedPosition] = []
    refused: list[tuple[str, MarginError]] = []
    for name in venue_names() if all_venues else (venue,):
        try:
            plans.append(plan_position(get_venue(name), **plan))
        except (ParameterError, UnknownNameError) as error:
            refused.append((name, error))
    if not plans:
        raise refused[0][1]
    print_plans(console(), plans, refused)


def _flat_tiers(rate: float | None) -> TierTable | None:
    """One tier of a rate of one's own."""
    return None if rate is None else TierTable.flat(rate, 1 / rate if rate else 1000)


@main.command(name="venues")
@click.argument("name", required=False)
@click.option("--tiers", "symbol", help="Print the tier table of this symbol.")
@_date_option
def venues_command(name: str | None, symbol: str | None, day: date | None) -> None:
    """List the venues, or every rule of venue NAME in words.

    \b
    Example:
      bt-margin venues binanceusdm
      bt-margin venues binanceusdm --tiers BTCUSDT
    """  # noqa: D301
    if name is None:
        if symbol is not None or day is not None:
            raise click.UsageError("name the venue: bt-margin venues NAME")
        print_venues(console(), [get_venue(one) for one in venue_names()])
        return
    venue = get_venue(name) if day is None else get_venue(name).at(day)
    if symbol is None:
        print_venue(console(), venue)
    else:
        _print_tiers_of(venue, symbol)


def _print_tiers_of(venue: Venue, symbol: str) -> None:
    """The tiers of a symbol, of each kind of contract that has some."""
    missing: UnknownNameError | None = None
    tables = {}
    for kind in venue.kinds:
        try:
            inverse = kind is ContractKind.INVERSE
            tables[kind] = venue.tiers_of(symbol, inverse=inverse)
        except UnknownNameError as error:
            missing = missing or error
    if not tables and missing:
        raise missing
    for kind, tiers in tables.items():
        title = f"{symbol} at {venue.name}, {kind}"
        print_tiers(console(), tiers, title=title, coin=kind is ContractKind.INVERSE)


@main.group(name="data", invoke_without_command=True)
@click.pass_context
def data_group(context: click.Context) -> None:
    """Look at market and venue data in files."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@data_group.command(name="tiers")
@click.argument("file", type=click.Path())
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    required=True,
    callback=_words,
    help="One or several: BTCUSDT or BTC/USDT:USDT.",
)
@click.option("--json", "json_path", type=click.Path(), help="Write their tiers here.")
def data_tiers_command(
    file: str, symbols: tuple[str, ...], json_path: str | None
) -> None:
    """Print the tiers of symbols in FILE.

    FILE is JSON of ccxt's fetch_leverage_tiers or of Binance's brackets. What --json
    writes is of ccxt's shape, for compare --tiers.

    \b
    Example:
      bt-margin data tiers tiers.json --symbol BTCUSDT --json btc.json
    """  # noqa: D301
    _check_writable(json_path)
    tables = {symbol: load_tiers(file, symbol) for symbol in symbols}
    for symbol, table in tables.items():
        print_tiers(console(), table, title=symbol, coin=False)
    if json_path:
        write_tiers(json_path, tables)
        click.echo(f"\nThe tiers are in {json_path}")
