"""Locking: the margin that resting orders lock."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from backtrader import Order

from bt_margin.core.account import Account
from bt_margin.core.margin import order_margin

from .kinds import BY_THE_BAR, STOP_LIMITS
from .terms import Terms

__all__ = ["Locking", "RestingMargin"]


class _Claim(NamedTuple):
    """What one resting order asks for.

    Attributes:
        notional: at its price, unsigned.
        loss: what it would lose at once if it filled now.
        fees: of opening, and of a close at bankruptcy, where the venue reserves them.
        leverage: under which it would open.
    """

    notional: float
    loss: float
    fees: float
    leverage: float


class RestingMargin(NamedTuple):
    """What the resting orders of one position ask for. Amounts in settle currency.

    Attributes:
        key: of the position.
        symbol: of the position.
        bought: notional of the buys at their prices, unsigned.
        sold: the same of the sells.
        buying_fees: fees reserved for the buys.
        selling_fees: the same for the sells.
        open_loss: what they would lose at once if they filled now.
        leverage: the lowest under which one of them would open.
    """

    key: str
    symbol: str
    bought: float
    sold: float
    buying_fees: float
    selling_fees: float
    open_loss: float
    leverage: float

    def locked(self, account: Account, mark: float | None) -> float:
        """What they lock beside the position; ``None``: the feed has not begun."""
        position = account.positions.get(self.key)
        held = position.notional(mark) if position and mark else 0.0
        signed = held if position and position.size > 0 else -held
        adding = (
            (self.buying_fees, abs(signed + self.bought)),
            (self.selling_fees, abs(signed - self.sold)),
        )
        fees = max((fee for fee, after in adding if after > held), default=0.0)
        return float(
            fees
            + order_margin(
                signed, self.bought, self.sold, self.open_loss, self.leverage
            )
        )


def _waits(order: Any) -> bool:
    """Whether the order is a stop before its trigger.

    It has no open loss: by the time it fills, mark is at its trigger.
    """
    return order.exectype != Order.Limit and not order.triggered


class Locking:
    """Knows what the resting orders of a broker lock.

    Args:
        broker: the `MarginBroker` whose orders these are.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._claims: dict[int, tuple[Any, _Claim]] = {}  # by the order's number
        self._trial: Account | None = None

    @property
    def account(self) -> Account:
        """The account as the next order finds it: inside a batch, the trial."""
        trial: Account = self._trial or self._broker.account
        return trial

    def locked(self, exclude: Any = None, include: Any = None) -> float:
        """What resting orders lock.

        Args:
            exclude: an order to leave out, with those that go when it fills.
            include: an order to count as if it rested, with a quantity:
                ``(order, quantity)``.
        """
        return sum(
            resting.locked(self.account, mark)
            for resting, mark in self._resting_margins(exclude, include)
        )

    def resting_margins(self) -> list[RestingMargin]:
        """What resting orders ask for, by position; their open loss is that of now."""
        return [resting for resting, _ in self._resting_margins()]

    def _resting_margins(
        self, exclude: Any = None, include: Any = None
    ) -> Iterator[tuple[RestingMargin, float | None]]:
        """What the orders of each position ask for, and its mark."""
        if not self._broker.p.order_margin:
            return
        by_key: dict[str, list[tuple[Any, float]]] = {}
        for order in self._resting():
            if exclude is None or self.group(order) != self.group(exclude):
                key = self._broker.order_terms(order).contract.key
                found = (order, abs(order.executed.remsize))
                by_key.setdefault(key, []).append(found)
        if include is not None:
            key = self._broker.order_terms(include[0]).contract.key
            by_key.setdefault(key, []).append(include)
        for orders in by_key.values():
            yield self._added_up(orders)

    def _resting(self) -> Iterator[Any]:
        """Orders that rest and could open: active and not reducing only.

        Market orders do not rest: they are checked against each other when they are
        sent, and each again when it fills.
        """
        rule = self._broker.venue.order_margin
        for order in self._broker.pending:
            if (
                order is not None
                and order.active()
                and order.exectype not in BY_THE_BAR
                and not self._broker.is_reducing(order)
                and (rule.untriggered_stops or not _waits(order))
            ):
                yield order

    def are_oco(self, one: Any, other: Any) -> bool:
        """Whether two orders are different members of one OCO group."""
        return one.ref != other.ref and self.group(one) == self.group(other)

    def group(self, order: Any) -> tuple[str, int]:
        """Orders of one group go together: of an OCO, or children of a bracket."""
        if order.parent is not None:
            return ("bracket", order.parent.ref)
        return ("oco", self._broker._ocos.get(order.ref, order.ref))

    def _mark(self, data: Any) -> float | None:
        """Mark price; ``None``: the feed has not begun."""
        return float(self._broker.mark(data)) if self._broker.has_begun(data) else None

    def _added_up(
        self, orders: list[tuple[Any, float]]
    ) -> tuple[RestingMargin, float | None]:
        """The orders of one position, where a group counts once, with its largest."""
        first, data = orders[0][0], orders[0][0].data
        terms, mark = self._broker.order_terms(first), self._mark(data)
        largest: dict[tuple[Any, bool], _Claim] = {}
        for order, quantity in orders:
            claim = self._claim(order, quantity, mark, terms)
            key = (self.group(order), order.isbuy())
            largest[key] = max(largest.get(key, claim), claim)
        buys, sells = (
            [claim for (_, is_buy), claim in largest.items() if is_buy is side]
            for side in (True, False)
        )
        resting = RestingMargin(
            key=terms.contract.key,
            symbol=terms.contract.symbol,
            bought=sum(claim.notional for claim in buys),
            sold=sum(claim.notional for claim in sells),
            buying_fees=sum(claim.fees for claim in buys),
            selling_fees=sum(claim.fees for claim in sells),
            open_loss=sum(claim.loss for claim in largest.values()),
            leverage=min(claim.leverage for claim in largest.values()),
        )
        return resting, mark

    def _claim(
        self, order: Any, quantity: float, mark: float | None, terms: Terms
    ) -> _Claim:
        """What one order asks for by itself."""
        rule = self._broker.venue.order_margin
        if rule.open_loss:  # it moves with the mark
            return self._claim_at(order, quantity, mark, terms)
        asked = (quantity, order.created.price, order.triggered, terms, rule)
        known = self._claims.get(order.ref)
        if known is None or known[0] != asked:
            found = self._claim_at(order, quantity, mark, terms)
            known = self._claims[order.ref] = (asked, found)
        return known[1]

    def _claim_at(
        self, order: Any, quantity: float, mark: float | None, terms: Terms
    ) -> _Claim:
        price, rule = self._reference_price(order), self._broker.venue.order_margin
        size = quantity if order.isbuy() else -quantity
        loss = fees = 0.0
        if rule.open_loss and mark is not None and not _waits(order):
            loss = max(0.0, -terms.contract.pnl(size, price, mark))
        if rule.fees:
            opening = -terms.fee(quantity, price, is_maker=False)
            fees = opening + terms.reserved_fee(size, price)
        notional = terms.contract.notional(quantity, price)
        return _Claim(notional, loss, fees, terms.leverage_at(price))

    def _reference_price(self, order: Any) -> float:
        """The price at which an order counts before it fills."""
        if self._broker.p.coo and order.exectype == Order.Market:
            return float(order.data.open[0])
        if order.exectype in STOP_LIMITS and order.triggered:
            return float(order.created.pricelimit)
        return float(order.created.price)
