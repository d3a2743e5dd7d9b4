"""Margin ratio: how near the account is to liquidation."""

from math import isfinite, nan
from typing import Any, ClassVar

from .base import AccountObserver

__all__ = ["MarginRatio"]


class MarginRatio(AccountObserver):
    """Maintenance margin / margin balance of the wallet nearest to liquidation.

    At 1, where a line is drawn, a wallet is liquidated. With ``addobserver`` the
    largest ratio of all feeds' wallets, with ``addobservermulti`` a panel for each
    feed. 0 with no position; NaN where a wallet has nothing left to divide by.
    """

    lines: Any = ("margin_ratio",)

    plotinfo: ClassVar[Any] = {
        "plotname": "Margin ratio, liquidation at 1",
        "plothlines": [1.0],
        "plotyticks": [0.0, 0.5, 1.0],
        "plotlinelabels": True,
    }
    plotlines: ClassVar[Any] = {
        "margin_ratio": {"_name": "highest", "color": "crimson"}
    }

    def observe(self, broker: Any) -> None:
        """Take the largest ratio of the wallets that hold the feeds' positions."""
        account, marks = broker.account, broker.mark_of_symbol
        symbols = {broker.instrument(data).symbol for data in self.datas}
        held = [p.contract.key for s in symbols for p in account.positions_of(s)]
        wallets = {account.wallet_of(key) for key in held}
        ratios = [float(account.summary(one, marks).margin_ratio) for one in wallets]
        ratio = max(ratios, default=0.0)
        self.lines.margin_ratio[0] = ratio if isfinite(ratio) else nan
