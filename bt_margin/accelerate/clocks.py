"""Clocks: what of a run needs Backtrader's loop without preloading.

That loop computes indicators bar by bar, again in every round: with values of other
feeds as they stand by then, and more often than their own feed moves. As arrays they
see their own feed only, once for each bar.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import backtrader as bt
from backtrader import indicators
from backtrader.linebuffer import LineBuffer, _LineForward
from backtrader.lineiterator import LineIterator, MultiCoupler, SingleCoupler
from backtrader.lineroot import LineRoot

from .rounds import Rounds

__all__ = ["why_not_arrays"]

# Of these ``once`` and ``next`` differ: by what lies ahead, by a mistake, or by design.
_NOT_ONCE = (_LineForward, indicators.DemarkPivotPoint, SingleCoupler, MultiCoupler)
# What they keep, or show, changes when they are asked twice for one bar.
_COUNTING = (
    indicators.LaguerreRSI,
    indicators.LaguerreFilter,
    indicators.ZeroLagIndicatorEnvelope,
)
_COMPUTING = ("once", "preonce", "oncestart", "_once", "_next", "_clk_update")
_STRATEGY = ("_next", "_next_open", "_clk_update")


def why_not_arrays(
    strategies: Sequence[Any], datas: Sequence[Any], rounds: Rounds
) -> str | None:
    """What of some strategies arrays would show otherwise; ``None``: nothing."""
    for strategy in strategies:
        for name in _STRATEGY:
            if getattr(type(strategy), name) is not getattr(bt.Strategy, name):
                return f"{type(strategy).__name__}.{name} is not Backtrader's"
        for observer in strategy._lineiterators[LineIterator.ObsType]:
            own = type(observer)._next is not LineIterator._next
            if own or observer._lineiterators[LineIterator.IndType]:
                return f"{type(observer).__name__} goes on in a way of its own"
        search = _Search(strategy, datas, rounds)
        for item in _computed(strategy):
            found = search.trouble(item)
            if found is not None:
                return f"{type(item).__name__} {found}"
    return None


def _computed(owner: Any) -> Iterator[Any]:
    """The line objects that an object computes with, and those that they do."""
    for item in owner._lineiterators[LineIterator.IndType]:
        yield item
        if isinstance(item, LineIterator):
            yield from _computed(item)


class _Search:
    """Looks through the line objects of one strategy.

    Args:
        strategy: the strategy.
        datas: the feeds, preloaded.
        rounds: in which they bring their bars.
    """

    def __init__(self, strategy: Any, datas: Sequence[Any], rounds: Rounds) -> None:
        self._datas = datas
        self._rounds = rounds
        self._bound = {id(line) for line in strategy.lines}
        # An object that is being looked at adds nothing to itself.
        self._feeds: dict[int, frozenset[int]] = {
            id(data): frozenset([place]) for place, data in enumerate(datas)
        }

    def trouble(self, item: Any) -> str | None:
        """Why an object cannot be computed as an array; ``None``: it can."""
        own = _own_way(item)
        if own is not None:
            return own
        if not self._bound.isdisjoint(_bindings(item)):
            return "fills a line of its strategy"
        feeds = self.feeds_of(item)
        if not feeds:
            return None
        return self._trouble_with(item, feeds)

    def _trouble_with(self, item: Any, feeds: frozenset[int]) -> str | None:
        """Why an object of some feeds cannot be computed as an array."""
        if -1 in feeds or not self._rounds.move_together(feeds):
            return "reads several clocks"
        if _may_count(type(item)) and not all(map(self._rounds.moves_always, feeds)):
            return "may count how often it is asked for one bar"
        if item._minperiod > min(self._datas[feed].buflen() for feed in feeds):
            return "needs more bars than there are"
        return None

    def feeds_of(self, item: Any) -> frozenset[int]:
        """The places of the feeds that an object reads; -1: its strategy."""
        known = self._feeds.get(id(item))
        if known is not None:
            return known
        if isinstance(item, bt.Strategy):
            return frozenset([-1])
        self._feeds[id(item)] = frozenset()
        if type(item) is LineBuffer:
            found = self.feeds_of(item._owner)
        else:
            found = frozenset().union(*map(self.feeds_of, _read_by(item)))
        self._feeds[id(item)] = found
        return found


def _own_way(item: Any) -> str | None:
    """What an object does in a way that arrays would not show."""
    for name in _COMPUTING:
        if not _is_stock(getattr(type(item), name, None)) or name in vars(item):
            return f"has a {name} of its own"
    return "shows other values bar by bar" if isinstance(item, _NOT_ONCE) else None


def _may_count(kind: type) -> bool:
    """Whether a class could keep something whenever it is asked for a bar."""
    if issubclass(kind, _COUNTING):
        return True
    own = getattr(kind, "next", None)
    return not _is_stock(kind) and own not in (None, LineIterator.next)


def _is_stock(one: Any) -> bool:
    """Whether a class or a method is Backtrader's."""
    return getattr(one, "__module__", "backtrader.").startswith("backtrader.")


def _bindings(item: Any) -> Iterator[int]:
    for line in [item] if isinstance(item, LineBuffer) else item.lines:
        yield from map(id, line.bindings)


def _read_by(item: Any) -> Iterator[Any]:
    """The line objects that an object holds on to, but for its owner."""
    values = [value for name, value in vars(item).items() if name != "_owner"]
    while values:
        value = values.pop()
        if isinstance(value, LineRoot):
            yield value
        elif isinstance(value, (list, tuple)):
            values += value
        elif isinstance(value, dict):
            values += value.values()
