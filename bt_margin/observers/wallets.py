"""Wallets: where the money is."""

from typing import Any, ClassVar

from bt_margin.core.wallet import SHARED

from .base import AccountObserver

__all__ = ["Wallets"]


class Wallets(AccountObserver):
    """Balance of the shared wallet, of all isolated ones, and margin balance.

    Balances hold nothing unrealized; the margin balance is all wallets and unrealized
    PnL. Settle currency. ``isolated`` is NaN until there has been an isolated wallet.
    """

    lines: Any = ("margin_balance", "shared", "isolated")

    plotinfo: ClassVar[Any] = {"plotname": "Wallets", "plotlinelabels": True}
    plotlines: ClassVar[Any] = {
        "margin_balance": {"_name": "margin balance", "color": "black"},
        "shared": {"_name": "shared", "color": "steelblue"},
        "isolated": {
            "_name": "isolated",
            "color": "darkorange",
            "_fill_gt": (0, "darkorange"),
        },
    }

    def observe(self, broker: Any) -> None:
        """Add up the wallets."""
        balances = broker.ledger.balances
        shared = float(balances.pop(SHARED))
        self.lines.margin_balance[0] = broker.margin_balance()
        self.lines.shared[0] = shared
        if balances:
            self.lines.isolated[0] = float(sum(balances.values()))
