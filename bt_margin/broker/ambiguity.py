"""Ambiguity: bars whose outcome hangs on which extreme came first.

Four prices do not tell. A bar is ambiguous for a symbol when something waits on both
sides of its open and the bar reaches both: a stop and a target, a liquidation and a
target, an entry and the liquidation of what it opens.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bt_margin.core.fill import apply_fill
from bt_margin.core.position import Position

from .instrument import Instrument, utc
from .kinds import BY_THE_BAR
from .terms import Terms

__all__ = ["Ambiguity", "AmbiguityFinder"]


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A bar that could have gone two ways.

    Attributes:
        time: the bar's start, UTC.
        symbol: whose bar.
        above: what waits above the open, with its price.
        below: what waits below it.
        stake: difference of the two outcomes for the size at hand, unsigned.
    """

    time: datetime
    symbol: str
    above: str
    below: str
    stake: float


@dataclass(frozen=True, slots=True)
class _Level:
    """Something that waits at a price."""

    price: float
    what: str
    size: float

    def __str__(self) -> str:
        return f"{self.what} {self.price:g}"


class AmbiguityFinder:
    """Finds the ambiguous bars of a run, bar by bar.

    Args:
        broker: the `MarginBroker` of the run.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._coarse: dict[Any, tuple[int, float, float]] = {}

    def coarse_candle(self, leader: Any) -> tuple[int, float, float] | None:
        """Start (ms), low and high of the mark candle that is not yet judged."""
        return self._coarse.get(leader)

    def note_coarse(self, leader: Any, candle: tuple[int, float, float] | None) -> None:
        """Take the mark candle of a held feed's bar that was slept through.

        Those before it were within bounds in which nothing could fail.
        """
        if leader in self._coarse and candle is not None:
            self._coarse[leader] = candle

    def find(self) -> list[Ambiguity]:
        """The symbols whose bar, just opened, can go two ways for the account."""
        return [*self._of_orders(), *self._of_coarse_marks()]

    def _of_orders(self) -> Iterator[Ambiguity]:
        """Bars that reach something on both sides of their open."""
        broker = self._broker
        touched: dict[Any, list[Any]] = {}
        for order in broker.near_orders():
            if order.exectype in BY_THE_BAR or not order.active():
                continue
            if broker.has_new_bar(order) and _is_touched(broker, order):
                touched.setdefault(broker.leader(order.data), []).append(order)
        for leader, orders in touched.items():
            instrument: Instrument = broker.instrument(orders[0].data)
            if instrument.detail or instrument.bar is None:
                continue
            opened = instrument.bar.candle[0]
            levels = list(_levels(broker, leader, instrument, orders))
            above = [level for level in levels if level.price > opened]
            below = [level for level in levels if level.price < opened]
            if above and below:
                high = min(above, key=lambda level: level.price)
                low = max(below, key=lambda level: level.price)
                yield _ambiguity(broker, leader, instrument, high, low)

    def _of_coarse_marks(self) -> Iterator[Ambiguity]:
        """Mark candles, just over, that reached a liquidation the bars did not.

        Of a mark candle coarser than the bars only the range is known: a position
        that lived through it may have died of a mark-only extreme.
        """
        broker = self._broker
        symbols = {p.contract.symbol for p in broker.account.positions.values()}
        known = {broker.data_of_symbol(one) for one in symbols} | {*self._coarse}
        for leader in (one for one in broker.leaders if one in known):
            before = self._coarse.pop(leader, None)
            held = _held(broker, leader)
            candle = broker.instrument(leader).coarse_mark() if held else None
            if candle is None:
                continue
            self._coarse[leader] = candle
            if before is not None and before[0] != candle[0]:
                for position in held:
                    yield from self._missed(leader, before, position)

    def _missed(
        self, leader: Any, candle: tuple[int, float, float], position: Position
    ) -> Iterator[Ambiguity]:
        start, low, high = candle
        size, price = position.size, _liquidation(self._broker, position)
        if price is None or not low <= price <= high:
            return
        liquidation = f"liquidation {price:g}"
        extreme = f"mark candle to {low if size > 0 else high:g}, missed by the bars"
        mark = self._broker.mark(leader)
        stake = abs(position.contract.pnl(size, price, mark))
        words = (extreme, liquidation) if size < 0 else (liquidation, extreme)
        symbol = self._broker.instrument(leader).symbol
        yield Ambiguity(utc(start), symbol, *words, float(stake))


def _ambiguity(
    broker: Any, leader: Any, instrument: Instrument, high: _Level, low: _Level
) -> Ambiguity:
    contract = broker.terms(leader).contract
    size = broker.positions[leader].size or high.size or low.size
    stake = abs(contract.pnl(size, low.price, high.price))
    start = instrument.bar.start if instrument.bar else 0
    return Ambiguity(utc(start), instrument.symbol, str(high), str(low), float(stake))


def _is_touched(broker: Any, order: Any) -> bool:
    """Whether the bar reaches the order's price after its open."""
    bar = broker.instrument(order.data).bar
    if bar is None:
        return False
    opened, high, low, _ = bar.candle
    price = _price(order)
    return bool(low <= price <= high and price != opened)


def _price(order: Any) -> float:
    created = order.created
    return float(created.pricelimit if order.triggered else created.price)


def _levels(
    broker: Any, leader: Any, instrument: Instrument, orders: list[Any]
) -> Iterator[_Level]:
    """What waits inside the bar: orders, and liquidations with and after them."""
    for position in _held(broker, leader):
        price = _liquidation(broker, position)
        yield from _inside(instrument, price, position.size)
    for order in orders:
        size = order.executed.remsize
        name = order.getordername().lower()
        yield _Level(_price(order), f"{order.ordtypename().lower()} {name}", size)
        held = broker.held(order)
        adds = not held or (held > 0) is (size > 0)
        if adds and not broker.is_reducing(order):
            yield from _inside(instrument, _liquidation_after(broker, order), size)


def _held(broker: Any, leader: Any) -> list[Position]:
    """The position of a feed, or its legs."""
    symbol = broker.instrument(leader).symbol
    held: list[Position] = broker.account.positions_of(symbol)
    return held


def _liquidation(broker: Any, position: Position) -> float | None:
    key = position.contract.key
    found = broker.account.liquidation_price(key, broker.mark_of_symbol)
    return None if found is None else float(found)


def _inside(
    instrument: Instrument, price: float | None, size: float
) -> Iterator[_Level]:
    """A liquidation, if the bar's mark reaches it."""
    prices = instrument.mark.prices if instrument.mark else ()
    if price is not None and prices and min(prices) <= price <= max(prices):
        yield _Level(price, "liquidation", size)


def _liquidation_after(broker: Any, order: Any) -> float | None:
    """The liquidation price that an entry would have, on a copy of the account."""
    terms: Terms = broker.order_terms(order)
    size, price = order.executed.remsize, _price(order)
    fork = broker.account.fork()
    leverage, mode = terms.leverage_at(price), terms.mode
    margin = terms.opening_margin(size, price)
    if margin > broker.available_to_open(order, fork):
        return None
    apply_fill(fork, terms.contract, size, price, leverage=leverage, mode=mode)
    found = fork.liquidation_price(terms.contract.key, broker.mark_of_symbol)
    return None if found is None else float(found)
