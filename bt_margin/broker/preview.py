"""Preview: what the account would be after an order, without sending it."""

from dataclasses import dataclass
from typing import Any

from bt_margin.core.account import Account
from bt_margin.core.fill import apply_fill
from bt_margin.core.margin import MarginSummary

from .orders import Shortfall
from .terms import Terms

__all__ = ["Preview", "Previewing"]


@dataclass(frozen=True, slots=True)
class Preview:
    """The account after an order that fills now. Amounts in the settle currency.

    Attributes:
        size: signed size held after it; 0: flat.
        closed: signed part of the order that closes, with the order's sign.
        opened: signed part that opens or adds, also where it would be refused.
        entry_price: average entry then; ``None``: flat.
        fee: cash flow of the fill, - paid.
        realized_pnl: of what it closes.
        wallet: balance and requirements of the wallet that holds the position.
        total: the same of all wallets.
        available_balance: what the next order could use.
        liquidation_price: mark that liquidates the position; ``None``: none does.
        bankruptcy_price: mark at which its wallet holds nothing.
        distance: fall (-) or rise (+) from the present mark to the liquidation
            price, a fraction of the mark; ``None``: there is none.
        refusal: why its opening part would be refused, with the largest quantity that
            would pass; ``None``: it passes. What it closes is never refused.
    """

    size: float
    closed: float
    opened: float
    entry_price: float | None
    fee: float
    realized_pnl: float
    wallet: MarginSummary
    total: MarginSummary
    available_balance: float
    liquidation_price: float | None
    bankruptcy_price: float | None
    distance: float | None
    refusal: Shortfall | None


class Previewing:
    """Questions about orders that are not sent yet, as methods of a margin broker."""

    account: Any
    mark: Any
    mark_of_symbol: Any
    terms: Any
    is_hedged: bool
    _desk: Any
    _require_margin: Any

    def what_if(
        self,
        data: Any,
        size: float,
        price: float | None = None,
        *,
        side: str | None = None,
        is_maker: bool = False,
        counts_orders: bool = True,
    ) -> Preview:
        """The account after an order of signed ``size``, if it filled now.

        Doing it gives just that, when the fill price, the mark and the liquidity are
        those assumed here. While the orders of a bar are checked, the ones before it
        count as filled.

        Args:
            data: the feed.
            size: + buy, - sell, in contracts; taken on the size step.
            price: of the fill; ``None``: the mark.
            side: ``"long"`` or ``"short"`` in hedge mode.
            is_maker: whether the maker fee is paid.
            counts_orders: whether a refusal counts what resting orders lock.

        Raises:
            MarginError: stock accounting, or the feed has no bar yet.
        """
        self._require_margin()
        terms = self._terms_of_leg(data, side)
        at = self.mark(data) if price is None else price
        quantity = terms.contract.snapped_quantity(abs(size))
        fork, fee, pnl = self._desk.account.fork(), 0.0, 0.0
        change = fork.split_fill(
            terms.contract.key, quantity if size > 0 else -quantity, at
        )
        closed, refusal = change.closed, None
        opened = 0.0 if self._only_closes(side, size) else change.opened
        if closed:
            fee = terms.fee(closed, at, is_maker=is_maker)
            pnl = _fill(fork, terms, closed, at, fee)
        if opened:
            refusal = self._desk.refusal(
                *(fork, terms, opened, at),
                is_maker=is_maker,
                counts_orders=counts_orders,
            )
            if refusal is None:
                paid = terms.fee(opened, at, is_maker=is_maker)
                _fill(fork, terms, opened, at, paid)
                fee += paid
        return self._preview(fork, terms, (closed, opened), fee, pnl, refusal)

    def max_size(
        self,
        data: Any,
        price: float | None = None,
        *,
        side: str | None = None,
        is_buy: bool = True,
    ) -> float:
        """The largest quantity that an order may have now, on the size step.

        Against an open position that is what closes it and what may open beyond.

        Args:
            data: the feed.
            price: of the fill; ``None``: the mark.
            side: ``"long"`` or ``"short"`` in hedge mode.
            is_buy: whether it buys.
        """
        self._require_margin()
        terms = self._terms_of_leg(data, side)
        at = self.mark(data) if price is None else price
        sign = 1 if is_buy else -1
        fork = self._desk.account.fork()
        held = fork.positions.get(terms.contract.key)
        against = abs(held.size) if held and (held.size > 0) is not is_buy else 0.0
        if self._only_closes(side, sign):
            return float(against)
        if against:
            _fill(
                fork, terms, sign * against, at, terms.fee(against, at, is_maker=False)
            )
        most = self._desk.most_openable(fork, terms, sign, at)
        return float(terms.contract.snapped_quantity(against + most))

    def _terms_of_leg(self, data: Any, side: str | None) -> Terms:
        terms: Terms = self.terms(data)
        return terms.of_leg(side or "") if self.is_hedged else terms

    def _only_closes(self, side: str | None, size: float) -> bool:
        """Whether an order is against its leg in hedge mode, which it cannot flip."""
        return self.is_hedged and (side == "short") is (size > 0)

    def _preview(
        self,
        fork: Account,
        terms: Terms,
        parts: tuple[float, float],
        fee: float,
        realized_pnl: float,
        refusal: Shortfall | None,
    ) -> Preview:
        """What the account on ``fork`` comes to."""
        key, marks = terms.contract.key, self.mark_of_symbol
        held = fork.positions.get(key)
        wallet = fork.wallet_of(key) if held else fork.shared
        total = MarginSummary()
        for each in {fork.shared, *fork.wallets()}:
            total += fork.summary(each, marks)
        price = fork.liquidation_price(key, marks) if held else None
        mark = marks(terms.contract.symbol)
        return Preview(
            size=float(held.size) if held else 0.0,
            closed=float(parts[0]),
            opened=float(parts[1]),
            entry_price=float(held.entry_price) if held else None,
            fee=fee,
            realized_pnl=realized_pnl,
            wallet=fork.summary(wallet, marks),
            total=total,
            available_balance=self._desk.available_after(fork),
            liquidation_price=price,
            bankruptcy_price=fork.bankruptcy_price(key, marks) if held else None,
            distance=None if price is None else price / mark - 1,
            refusal=refusal,
        )


def _fill(fork: Account, terms: Terms, size: float, price: float, fee: float) -> float:
    """Book a fill on a copy of the account; the PnL that it realizes."""
    leverage, mode = terms.leverage_at(price), terms.mode
    change = apply_fill(
        fork, terms.contract, size, price, leverage=leverage, mode=mode, fee=fee
    )
    return float(change.realized_pnl)
