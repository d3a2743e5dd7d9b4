"""Liquidation price: the mark that would liquidate, beside the price."""

from math import nan
from typing import Any, ClassVar

from .base import PriceObserver

__all__ = ["LiquidationPrice"]


class LiquidationPrice(PriceObserver):
    """The mark that liquidates the feed's position, on its price panel.

    NaN with no position, and where no price liquidates it. In hedge mode that of the
    leg nearest to mark.
    """

    lines: Any = ("liquidation_price",)

    plotinfo: ClassVar[Any] = {"plotname": "Liquidation price"}
    plotlines: ClassVar[Any] = {
        "liquidation_price": {"color": "darkorange", "lw": 1.6, "ls": "-"}
    }

    def observe(self, broker: Any) -> None:
        """Ask for the price."""
        price = broker.liquidation_price(self.data)
        self.lines.liquidation_price[0] = nan if price is None else price
