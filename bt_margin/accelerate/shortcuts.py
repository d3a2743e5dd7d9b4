"""Shortcuts: methods of single objects that do less while the loop runs.

They give what the methods of the classes give, and are gone when the run is over.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import Any

import backtrader as bt
from backtrader import TimeFrame, analyzers
from backtrader.analyzer import TimeFrameAnalyzerBase
from backtrader.linebuffer import LineBuffer
from backtrader.lineiterator import LineIterator

from .turns import family

__all__ = ["shortcuts"]

_INFINITE = float("inf")
_ROUNDING = 1e-7  # days: num2date rounds to microseconds


@contextmanager
def shortcuts(datas: Sequence[Any], strategies: Sequence[Any]) -> Iterator[None]:
    """Keep the shortcuts in place."""
    replaced: list[tuple[Any, str]] = []

    def replace(one: Any, name: str, shortcut: Any) -> None:
        if name not in vars(one):
            setattr(one, name, shortcut)
            replaced.append((one, name))

    try:
        last = _LastDate()
        for owner in (*datas, *strategies):
            line = owner.lines.datetime
            replace(line, "datetime", _DateTime(line, last))
            replace(line, "date", _Date(line, last))
            replace(line, "time", _Time(line, last))
        for strategy in strategies:
            for analyzer in _analyzers(strategy):
                for name, shortcut in _of_analyzer(analyzer, strategy):
                    replace(analyzer, name, shortcut)
        yield
    finally:
        for one, name in replaced:
            del vars(one)[name]


# Dates


class _LastDate:
    """The last number that was made a date: at a bar many ask for the same one."""

    def __init__(self) -> None:
        self._number: float | None = None
        self._zone: Any = None
        self._moment = datetime.min

    def of(self, line: Any, ago: int, zone: Any, naive: bool) -> datetime:
        """What Backtrader's ``num2date`` makes of a line's value."""
        number = line.array[line._idx + ago]
        if not naive:
            return bt.num2date(number, zone or line._tz, naive)  # type: ignore[no-any-return]
        zone = zone or line._tz
        if number != self._number or zone is not self._zone:
            self._moment = bt.num2date(number, zone)
            self._number, self._zone = number, zone
        return self._moment


class _OfLine:
    def __init__(self, line: Any, last: _LastDate) -> None:
        self._line = line
        self._last = last


class _DateTime(_OfLine):
    """`LineBuffer.datetime`."""

    def __call__(self, ago: int = 0, tz: Any = None, naive: bool = True) -> datetime:
        return self._last.of(self._line, ago, tz, naive)


class _Date(_OfLine):
    """`LineBuffer.date`."""

    def __call__(self, ago: int = 0, tz: Any = None, naive: bool = True) -> date:
        return self._last.of(self._line, ago, tz, naive).date()


class _Time(_OfLine):
    """`LineBuffer.time`."""

    def __call__(self, ago: int = 0, tz: Any = None, naive: bool = True) -> time:
        return self._last.of(self._line, ago, tz, naive).time()


# Analyzers


def _analyzers(strategy: Any) -> Iterator[Any]:
    """All analyzers of a strategy, its observers' and their children too."""
    found = [*strategy.analyzers, *strategy._slave_analyzers]
    for observer in strategy._lineiterators[LineIterator.ObsType]:
        found += observer._analyzers
    for analyzer in found:
        yield from family(analyzer)


def _of_analyzer(analyzer: Any, strategy: Any) -> Iterator[tuple[str, Any]]:
    """The shortcuts of an analyzer, by the method whose place they take."""
    kind, line = type(analyzer), strategy.lines.datetime
    if (
        isinstance(analyzer, TimeFrameAnalyzerBase)
        and kind._dt_over is TimeFrameAnalyzerBase._dt_over
        and kind._get_dt_cmpkey is TimeFrameAnalyzerBase._get_dt_cmpkey
        and getattr(analyzer, "timeframe", None) in _ENDS
        and line._tz is None
    ):
        yield "_dt_over", _PeriodOver(analyzer, line)
    if (
        kind.next is analyzers.DrawDown.next
        and kind.create_analysis is analyzers.DrawDown.create_analysis
    ):
        yield "next", _DrawDown(analyzer)
    if kind.next is analyzers.Transactions.next:
        yield "next", _Transactions(analyzer)


class _PeriodOver:
    """`TimeFrameAnalyzerBase._dt_over`, asked only when a period can be over."""

    def __init__(self, analyzer: Any, line: LineBuffer) -> None:
        self._analyzer = analyzer
        self._line = line
        self._end = -_INFINITE  # no number below it is in a later period

    def __call__(self) -> bool:
        line = self._line
        if line.array[line._idx] < self._end:
            return False
        analyzer = self._analyzer
        is_over = type(analyzer)._dt_over(analyzer)
        self._end = _ENDS[analyzer.timeframe](line.datetime()) - _ROUNDING
        return bool(is_over)


# Number of the first day after the period that holds a moment.
_ENDS: dict[int, Any] = {
    TimeFrame.Days: lambda now: now.toordinal() + 1,
    TimeFrame.Weeks: lambda now: now.toordinal() + 8 - now.isoweekday(),
    TimeFrame.Months: lambda now: date(
        now.year + now.month // 12, now.month % 12 + 1, 1
    ).toordinal(),
    TimeFrame.Years: lambda now: date(now.year + 1, 1, 1).toordinal(),
    TimeFrame.NoTimeFrame: lambda _: _INFINITE,
}


class _DrawDown:
    """`DrawDown.next` on the items of its dictionaries."""

    def __init__(self, analyzer: Any) -> None:
        self._analyzer = analyzer

    def __call__(self) -> None:
        analyzer = self._analyzer
        found, highest = analyzer.rets, analyzer._maxvalue
        found["moneydown"] = money = highest - analyzer._value
        found["drawdown"] = share = 100.0 * money / highest
        most = found["max"]
        most["moneydown"] = max(most["moneydown"], money)
        most["drawdown"] = max(most["drawdown"], share)
        found["len"] = length = found["len"] + 1 if share else 0
        most["len"] = max(most["len"], length)


class _Transactions:
    """`Transactions.next`, which does nothing until an order has filled."""

    def __init__(self, analyzer: Any) -> None:
        self._analyzer = analyzer

    def __call__(self) -> None:
        if self._analyzer._positions:
            type(self._analyzer).next(self._analyzer)
