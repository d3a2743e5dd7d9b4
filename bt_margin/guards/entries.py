"""Entry guards: orders that open or add are refused where a rule says so.

An order is judged when it reaches the broker, on the account as it is then, with the
orders of the same bar before it counted as filled and with no price of the bar that
has just begun.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from backtrader import Order

from bt_margin.broker.kinds import BY_THE_BAR, STOP_LIMITS, STOPS
from bt_margin.broker.preview import Preview
from bt_margin.broker.refusal import finite_number, positive_number
from bt_margin.broker.volatility import RollingTrueRange
from bt_margin.core.errors import ParameterError

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
        """Why the order must not be sent; ``None``: it may, or it only closes.

        Of a flip that is objected to the close is let through: the order becomes
        reduce-only.
        """
        if _is_exit(order) or broker.is_reducing(order):
            return None
        if broker.instrument(order.data).bar is None:
            why = "its feed has no bar yet"
            broker.note_guard(self, order.data, "cannot judge an order", why)
            return None
        size, price = order.executed.remsize, entry_price(order)
        side = order.info.get("position_side")
        preview = broker.what_if(
            order.data, size, price, side=side, counts_orders=False
        )
        # What the account cannot pay for is refused without a guard.
        if not preview.opened or preview.refusal is not None:
            return None
        reason = self._objection(broker, order, preview)
        if reason is None or not preview.closed:
            return reason
        order.addinfo(reduce_only=True, reason=f"{type(self).__name__}: {reason}")
        what = f"let {order.ordtypename().lower()} {abs(size):g} only close"
        what += f" {abs(preview.closed):g}"
        broker.note_guard(self, order.data, what, reason)
        return None

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        raise NotImplementedError


def _is_exit(order: Any) -> bool:
    """Whether the order is a bracket's stop or target."""
    parent = order.parent
    return parent is not None and parent.isbuy() is not order.isbuy()


def entry_price(order: Any) -> float:
    """The price at which an order would open: its own, or the last when it was sent."""
    created = order.created
    if order.exectype in BY_THE_BAR:
        return float(created.pclose)
    if order.exectype in (*STOP_LIMITS, Order.Limit):
        return float(created.pricelimit or created.price)
    return float(created.price)


@dataclass
class LiquidationDistance(_EntryGuard):
    """No entry whose liquidation is near, or comes before its stop.

    The stop is the bracket's, or ``stop_price=`` given with the order. Without
    either the guard cannot know, says so once for each order on record, and looks at
    the distance alone. Resting orders do not count: each is judged by itself. The
    smaller leg of a hedge on cross margin passes: it makes the account safer.

    Attributes:
        ranges: average true ranges that must lie between entry and liquidation; 0:
            any distance.
        period: bars of the average; before there are so many, only the stop counts.
        beyond_stop: whether the liquidation must lie beyond the stop.
    """

    ranges: float = 2.0
    period: int = 14
    beyond_stop: bool = True
    _means: list[RollingTrueRange] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not finite_number("ranges", self.ranges) >= 0:
            raise ParameterError("ranges", self.ranges, "give 0 or more")
        _count("period", self.period)

    def start(self, broker: Any) -> None:
        """Begin a run."""
        self._means = [RollingTrueRange(self.period) for _ in broker.feeds]

    def act(self, broker: Any) -> None:
        """Take the bars that strategies see next: orders come after them."""
        for feed, mean in zip(broker.feeds, self._means, strict=True):
            mean.follow(feed)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        price, liquidation = entry_price(order), preview.liquidation_price
        if liquidation is None or _is_hedge(broker, order, preview):
            return None
        side = 1 if preview.size > 0 else -1
        true_range = self._means[broker.feeds.index(order.data)].whole_mean
        distance = (price - liquidation) * side
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
        if (liquidation - stop) * side >= 0:
            return f"liquidation at {liquidation:g} comes before the stop at {stop:g}"
        return None


def _is_hedge(broker: Any, order: Any, preview: Preview) -> bool:
    """Whether the order adds to the smaller of two legs that share a wallet."""
    side = order.info.get("position_side")
    if not broker.is_hedged or broker.margin_mode_of(order.data) != "cross":
        return False
    other = broker.get_leg(order.data, "short" if side == "long" else "long")
    return other is not None and abs(other.size) >= abs(preview.size)


def stop_of(broker: Any, order: Any) -> float | None:
    """The stop of an entry: declared with it, or of its bracket."""
    declared = order.info.get("stop_price")
    if declared is not None:
        return finite_number("stop_price", declared)
    for child in broker._pchildren.get(order.ref, ()):
        if child is not order and child.exectype in (*STOPS, *STOP_LIMITS):
            return float(child.created.price)
    return None


@dataclass
class MarginCap(_EntryGuard):
    """No position whose initial margin is more than a share of the account.

    The entries that rest on the same side count as if they had filled; of an OCO
    group the largest.

    Attributes:
        share: of wallets and unrealized PnL.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        positive_number("share", self.share)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:
        size, price = abs(preview.size), preview.entry_price or 0.0
        margin = broker.order_terms(order).opening_margin(size, price)
        margin += _resting_margin(broker, order)
        cap = self.share * broker.getvalue()
        if margin <= cap:
            return None
        return f"its margin would be {margin:,.2f}, the cap is {cap:,.2f}"


def _resting_margin(broker: Any, order: Any) -> float:
    """Initial margin of the entries of the same position that rest on one side."""
    desk, key = broker._desk, broker.order_terms(order).contract.key
    margins: dict[Any, float] = {}
    for other in broker.live_orders():
        terms = broker.order_terms(other)
        if (
            terms.contract.key != key
            or other.isbuy() is not order.isbuy()
            or other.exectype in BY_THE_BAR
            or _is_exit(other)
            or broker.is_reducing(other)
            or desk.are_oco(other, order)
        ):
            continue
        size = abs(other.executed.remsize)
        margin, group = (
            terms.opening_margin(size, entry_price(other)),
            desk.group(other),
        )
        margins[group] = max(margin, margins.get(group, 0.0))
    return sum(margins.values())


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
        return f"the margin ratio would be {found:.3f}, the cap is {self.ratio:g}"


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
        self._begin_day(broker.time - timedelta.resolution)  # not the end's day
        self._last = float(broker.fundvalue)

    def _begin_day(self, now: datetime) -> None:
        """Begin a day with the value of the last bar before it."""
        if now.date() != self._day:
            self._day, self._began_at = now.date(), self._last

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:  # noqa: ARG002
        self._begin_day(broker.time)
        loss = 1 - self._last / self._began_at
        if loss < self.share:
            return None
        return f"the day has lost {loss:.2%}, the cap is {self.share:.2%}"


@dataclass
class StopAfterLiquidation(_EntryGuard):
    """No entry after the account was liquidated.

    Attributes:
        count: liquidations that end the trading; of each position, each step counts.
    """

    count: int = 1

    def __post_init__(self) -> None:
        _count("count", self.count)

    def _objection(self, broker: Any, order: Any, preview: Preview) -> str | None:  # noqa: ARG002
        found = len(broker.liquidations)
        if found < self.count:
            return None
        return f"liquidations so far: {found}, and {self.count} end the trading"


def _count(name: str, value: Any) -> None:
    """Refuse what is not a whole number above 0."""
    if positive_number(name, value) != int(value):
        raise ParameterError(name, value, "give a whole number above 0")
