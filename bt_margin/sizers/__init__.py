"""Sizers: how much to trade, in fractions of contracts.

::

    cerebro.addsizer(bt_margin.sizers.FixedFraction, fraction=0.02)

Each one gives a quantity on the contract's size step, never more than the account can
pay for at the last price, fee included. An order against an open position gets the
position's size: it closes. In hedge mode a buy is taken to open or add to the long and
a sell the short; legs are closed with ``broker.close_leg`` or a size of one's own. With
stock accounting they work too, with the commission scheme's leverage.
"""

from .fixed_fraction import FixedFraction
from .kelly import Kelly
from .risk_to_stop import RiskToStop
from .volatility_margin import VolatilityMargin

__all__ = ["FixedFraction", "Kelly", "RiskToStop", "VolatilityMargin"]
