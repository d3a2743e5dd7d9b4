"""Observers at a bar: what `Strategy._next_observers` does for each of them.

Backtrader's own observers write into their arrays; others do as they do.
"""

from array import array
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import numpy as np
from backtrader import observers
from backtrader.linebuffer import LineBuffer
from backtrader.lineiterator import LineIterator
from backtrader.lineseries import Lines, LineSeries
from backtrader.observer import Observer

from .cursors import Cursor

__all__ = ["AnyWatcher", "FastWatcher", "watcher"]

_BLOCK = 1024  # bars by which an observer's lines grow at once
_EMPTY = array("d", [nan]) * _BLOCK


def watcher(
    observer: Any, strategy: Any, turns: Sequence[Any], *, by_rounds: bool
) -> "AnyWatcher":
    """The turn of an observer, called with the bars that the strategy still lacks.

    Args:
        observer: the observer.
        strategy: its strategy.
        turns: what its analyzers do: next, nextstart and prenext of each.
        by_rounds: whether observers of a feed go on with it, as they do bar by bar.
    """
    if by_rounds:
        observer.reset()  # `_once` has lengthened it for every bar there is
        if observer._clock is not strategy:
            return ClockWatcher(observer)
    look = _look(observer, strategy) if _moves_plainly(observer) else None
    if look is None:
        return Watcher(observer, strategy, turns)
    return FastWatcher(observer, strategy, turns, look)


def _moves_plainly(observer: Any) -> bool:
    """Whether it goes on by one value at each bar, and to nobody else's lines."""
    kind = type(observer)
    return (
        kind.forward is LineSeries.forward
        and kind.__len__ is LineSeries.__len__
        and kind.prenext is Observer.prenext
        and kind.nextstart is LineIterator.nextstart
        and not {"forward", "next", "prenext", "nextstart"} & vars(observer).keys()
        and isinstance(observer.lines, Lines)
        and all(
            type(line) is LineBuffer
            and line.mode == LineBuffer.UnBounded
            and not line.bindings
            for line in observer.lines
        )
    )


class ClockWatcher:
    """The turn of an observer that follows a feed."""

    def __init__(self, observer: Any) -> None:
        self._observer = observer

    def __call__(self, status: int) -> None:
        """Look at a bar; ``status``: bars that the strategy lacks."""
        for analyzer in self._observer._analyzers:
            if status < 0:
                analyzer._next()
            elif status == 0:
                analyzer._nextstart()
            else:
                analyzer._prenext()
        self._observer._next()

    def leave(self) -> None:
        """Nothing was borrowed."""


class Watcher:
    """Any observer."""

    def __init__(self, observer: Any, strategy: Any, turns: Sequence[Any]) -> None:
        self._observer = observer
        self._strategy = strategy
        self._turns = turns

    def __call__(self, status: int) -> None:
        """Look at a bar; ``status``: bars that the strategy lacks."""
        phase = 0 if status < 0 else 2 if status else 1
        for turn in self._turns:
            turn[phase]()
        observer = self._observer
        if len(self._strategy) > len(observer):
            observer.forward()
        if status < 0:
            observer.next()
        elif status == 0:
            observer.nextstart()
        elif len(observer):
            observer.prenext()

    def leave(self) -> None:
        """Nothing was borrowed."""


class FastWatcher:
    """An observer of Backtrader's, or one that moves like these."""

    def __init__(
        self,
        observer: Any,
        strategy: Any,
        turns: Sequence[Any],
        look: Callable[[bool], None],
    ) -> None:
        self._observer = observer
        self._turns = turns
        self.lines = list(observer.lines)
        self.cursor = Cursor(self.lines)
        self._clock = strategy.lines[0]
        self._look = look
        self._spare = 0  # bars by which the lines are longer than they should be

    def __call__(self, status: int) -> None:
        """Look at a bar; ``status``: bars that the strategy lacks."""
        if self._turns:
            phase = 0 if status < 0 else 2 if status else 1
            for turn in self._turns:
                turn[phase]()
        cursor = self.cursor
        place = cursor if cursor.is_shared else self.lines[0]
        is_new = self._clock.lencount > place.lencount
        if is_new:
            if not self._spare:
                self._grow()
            self._spare -= 1
            cursor.move()
        self._look(is_new)

    @property
    def can_owe(self) -> bool:
        """Whether it may look at bars later, when nothing happens in them."""
        has_fund = vars(self._observer).get("_fundmode", False)
        is_known = type(self._observer).next in _CATCH_UPS
        return is_known and not self._turns and not has_fund

    def catch_up(self, times: Any, hindsight: Any) -> None:
        """Look at bars that are over, in which nothing happened.

        Args:
            times: of these bars.
            hindsight: what the broker tells of them.
        """
        count, cursor = len(times), self.cursor
        while self._spare < count:
            self._grow()
        self._spare -= count
        cursor.move(count)
        _CATCH_UPS[type(self._observer).next](self._observer, times, hindsight)

    def _grow(self) -> None:
        """Append empty bars, of which each step takes one."""
        for line in self.lines:
            line.array.extend(_EMPTY)
        self._spare += _BLOCK

    def leave(self) -> None:
        """Leave the lines as long as single steps would have left them."""
        self.cursor.release()
        for line in self.lines if self._spare else ():
            del line.array[-self._spare :]


def _look(observer: Any, strategy: Any) -> Callable[[bool], None] | None:
    """What an observer does at a bar, given whether that is a new one.

    It would be asked at every bar: all these are at least one bar long by then.
    """
    find = _LOOKS.get(type(observer).next)
    if find in (_broker, _value) and "_fundmode" not in vars(observer):
        return None  # it was never started
    return None if find is None else find(observer, strategy)


def _set(line: Any, value: float) -> None:
    line.array[line._idx] = value


def _broker(observer: Any, strategy: Any) -> Callable[[bool], None]:
    value, cash = observer.lines.value, observer.lines.cash
    broker = strategy.broker
    if observer._fundmode:
        return lambda _: _set(value, broker.fundvalue)

    def look(_: bool) -> None:
        value.array[value._idx] = broker.getvalue()
        cash.array[cash._idx] = broker.getcash()

    return look


def _cash(observer: Any, strategy: Any) -> Callable[[bool], None]:
    cash, broker = observer.lines[0], strategy.broker
    return lambda _: _set(cash, broker.getcash())


def _value(observer: Any, strategy: Any) -> Callable[[bool], None]:
    value, broker = observer.lines[0], strategy.broker
    if observer._fundmode:
        return lambda _: _set(value, broker.fundvalue)
    return lambda _: _set(value, broker.getvalue())


def _trades(observer: Any, strategy: Any) -> Callable[[bool], None]:
    def look(_: bool) -> None:
        if strategy._tradespending:
            observer.next()

    return look


def _buy_sell(observer: Any, strategy: Any) -> Callable[[bool], None]:
    """Without an order it writes NaN where NaN is, and counts from 0 again."""

    def look(is_new: bool) -> None:
        if strategy._orderspending or not is_new:
            observer.next()
        else:
            observer.curbuylen = observer.curselllen = 0

    return look


def _draw_down(observer: Any, _: Any) -> Callable[[bool], None]:
    now, most = observer.lines.drawdown, observer.lines.maxdrawdown
    analyzer = observer._dd

    def look(_: bool) -> None:
        found = analyzer.rets
        now.array[now._idx] = found["drawdown"]
        most.array[most._idx] = found["max"]["drawdown"]

    return look


_LOOKS: dict[Any, Callable[[Any, Any], Callable[[bool], None]]] = {
    observers.Broker.next: _broker,
    observers.Cash.next: _cash,
    observers.Value.next: _value,
    observers.Trades.next: _trades,
    observers.DataTrades.next: _trades,
    observers.BuySell.next: _buy_sell,
    observers.DrawDown.next: _draw_down,
}


# Bars that are over: what the observers would have written into them.


def _fill(line: Any, values: Any) -> None:
    end = line._idx + 1
    room = np.frombuffer(line.array, np.float64, len(values), 8 * (end - len(values)))
    room[:] = values


def _past_broker(observer: Any, times: Any, hindsight: Any) -> None:
    _fill(observer.lines.value, hindsight.values(times))
    _fill(observer.lines.cash, hindsight.cash(times))


def _past_cash(observer: Any, times: Any, hindsight: Any) -> None:
    _fill(observer.lines[0], hindsight.cash(times))


def _past_value(observer: Any, times: Any, hindsight: Any) -> None:
    _fill(observer.lines[0], hindsight.values(times))


def _past_trades(*_: Any) -> None:
    """No trade, nothing to write."""


def _past_buy_sell(observer: Any, *_: Any) -> None:
    observer.curbuylen = observer.curselllen = 0


_CATCH_UPS: dict[Any, Callable[[Any, Any, Any], None]] = {
    observers.Broker.next: _past_broker,
    observers.Cash.next: _past_cash,
    observers.Value.next: _past_value,
    observers.Trades.next: _past_trades,
    observers.DataTrades.next: _past_trades,
    observers.BuySell.next: _past_buy_sell,
}


AnyWatcher = Watcher | FastWatcher | ClockWatcher
