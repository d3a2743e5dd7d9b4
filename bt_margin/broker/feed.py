"""A feed that carries mark price and funding beside the candles."""

from bisect import bisect_left, bisect_right
from datetime import timedelta
from typing import Any

import backtrader as bt
import pandas as pd

from bt_margin.core.errors import ParameterError
from bt_margin.data import as_candles, as_funding, constant_funding

from .packing import Column, Times, point_at, without_frames
from .refusal import finite_number, refuse_unknown
from .series import CandleSeries, FundingSeries, day_numbers, doubles

__all__ = ["PerpData"]

_COLUMNS = ("open", "high", "low", "close", "volume")
_UNITS = (
    (timedelta(days=1), bt.TimeFrame.Days),
    (timedelta(minutes=1), bt.TimeFrame.Minutes),
    (timedelta(seconds=1), bt.TimeFrame.Seconds),
)


class _Tick:
    """A tick of a feed: what was written, or while its bars are its ticks, a line's.

    Backtrader writes seven of them at each bar, and hardly anyone reads them.
    """

    def __init__(self, line: str) -> None:
        self._line = line

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, data: Any, owner: type) -> Any:
        if data is None:
            return self
        count = data.ticks_until
        if not count:
            return vars(data).get(self._name)
        line = getattr(data.lines, self._line)
        # Of the last bar Backtrader leaves no tick behind.
        return line[0] if 0 < line.lencount < count else None

    def __set__(self, data: Any, value: Any) -> None:
        vars(data)[self._name] = value


class PerpData(bt.feed.DataBase):
    """Candles of a perpetual: ``PerpData(dataname=trade, mark=mark, funding=funding)``.

    Mark and funding ride along as arrays: a strategy sees one feed with one clock.
    The timeframe is read off the candles unless it is given. To another process, as
    in ``optstrategy``, the candles go without the frames: there those are ``None``.

    Params:
        dataname: frame with open, high, low, close, volume, indexed by time (naive:
            UTC) or with a ``datetime`` column.
        mark: frame of mark candles on any grid, or ``None``: mark is last.
        funding: frame with ``funding_rate`` and, if known, ``mark_price``; or one
            rate for every ``funding_interval``; or ``None``.
        funding_interval: of a constant rate, such as ``"8h"``, counted from midnight.
        detail: frame of finer candles (1m inside 1h), by which orders, funding and
            liquidation inside a bar are ordered, or ``None``.
        bar_time: whether a candle's time is its ``"open"`` or its ``"close"``.

    Raises:
        DataError: naming the first bad row of a frame.
    """

    params = (
        ("mark", None),
        ("funding", None),
        ("funding_interval", "8h"),
        ("detail", None),
        ("bar_time", "open"),
        ("timeframe", None),
        ("compression", None),
    )

    ticks_of_lines = tuple(
        f"tick_{name}"
        for name in ("open", "high", "low", "close", "volume", "openinterest", "last")
    )
    ticks_until = 0  # while the loop runs, the bar from which on there are none
    tick_open = _Tick("open")
    tick_high = _Tick("high")
    tick_low = _Tick("low")
    tick_close = _Tick("close")
    tick_volume = _Tick("volume")
    tick_openinterest = _Tick("openinterest")
    tick_last = _Tick("close")

    def __init__(self, **unknown: Any) -> None:
        super().__init__()
        refuse_unknown(type(self), unknown)
        if self.p.bar_time not in ("open", "close"):
            fix = 'give "open" or "close"'
            raise ParameterError("bar_time", self.p.bar_time, fix)
        name = self.p.name or "data"
        trade = as_candles(self.p.dataname, where=f"{name} trade")
        self.bar_length = self._interval(trade)
        span = (trade.index[0], trade.index[-1] + self.bar_length)
        self.mark_series = self.detail_series = self.funding_series = None
        if self.p.mark is not None:
            mark = as_candles(self.p.mark, where=f"{name} mark", mark=True)
            self.mark_series = CandleSeries(mark)
        if self.p.detail is not None:
            detail = as_candles(self.p.detail, where=f"{name} detail")
            self.detail_series = self._finer(CandleSeries(detail))
        if self.p.funding is not None:
            where = f"{name} funding"
            stamps = self.p.funding
            if isinstance(stamps, int | float):
                rate = finite_number("funding", stamps)
                stamps = constant_funding(*span, rate, self.p.funding_interval)
            stamps = as_funding(stamps, where=where, span=span)
            self.funding_series = FundingSeries(stamps)
        self._columns = {
            "datetime": Times("d", day_numbers(pd.DatetimeIndex(trade.index))),
            **{name: Column("d", doubles(trade[name])) for name in _COLUMNS},
            "openinterest": Column("d", bytes(8 * len(trade))),
        }
        self._set_timeframe()

    def _finer(self, detail: CandleSeries) -> CandleSeries:
        """The detail candles, if they are finer than the bars."""
        length = timedelta(milliseconds=detail.length)
        if length >= self.bar_length:
            fix = f"give candles finer than the bars, which last {self.bar_length}"
            raise ParameterError("detail", f"candles of {length}", fix)
        return detail

    @staticmethod
    def _interval(trade: pd.DataFrame) -> timedelta:
        """The smallest spacing of the candles; a single one is taken as a minute."""
        if len(trade) < 2:
            return timedelta(minutes=1)
        steps = trade.index.to_series().diff()
        return timedelta(seconds=steps.min().total_seconds())

    def _set_timeframe(self) -> None:
        """Say in Backtrader's words how long a candle is."""
        if self.p.timeframe is not None:
            self.p.compression = self.p.compression or 1
            return
        for unit, timeframe in _UNITS:
            if not self.bar_length % unit:
                self.p.timeframe = timeframe
                self.p.compression = self.bar_length // unit
                return
        self.p.timeframe = bt.TimeFrame.MicroSeconds
        self.p.compression = self.bar_length // timedelta(microseconds=1)

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: prices once, and none of the frames."""
        point_at(self._columns, self.lines)
        state = dict(vars(self))
        if type(self) is PerpData:  # code of a subclass may read them again
            state["params"] = state["p"] = params = without_frames(self.p)
            state["_dataname"] = params.dataname
        return state

    def start(self) -> None:
        """Begin at the first candle, in every run."""
        super().start()
        self._row = 0

    def _load(self) -> bool:
        row, columns = self._row, self._columns
        if row >= len(columns["datetime"]):
            return False
        for name, values in columns.items():
            getattr(self.lines, name)[0] = values[row]
        self._row = row + 1
        return True

    def preload(self) -> None:
        """Load every candle: as columns where nothing looks at them one by one."""
        times = self._columns["datetime"]
        first = bisect_left(times, self.fromdate)
        end = max(first, bisect_right(times, self.todate))
        # Backtrader leaves the candle after `todate` where a lookahead sees it.
        is_whole = first < end == len(times) or not self.lines[0].extension
        if not (is_whole and self._loads_columns):
            super().preload()
            return
        for name, values in self._columns.items():
            # Before what `lookahead` has put there.
            getattr(self.lines, name).array[:0] = values[first:end]
        self._row = len(times)
        self.home()

    @property
    def _loads_columns(self) -> bool:
        """Whether loading does nothing but to copy: no filter, zone or own line."""
        is_plain = (
            type(self)._load is PerpData._load and type(self).load is bt.DataBase.load
        )
        is_empty = all(len(line.array) == line.extension for line in self.lines)
        return (
            is_plain
            and is_empty
            and not (self._filters or self._ffilters or self._tzinput)
            and not (self._barstack or self._barstash)
            and self.lines.size() == len(self._columns)
            and all(line.mode == line.UnBounded for line in self.lines)
        )
