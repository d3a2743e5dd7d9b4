"""What the sizers share."""

from typing import Any

import backtrader as bt

__all__ = ["MarginSizer"]

_ROUNDING = 1e-9  # share left out, or float rounding would refuse what just passes


class MarginSizer(bt.Sizer):
    """A sizer that says a quantity; the rest is the same for all of them."""

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The wanted quantity of an order that opens or adds, before any limit."""
        raise NotImplementedError

    def _getsizing(self, comminfo: Any, cash: float, data: Any, isbuy: bool) -> float:  # noqa: ARG002
        held = 0.0 if self.is_hedged else self.broker.getposition(data).size
        if held and (held > 0) is not isbuy:
            return float(abs(held))
        wanted = min(
            self.quantity(data, is_buy=isbuy), self.affordable(data, is_buy=isbuy)
        )
        if not wanted > 0:
            return 0.0
        if not self.has_margin:
            return wanted
        return float(self.broker.terms(data).contract.snapped_quantity(wanted))

    def affordable(self, data: Any, *, is_buy: bool) -> float:
        """The largest quantity that may open or add now, at the last price."""
        price = float(data.close[0])
        if self.has_margin:
            side = self.leg(is_buy=is_buy)
            most = self.broker.max_size(data, price, side=side, is_buy=is_buy)
            return float(most)
        scheme = self.broker.getcommissioninfo(data)
        fee = float(scheme.getcommission(1, price))
        cost = self.notional_of_one(data) / self.leverage(data) + fee
        return max(0.0, float(self.broker.getcash()) / cost * (1 - _ROUNDING))

    @property
    def has_margin(self) -> bool:
        """Whether the broker accounts for margin."""
        return getattr(self.broker.p, "margin_mode", "off") != "off"

    @property
    def is_hedged(self) -> bool:
        """Whether a feed has a long and a short leg."""
        return self.has_margin and bool(self.broker.is_hedged)

    def leg(self, *, is_buy: bool) -> str | None:
        """The leg that an order opens in hedge mode; ``None`` without it."""
        if not self.is_hedged:
            return None
        return "long" if is_buy else "short"

    def leverage(self, data: Any) -> float:
        """Leverage under which the next order of a feed opens."""
        if self.has_margin:
            return float(self.broker.leverage_setting(data))
        return float(self.broker.getcommissioninfo(data).get_leverage())

    def notional_of_one(self, data: Any) -> float:
        """Worth of one contract at the last price, settle currency.

        With stock accounting what it costs: of a futures-like scheme the margin.
        """
        price = float(data.close[0])
        if self.has_margin:
            return float(self.broker.terms(data).contract.notional(1, price))
        return float(self.broker.getcommissioninfo(data).getoperationcost(1, price))
