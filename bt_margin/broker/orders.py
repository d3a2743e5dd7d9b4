"""Orders against the account: what they lock, and whether they can be afforded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from backtrader import Order

from bt_margin.core.account import Account
from bt_margin.core.fill import apply_fill
from bt_margin.core.margin import order_margin

from .terms import Terms

__all__ = ["OrderDesk", "Shortfall"]

_IMMEDIATE = (Order.Market, Order.Close, Order.Historical)
_STOP_LIMITS = (Order.StopLimit, Order.StopTrailLimit)
_BISECTIONS = 60  # halves a quantity to below float resolution


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why an order was refused: ``order.info.shortfall``.

    Attributes:
        need: margin and fee that the order asks for, settle currency.
        have: available balance.
        largest_quantity: unsigned quantity that would have passed; 0: none.
        reason: the refusal in a sentence.
    """

    need: float
    have: float
    largest_quantity: float
    reason: str

    def __str__(self) -> str:
        return self.reason


class OrderDesk:
    """Checks orders, and knows what the resting ones lock.

    Args:
        broker: the `MarginBroker` whose orders these are.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._rested: set[int] = set()
        self._trial: Account | None = None
        self._counted: set[int] = set()

    # Maker and taker

    def note_rested(self, order: Any) -> None:
        """Say that ``order`` met a bar and did not fill in it."""
        self._rested.add(order.ref)

    def is_maker(self, order: Any) -> bool:
        """Whether the order fills from the book: it did not cross on arrival."""
        limit = order.created.pricelimit or order.created.price
        if order.exectype == Order.Limit:
            arrival = self._broker.instrument(order.data).bar.open
        elif order.exectype in _STOP_LIMITS:
            arrival = order.created.price
        else:
            return False
        crossed = limit >= arrival if order.isbuy() else limit <= arrival
        return order.ref in self._rested or not crossed

    # Order margin

    def locked(self, exclude: Any = None, include: Any = None) -> float:
        """What resting orders lock.

        Args:
            exclude: an order to leave out, with those that go when it fills.
            include: an order to count as if it rested, with a quantity:
                ``(order, quantity)``.
        """
        if not self._broker.p.order_margin:
            return 0.0
        by_data: dict[Any, list[tuple[Any, float]]] = {}
        for order in self._resting():
            if exclude is None or self._group(order) != self._group(exclude):
                quantity = abs(order.executed.remsize)
                by_data.setdefault(order.data, []).append((order, quantity))
        if include is not None:
            by_data.setdefault(include[0].data, []).append(include)
        return sum(self._locked_by(data, found) for data, found in by_data.items())

    def _resting(self) -> Iterator[Any]:
        """Orders that could open: active, not reduce-only, not yet counted."""
        for order in self._broker.pending:
            if (
                order is not None
                and order.active()
                and order.ref not in self._counted
                and not order.info.get("reduce_only")
            ):
                yield order

    def _group(self, order: Any) -> tuple[str, int]:
        """Orders of one group go together: of an OCO, or children of a bracket."""
        if order.parent is not None:
            return ("bracket", order.parent.ref)
        return ("oco", self._broker._ocos.get(order.ref, order.ref))

    def _locked_by(self, data: Any, orders: list[tuple[Any, float]]) -> float:
        """Order margin of one symbol; a group counts once, with its largest."""
        terms, account = self._broker.terms(data), self._trial_or_account()
        symbol, mark = terms.contract.symbol, self._broker.mark(data)
        largest: dict[tuple[Any, bool], tuple[float, float, float]] = {}
        for order, quantity in orders:
            price = self._reference_price(order)
            notional = terms.contract.notional(quantity, price)
            loss = self._open_loss(order, quantity, price, mark, terms)
            key = (self._group(order), order.isbuy())
            found = (notional, loss, terms.leverage_at(price))
            largest[key] = max(largest.get(key, found), found)
        position = account.positions.get(symbol)
        held = position.notional(mark) if position else 0.0
        sides = [(is_buy, *found) for (_, is_buy), found in largest.items()]
        return order_margin(
            held if position and position.size > 0 else -held,
            sum(notional for is_buy, notional, _, _ in sides if is_buy),
            sum(notional for is_buy, notional, _, _ in sides if not is_buy),
            sum(loss for _, _, loss, _ in sides),
            min(leverage for *_, leverage in sides),
        )

    @staticmethod
    def _open_loss(
        order: Any, quantity: float, price: float, mark: float, terms: Terms
    ) -> float:
        """What the order would lose at once if it filled now.

        An untriggered stop has none: by the time it fills, mark is at its trigger.
        """
        waits = order.exectype in _STOP_LIMITS and not order.triggered
        if order.exectype != Order.Limit and (waits or not order.triggered):
            return 0.0
        size = quantity if order.isbuy() else -quantity
        return max(0.0, -terms.contract.pnl(size, price, mark))

    def _reference_price(self, order: Any) -> float:
        """The price at which an order counts before it fills."""
        if self._broker.p.coo and order.exectype == Order.Market:
            return float(order.data.open[0])
        if order.exectype in _STOP_LIMITS and order.triggered:
            return float(order.created.pricelimit)
        return float(order.created.price)

    # Checks

    def begin_batch(self) -> None:
        """Start on the orders that strategies sent since the last bar."""
        self._trial, self._counted = None, set()

    def end_batch(self) -> None:
        """Forget the trial account: the orders themselves count from here on."""
        self._trial, self._counted = None, set()

    def _trial_or_account(self) -> Account:
        return self._trial or self._broker.account

    def check(self, order: Any) -> Shortfall | None:
        """Whether an order of the batch can be accepted; ``None``: it can.

        A market order that passes counts as filled at its created price for those
        after it; one that fails leaves the trial account as it was.
        """
        if order.info.get("reduce_only") or not order.active():
            return None
        terms: Terms = self._broker.terms(order.data)
        size, price = order.executed.remsize, self._reference_price(order)
        account = self._trial_or_account()
        change = account.split_fill(terms.contract.symbol, size, price)
        if order.exectype in _IMMEDIATE:
            return self._check_immediate(order, terms, change.closed, change.opened)
        if not change.opened:
            return None
        locked = self.locked()

        def need(quantity: float) -> float:
            fee = terms.fee(quantity, price, is_maker=order.exectype == Order.Limit)
            return self.locked(include=(order, quantity)) - locked - fee

        have = account.available_balance(self._broker.mark_of_symbol, locked)
        return self._shortfall(terms, change.opened, price, need, have)

    def _check_immediate(
        self, order: Any, terms: Terms, closed: float, opened: float
    ) -> Shortfall | None:
        price = self._reference_price(order)
        fork = self._trial_or_account().fork()
        if closed:
            self._apply(fork, terms, closed, price)
        if opened:
            have = self._available(fork, terms, self.locked())
            shortfall = self._shortfall(
                terms, opened, price, self._opening_need(terms, price), have
            )
            if shortfall is not None:
                return shortfall
            self._apply(fork, terms, opened, price)
        self._trial = fork
        self._counted.add(order.ref)
        return None

    def check_opening(
        self, order: Any, opened: float, price: float
    ) -> Shortfall | None:
        """Whether the opening part of a fill can be afforded now."""
        terms = self._broker.terms(order.data)
        locked = self.locked(exclude=order)
        have = self._available(self._broker.account, terms, locked)
        need = self._opening_need(terms, price)
        return self._shortfall(terms, opened, price, need, have)

    @staticmethod
    def _opening_need(terms: Terms, price: float) -> Callable[[float], float]:
        """Initial margin and fee of an opening quantity."""

        def need(quantity: float) -> float:
            margin = terms.contract.notional(quantity, price) / terms.leverage_at(price)
            return margin - terms.fee(quantity, price, is_maker=False)

        return need

    def _available(self, account: Account, terms: Terms, locked: float) -> float:
        """What an opening fill may use; an isolated margin is paid in cash."""
        available = account.available_balance(self._broker.mark_of_symbol, locked)
        wallet = account.wallet_for(terms.contract.symbol, terms.mode)
        if wallet == account.shared:
            return available
        return min(available, account.balance(account.shared))

    def _shortfall(
        self,
        terms: Terms,
        opened: float,
        price: float,
        need: Callable[[float], float],
        have: float,
    ) -> Shortfall | None:
        """The refusal of an opening size, if what it needs is more than there is."""
        quantity = abs(opened)
        needed = need(quantity)
        bound = self._leverage_bound(terms, opened, price)
        if bound is not None:
            return Shortfall(needed, have, 0.0, bound)
        if needed <= have:
            return None
        low, high = 0.0, quantity
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if need(middle) <= have else (low, middle)
        largest = terms.contract.snapped_quantity(low)
        reason = (
            f"{terms.contract.symbol}: opening {quantity:g} at {price:g} needs"
            f" {needed:.2f} (margin and fee), available is {have:.2f};"
            f" at most {largest:g} would pass"
        )
        return Shortfall(needed, have, largest, reason)

    def _leverage_bound(self, terms: Terms, opened: float, price: float) -> str | None:
        """Why the position's tier forbids the leverage, if it does."""
        contract = terms.contract
        held = self._trial_or_account().positions.get(contract.symbol)
        notional = contract.notional((held.size if held else 0) + opened, price)
        allowed = contract.tiers.tier_of(notional).max_leverage
        leverage = terms.leverage_at(price)
        if leverage <= allowed:
            return None
        return (
            f"{contract.symbol}: leverage {leverage:g} is above {allowed:g}, the bound"
            f" for a notional of {notional:.2f}; lower the leverage or the size"
        )

    @staticmethod
    def _apply(account: Account, terms: Terms, size: float, price: float) -> None:
        fee = terms.fee(size, price, is_maker=False)
        apply_fill(
            account,
            terms.contract,
            size,
            price,
            leverage=terms.leverage_at(price),
            mode=terms.mode,
            fee=fee,
        )
