"""The loop: Cerebro's bar by bar loop of ``runonce`` with less done for each bar.

It does what `Cerebro._runonce` and `Strategy._oncepost` do, in their order, and skips
what cannot have an effect. Where a class of the run has its own idea of one of these
steps, `why_not` names it and the stock loop runs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import backtrader as bt
from backtrader.feed import AbstractDataBase, DataClone
from backtrader.linebuffer import LineBuffer
from backtrader.lineseries import Lines

from .clocks import follow_clocks
from .rounds import Rounds
from .turns import StrategyTurn

__all__ = ["run_bars", "why_not"]

_INFINITE = float("inf")
_CEREBRO = ("_brokernotify", "_check_timers", "_next_writers")
_FEED = (
    *("advance", "advance_peek", "_tick_nullify", "_tick_fill"),
    *("__len__", "buflen", "__setattr__"),
)
_STRATEGY = (
    *("_oncepost", "_oncepost_open", "_getminperstatus", "_next_analyzers"),
    *("_next_observers", "clear", "forward", "_addnotification", "__len__"),
)


def why_not(
    cerebro: Any, strategies: Sequence[Any], *, may_clone: bool = False
) -> str | None:
    """Why the stock loop has to run; ``None``: it need not.

    Args:
        cerebro: of the run.
        strategies: its strategies.
        may_clone: whether a clone is a feed like any other: once it is preloaded.
    """
    if len({id(data) for data in cerebro.datas}) < len(cerebro.datas):
        return "a feed was added twice"
    found = _own_way(_CEREBRO, cerebro, bt.Cerebro)
    for data in cerebro.datas:
        stock = DataClone if may_clone and data._clone else AbstractDataBase
        found = found or _own_way(_FEED, data, stock) or _own_lines(data)
    for strategy in strategies:
        found = found or _own_way(_STRATEGY, strategy, bt.Strategy)
        found = found or _own_lines(strategy)
    return found


def _own_way(names: Sequence[str], owner: Any, stock: Any) -> str | None:
    """The method of which an object has its own way, if there is one."""
    for name in names:
        if getattr(type(owner), name, None) is not getattr(stock, name, None):
            return f"{type(owner).__name__}.{name} is not Backtrader's"
        if name in vars(owner):
            return f"{name} was replaced on a {type(owner).__name__}"
    return None


def _own_lines(owner: Any) -> str | None:
    """What is unusual about the lines of a feed or strategy, if anything."""
    if not isinstance(owner.lines, Lines):
        return f"the lines of a {type(owner).__name__} are not Backtrader's"
    if any(type(line) is not LineBuffer for line in owner.lines):
        return f"a line of a {type(owner).__name__} is not Backtrader's"
    if any(line.mode != LineBuffer.UnBounded for line in owner.lines):
        return f"the lines of a {type(owner).__name__} forget: exactbars"
    return None


def run_bars(
    cerebro: Any, strategies: Sequence[Any], rounds: Rounds | None = None
) -> None:
    """Deliver every bar of the preloaded feeds to broker and strategies.

    The strategies have done their ``_once`` and are reset.

    Args:
        cerebro: of the run.
        strategies: its strategies.
        rounds: which feeds bring a bar when; ``None``: those that are due.
    """
    feeds = [_Feed(data) for data in sorted(cerebro.datas, key=_resolution)]
    turns = [StrategyTurn(strategy, cerebro) for strategy in strategies]
    opening = _Opening(cerebro, strategies)
    if rounds is not None:
        for strategy, turn in zip(strategies, turns, strict=True):
            follow_clocks(strategy, turn._watchers)
    for due, time in rounds.walk(cerebro.datas) if rounds else _steps(feeds):
        if not opening.take(due):
            return
        for turn in turns:
            turn.take(time)
            if cerebro._event_stop:
                return
            if cerebro.runwriters:
                cerebro._next_writers(strategies)


class _Opening:
    """What comes before the strategies at each bar: timers, the open, the broker."""

    def __init__(self, cerebro: Any, strategies: Sequence[Any]) -> None:
        self._cerebro = cerebro
        self._strategies = strategies
        self._quick = cerebro.p.quicknotify
        self._is_simple = not (
            cerebro._timers or cerebro._timerscheat or cerebro.p.cheat_on_open
        )
        self._broker = cerebro._broker
        stock = bt.brokers.BackBroker.get_notification
        self._has_queue = getattr(type(self._broker), "get_notification", 0) is stock

    def take(self, time: float) -> bool:
        """One bar, up to the strategies' turn; False: the run was stopped."""
        cerebro = self._cerebro
        if self._is_simple:
            self._notify_broker()
            return not cerebro._event_stop
        if not self._cheat(time):
            return False
        self._notify_broker()
        if cerebro._event_stop:
            return False
        # Backtrader does not look whether one of these stopped the run.
        cerebro._check_timers(self._strategies, time, cheat=False)
        return True

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
        broker = self._broker
        broker.next()
        if self._has_queue and not broker.notifs:
            return
        while (order := broker.get_notification()) is not None:
            owner = order.owner
            if owner is None:
                owner = self._cerebro.runningstrats[0]
            owner._addnotification(order, quicknotify=self._quick)


def _resolution(data: Any) -> tuple[int, int]:
    return data._timeframe, data._compression


def _steps(feeds: Sequence["_Feed"]) -> Iterator[tuple[float, float]]:
    """Each time at which feeds bring a bar; those that do stand there by then.

    Yields:
        That time, for timers and for strategies.
    """
    if len(feeds) == 1:
        coming, advance = feeds[0].coming, feeds[0].advance
        while (time := coming()) != _INFINITE:
            advance()
            yield time, time
        return
    while (time := min(ahead := [feed.coming() for feed in feeds])) != _INFINITE:
        for feed, theirs in zip(feeds, ahead, strict=True):
            if theirs <= time:
                feed.advance()
        yield time, time


class _Feed:
    """A preloaded feed, advanced by its line buffers."""

    def __init__(self, data: Any) -> None:
        self._lines = list(data.lines)
        self._first = data.lines[0]
        self._count = data.buflen()
        self._clock = data.lines.datetime
        self._own = vars(data)
        names = [name for name in data.getlinealiases() if name != "datetime"]
        ticks = {"tick_" + n: getattr(data.lines, n) for n in names}
        ticks["tick_last"] = getattr(data.lines, data._getlinealias(0))
        self._ticks = list(ticks.items())
        self._no_ticks = dict.fromkeys(ticks)

    def coming(self) -> float:
        """The time of the next bar, infinite after the last."""
        if self._first.lencount >= self._count:
            return _INFINITE
        clock = self._clock
        return float(clock.array[clock._idx + 1])

    def advance(self) -> None:
        """Move on by a bar, and let the bar be the tick, as a feed does itself."""
        for line in self._lines:
            line._idx += 1
            line.lencount += 1
        own = self._own
        if self._first.lencount >= self._count:
            # Of the last bar Backtrader leaves no tick behind.
            own.update(self._no_ticks)
            return
        for name, line in self._ticks:
            own[name] = line.array[line._idx]
