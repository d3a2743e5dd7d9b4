"""What the sizers share."""

from typing import Any

import backtrader as bt

__all__ = ["MarginSizer"]


class MarginSizer(bt.Sizer):
    """A sizer that says a quantity; the rest is the same for all of them."""

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The wanted quantity of an order that opens or adds, before any limit."""
        raise NotImplementedError

    def _getsizing(self, comminfo: Any, cash: float, data: Any, isbuy: bool) -> float:
        held = self.broker.getposition(data).size
        if held and (held > 0) is not isbuy:
            return float(abs(held))
        wanted = self.quantity(data, is_buy=isbuy)
        if wanted <= 0:
            return 0.0
        if not self.has_margin:
            most = (
                cash
                * comminfo.get_leverage()
                / comminfo.getoperationcost(1, float(data.close[0]))
            )
            return min(wanted, max(0.0, most))
        most = self.broker.max_size(data, is_buy=isbuy)
        contract = self.broker.terms(data).contract
        return float(contract.snapped_quantity(min(wanted, most)))

    @property
    def has_margin(self) -> bool:
        """Whether the broker accounts for margin."""
        return getattr(self.broker.p, "margin_mode", "off") != "off"

    def leverage(self, data: Any) -> float:
        """Leverage under which the next order of a feed opens."""
        if self.has_margin:
            return float(self.broker.leverage_setting(data))
        return float(self.broker.getcommissioninfo(data).get_leverage())

    def notional_of_one(self, data: Any, price: float | None = None) -> float:
        """Worth of one contract at a price (the last), settle currency."""
        at = float(data.close[0]) if price is None else price
        if self.has_margin:
            return float(self.broker.terms(data).contract.notional(1, at))
        return float(self.broker.getcommissioninfo(data).getoperationcost(1, at))
