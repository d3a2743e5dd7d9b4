"""The loop: Cerebro's bar by bar loop of ``runonce`` with less done for each bar.

It does what `Cerebro._runonce` and `Strategy._oncepost` do, in their order, and skips
what cannot have an effect. Where a class of the run has its own idea of one of these
steps, `why_not` names it and the stock loop runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import backtrader as bt
from backtrader.feed import AbstractDataBase, DataClone
from backtrader.linebuffer import LineBuffer
from backtrader.lineseries import Lines

from .feeds import feeds_of, steps_of
from .rounds import Rounds
from .turns import StrategyTurn

__all__ = ["run_bars", "why_not"]

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
    by_rounds = rounds is not None
    with ExitStack() as undo:
        feeds = feeds_of(cerebro.datas, by_rounds=by_rounds)
        for feed in feeds:
            undo.callback(feed.leave)
        gauges = {id(line): feed.cursor for feed in feeds for line in feed.lines}
        turns = [
            StrategyTurn(strategy, cerebro, gauges, by_rounds=by_rounds)
            for strategy in strategies
        ]
        for turn in turns:
            undo.callback(turn.leave)
        steps = rounds.walk(feeds) if rounds else steps_of(feeds)
        _deliver(cerebro, strategies, steps, turns)


def _deliver(
    cerebro: Any,
    strategies: Sequence[Any],
    steps: Iterator[tuple[float, float]],
    turns: Sequence[StrategyTurn],
) -> None:
    opening = _Opening(cerebro, strategies)
    queue, sleeps = opening.queue, opening.sleeps
    for due, time in steps:
        if (queue or not sleeps()) and not opening.take(due):
            return
        for turn in turns:
            turn.take(time)
            if cerebro._event_stop:
                return
            if cerebro.runwriters:
                cerebro._next_writers(strategies)


def _never() -> bool:
    return False


class _Opening:
    """What comes before the strategies at each bar: timers, the open, the broker.

    Attributes:
        take: does it for the bar of a time; False: the run was stopped.
        sleeps: whether there is nothing to do at a bar; it is over then.
        queue: orders that the broker has yet to tell of, as far as it shows them.
    """

    def __init__(self, cerebro: Any, strategies: Sequence[Any]) -> None:
        self._cerebro = cerebro
        self._strategies = strategies
        self._quick = cerebro.p.quicknotify
        is_simple = not (
            cerebro._timers or cerebro._timerscheat or cerebro.p.cheat_on_open
        )
        self.take = self._take_simply if is_simple else self._take
        self._broker = cerebro._broker
        stock = bt.brokers.BackBroker.get_notification
        has_queue = getattr(type(self._broker), "get_notification", 0) is stock
        self.queue: Any = self._broker.notifs if has_queue else (True,)
        calm: Any = getattr(self._broker, "calm", None) if is_simple else None
        may_skip = calm is not None and calm.stands_for_next
        may_skip = may_skip and "next" not in vars(self._broker)
        self.sleeps = calm.sleeps if may_skip else _never

    def _take_simply(self, _: float) -> bool:
        self._broker.next()
        if self.queue:
            self._notify_broker()
        return not self._cerebro._event_stop

    def _take(self, time: float) -> bool:
        cerebro = self._cerebro
        if not self._cheat(time):
            return False
        self._broker.next()
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
        """Bring the broker's orders to their strategies."""
        while (order := self._broker.get_notification()) is not None:
            owner = order.owner
            if owner is None:
                owner = self._cerebro.runningstrats[0]
            owner._addnotification(order, quicknotify=self._quick)
