"""Asking: what a strategy can learn about its margin, at the moment reached."""

from typing import Any

from bt_margin.core.errors import MarginError
from bt_margin.core.margin import MarginSummary

__all__ = ["Asking"]


class Asking:
    """Questions that a margin broker answers. Amounts are in the settle currency.

    With stock accounting every question raises a `MarginError` that says so.

    Without a ``data`` an answer is about all wallets; with one, about the wallet
    that holds the data's position (the shared one where there is none).
    """

    account: Any
    _walk: Any
    _watch: Any = None
    _desk: Any
    _instruments: Any
    _is_off: bool
    terms: Any
    order_terms: Any
    require_side: Any

    def _require_margin(self) -> None:
        if self._is_off:
            raise MarginError(
                'margin_mode="off" is stock accounting, which knows no margin: ask'
                " getcash() and getvalue(), or look at broker.p.margin_mode first"
            )
        self._wake()

    @property
    def _is_dozing(self) -> bool:
        """Whether marks can be read off the feeds, without a look at the bar."""
        return self._watch is not None and self._watch.is_dozing

    def _wake(self) -> None:
        """Look at the bar of the moment, if it was slept through."""
        if self._watch is not None and self._watch.is_asleep:
            self._watch.wake()

    def instrument(self, data: Any) -> Any:
        """The feed as the broker sees it."""
        self._wake()
        return self._instruments[data]

    @property
    def feeds(self) -> tuple[Any, ...]:
        """The feeds of the run."""
        return tuple(self._instruments.feeds)

    @property
    def leaders(self) -> tuple[Any, ...]:
        """The first feed of each instrument."""
        return tuple(self._instruments.leaders)

    def leader(self, data: Any) -> Any:
        """The feed on which positions and trades of ``data``'s instrument book."""
        return self._instruments.leader(data)

    def data_of_symbol(self, symbol: str) -> Any:
        """The feed of a symbol of the account."""
        return self._instruments.leader_of(symbol)

    def shows(self, symbol: str) -> list[Any]:
        """The feeds that show a symbol of the account, as the broker sees them."""
        return list(self._instruments.shows(symbol))

    def mark_of_symbol(self, symbol: str) -> float:
        """Mark price by symbol."""
        if self._is_dozing:
            return float(self._watch.mark(symbol))
        self._wake()
        return float(self._walk.mark(symbol))

    def has_begun(self, data: Any) -> bool:
        """Whether the broker has seen a bar of a feed."""
        if self._is_dozing:
            return len(data) > 0
        return self._instruments[data].bar is not None

    def mark(self, data: Any) -> float:
        """Mark price of a feed.

        Raises:
            MarginError: the feed has not begun.
        """
        if not self._is_dozing:
            self._require_margin()
        if not self.has_begun(data):
            raise MarginError(f"{data._name} has no bar yet: ask after its first one")
        return self.mark_of_symbol(self._instruments[data].symbol)

    def available_balance(self) -> float:
        """What a new order or a transfer may use; never below 0."""
        if self._is_dozing:
            return float(self._watch.available_balance())
        self._require_margin()
        locked = self._desk.locked()
        return float(self.account.available_balance(self.mark_of_symbol, locked))

    def available_to_open(self, order: Any, account: Any) -> float:
        """What an order may use to open on an account like the broker's."""
        return float(self._desk.available(account, self.order_terms(order), 0.0))

    def margin_summary(self, data: Any = None) -> MarginSummary:
        """Margin balance, initial and maintenance margin; resting orders apart."""
        self._require_margin()
        wallets = {self.account.shared, *self.account.wallets()}
        total = MarginSummary()
        for wallet in wallets if data is None else self._wallets(data):
            total += self._wallet_summary(wallet)
        return total

    def _held(self, data: Any, side: str | None) -> list[Any]:
        """The positions of a feed: one or none; in hedge mode both legs or a named."""
        self.require_side(side)
        symbol = self._instruments[data].symbol
        held = self.account.positions_of(symbol)
        return [p for p in held if side in (None, p.contract.leg)]

    def is_held(self, data: Any) -> bool:
        """Whether a feed has a position, or a leg of one."""
        return bool(self._held(data, None))

    def _wallets(self, data: Any) -> set[Any]:
        """The wallets that hold a feed's positions; flat: the shared one."""
        account, held = self.account, self._held(data, None)
        return {account.wallet_of(p.contract.key) for p in held} or {account.shared}

    def _wallet_summary(self, wallet: Any) -> MarginSummary:
        summary: MarginSummary = self.account.summary(wallet, self.mark_of_symbol)
        return summary

    def margin_balance(self, data: Any = None) -> float:
        """Wallet balance plus unrealized PnL."""
        return float(self.margin_summary(data).margin_balance)

    def initial_margin(self, data: Any = None) -> float:
        """What positions lock."""
        return float(self.margin_summary(data).initial_margin)

    def maintenance_margin(self, data: Any = None) -> float:
        """At or below this margin balance the venue liquidates."""
        return float(self.margin_summary(data).maintenance_margin)

    def margin_ratio(self, data: Any = None) -> float:
        """Maintenance margin / margin balance: liquidation at 1."""
        return float(self.margin_summary(data).margin_ratio)

    def wallet_balance(self, data: Any = None) -> float:
        """Balance; nothing unrealized."""
        self._require_margin()
        if data is None:
            return float(self.account.wallet_balance)
        return float(sum(self.account.balance(one) for one in self._wallets(data)))

    def liquidation_price(self, data: Any, side: str | None = None) -> float | None:
        """Mark that liquidates the feed's position; ``None``: no position or price.

        In hedge mode ``side`` names a leg; without it the price nearest to mark.
        """
        self._require_margin()
        return self._nearest(data, side, self.account.liquidation_price)

    def bankruptcy_price(self, data: Any, side: str | None = None) -> float | None:
        """Mark at which the wallet of the feed's position holds nothing."""
        self._require_margin()
        return self._nearest(data, side, self.account.bankruptcy_price)

    def _nearest(self, data: Any, side: str | None, ask: Any) -> float | None:
        """The price nearest to mark that the account gives for a feed's positions."""
        held = self._held(data, side)
        found = [ask(p.contract.key, self.mark_of_symbol) for p in held]
        prices = [float(price) for price in found if price is not None]
        if not prices:
            return None
        mark = self.mark(data)
        return min(prices, key=lambda price: abs(price - mark))

    def leverage_setting(self, data: Any) -> float:
        """Leverage of the feed's next fill."""
        self._require_margin()
        terms = self.terms(data)
        return float(terms.leverage or terms.leverage_at(self.mark(data)))

    def margin_mode_of(self, data: Any) -> str:
        """``"isolated"`` or ``"cross"``."""
        self._require_margin()
        return str(self.terms(data).mode)
