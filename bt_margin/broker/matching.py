"""Matching along the path: orders fill when the price gets to them.

Backtrader matches a bar's orders in the order in which they were sent, each against
the whole bar. Here they are matched in the order of time: the children of a bracket
live from their parent's fill on, of an OCO pair the first touched wins, a stop-limit
waits for its limit after its trigger, and a trailing stop moves along the path.
"""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from backtrader import Order

from bt_margin.core.errors import InvariantError
from bt_margin.core.path import BEFORE_OPEN, Polyline

from .kinds import BY_THE_BAR, STOP_LIMITS, STOPS, TRAILS

__all__ = ["PathMatcher"]


@dataclass(frozen=True, slots=True)
class _Hit:
    """Where an order would fill: share of the bar, and price before slippage.

    Attributes:
        share: of the bar elapsed.
        price: the level, or the price that is beyond it already.
        is_beyond: whether the price was beyond the level when the order came alive.
        slips: whether a fill at the level slips, as stops do and limits do not.
    """

    share: float
    price: float
    is_beyond: bool
    slips: bool


class PathMatcher:
    """Matches the pending orders of a broker along the path of one bar.

    Args:
        broker: the `MarginBroker` whose orders these are.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._alive_since: dict[int, float] = {}
        self._done: set[int] = set()

    def match(self) -> None:
        """Fill what the path fills, in its order."""
        broker = self._broker
        self._alive_since, self._done = {}, set()
        broker.expire_orders()
        met = {order.ref for order in self._orders()}
        while (found := self._next()) is not None:
            order, hit = found
            broker.walk_to(hit.share, order)
            if order.alive():
                self._fill(order, hit)
        for order in self._orders():
            self._carry_on(order)
            if order.ref in met:
                broker.note_rested(order)

    def _orders(self) -> list[Any]:
        """Pending orders that this bar may fill, in queue order."""
        broker = self._broker
        return [
            order
            for order in broker.live_orders()
            if order.active() and broker.has_new_bar(order)
        ]

    def _next(self) -> tuple[Any, _Hit] | None:
        """The order that fills first; of several at one moment the first sent."""
        found: tuple[Any, _Hit] | None = None
        for order in self._orders():
            if order.ref in self._done:
                continue
            hit = self._hit(order)
            if hit is not None and (found is None or hit.share < found[1].share):
                found = (order, hit)
        return found

    def _hit(self, order: Any) -> _Hit | None:
        """Where the order would fill in the rest of the bar, if it does."""
        path = self._path(order)
        start = max(self._broker.share, self._alive_since.get(order.ref, 0.0), 0.0)
        is_buy, kind = order.isbuy(), order.exectype
        if kind in BY_THE_BAR:
            share = 1.0 if kind == Order.Close else start
            price = path.price_at(share)
            if kind == Order.Market and self._broker.p.coc and not start:
                share = float(BEFORE_OPEN)  # at the close of the bar before
            return _Hit(share, price, is_beyond=True, slips=True)
        level = order.created.price
        if kind == Order.Limit:
            return _reach(path, level, start, rising=not is_buy, slips=False)
        if order.triggered:
            limit = order.created.pricelimit
            return _reach(path, limit, start, rising=not is_buy, slips=False)
        trigger = self._trigger(order, path, start)
        if trigger is None or kind in STOPS:
            return trigger
        limit = self._limit(order, trigger)
        return _after(path, limit, trigger, rising=not is_buy)

    def _trigger(self, order: Any, path: Polyline, start: float) -> _Hit | None:
        """Where a stop is triggered."""
        if order.exectype in TRAILS:
            return _trail(order, path, start)
        return _reach(
            path, order.created.price, start, rising=order.isbuy(), slips=True
        )

    @staticmethod
    def _limit(order: Any, trigger: _Hit) -> float:
        """The limit of a stop-limit when it is triggered; a trailing one has moved."""
        if order.exectype in TRAILS and not trigger.is_beyond:
            return float(trigger.price - order._limitoffset)
        return float(order.created.pricelimit)

    def _path(self, order: Any) -> Polyline:
        path: Polyline | None = self._broker.instrument(order.data).last
        if path is None:
            raise InvariantError(f"{order.data._name} fills an order before a bar")
        return path

    def _fill(self, order: Any, hit: _Hit) -> None:
        """Fill an order at its hit; its children live from now on."""
        broker = self._broker
        self._done.add(order.ref)
        broker.pending.remove(order)
        born_inside = order.ref in self._alive_since
        if order.exectype in BY_THE_BAR and not born_inside:
            broker._try_exec(order)
        else:
            self._execute(order, hit)
        if order.alive():
            broker.pending.append(order)
        elif order.status == Order.Completed:
            broker._bracketize(order)
        while broker._toactivate:
            child = broker._toactivate.popleft()
            child.activate()
            self._alive_since[child.ref] = hit.share
            broker.note_arrival(child, self._path(child).price_at(hit.share))

    def _execute(self, order: Any, hit: _Hit) -> None:
        """Slip as Backtrader does and book the fill."""
        broker = self._broker
        _, high, low, _ = broker.instrument(order.data).bar.candle
        slips = broker.p.slip_open if hit.is_beyond else hit.slips
        limited = order.exectype == Order.Limit or order.exectype in STOP_LIMITS
        if order.isbuy():
            price = broker._slip_up(high, hit.price, doslip=slips, lim=limited)
        else:
            price = broker._slip_down(low, hit.price, doslip=slips, lim=limited)
        if price is not None:
            broker.fill_now(order, price)

    def _carry_on(self, order: Any) -> None:
        """Leave an unfilled order as the path leaves it: triggered, or trailed."""
        if order.exectype not in (*TRAILS, Order.StopLimit):
            return
        path = self._path(order)
        start = self._alive_since.get(order.ref, 0.0)
        if order.exectype in STOP_LIMITS and not order.triggered:
            trigger = self._trigger(order, path, start)
            if trigger is not None:
                order.created.pricelimit = self._limit(order, trigger)
                order.triggered = True
                return
        if order.exectype in TRAILS and not order.triggered:
            points = zip(path.shares, path.prices, strict=True)
            for price in [path.price_at(start), *(p for s, p in points if s > start)]:
                order.trailadjust(price)


def _reach(
    path: Polyline, level: float, start: float, *, rising: bool, slips: bool
) -> _Hit | None:
    """Where price is at or beyond ``level``, from ``start`` on."""
    here = path.price_at(start)
    if (here >= level) if rising else (here <= level):
        return _Hit(start, here, is_beyond=True, slips=slips)
    share = path.first_touch(level, start)
    if share is None:
        return None
    ends = sorted((path.price_before(share), path.price_at(share)))
    if ends[0] < level < ends[1]:  # jumped over: nothing was traded at the level
        return _Hit(share, path.price_at(share), is_beyond=True, slips=slips)
    return _Hit(share, level, is_beyond=False, slips=slips)


def _after(path: Polyline, limit: float, trigger: _Hit, *, rising: bool) -> _Hit | None:
    """Where a stop-limit fills after its trigger: at once, or at its limit later."""
    price = trigger.price
    if (price >= limit) if rising else (price <= limit):
        return trigger
    return _reach(path, limit, trigger.share, rising=rising, slips=False)


def _trail(order: Any, path: Polyline, start: float) -> _Hit | None:
    """Where the price comes back to a stop that follows it along the path."""
    is_buy, stop = order.isbuy(), order.created.price
    here, share = path.price_at(start), start
    if (here >= stop) if is_buy else (here <= stop):
        return _Hit(start, here, is_beyond=True, slips=True)
    first = bisect_right(path.shares, start)
    for end, price in zip(path.shares[first:], path.prices[first:], strict=True):
        stop = _followed(order, here, stop)
        if (price >= stop) if is_buy else (price <= stop):
            if end == share:  # jumped over: nothing was traded at the stop
                return _Hit(share, price, is_beyond=True, slips=True)
            part = (stop - here) / (price - here)
            moment = share + (end - share) * part
            return _Hit(moment, stop, is_beyond=False, slips=True)
        here, share = price, end
    return None


def _followed(order: Any, price: float, stop: float) -> float:
    """The stop after price has been at ``price``: it only ever comes nearer."""
    distance = order.trailamount or price * (order.trailpercent or 0.0)
    if order.isbuy():
        return float(min(stop, price + distance))
    return float(max(stop, price - distance))
