"""Market folders: files named by symbol, interval and kind, read into a Market.

``<SYMBOL>_<interval>_trade``, ``<SYMBOL>_<interval>_mark`` and ``<SYMBOL>_funding``,
as .csv, .csv.gz, .parquet or .feather. An interval is a number and s, m, h, d or w.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from bt_margin.core.errors import DataError, ParameterError, UnknownNameError
from bt_margin.data.check import as_candles, as_funding
from bt_margin.data.market import Market, SymbolData

__all__ = ["load_market"]

# The symbol may hold underscores, so the name is read from its end.
_NAME = re.compile(
    r"(?P<symbol>.+)_((?P<interval>[1-9]\d*[smhdw])_(?P<kind>trade|mark)|funding)"
    r"(?P<suffix>\.csv|\.csv\.gz|\.parquet|\.feather)"
)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_HEADER_LINES = 1
_EXAMPLE = "BTCUSDT_1h_trade.csv"


def load_market(
    folder: str | os.PathLike[str],
    *,
    symbols: str | Iterable[str] | None = None,
    interval: str | None = None,
    start: str | datetime | pd.Timestamp | None = None,
    end: str | datetime | pd.Timestamp | None = None,
) -> Market:
    """Read a market folder; every row is checked.

    Files named otherwise are ignored, and symbols that have no trade candles.

    Args:
        folder: the market folder, which gives the market its name.
        symbols: the symbols to read, in this order; None: all, sorted.
        interval: which trade candles to read, e.g. ``"5m"``, where there are
            several; without ``symbols``, symbols that lack it are left out.
        start: the first candle's time, as in `Market.between`.
        end: the first time left out, as in `Market.between`.

    Raises:
        DataError: there is nothing to read, or a row is bad.
        UnknownNameError: a symbol has no trade file in the folder.
        ParameterError: an interval has to be chosen, or the span holds no candles.
    """
    path = Path(folder)
    listed = _list_files(path)
    chosen = _choose_symbols(listed, symbols, interval)
    found = [_read_symbol(symbol, listed[symbol], interval) for symbol in chosen]
    return Market(path.resolve().name, found).between(start, end)


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a market folder: its kind is trade, mark or funding."""

    path: Path
    kind: str
    interval: str

    @property
    def duration(self) -> pd.Timedelta:
        """The length of one candle."""
        seconds = int(self.interval[:-1]) * _SECONDS[self.interval[-1]]
        return pd.Timedelta(seconds=seconds)


def _list_files(folder: Path) -> dict[str, list[_File]]:
    """The files of each symbol that has trade candles, shortest candles first."""
    if not folder.is_dir():
        fix = f"give a folder with files such as {_EXAMPLE}"
        raise DataError(str(folder), "there is no such folder", fix)
    found: dict[str, list[_File]] = {}
    for path in sorted(folder.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name and path.is_file():
            # A funding file is of every interval.
            kind, interval = name["kind"] or "funding", name["interval"] or "0s"
            found.setdefault(name["symbol"], []).append(_File(path, kind, interval))
    traded = {
        symbol: sorted(files, key=lambda file: file.duration)
        for symbol, files in sorted(found.items())
        if any(file.kind == "trade" for file in files)
    }
    if not traded:
        fix = f"name the files of trade candles like {_EXAMPLE}"
        raise DataError(str(folder), "there is no file of trade candles", fix)
    return traded


def _choose_symbols(
    listed: Mapping[str, list[_File]],
    symbols: str | Iterable[str] | None,
    interval: str | None,
) -> tuple[str, ...]:
    if symbols is None:
        having = tuple(
            symbol
            for symbol, files in listed.items()
            if interval in (None, *_trade_intervals(files))
        )
        # With none left, the first symbol's own error lists what there is.
        return having or tuple(listed)
    names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    for name in names:
        if name not in listed:
            raise UnknownNameError("symbol", name, tuple(listed))
    return names


def _trade_intervals(files: Iterable[_File]) -> tuple[str, ...]:
    # A dict keeps each interval once, in order.
    return tuple(dict.fromkeys(file.interval for file in files if file.kind == "trade"))


def _read_symbol(symbol: str, files: list[_File], interval: str | None) -> SymbolData:
    _require_one_of_each(files)
    trade_file = _choose_trade(symbol, files, interval)
    mark_file = _choose_mark(files, trade_file.duration)
    funding_file = next((file for file in files if file.kind == "funding"), None)
    frame, row = _read(trade_file.path)
    trade = as_candles(frame, where=str(trade_file.path), first_row=row)
    mark = funding = None
    if mark_file is not None:
        frame, row = _read(mark_file.path)
        mark = as_candles(frame, where=str(mark_file.path), first_row=row, mark=True)
    if funding_file is not None:
        frame, row = _read(funding_file.path)
        span = trade.index[0], trade.index[-1] + trade_file.duration
        where = str(funding_file.path)
        funding = as_funding(frame, where=where, first_row=row, span=span)
    return SymbolData(symbol, trade, mark, funding)


def _require_one_of_each(files: Iterable[_File]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for file in files:
        other = seen.setdefault((file.kind, file.interval), file.path)
        if other is not file.path:
            what = f"{other.name} and {file.path.name} are the same data twice"
            raise DataError(str(file.path.parent), what, "keep one of the two files")


def _choose_trade(symbol: str, files: list[_File], interval: str | None) -> _File:
    known = _trade_intervals(files)
    if interval not in known and (interval is not None or len(known) > 1):
        fix = f'give interval="{known[0]}"; {symbol} has {", ".join(known)}'
        raise ParameterError("interval", interval, fix)
    return next(
        file
        for file in files
        if file.kind == "trade" and interval in (None, file.interval)
    )


def _choose_mark(files: list[_File], trade: pd.Timedelta) -> _File | None:
    """Mark candles on the trade candles' grid, else the finest there are."""
    marks = [file for file in files if file.kind == "mark"]
    same = [file for file in marks if file.duration == trade]
    return min(same or marks, key=lambda file: file.duration, default=None)


def _read(path: Path) -> tuple[pd.DataFrame, int]:
    """The raw frame of a file, and the number of its first row in errors."""
    read = _READERS.get(path.suffix, _read_csv)
    try:
        frame = read(path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        line = re.search(r"line (\d+)", str(error))
        row = int(line[1]) if line else None
        what = f"the file cannot be read: {error}".strip()
        raise DataError(str(path), what, "correct the file", row) from error
    return frame, 0 if path.suffix in _READERS else 1 + _HEADER_LINES


def _read_csv(path: Path) -> pd.DataFrame:
    # Blank lines are kept so that a position gives the line, except at the end.
    frame = pd.read_csv(path, skip_blank_lines=False, low_memory=False)
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("rows have more cells than the header")
    filled = frame.notna().any(axis=1).to_numpy().nonzero()[0]
    return frame.iloc[: filled.max(initial=-1) + 1]


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".feather": pd.read_feather,
}
