"""Checks of candles and funding: the first bad row, its value and the fix.

``as_candles`` and ``as_funding`` bring a frame into the shape of a market and check
it; ``check_candles`` and ``check_funding`` are the same check without the result.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from bt_margin.core.errors import DataError

__all__ = ["as_candles", "as_funding", "check_candles", "check_funding"]

_Mask: TypeAlias = npt.NDArray[np.bool_]

_PRICES = ("open", "high", "low", "close")
# Milliseconds of 1973 and 2286: a number outside is seconds, microseconds or a
# date written as digits, never the epoch milliseconds of a candle.
_FIRST_EPOCH_MS, _LAST_EPOCH_MS = 10**11, 10**13

_TIME_FIX = "write UTC times such as 2024-01-31T08:00:00Z, or epoch milliseconds"
_PRICE_FIX = "write a price above zero, or delete the row"


def as_candles(
    frame: pd.DataFrame, *, where: str, first_row: int = 0, mark: bool = False
) -> pd.DataFrame:
    """Bring candles into the shape of a market and check them.

    Args:
        frame: open, high, low, close and volume in any letter case, with a
            DatetimeIndex or a datetime column of candle open times (a time without
            a zone is UTC; ISO strings, datetimes or epoch milliseconds).
        where: names the frame in errors, e.g. a file or ``"BTCUSDT trade"``.
        first_row: the number of the first row in errors.
        mark: these are mark candles, which have no volume.

    Returns:
        A new float64 frame, indexed by "datetime" in UTC.

    Raises:
        DataError: a column is missing, or a row cannot be a candle.
    """
    source = _Source(where, first_row)
    names = _PRICES if mark else (*_PRICES, "volume")
    candles = _normalise(frame, names, source)
    _raise_first([*_time_faults(candles), *_candle_faults(candles)], source)
    return candles


def as_funding(
    frame: pd.DataFrame,
    *,
    where: str,
    first_row: int = 0,
    span: tuple[pd.Timestamp, pd.Timestamp] | None = None,
) -> pd.DataFrame:
    """Bring funding into the shape of a market and check it.

    Args:
        frame: funding_rate and, where known, mark_price; times as in `as_candles`.
        where: names the frame in errors.
        first_row: the number of the first row in errors.
        span: open of the first candle and end of the last, which the stamps meet.

    Returns:
        A new float64 frame of funding_rate and mark_price (NaN where unknown),
        indexed by "datetime", the settlement time in UTC.

    Raises:
        DataError: a column is missing, a row is bad, or no stamp meets the span.
    """
    source = _Source(where, first_row)
    if "mark_price" not in _names(frame):
        frame = frame.assign(mark_price=np.nan)
    funding = _normalise(frame, ("funding_rate", "mark_price"), source)
    _raise_first([*_time_faults(funding), *_funding_faults(funding)], source)
    if span is not None:
        _require_overlap(funding, span, source)
    return funding


def check_candles(
    frame: pd.DataFrame, *, where: str, first_row: int = 0, mark: bool = False
) -> None:
    """Raise the DataError of the first bad candle, if any; see `as_candles`."""
    as_candles(frame, where=where, first_row=first_row, mark=mark)


def check_funding(
    frame: pd.DataFrame,
    *,
    where: str,
    first_row: int = 0,
    span: tuple[pd.Timestamp, pd.Timestamp] | None = None,
) -> None:
    """Raise the DataError of the first bad funding row, if any; see `as_funding`."""
    as_funding(frame, where=where, first_row=first_row, span=span)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the rows come from, for the error that names one."""

    where: str
    first_row: int

    def error(self, what: str, fix: str, position: int | None = None) -> DataError:
        row = None if position is None else self.first_row + position
        return DataError(self.where, what, fix, row)


class _Fault(NamedTuple):
    """The first row that breaks one rule."""

    position: int
    what: str
    fix: str


def _raise_first(faults: Iterable[_Fault], source: _Source) -> None:
    first = min(faults, key=lambda fault: fault.position, default=None)
    if first is not None:
        raise source.error(first.what, first.fix, first.position)


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(column).strip().lower() for column in frame.columns]


def _normalise(
    frame: pd.DataFrame, names: tuple[str, ...], source: _Source
) -> pd.DataFrame:
    present = _names(frame)
    has_index = isinstance(frame.index, pd.DatetimeIndex) and "datetime" not in present
    wanted = names if has_index else ("datetime", *names)
    for name in wanted:
        if present.count(name) != 1:
            count = "two columns" if name in present else "no column"
            what = f"there is {count} {name!r} among {', '.join(present) or 'none'}"
            raise source.error(what, f"name the columns {', '.join(wanted)}")
    if frame.empty:
        raise source.error("there are no rows", "give at least one row of data")
    columns = {name: frame.iloc[:, present.index(name)] for name in wanted}
    times = frame.index.to_series() if has_index else columns.pop("datetime")
    index = _times(times, source)
    return pd.DataFrame(
        {name: _numbers(name, cells, source) for name, cells in columns.items()},
        index=index,
    )


def _times(cells: pd.Series, source: _Source) -> pd.DatetimeIndex:
    if pd.api.types.is_datetime64_any_dtype(cells):
        times = pd.to_datetime(cells, utc=True)
    else:
        numbers = pd.to_numeric(cells, errors="coerce")
        epochs = numbers.where(numbers.between(_FIRST_EPOCH_MS, _LAST_EPOCH_MS))
        if pd.api.types.is_numeric_dtype(cells) or epochs.notna().any():
            times = pd.to_datetime(epochs, unit="ms", utc=True)
        else:
            times = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    _raise_cell("datetime", cells, times.isna().to_numpy(), _TIME_FIX, source)
    # One resolution for every kind of file, so that indexes compare equal.
    return pd.DatetimeIndex(times, name="datetime").as_unit("us")


def _numbers(name: str, cells: pd.Series, source: _Source) -> npt.NDArray[np.float64]:
    numbers = pd.to_numeric(cells, errors="coerce")
    bad = (numbers.isna() & cells.notna()).to_numpy(dtype=bool)
    _raise_cell(name, cells, bad, "write a plain number such as 0.0001", source)
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _raise_cell(
    name: str, cells: pd.Series, bad: _Mask, fix: str, source: _Source
) -> None:
    if bad.any():
        position = int(bad.argmax())
        value = cells.iloc[position]
        seen = "empty" if pd.isna(value) else f"{str(value)!r}"
        raise source.error(f"{name} is {seen}", fix, position)


def _faults(
    frame: pd.DataFrame, bad: "pd.Series[bool]", names: Iterable[str], fix: str
) -> Iterator[_Fault]:
    mask = bad.to_numpy()
    if mask.any():
        position = int(mask.argmax())
        row = frame.iloc[position]
        what = " and ".join(f"{name} is {row[name]}" for name in names)
        yield _Fault(position, what.replace("is nan", "is missing (NaN)"), fix)


def _time_faults(frame: pd.DataFrame) -> Iterator[_Fault]:
    times = frame.index
    for bad, what, fix in (
        (times[1:] == times[:-1], "is there twice", "delete one of the two rows"),
        (times[1:] < times[:-1], "comes after a later time", "sort rows by datetime"),
    ):
        if bad.any():
            position = int(bad.argmax()) + 1
            yield _Fault(position, f"datetime {times[position]} {what}", fix)


def _candle_faults(candles: pd.DataFrame) -> Iterator[_Fault]:
    low, high = candles["low"], candles["high"]
    for name in _PRICES:
        price = candles[name]
        unusable = ~((price > 0) & np.isfinite(price))
        yield from _faults(candles, unusable, [name], _PRICE_FIX)
    fix = "high must not be below low: correct the row"
    yield from _faults(candles, high < low, ["high", "low"], fix)
    for name in ("open", "close"):
        outside = (candles[name] < low) | (candles[name] > high)
        fix = f"{name} must lie from low to high: correct the row"
        yield from _faults(candles, outside, [name, "low", "high"], fix)
    if "volume" in candles:
        unusable = ~((candles["volume"] >= 0) & np.isfinite(candles["volume"]))
        fix = "write the volume, 0 where nothing was traded"
        yield from _faults(candles, unusable, ["volume"], fix)


def _funding_faults(funding: pd.DataFrame) -> Iterator[_Fault]:
    rate, mark = funding["funding_rate"], funding["mark_price"]
    fix = "write the rate of that settlement, or delete the row"
    yield from _faults(funding, ~np.isfinite(rate), ["funding_rate"], fix)
    fix = "a funding rate is a fraction, not percent: write 0.0001 for 0.01%"
    yield from _faults(funding, rate.abs() >= 1, ["funding_rate"], fix)
    fix = "write a price above zero, or leave it empty where it is not known"
    unusable = (mark <= 0) | np.isinf(mark)
    yield from _faults(funding, unusable, ["mark_price"], fix)


def _require_overlap(
    funding: pd.DataFrame, span: tuple[pd.Timestamp, pd.Timestamp], source: _Source
) -> None:
    first, last = funding.index[0], funding.index[-1]
    if last < span[0] or first >= span[1]:
        raise source.error(
            f"funding from {first} to {last} is outside the data, "
            f"whose candles go from {span[0]} to {span[1]}",
            "give the funding of that span, or remove it",
        )
