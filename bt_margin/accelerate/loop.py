"""The loop: Cerebro's bar by bar loop of ``runonce`` with less done for each bar.

It does what `Cerebro._runonce` and `Strategy._oncepost` do, in their order, and skips
what cannot have an effect: notifications that nobody overrides, analyzers whose
``next`` is empty, a length that is known. Where a class of the run has its own idea of
one of these steps, `why_not` names it and the stock loop runs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import backtrader as bt
from backtrader.analyzer import Analyzer
from backtrader.feed import AbstractDataBase
from backtrader.linebuffer import LineBuffer
from backtrader.lineiterator import LineIterator
from backtrader.lineseries import Lines, LineSeries

__all__ = ["run_bars", "why_not"]

_INFINITE = float("inf")
_CEREBRO = ("_brokernotify", "_check_timers", "_next_writers")
_FEED = ("advance", "advance_peek", "_tick_nullify", "_tick_fill")
_STRATEGY = (
    *("_oncepost", "_oncepost_open", "_getminperstatus", "_next_analyzers"),
    *("_next_observers", "clear", "forward", "_addnotification"),
)


def why_not(cerebro: Any, strategies: Sequence[Any]) -> str | None:
    """Why the stock loop has to run; ``None``: it need not."""
    if cerebro.p.oldsync:
        return "oldsync"
    for names, owner, stock in (
        (_CEREBRO, cerebro, bt.Cerebro),
        *((_FEED, data, AbstractDataBase) for data in cerebro.datas),
        *((_STRATEGY, strategy, bt.Strategy) for strategy in strategies),
    ):
        for name in names:
            if getattr(type(owner), name) is not getattr(stock, name):
                return f"{type(owner).__name__}.{name} is not Backtrader's"
            if name in vars(owner):
                return f"{name} was replaced on a {type(owner).__name__}"
    lines = [line for data in cerebro.datas for line in data.lines]
    lines += [line for strategy in strategies for line in strategy.lines]
    if any(line.mode != LineBuffer.UnBounded for line in lines):
        return "exactbars"
    return None


def run_bars(cerebro: Any, strategies: Sequence[Any]) -> None:
    """Deliver every bar of the preloaded feeds to broker and strategies.

    The strategies have done their ``_once`` and are reset.
    """
    feeds = [_Feed(data) for data in sorted(cerebro.datas, key=_resolution)]
    runners = [_Runner(strategy, cerebro) for strategy in strategies]
    bar = _Bar(cerebro, strategies)
    for time, fresh in _steps(feeds):
        for feed in fresh:
            feed.advance()
        bar.open(time)
        if cerebro._event_stop:
            return
        for runner in runners:
            runner.run(time)
            if cerebro._event_stop:
                return
            if cerebro.runwriters:
                cerebro._next_writers(strategies)


class _Bar:
    """What comes before the strategies at each bar: timers, the open, the broker."""

    def __init__(self, cerebro: Any, strategies: Sequence[Any]) -> None:
        self._cerebro = cerebro
        self._strategies = strategies
        self._quick = cerebro.p.quicknotify
        self._is_simple = not (
            cerebro._timers or cerebro._timerscheat or cerebro.p.cheat_on_open
        )
        self._next = cerebro._broker.next
        self._notification = cerebro._broker.get_notification

    def open(self, time: float) -> None:
        """One bar, up to the strategies' turn."""
        if self._is_simple:
            self._notify_broker()
        elif self._cheat(time):
            self._notify_broker()
            if not self._cerebro._event_stop:
                self._cerebro._check_timers(self._strategies, time, cheat=False)

    def _cheat(self, time: float) -> bool:
        """Timers that cheat and orders on the open; False: the run was stopped."""
        cerebro = self._cerebro
        cerebro._check_timers(self._strategies, time, cheat=True)
        for strategy in self._strategies if cerebro.p.cheat_on_open else ():
            strategy._oncepost_open()
            if cerebro._event_stop:
                return False
        return True

    def _notify_broker(self) -> None:
        self._next()
        while (order := self._notification()) is not None:
            owner = order.owner or self._cerebro.runningstrats[0]
            owner._addnotification(order, quicknotify=self._quick)


def _resolution(data: Any) -> tuple[int, int]:
    return data._timeframe, data._compression


def _steps(feeds: Sequence["_Feed"]) -> Iterator[tuple[float, Sequence["_Feed"]]]:
    """Each time at which feeds bring a bar, with these feeds, in their order."""
    if len(feeds) == 1:
        alone = (feeds[0],)
        for time in feeds[0].times:
            yield time, alone
        return
    ahead = [iter(feed.times) for feed in feeds]
    coming = [next(times, _INFINITE) for times in ahead]
    while (time := min(coming)) != _INFINITE:
        fresh = []
        for place, feed in enumerate(feeds):
            if coming[place] <= time:
                fresh.append(feed)
                coming[place] = next(ahead[place], _INFINITE)
        yield time, fresh


class _Feed:
    """A preloaded feed, advanced by its line buffers.

    Args:
        data: the feed.

    Attributes:
        times: of the bars that are still to come, as Backtrader numbers.
    """

    def __init__(self, data: Any) -> None:
        done = len(data)
        self.times = data.lines.datetime.array[done : data.buflen()].tolist()
        self._lines = list(data.lines)
        self._data = data
        self._last = data.buflen() - 1
        aliases = data.getlinealiases()
        self._ticks = [
            ("tick_" + alias, getattr(data.lines, alias).array)
            for alias in aliases
            if alias != "datetime"
        ]
        self._first = getattr(data.lines, data._getlinealias(0)).array

    def advance(self) -> None:
        """Move on by a bar, and let the bar be the tick, as a feed does itself."""
        for line in self._lines:
            line._idx += 1
            line.lencount += 1
        at = self._lines[0]._idx
        own = self._data.__dict__
        if at < self._last:
            for name, values in self._ticks:
                own[name] = values[at]
            own["tick_last"] = self._first[at]
            return
        # Of the last bar Backtrader leaves no tick behind.
        for name, _ in self._ticks:
            own[name] = None
        own["tick_last"] = None


class _Runner:
    """What a strategy does at each bar."""

    def __init__(self, strategy: Any, cerebro: Any) -> None:
        self._strategy = strategy
        self._quick = cerebro.p.quicknotify
        self._line = strategy.lines.datetime
        self._others = [line for line in strategy.lines if line is not self._line]
        self._advances = [
            _advance_of(each) for each in strategy._lineiterators[LineIterator.IndType]
        ]
        self._is_past_minimum = False
        analyzers = [*strategy.analyzers, *strategy._slave_analyzers]
        self._tells_cash = _tells_cash(strategy, analyzers)
        self._observers = strategy._lineiterators[LineIterator.ObsType]
        self._analyzers = [one for one in strategy.analyzers if _acts(one)]

    def run(self, time: float) -> None:
        """One bar, as `Strategy._oncepost` does it."""
        strategy, line = self._strategy, self._line
        for advance in self._advances:
            advance()
        for other in self._others:
            other.forward()
        line._idx += 1
        line.lencount += 1
        line.array.append(time)
        for binding in line.bindings:
            binding[0] = time
        self._notify()
        status = -1 if self._is_past_minimum else strategy._getminperstatus()
        self._is_past_minimum = status < 0
        _step(strategy, status, self._analyzers)
        if self._observers:
            strategy._next_observers(status, once=True)
        if strategy._orderspending or strategy._tradespending:
            strategy.clear()

    def _notify(self) -> None:
        """Orders and trades; cash and value only where somebody listens."""
        strategy = self._strategy
        if (
            self._tells_cash
            or self._quick
            or strategy._orderspending
            or strategy._tradespending
        ):
            strategy._notify()


def _step(strategy: Any, status: int, analyzers: Sequence[Any]) -> None:
    """The turn of a strategy and its analyzers, by the bars that are still missing."""
    if status < 0:
        strategy.next()
        for analyzer in analyzers:
            analyzer._next()
    elif status == 0:
        strategy.nextstart()
        for analyzer in analyzers:
            analyzer._nextstart()
    else:
        strategy.prenext()
        for analyzer in analyzers:
            analyzer._prenext()


def _tells_cash(strategy: Any, analyzers: Sequence[Any]) -> bool:
    """Whether anything listens to cash and value, or notifies in its own way."""
    names: tuple[str, ...] = ("_notify", "notify_cashvalue", "notify_fund")
    if any(getattr(type(strategy), n) is not getattr(bt.Strategy, n) for n in names):
        return True
    if any(name in vars(strategy) for name in names):
        return True
    names = ("_notify_cashvalue", "_notify_fund", "notify_cashvalue", "notify_fund")
    return any(
        getattr(type(one), name) is not getattr(Analyzer, name) or name in vars(one)
        for analyzer in analyzers
        for one in _family(analyzer)
        for name in names
    )


def _acts(analyzer: Any) -> bool:
    """Whether an analyzer or one of its children does anything at a bar."""
    names = ("_next", "_nextstart", "_prenext", "next", "nextstart", "prenext")
    return any(
        getattr(type(one), name) is not getattr(Analyzer, name) or name in vars(one)
        for one in _family(analyzer)
        for name in names
    )


def _family(analyzer: Any) -> Iterator[Any]:
    """An analyzer with the analyzers that it made for itself."""
    yield analyzer
    for child in analyzer._children:
        yield from _family(child)


def _advance_of(indicator: Any) -> Callable[[], None]:
    """What moves an indicator on with its clock."""
    stock = (
        isinstance(indicator, bt.Indicator)
        and type(indicator).advance is bt.Indicator.advance
        and "advance" not in vars(indicator)
        and type(indicator).__len__ is LineSeries.__len__
        and isinstance(indicator.lines, Lines)
    )
    clock = indicator._clock
    if not stock:

        def slow() -> None:
            if len(clock) > len(indicator):
                indicator.advance()

        return slow
    lines = list(indicator.lines)
    first, measure = lines[0], _length_line(clock)

    def fast() -> None:
        if measure.lencount > first.lencount:
            for line in lines:
                line._idx += 1
                line.lencount += 1

    return fast


def _length_line(clock: Any) -> Any:
    """The line buffer whose length is that of ``clock``."""
    return clock if isinstance(clock, LineBuffer) else clock.lines[0]
