"""Locking: the margin that resting orders lock."""

from collections.abc import Iterator
from math import inf
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
        highest_buy: below this mark the buys have an open loss.
        lowest_sell: above this mark the sells have one.
    """

    key: str
    symbol: str
    bought: float
    sold: float
    buying_fees: float
    selling_fees: float
    open_loss: float
    leverage: float
    highest_buy: float
    lowest_sell: float

    def is_lossless(self, mark: float | None) -> bool:
        """Whether there is no open loss at a mark, as there was none before."""
        return not self.open_loss and (
            mark is None or self.highest_buy <= mark <= self.lowest_sell
        )

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
        # What orders ask for without their open loss, by number, and what for.
        self._claims: dict[int, tuple[Any, _Claim]] = {}
        self._trial: Account | None = None
        self._known: tuple[Any, list[RestingMargin]] | None = None

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
        is_whole = include is None and (exclude is None or self._is_alone(exclude))
        found = self.resting_margins() if is_whole else self._find(exclude, include)
        return sum(one.locked(self.account, self._mark(one.symbol)) for one in found)

    def _is_alone(self, order: Any) -> bool:
        """Whether leaving an order out leaves all that rest."""
        is_single = order.parent is None and order.ref not in self._broker._ocos
        return is_single and order.exectype in BY_THE_BAR

    def resting_margins(self) -> list[RestingMargin]:
        """What resting orders ask for, by position; their open loss is that of now."""
        if not any(self._broker.pending):
            return []
        asked, known = self._signature(), self._known
        if (
            known is not None
            and known[0] == asked
            and all(one.is_lossless(self._mark(one.symbol)) for one in known[1])
        ):
            return known[1]
        found = self._find()
        self._known = (asked, found)
        return found

    def _signature(self) -> tuple[Any, ...]:
        """All that what resting orders ask for hangs on, but for the marks."""
        broker = self._broker
        orders = [order for order in broker.pending if order is not None]
        return (
            [
                (
                    *(order.ref, order.executed.remsize, order.active()),
                    *(order.triggered, order.created.price, order.created.pricelimit),
                    order.info.get("reduce_only"),
                )
                for order in orders
            ],
            [broker.terms(data) for data in {order.data for order in orders}],
            broker.venue.order_margin,
        )

    def _find(self, exclude: Any = None, include: Any = None) -> list[RestingMargin]:
        """What the orders of each position ask for."""
        if not self._broker.p.order_margin:
            return []
        by_key: dict[str, list[tuple[Any, float]]] = {}
        for order in self._resting():
            if exclude is None or self.group(order) != self.group(exclude):
                key = self._broker.order_terms(order).contract.key
                found = (order, abs(order.executed.remsize))
                by_key.setdefault(key, []).append(found)
        if include is not None:
            key = self._broker.order_terms(include[0]).contract.key
            by_key.setdefault(key, []).append(include)
        return [self._added_up(orders) for orders in by_key.values()]

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

    def _mark(self, symbol: str) -> float | None:
        """Mark price; ``None``: the feed has not begun."""
        data = self._broker.data_of_symbol(symbol)
        return float(self._broker.mark(data)) if self._broker.has_begun(data) else None

    def _added_up(self, orders: list[tuple[Any, float]]) -> RestingMargin:
        """The orders of one position, where a group counts once, with its largest."""
        terms = self._broker.order_terms(orders[0][0])
        mark = self._mark(terms.contract.symbol)
        largest: dict[tuple[Any, bool], _Claim] = {}
        for order, quantity in orders:
            claim = self._claim(order, quantity, mark, terms)
            key = (self.group(order), order.isbuy())
            largest[key] = max(largest.get(key, claim), claim)
        buys, sells = (
            [claim for (_, is_buy), claim in largest.items() if is_buy is side]
            for side in (True, False)
        )
        free = [(o.isbuy(), self._reference_price(o)) for o in self._exposed(orders)]
        return RestingMargin(
            key=terms.contract.key,
            symbol=terms.contract.symbol,
            bought=sum(claim.notional for claim in buys),
            sold=sum(claim.notional for claim in sells),
            buying_fees=sum(claim.fees for claim in buys),
            selling_fees=sum(claim.fees for claim in sells),
            open_loss=sum(claim.loss for claim in largest.values()),
            leverage=min(claim.leverage for claim in largest.values()),
            highest_buy=max((at for is_buy, at in free if is_buy), default=-inf),
            lowest_sell=min((at for is_buy, at in free if not is_buy), default=inf),
        )

    def _exposed(self, orders: list[tuple[Any, float]]) -> list[Any]:
        """The orders that can have an open loss."""
        if not self._broker.venue.order_margin.open_loss:
            return []
        return [order for order, _ in orders if not _waits(order)]

    def _claim(
        self, order: Any, quantity: float, mark: float | None, terms: Terms
    ) -> _Claim:
        """What one order asks for by itself."""
        rule, created = self._broker.venue.order_margin, order.created
        prices = (created.price, created.pricelimit)
        asked = (quantity, prices, order.triggered, terms, rule)
        known = self._claims.get(order.ref)
        if known is None or known[0] != asked:
            found = self._claim_without_loss(order, quantity, terms)
            known = self._claims[order.ref] = (asked, found)
        claim = known[1]
        if not rule.open_loss or mark is None or _waits(order):
            return claim
        size = quantity if order.isbuy() else -quantity
        loss = -terms.contract.pnl(size, self._reference_price(order), mark)
        return claim._replace(loss=loss) if loss > 0 else claim

    def _claim_without_loss(self, order: Any, quantity: float, terms: Terms) -> _Claim:
        """What one order asks for wherever the mark is."""
        price, fees = self._reference_price(order), 0.0
        if self._broker.venue.order_margin.fees:
            size = quantity if order.isbuy() else -quantity
            opening = -terms.fee(quantity, price, is_maker=False)
            fees = opening + terms.reserved_fee(size, price)
        notional = terms.contract.notional(quantity, price)
        return _Claim(notional, 0.0, fees, terms.leverage_at(price))

    def _reference_price(self, order: Any) -> float:
        """The price at which an order counts before it fills."""
        if self._broker.p.coo and order.exectype == Order.Market:
            return float(order.data.open[0])
        if order.exectype in STOP_LIMITS and order.triggered:
            return float(order.created.pricelimit)
        return float(order.created.price)
