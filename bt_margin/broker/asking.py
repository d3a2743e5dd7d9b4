"""Asking: what a strategy can learn about its margin, at the moment reached."""

from typing import Any

from bt_margin.core.errors import MarginError
from bt_margin.core.margin import MarginSummary, bankruptcy_price

__all__ = ["Asking"]


class Asking:
    """Questions that a margin broker answers. Amounts are in the settle currency.

    With stock accounting every question raises a `MarginError` that says so.

    Without a ``data`` an answer is about all wallets; with one, about the wallet
    that holds the data's position (the shared one where there is none).
    """

    account: Any
    _walk: Any
    _desk: Any
    _instruments: Any
    _is_off: bool
    terms: Any

    def _require_margin(self) -> None:
        if self._is_off:
            raise MarginError(
                'margin_mode="off" is stock accounting, which knows no margin: ask'
                " getcash() and getvalue(), or look at broker.p.margin_mode first"
            )

    def instrument(self, data: Any) -> Any:
        """The feed as the broker sees it."""
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

    def mark_of_symbol(self, symbol: str) -> float:
        """Mark price by symbol."""
        return float(self._walk.mark(symbol))

    def mark(self, data: Any) -> float:
        """Mark price of a feed.

        Raises:
            MarginError: the feed has not begun.
        """
        self._require_margin()
        if self._instruments[data].bar is None:
            raise MarginError(f"{data._name} has no bar yet: ask after its first one")
        return self.mark_of_symbol(self._instruments[data].symbol)

    def available_balance(self) -> float:
        """What a new order or a transfer may use; never below 0."""
        self._require_margin()
        locked = self._desk.locked()
        return float(self.account.available_balance(self.mark_of_symbol, locked))

    def available_to_open(self, data: Any, account: Any) -> float:
        """What opening a position of a feed may use on an account like the broker's."""
        return float(self._desk.available(account, self.terms(data), 0.0))

    def margin_summary(self, data: Any = None) -> MarginSummary:
        """Margin balance, initial and maintenance margin; resting orders apart."""
        self._require_margin()
        account = self.account
        if data is not None:
            return self._wallet_summary(self._wallet(data))
        total = MarginSummary()
        for wallet in {account.shared, *account.wallets()}:
            total += self._wallet_summary(wallet)
        return total

    def _wallet(self, data: Any) -> Any:
        symbol = self._instruments[data].symbol
        if symbol in self.account.positions:
            return self.account.wallet_of(symbol)
        return self.account.shared

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
        return float(self.account.balance(self._wallet(data)))

    def liquidation_price(self, data: Any) -> float | None:
        """Mark that liquidates the feed's position; ``None``: no position or price."""
        self._require_margin()
        symbol = self._instruments[data].symbol
        if symbol not in self.account.positions:
            return None
        price = self.account.liquidation_price(symbol, self.mark_of_symbol)
        return None if price is None else float(price)

    def bankruptcy_price(self, data: Any) -> float | None:
        """Mark at which the wallet of the feed's position holds nothing."""
        self._require_margin()
        symbol = self._instruments[data].symbol
        position = self.account.positions.get(symbol)
        if position is None:
            return None
        others = self.margin_summary(data).margin_balance
        others -= self.wallet_balance(data)
        others -= position.unrealized_pnl(self.mark(data))
        price = bankruptcy_price(
            position.size,
            position.entry_price,
            wallet_balance=self.wallet_balance(data),
            contract_size=position.contract.contract_size,
            inverse=position.contract.inverse,
            other_unrealized_pnl=others,
        )
        return None if price is None else float(price)

    def leverage_setting(self, data: Any) -> float:
        """Leverage of the feed's next fill."""
        self._require_margin()
        terms = self.terms(data)
        return float(terms.leverage or terms.leverage_at(self.mark(data)))

    def margin_mode_of(self, data: Any) -> str:
        """``"isolated"`` or ``"cross"``."""
        self._require_margin()
        return str(self.terms(data).mode)
