"""``dydx``: dYdX v4 perpetuals, settled in USDC.

* Maintenance is one fraction of the notional at the oracle price for each market, and
  so is the least initial margin: no tiers.
* An isolated position is a subaccount of its own. One position per market.
* Liquidation: in the market at the "fillable price", worse than the oracle by 1.5
  times the maintenance fraction times the share of maintenance that is lost, until the
  account meets its maintenance again. A fee of up to 1.5 % of what is closed goes to
  the insurance fund, never more than what is left; what remains stays with the trader.
  A negative account is closed at its bankruptcy price, and each position has a part of
  it in proportion to its maintenance.
* Funding every hour.

Fractions of BTC, ETH and SOL as of 2025-12.
"""

from datetime import date

from bt_margin.core.adjust import RemovalRule
from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    LiquidationPolicy,
    OrderScope,
    Settlement,
)
from bt_margin.core.tiers import TierTable

from .rules import Controls, OrderMarginRule, PositionMode
from .venue import Venue

__all__ = ["DYDX"]

_LARGE = TierTable.flat(0.012, max_leverage=50)
_LIQUIDATION_FEE_RATE = 0.015

DYDX = Venue(
    name="dydx",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0001,
    taker_fee_rate=0.0005,
    position_modes=(PositionMode.ONE_WAY,),
    tiers=TierTable.flat(0.06, max_leverage=10),
    tables={
        "BTC": _LARGE,
        "ETH": _LARGE,
        "SOL": TierTable.flat(0.03, max_leverage=20),
    },
    tables_as_of=date(2025, 12, 1),
    order_margin=OrderMarginRule(untriggered_stops=False),
    controls=Controls(removal=RemovalRule(keeps_maintenance=False)),
    funding_hours=1,
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.ADDING,
        fee_rate=_LIQUIDATION_FEE_RATE,
        spread_rate=1.5,
        step=CompliantStep(margin_ratio=0.95, cost_rate=_LIQUIDATION_FEE_RATE),
        cross_scope=CrossScope.LARGEST_LOSS_FIRST,
    ),
    rounding="requirements up to a millionth of a USDC, which is not done here",
    sources=(
        "dYdX v4 documentation: Margin, Liquidations, Funding (@3e475b73231a)",
        "dYdX v4 chain: x/clob liquidations (@84d4664bae71)",
        "dYdX operations documentation: liquidations config of the mainnet genesis",
        "a copy of the indexer's markets, 2025-12 (fractions of BTC, ETH and SOL)",
    ),
    unverified=(
        "every market but BTC, ETH and SOL has 10 % and 6 %, those of a class of less"
        " liquid coins: an assumption",
        "the initial fraction of a market rises with its open interest (SOL: from 40 to"
        " 100 million); here it stands still",
        "leverage is a setting of this program: at the venue a position needs its"
        " market's fraction, whatever a trader has in mind",
        "marks stand for oracle prices",
        "the venue closes 10 % of a position and at most 100,000 USDC in each block;"
        " here what is needed goes at once, to a margin ratio of 95 % were there no"
        " spread; BTC and ETH free less than the fee may be, and go whole",
        "of several positions the one with the largest loss is first; by which order"
        " the venue goes was not read",
        "the page prints the fillable price for one side; for shorts it is read as"
        " above the oracle",
        "resting orders lock margin as elsewhere; at the venue they hold nothing until"
        " they meet, and orders that could add are taken as cancelled by a liquidation",
        "markets that are isolated by the protocol are like the others",
        "one page for all days; version 3, before 2023-10, had other rules",
    ),
)
