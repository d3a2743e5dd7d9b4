"""``kucoinfutures``: KuCoin Futures perpetuals.

* Maintenance on notional at mark plus the taker fee of a close, also at mark:
  liquidation price (value - side * its part of equity) / (1 - side * (rate + fee)).
* Risk limit levels by notional; the whole position has the rate of its level, and the
  venue publishes no deduction.
* Cross positions lock margin at mark, isolated ones at entry.
* Liquidation: the position is taken over whole at its bankruptcy price, with its
  remaining margin; orders of its contract are cancelled.
* Leverage of an isolated position is given with the order that opens it and has no
  setting of its own. Margin can be added by hand or automatically.

Levels of XBTUSDTM as of 2024-10, from the samples of the venue's own client library.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement

from .brackets import level_table
from .rules import ContractKind, Controls, OrderMarginRule
from .venue import Venue

__all__ = ["KUCOIN_FUTURES"]


_BTC = level_table(
    (100_000, 0.004, 125),
    (500_000, 0.005, 100),
    (1_000_000, 0.007, 75),
    (2_000_000, 0.01, 50),
    (3_000_000, 0.017, 30),
    (5_000_000, 0.025, 20),
    (8_000_000, 0.05, 10),
    (12_000_000, 0.1, 5),
)

KUCOIN_FUTURES = Venue(
    name="kucoinfutures",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0006,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    tables={"BTC": _BTC},
    tables_as_of=date(2024, 10, 1),
    closing_fee_rate=0.0006,
    order_margin=OrderMarginRule(untriggered_stops=False),
    controls=Controls(
        auto_margin=True,
        lowers_isolated_leverage=False,
        raises_isolated_leverage=False,
    ),
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY, cancel=OrderScope.SYMBOL
    ),
    rounding="prices of liquidation and bankruptcy to the tick toward the entry",
    sources=(
        "KuCoin support 35084431335065: liquidation price in cross margin",
        "KuCoin API contracts/risk-limit, sample of the official SDK, about 2024-10",
        "KuCoin API contracts/active samples (fees, funding interval)",
        "KuCoin API position sample in ccxt 4.5.90 (isolated ETHUSDTM)",
    ),
    unverified=(
        "levels above 12 million USDT are not known, and the last rate goes on; third"
        " parties show wider ones in 2026 (500,000 at 125x, 1 million at 100x, 2"
        " million at 75x)",
        "a sample of a client library may be older than its day",
        "no levels of inverse contracts are known: give tiers",
        "that the whole position has the rate of its level is general knowledge",
        "the venue takes isolated maintenance at entry, so that a position's"
        " liquidation price is entry - side * (margin - maintenance) / quantity; here"
        " isolated maintenance too is at mark, 0.03 % of price off in its sample",
        "isolated margin holds a closing fee besides notional / leverage at the venue;"
        " here it does not, so a position is liquidated earlier by that much",
        "the cross liquidation price of the page splits equity over positions by their"
        " value and is a reference only; here the account as a whole is liquidated",
        "taken over whole, at bankruptcy, with the orders of its contract cancelled:"
        " general knowledge",
        "cross margin came in 2024 and hedge mode in 2025: general knowledge, and both"
        " are there for all days",
        "how much isolated margin can be removed is not published: initial margin at"
        " mark must stay",
        "trigger orders lock nothing until they trigger: general knowledge",
    ),
)
