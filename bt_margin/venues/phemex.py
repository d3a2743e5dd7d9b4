"""``phemex``: Phemex perpetuals settled in USDT.

* Maintenance on notional at mark, with the taker fee of closing in it.
* Risk limits: for each 2,000,000 USDT more, initial margin rises by 0.5 % and
  maintenance by 0.25 %.
* Liquidation at the bankruptcy price: what is left of the margin goes with it.
* Funding at 00, 08 and 16 UTC.

Risk limits of BTC as of 2023-04. Other coins have none here.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement

from .brackets import bracket_table
from .rules import OrderMarginRule
from .venue import Venue

__all__ = ["PHEMEX"]

_TAKER_FEE_RATE = 0.0006

_BTC = bracket_table(
    (2_000_000, 0.005, 100),
    (4_000_000, 0.0075, 66.67),
    (6_000_000, 0.01, 50),
    (8_000_000, 0.0125, 40),
    (10_000_000, 0.015, 33.33),
    (12_000_000, 0.0175, 28.57),
    (14_000_000, 0.02, 25),
    (16_000_000, 0.0225, 22.22),
    (18_000_000, 0.025, 20),
    (20_000_000, 0.0275, 18.18),
)

PHEMEX = Venue(
    name="phemex",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0001,
    taker_fee_rate=_TAKER_FEE_RATE,
    tables={"BTC": _BTC},
    tables_as_of=date(2023, 4, 1),
    closing_fee_rate=_TAKER_FEE_RATE,
    order_margin=OrderMarginRule(fees=True),
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY, cancel=OrderScope.WALLET
    ),
    rounding="prices to the tick, which is not done here",
    sources=(
        "a position of the Phemex API, in ccxt (liquidation price with the fee)",
        "a copy of the products endpoint, 2023-04 (risk limits)",
    ),
    unverified=(
        "maker fee 0.01 % and taker fee 0.06 %: no official page was read; the taker"
        " fee is the one that makes a liquidation price of the venue come out",
        "one risk table for all days; inverse contracts are not there",
        "each rate holds for the notional above its tier's floor, as in the venue's"
        " formula with a maintenance amount; the limits were published without amounts",
        "the venue's bankruptcy price is nearer by the closing fee; the trader ends"
        " with nothing either way",
        "all of a position is taken at once, and the orders of the wallet are"
        " cancelled: how the venue goes about it was not found",
        "resting orders lock their fees, stops before their trigger too; how much"
        " margin can be removed was not found",
    ),
)
