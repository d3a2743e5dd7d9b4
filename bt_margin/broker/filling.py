"""Filling: what a fill does to the account, and how Backtrader is told of it."""

from typing import Any

from bt_margin.core.account import Account
from bt_margin.core.fill import apply_fill
from bt_margin.core.position import Position

from .accounting import AccountBroker
from .commission import TradeScheme
from .orders import Shortfall
from .terms import Terms

__all__ = ["FillingBroker"]

_DUST = 1e-9  # of an order: below it a remainder is float rounding


class FillingBroker(AccountBroker):
    """The layer of `MarginBroker` that fills and refuses orders."""

    def fill_now(self, order: Any, price: float) -> None:
        """Fill an order at the moment that the walk has reached."""
        self.fill(order, 0, price, None)

    def fill(self, order: Any, ago: int, price: float, dtcoc: float | None) -> None:
        """Book the fill and tell Backtrader, as it tells itself."""
        data, terms = order.data, self.order_terms(order)
        size = self._fill_size(order, price, ago)
        if not size:
            return
        is_maker = self._desk.is_maker(order)
        position = self.positions[data]
        held = self.account.positions.get(terms.contract.key)
        entry_before = held.entry_price if held else position.price
        change = self.account.split_fill(terms.contract.key, size, price)
        closed, opened, shortfall = change.closed, change.opened, None
        closed_fee = opened_fee = 0.0
        if closed:
            closed_fee = terms.fee(closed, price, is_maker=is_maker)
            self._book_fill(order, terms, closed, price, closed_fee, is_opening=False)
        if opened:
            opened_fee = terms.fee(opened, price, is_maker=is_maker)
            shortfall = self._desk.check_opening(
                order, opened, price, is_maker=is_maker
            )
            if shortfall is None:
                self._book_fill(
                    order, terms, opened, price, opened_fee, is_opening=True
                )
            else:
                opened, opened_fee = 0.0, 0.0
        if closed or opened:
            carried = 0.0
            if closed and self.p.int2pnl:
                carried = self.d_credit.pop(terms.contract.key, 0.0)
            self.move_position(data, closed + opened, price)
            closed = self.legs.whole(terms.contract.key, order, closed)
            comminfo = terms.comminfo
            trades_by = self.book_legs(terms, order, closed, opened, price)
            order.execute(
                dtcoc or data.datetime[ago],
                closed + opened,
                price,
                closed,
                comminfo.getvaluesize(-closed, entry_before) if closed else 0.0,
                carried - closed_fee,
                opened,
                comminfo.getvaluesize(opened, price) if opened else 0.0,
                -opened_fee,
                comminfo.margin,
                float(change.realized_pnl),
                position.size,
                position.price,
            )
            self._complete_dust(order)
            order.addcomminfo(trades_by)
            self.notify(order)
            self._ococheck(order)
        if shortfall is not None:
            self._refuse(order, shortfall)
        elif order.alive() and self.is_reducing(order) and not self.held(order):
            self._end_reducing(order)

    def _fill_size(self, order: Any, price: float, ago: int) -> float:
        """Signed size that this bar fills; a reduce-only order shrinks to the rest."""
        size = order.executed.remsize
        if self.p.filler is not None:
            contract = self.terms(order.data).contract
            filled = contract.snapped_quantity(self.p.filler(order, price, ago))
            size = filled if order.isbuy() else -filled
        if self.is_reducing(order):
            held = self.held(order)
            against = -held if (held > 0) is not (size > 0) else 0
            size = min(size, against, key=abs)
            if not against:
                self._end_reducing(order)
        return float(size)

    def held(self, order: Any) -> float:
        """Signed size of the position that an order is about; 0: flat."""
        position = self.account.positions.get(self.order_terms(order).contract.key)
        return position.size if position else 0

    def _end_reducing(self, order: Any) -> None:
        """Cancel an order that can only close, and has nothing left to close."""
        if not order.info.get("reason"):  # a guard that let it only close gave one
            order.info.reason = self._why_nothing(order)
        order.cancel()
        self._withdraw(order)

    def _why_nothing(self, order: Any) -> str:
        key = self.order_terms(order).contract.key
        reason = f"{key}: there is nothing left to close"
        if self.is_hedged and not order.info.get("reduce_only"):
            other = "short" if order.info.position_side == "long" else "long"
            reason += f'; to open give position_side="{other}"'
        return reason

    def book_legs(
        self, terms: Terms, order: Any, closed: float, opened: float, price: float
    ) -> Any:
        """Count an execution for its trade; the scheme by which the trade counts."""
        key, before = terms.contract.key, self.legs.of(terms.contract.key, order)
        self.legs.add(terms.contract, order, closed, opened, price)
        if not terms.contract.inverse:
            return terms.comminfo
        after = self.legs.of(key, order).entry_price
        return TradeScheme(terms.comminfo, before.entry_price, after)

    def _book_fill(
        self,
        order: Any,
        terms: Terms,
        size: float,
        price: float,
        fee: float,
        *,
        is_opening: bool,
    ) -> None:
        account = self.account

        def book(books: Account, fee: float) -> None:
            apply_fill(
                books,
                terms.contract,
                size,
                price,
                leverage=terms.leverage_at(price),
                mode=terms.mode,
                time=self._walk.time,
                fee=fee,
                ref=f"order {order.ref}",
            )

        if is_opening:
            book(account, fee)
            self._walk.note_fee(account.shared, fee)
            return
        payer = account.wallet_of(terms.contract.key)
        free = None if payer == account.shared else account.fork()
        book(account, fee)
        if free is None:
            self._walk.note_fee(payer, fee)
        elif terms.contract.key in account.positions:
            # An isolated wallet pays for a close out of what the close releases
            # first, so that it loses only the rest.
            book(free, 0.0)
            lost = account.balance(payer) - free.balance(payer)
            self._walk.note_fee(payer, float(lost))

    def move_position(self, data: Any, size: float, price: float) -> None:
        """Bring Backtrader's position to where the account's one is."""
        terms = self.terms(data)
        terms.comminfo.confirmexec(size, price)
        position = self.positions[data]
        position.update(size, price, data.datetime.datetime())
        held = self.account.positions_of(terms.contract.symbol)
        net = sum(leg.size for leg in held)
        position.fix(net, _common_entry(held, net))

    @staticmethod
    def _complete_dust(order: Any) -> None:
        """A remainder that is float rounding is no remainder."""
        if abs(order.executed.remsize) < _DUST * abs(order.created.size):
            order.executed.remsize = 0
            order.completed()

    def _refuse(self, order: Any, shortfall: Shortfall) -> None:
        order.info.shortfall = shortfall
        order.margin()
        self._withdraw(order)

    def _withdraw(self, order: Any) -> None:
        """Tell of an order that is over without a fill, and end what hangs on it."""
        self.notify(order)
        self._ococheck(order)
        self._bracketize(order, cancel=True)


def _common_entry(held: list[Position], net: float) -> float:
    """The price at which positions of one symbol gain nothing together; 0: none.

    Of a long and a short it can lie beyond every price, even below 0.
    """
    if not net:
        return 0.0
    if len(held) == 1:
        return float(held[0].entry_price)
    if held[0].contract.inverse:
        coins = sum(leg.size / leg.entry_price for leg in held)
        return float(net / coins) if coins else 0.0
    return float(sum(leg.size * leg.entry_price for leg in held) / net)
