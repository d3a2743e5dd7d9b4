"""The turn of a strategy at a bar: what `Strategy._oncepost` does, and no more.

Skipped is what has no effect: a notification that nobody overrides, an analyzer whose
``next`` is empty, a minimum period that is over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import backtrader as bt
from backtrader.analyzer import Analyzer
from backtrader.linebuffer import LineBuffer
from backtrader.lineiterator import LineIterator
from backtrader.lineseries import Lines, LineSeries

from .cursors import BoundLine, Cursor
from .gallery import Gallery
from .watching import watcher

__all__ = ["StrategyTurn", "family"]

_Turn = tuple[Callable[[], None], Callable[[], None], Callable[[], None]]
_NEXT, _NEXTSTART, _PRENEXT = range(3)
_INNER = ("_next", "_nextstart", "_prenext")
_OUTER = ("next", "nextstart", "prenext")


class StrategyTurn:
    """What a strategy does at each bar.

    Args:
        strategy: the strategy.
        cerebro: its Cerebro.
        gauges: the cursors of the feeds, by the ids of their lines.
        by_rounds: whether observers of a feed go on with it, as they do bar by bar.
    """

    def __init__(
        self,
        strategy: Any,
        cerebro: Any,
        gauges: Mapping[int, Cursor],
        *,
        by_rounds: bool,
    ) -> None:
        self._strategy = strategy
        self._line = strategy.lines.datetime
        self._is_plain = strategy.lines.size() == 1 and not self._line.bindings
        self._own = strategy._lineiterators[LineIterator.IndType]
        self._count = len(self._own)
        # Bar by bar those inside others go on as well, and can be read.
        self._indicators = [*_computed(strategy)] if by_rounds else self._own
        self._groups: list[tuple[Any, Cursor]] | None = None
        groups = _groups(self._indicators, cerebro.datas)
        if groups is not None:
            gauged = [(gauges.get(id(one), one), lines) for one, lines in groups]
            self._groups = [(one, Cursor(lines)) for one, lines in _merged(gauged)]
            for gauge, cursor in self._groups:
                cursor.on_release.append(self._ungroup)
                if isinstance(gauge, Cursor):
                    gauge.on_release.append(self._ungroup)
        self._is_past_minimum = False
        self._telling = _Telling(strategy)
        self._tells = self._telling.is_heard
        self._turns = [*_all_turns(strategy.analyzers)]
        self._nexts = [turn[_NEXT] for turn in self._turns]
        self._watchers = [
            watcher(
                *(one, strategy, [*_all_turns(one._analyzers)]), by_rounds=by_rounds
            )
            for one in strategy._lineiterators[LineIterator.ObsType]
        ]
        self._gallery = Gallery(self._watchers, strategy)

    def leave(self) -> None:
        """Leave all lines as Backtrader's loop leaves them."""
        self._ungroup()
        self._gallery.leave()

    def take(self, time: float) -> None:
        """One bar."""
        strategy, line = self._strategy, self._line
        self._move_indicators()
        if self._is_plain:
            line._idx += 1
            line.lencount += 1
            line.array.append(time)
        else:
            self._move_on(time)
        if strategy._orderspending or strategy._tradespending:
            strategy._notify()
        elif self._tells:
            self._telling.tell()
        status = -1
        if self._is_past_minimum:
            strategy.next()
            for step in self._nexts:
                step()
        else:
            status = self._begin()
        is_quiet = not (strategy._orderspending or strategy._tradespending)
        if self._watchers:
            self._gallery.look(status, is_quiet=is_quiet)
        if not is_quiet:
            strategy.clear()

    def _move_indicators(self) -> None:
        """Bring the indicators to the bars of their clocks."""
        groups = self._groups
        if groups is None or len(self._own) != self._count:
            self._ungroup()  # some may have been made during the run
            for indicator in self._indicators:
                if len(indicator._clock) > len(indicator):
                    indicator.advance()
            return
        for gauge, cursor in groups:
            if gauge.lencount > cursor.lencount:
                cursor.move()

    def _move_on(self, time: float) -> None:
        """Bring the strategy's own lines to the next step."""
        for line in self._strategy.lines:
            line.forward()
        self._line[0] = time

    def _ungroup(self) -> None:
        """Move indicators one by one: one of them was moved by hand, or it is over."""
        groups, self._groups = self._groups or (), None
        for _, cursor in groups:
            cursor.release()

    def _begin(self) -> int:
        """The turn of all while bars may be missing; returns how many are."""
        status = int(self._strategy._getminperstatus())
        self._is_past_minimum = status < 0
        phase = _NEXT if status < 0 else _PRENEXT if status else _NEXTSTART
        getattr(self._strategy, _OUTER[phase])()
        for turn in self._turns:
            turn[phase]()
        return status


# Indicators


def _computed(owner: Any) -> Iterator[Any]:
    """The line objects that an object computes with, and those that they do."""
    for item in owner._lineiterators[LineIterator.IndType]:
        if isinstance(item, LineIterator):
            yield from _computed(item)
        yield item


def _groups(
    indicators: Sequence[Any], datas: Sequence[Any]
) -> list[tuple[Any, list[Any]]] | None:
    """Indicators that move together, by whose length; ``None``: one moves in its way.

    Returns:
        For each group the line whose length it follows, and its lines.
    """
    leaders = {id(line): data.lines[0] for data in datas for line in data.lines}
    groups: dict[tuple[int, int], tuple[Any, list[Any]]] = {}
    for indicator in indicators:
        own = _own_lines(indicator)
        measure = _length_line(indicator._clock)
        if own is None or measure is None:
            return None
        # One that follows an indicator follows what that follows.
        leader = leaders.get(id(measure), measure)
        key = (id(leader), own[0].lencount)
        groups.setdefault(key, (leader, []))[1].extend(own)
        if leader is not measure or id(measure) in leaders:
            leaders.update((id(line), leader) for line in own)
    moved = [id(line) for _, lines in groups.values() for line in lines]
    return [*groups.values()] if len(set(moved)) == len(moved) else None


def _merged(
    groups: Sequence[tuple[Any, list[Any]]],
) -> Iterator[tuple[Any, list[Any]]]:
    """Groups that follow one gauge, and are as long, as one group."""
    found: dict[tuple[int, int], tuple[Any, list[Any]]] = {}
    for gauge, lines in groups:
        key = (id(gauge), lines[0].lencount)
        found.setdefault(key, (gauge, []))[1].extend(lines)
    yield from found.values()


def _own_lines(indicator: Any) -> list[Any] | None:
    """The line buffers of an indicator that moves as Backtrader's do."""
    if "advance" in vars(indicator):
        return None
    kind = type(indicator)
    if isinstance(indicator, LineBuffer):
        is_stock = kind.advance is LineBuffer.advance
        is_stock = is_stock and kind.__len__ is LineBuffer.__len__
        lines = [indicator]
    else:
        is_stock = kind.advance in (bt.Indicator.advance, LineSeries.advance)
        is_stock = is_stock and kind.__len__ is LineSeries.__len__
        is_stock = is_stock and isinstance(indicator.lines, Lines)
        lines = list(indicator.lines)
    plain = all(
        type(line).idx is LineBuffer.idx and line.mode == LineBuffer.UnBounded
        for line in lines
    )
    return lines if is_stock and plain and lines else None


def _length_line(clock: Any) -> Any:
    """The line buffer whose length is that of ``clock``, if there is one."""
    if isinstance(clock, LineBuffer):
        own = type(clock).__len__
        return clock if own in (LineBuffer.__len__, BoundLine.__len__) else None
    stock = type(clock).__len__ in (LineSeries.__len__, bt.Strategy.__len__)
    return clock.lines[0] if stock and isinstance(clock.lines, Lines) else None


# Notifications


def _is_own(one: Any, name: str, stock: Any) -> bool:
    """Whether an object has its own way of a method."""
    return getattr(type(one), name) is not getattr(stock, name) or name in vars(one)


class _Telling:
    """Cash and value at each bar, to those who listen."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._calls: list[tuple[bool, Callable[..., None]]] = []
        self._is_own = _is_own(strategy, "_notify", bt.Strategy)
        self._add(strategy, bt.Strategy)
        for analyzer in (*strategy.analyzers, *strategy._slave_analyzers):
            self._add_analyzer(analyzer)
        self.is_heard = bool(self._is_own or self._calls)

    def _add(self, one: Any, stock: Any) -> None:
        if _is_own(one, "notify_cashvalue", stock):
            self._calls.append((False, one.notify_cashvalue))
        if _is_own(one, "notify_fund", stock):
            self._calls.append((True, one.notify_fund))

    def _add_analyzer(self, analyzer: Any) -> None:
        """First cash to an analyzer's children and to it, then the fund."""
        members = [*family(analyzer)]
        inner = ("_notify_cashvalue", "_notify_fund")
        if any(_is_own(one, name, Analyzer) for one in members for name in inner):
            self._calls.append((False, analyzer._notify_cashvalue))
            self._calls.append((True, analyzer._notify_fund))
            return
        for is_fund, name in enumerate(("notify_cashvalue", "notify_fund")):
            self._calls += [
                (bool(is_fund), getattr(one, name))
                for one in members
                if _is_own(one, name, Analyzer)
            ]

    def tell(self) -> None:
        """Tell them, when there are no orders and trades to tell of."""
        if self._is_own:
            self._strategy._notify()
        else:
            broker = self._strategy.broker
            cash, value = broker.getcash(), broker.getvalue()
            fundvalue, fundshares = broker.fundvalue, broker.fundshares
            for is_fund, call in self._calls:
                if is_fund:
                    call(cash, value, fundvalue, fundshares)
                else:
                    call(cash, value)


# Analyzers


def family(analyzer: Any) -> Iterator[Any]:
    """The analyzers that an analyzer made for itself, and it: in their order."""
    for child in analyzer._children:
        yield from family(child)
    yield analyzer


def _all_turns(analyzers: Iterable[Any]) -> Iterator[_Turn]:
    """What analyzers and their children do at a bar; nothing for those that do not."""
    for analyzer in analyzers:
        if any(_is_own(analyzer, name, Analyzer) for name in _INNER):
            yield analyzer._next, analyzer._nextstart, analyzer._prenext
            continue
        yield from _all_turns(analyzer._children)
        if any(_is_own(analyzer, name, Analyzer) for name in _OUTER):
            yield analyzer.next, analyzer.nextstart, analyzer.prenext
