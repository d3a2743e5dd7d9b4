"""Observers: margin, wallets, funding and liquidations as lines of a run.

They are ordinary Backtrader observers, for ``addobserver``, ``addobservermulti``,
writers and ``cerebro.plot()``. Under stock accounting they show nothing.
"""

from .funding import Funding
from .liquidation_price import LiquidationPrice
from .liquidations import Liquidations
from .margin_ratio import MarginRatio
from .wallets import Wallets

__all__ = [
    "Funding",
    "LiquidationPrice",
    "Liquidations",
    "MarginRatio",
    "Wallets",
]
