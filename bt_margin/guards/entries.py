"""Entry guards: orders that open or add are refused where a rule says so."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from backtrader import Order

from bt_margin.broker.kinds import STOPS
from bt_margin.broker.preview import Preview
from bt_margin.broker.refusal import positive_number
from bt_margin.broker.volatility import average_true_range

__all__ = [
    "DailyLossCap",
    "LiquidationDistance",
    "MarginCap",
    "MarginRatioCap",
    "StopAfterLiquidation",
]


class _EntryGuard:
    """A guard that looks at orders which open or add, and at nothing else."""

    def start(self, broker: Any) -> None:
        """Begin a run."""

    def act(self, broker: Any) -> None:
        """Leave open positions alone."""

    def objection(self, broker: Any, order: Any) -> str | None:
        """Why the order must not be sent; ``None``: it may, or it only closes."""
        if order.parent is not None or broker.is_reducing(order):
            return None
        size, price = order.executed.remsize, entry_price(broker, order)
        side = order.info.get("position_side")
        preview = broker.what_if(order.data, size, price, side=side)
        terms = broker.order_terms(order)
        change = broker.account.split_fill(terms.contract.key, size, price)
        # What the account cannot pay for is refused without a guard.
        if not change.opened or preview.refusal is not None:
            return None
        return self._objection(broker, order, preview)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        raise NotImplementedError


def entry_price(broker: Any, order: Any) -> float:
    """The price at which an order would open: its own, or the mark."""
    if order.exectype in (Order.Market, Order.Close):
        return float(broker.mark(order.data))
    return float(order.created.pricelimit or order.created.price)


@dataclass
class LiquidationDistance(_EntryGuard):
    """No entry whose liquidation is near, or comes before its stop.

    The stop is the bracket's, or ``stop_price=`` given with the order. Without
    either the guard cannot know, says so once for each order on record, and looks at
    the distance alone.

    Attributes:
        ranges: average true ranges that must lie between entry and liquidation; 0:
            any distance.
        period: bars of the average; before there are so many, entries pass.
        beyond_stop: whether the liquidation must lie beyond the stop.
    """

    ranges: float = 2.0
    period: int = 14
    beyond_stop: bool = True

    def __post_init__(self) -> None:
        positive_number("period", self.period)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        price, liquidation = entry_price(broker, order), preview.liquidation_price
        if liquidation is None:
            return None
        true_range = average_true_range(order.data, self.period)
        distance = abs(price - liquidation)
        if true_range is not None and distance < self.ranges * true_range:
            return (
                f"liquidation at {liquidation:g} is {distance / true_range:.2f} average"
                f" true ranges from {price:g}, less than {self.ranges:g}"
            )
        if not self.beyond_stop:
            return None
        stop = stop_of(broker, order)
        if stop is None:
            why = "no bracket and no stop_price= given with the order"
            broker.note_guard(self, order.data, "cannot compare with a stop", why)
            return None
        if (liquidation >= stop) if preview.size > 0 else (liquidation <= stop):
            return f"liquidation at {liquidation:g} comes before the stop at {stop:g}"
        return None


def stop_of(broker: Any, order: Any) -> float | None:
    """The stop of an entry: declared with it, or of its bracket."""
    declared = order.info.get("stop_price")
    if declared is not None:
        return float(declared)
    for child in broker._pchildren.get(order.ref, ()):
        if child.exectype in STOPS:
            return float(child.created.price)
    return None


@dataclass
class MarginCap(_EntryGuard):
    """No position that locks more than a share of the account.

    Attributes:
        share: of wallets and unrealized PnL.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        positive_number("share", self.share)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        size, price = abs(preview.size), preview.entry_price or 0.0
        margin = broker.order_terms(order).opening_margin(size, price)
        cap = self.share * broker.getvalue()
        if margin <= cap:
            return None
        return f"its margin would be {margin:,.2f}, the cap is {cap:,.2f}"


@dataclass
class MarginRatioCap(_EntryGuard):
    """No entry that takes the margin ratio of the account too high.

    Attributes:
        ratio: maintenance margin / margin balance of all wallets together.
    """

    ratio: float = 0.5

    def __post_init__(self) -> None:
        positive_number("ratio", self.ratio)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:  # noqa: ARG002
        found = preview.total.margin_ratio
        if found <= self.ratio:
            return None
        return f"the margin ratio would be {found:.2f}, the cap is {self.ratio:g}"


@dataclass
class DailyLossCap(_EntryGuard):
    """No entry on a day that has lost a share of the account already.

    A day is a UTC day; the loss counts from the last bar of the day before to the
    last bar, unrealized PnL included and deposits left out.

    Attributes:
        share: of the value with which the day began.
    """

    share: float = 0.05
    _day: date | None = field(default=None, init=False, repr=False)
    _began_at: float = field(default=0.0, init=False, repr=False)
    _last: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        positive_number("share", self.share)

    def start(self, broker: Any) -> None:
        """Begin a run."""
        self._day, self._last = None, float(broker.fundvalue)

    def act(self, broker: Any) -> None:
        """Note the value of a bar; a fund's share does not move with deposits."""
        self._begin_day(broker)
        self._last = float(broker.fundvalue)

    def _begin_day(self, broker: Any) -> None:
        if broker.time.date() != self._day:
            self._day, self._began_at = broker.time.date(), self._last

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:  # noqa: ARG002
        self._begin_day(broker)
        loss = 1 - self._last / self._began_at
        if loss < self.share:
            return None
        return f"the day has lost {loss:.2%}, the cap is {self.share:.2%}"


@dataclass
class StopAfterLiquidation(_EntryGuard):
    """No entry after the account was liquidated.

    Attributes:
        count: liquidations that end the trading.
    """

    count: int = 1

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:  # noqa: ARG002
        found = len(broker.liquidations)
        if found < self.count:
            return None
        return f"{found} liquidations, {self.count} end the trading"
