"""Orders against the account: what they lock, and whether they can be afforded."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backtrader import Order

from bt_margin.core.account import Account
from bt_margin.core.fill import apply_fill
from bt_margin.core.position import PositionChange

from .kinds import BY_THE_BAR, STOP_LIMITS
from .locking import Locking
from .terms import Terms

__all__ = ["OrderDesk", "Shortfall"]

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


class OrderDesk(Locking):
    """Checks orders, and knows what the resting ones lock.

    Args:
        broker: the `MarginBroker` whose orders these are.
    """

    def __init__(self, broker: Any) -> None:
        super().__init__(broker)
        self._rested: set[int] = set()
        self._arrivals: dict[int, float] = {}
        # Whether the price falls to orders that rest.
        self._falls: dict[int, bool] = {}

    # Maker and taker

    def note_rested(self, order: Any) -> None:
        """Say that ``order`` met a bar and did not fill in it.

        A stop-limit rests in the book from its trigger on.
        """
        ref, kind = order.ref, order.exectype
        if kind not in STOP_LIMITS or order.triggered:
            self._rested.add(ref)
        if kind in (Order.Limit, Order.Stop):
            self._falls[ref] = order.isbuy() is (kind == Order.Limit)

    def is_far(self, order: Any, ranges: Mapping[Any, tuple[float, float]]) -> bool:
        """Whether an order that has rested cannot fill: the price is away from it.

        Args:
            order: a live order.
            ranges: lowest and highest price of each feed's bar.
        """
        falls = self._falls.get(order.ref)
        if falls is None or order.valid:
            return False
        low, high = ranges[order.data]
        return bool(low > order.created.price if falls else high < order.created.price)

    def drop(self, order: Any) -> None:
        """Forget an order that is over."""
        self._rested.discard(order.ref)
        for kept in (self._arrivals, self._falls, self._claims):
            kept.pop(order.ref, None)

    def is_noted(self, order: Any) -> bool:
        """Whether nothing is left to note of a resting order at its next bar."""
        waits = order.exectype in STOP_LIMITS and not order.triggered
        return waits or not order.active() or order.ref in self._rested

    def note_arrival(self, order: Any, price: float) -> None:
        """Say that ``order`` came alive inside a bar, with the last at ``price``."""
        self._arrivals[order.ref] = price

    def is_maker(self, order: Any) -> bool:
        """Whether the order fills from the book: it did not cross on arrival."""
        limit = order.created.pricelimit or order.created.price
        if order.exectype == Order.Limit:
            opened = self._broker.instrument(order.data).bar.candle[0]
            arrival = self._arrivals.get(order.ref, opened)
        elif order.exectype in STOP_LIMITS:
            arrival = order.created.price
        else:
            return False
        crossed = limit >= arrival if order.isbuy() else limit <= arrival
        return order.ref in self._rested or not crossed

    # Checks

    def begin_batch(self) -> None:
        """Start on the orders that strategies sent since the last bar."""
        self._trial = self._broker.account.fork()

    def end_batch(self) -> None:
        """Forget the trial account: the orders themselves count from here on."""
        self._trial = None

    def below_minimum(self, order: Any) -> str | None:
        """Why the venue would not take so small an order; ``None``: it would.

        A close is always taken.
        """
        contract = self._broker.order_terms(order).contract
        symbol, size = contract.symbol, order.executed.remsize
        if not size:
            return f"{symbol}: the size is below the size step {contract.size_step}"
        price = self._reference_price(order)
        if not self.account.split_fill(contract.key, size, price).opened:
            return None
        for name, value, least in (
            ("quantity", abs(size), contract.min_quantity),
            ("notional", contract.notional(size, price), contract.min_notional),
        ):
            if least is not None and value < least:
                return (
                    f"{symbol}: {name} {value:g} is too small; send {least:g} or more"
                )
        return None

    def check(self, order: Any) -> Shortfall | None:
        """Whether an order of the batch can be accepted; ``None``: it can.

        A market order that passes counts as filled at its created price for those
        after it; one that fails leaves the trial account as it was. What reduces a
        position is never refused: a flip is accepted, and its opening part checked
        when it fills. So is an order on a feed that has not begun.
        """
        if not order.active() or not self._broker.has_begun(order.data):
            return None
        terms: Terms = self._broker.order_terms(order)
        size, price = order.executed.remsize, self._reference_price(order)
        change = self.account.split_fill(terms.contract.key, size, price)
        if self._broker.is_reducing(order):
            if change.closed and order.exectype in BY_THE_BAR:
                self._apply(self.account, terms, change.closed, price)
            return None
        if order.exectype not in BY_THE_BAR:
            if change.closed:
                return None
            return self._check_resting(order, terms, change.opened, price)
        return self._check_immediate(terms, change, price)

    def _check_resting(
        self, order: Any, terms: Terms, opened: float, price: float
    ) -> Shortfall | None:
        locked, mark = self.locked(), self._broker.mark(order.data)
        crosses = price >= mark if order.isbuy() else price <= mark
        is_maker = order.exectype == Order.Limit and not crosses
        locks_fee = self._broker.venue.order_margin.fees

        def need(quantity: float) -> float:
            fee = 0 if locks_fee else terms.fee(quantity, price, is_maker=is_maker)
            return self.locked(include=(order, quantity)) - locked - fee

        have = self.available(self.account, terms, locked)
        return self._shortfall(terms, opened, price, need, have)

    def _check_immediate(
        self, terms: Terms, change: PositionChange, price: float
    ) -> Shortfall | None:
        trial = self.account
        if change.closed:
            self._apply(trial, terms, change.closed, price)
        if change.opened:
            have = self.available(trial, terms, self.locked())
            need = self._opening_need(terms, change.opened, price, is_maker=False)
            shortfall = self._shortfall(terms, change.opened, price, need, have)
            if shortfall is not None:
                return None if change.closed else shortfall
            self._apply(trial, terms, change.opened, price)
        return None

    def check_opening(
        self, order: Any, opened: float, price: float, *, is_maker: bool
    ) -> Shortfall | None:
        """Whether the opening part of a fill can be afforded now."""
        terms, account = self._broker.order_terms(order), self._broker.account
        locked = self.locked(exclude=order)
        have = self.available(account, terms, locked)
        need = self._opening_need(terms, opened, price, is_maker=is_maker)
        return self._shortfall(terms, opened, price, need, have)

    # Questions about an account like the broker's, on a copy of it

    def refusal(
        self,
        fork: Account,
        terms: Terms,
        opened: float,
        price: float,
        *,
        is_maker: bool,
        counts_orders: bool = True,
    ) -> Shortfall | None:
        """Why ``fork`` could not open signed ``opened`` now; ``None``: it could."""
        with self._on(fork):
            locked = self.locked() if counts_orders else 0.0
            have = self.available(fork, terms, locked)
            need = self._opening_need(terms, opened, price, is_maker=is_maker)
            return self._shortfall(terms, opened, price, need, have)

    def most_openable(
        self, fork: Account, terms: Terms, side: int, price: float
    ) -> float:
        """The largest quantity that ``fork`` could open on a side (1 or -1)."""
        with self._on(fork):
            have = self.available(fork, terms, self.locked())
            need = self._opening_need(terms, side, price, is_maker=False)
            one = need(1.0)
            beyond = 2 * have / one  # the need is in proportion to the quantity
            if not beyond > 0:
                return 0.0
            refused = self._shortfall(terms, side * beyond, price, need, have)
            return refused.largest_quantity if refused else beyond

    def available_after(self, fork: Account) -> float:
        """Available balance of ``fork`` under the resting orders."""
        with self._on(fork):
            marks = self._broker.mark_of_symbol
            return float(fork.available_balance(marks, self.locked()))

    @contextmanager
    def _on(self, fork: Account) -> Iterator[None]:
        """Let ``fork`` stand for the account."""
        before, self._trial = self._trial, fork
        try:
            yield
        finally:
            self._trial = before

    @staticmethod
    def _opening_need(
        terms: Terms, opened: float, price: float, *, is_maker: bool
    ) -> Callable[[float], float]:
        """Initial margin and fee of an opening quantity, on the side of ``opened``."""
        side = 1 if opened > 0 else -1

        def need(quantity: float) -> float:
            fee = terms.fee(quantity, price, is_maker=is_maker)
            # A rebate comes with the fill and cannot pay for it.
            return terms.opening_margin(side * quantity, price) + max(0.0, -fee)

        return need

    def available(self, account: Account, terms: Terms, locked: float) -> float:
        """What an opening fill may use; an isolated margin is paid in cash."""
        available = account.available_balance(self._broker.mark_of_symbol, locked)
        wallet = account.wallet_for(terms.contract.key, terms.mode)
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
        """The refusal of an opening size that costs too much or has too high a tier."""
        contract, quantity = terms.contract, abs(opened)
        held = self.account.positions.get(contract.key)
        size = abs(held.size) if held else 0.0
        leverage = terms.leverage_at(price)

        def bound(quantity: float) -> float:
            total = size + quantity
            notional = contract.notional(total, price)
            return contract.tiers_of(total).tier_of(notional).max_leverage

        def passes(quantity: float) -> bool:
            return need(quantity) <= have and leverage <= bound(quantity)

        if passes(quantity):
            return None
        largest = contract.snapped_quantity(_largest(passes, quantity))
        needed = need(quantity)
        reason = (
            f"{contract.symbol}: opening {quantity:g} at {price:g} needs"
            f" {_amount(needed)} (margin and fee), available is {_amount(have)};"
            f" at most {largest:g} would pass"
        )
        if leverage > bound(quantity):
            reason = (
                f"{contract.symbol}: leverage {leverage:g} is above"
                f" {bound(quantity):g}, the bound for a notional of"
                f" {_amount(contract.notional(size + quantity, price))};"
                f" lower the leverage, or open at most {largest:g}"
            )
        return Shortfall(needed, have, largest, reason)

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


def _amount(value: float) -> str:
    """An amount of money or of coin, in as many digits as it needs."""
    return f"{value:.2f}" if abs(value) >= 100 or not value else f"{value:.5g}"


def _largest(passes: Callable[[float], bool], quantity: float) -> float:
    """The largest quantity below ``quantity`` that passes; 0: none."""
    low, high = 0.0, quantity
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low
