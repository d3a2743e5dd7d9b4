"""``hyperliquid``: perpetuals settled in USDC.

* Maintenance on notional at mark: half of the initial margin at the tier's highest
  leverage, progressive with a deduction; the tier is that of the notional at the
  liquidation price. It does not depend on the leverage chosen.
* Liquidation: of a position above 100,000 USDC 20 % go to the book first, and all of
  it if that does not do within 30 s; smaller ones go whole. There is no fee, and what
  remains stays with the trader; with less than 2/3 of maintenance left the backstop
  takes all.
* Isolated positions and the cross pool are separate in both directions. Margin can be
  removed down to the initial margin and to 10 % of the notional, whichever is more,
  unrealized PnL counted.
* One position per coin. Leverage is checked on opening, and can rise later.
* Funding every hour, an eighth of an 8 h rate.

Tiers as of 2026-08.
"""

from datetime import date, timedelta

from bt_margin.core.adjust import RemovalRule
from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    FractionStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
)
from bt_margin.core.tiers import TierTable

from .brackets import bracket_table
from .rules import Controls, PositionMode, Revision
from .venue import Venue

__all__ = ["HYPERLIQUID"]


def _table(floor: float, below: float, above: float) -> TierTable:
    """Two tiers by their highest leverage, below and above a notional."""
    return bracket_table(
        (floor, 1 / (2 * below), below), (float("inf"), 1 / (2 * above), above)
    )


_GROUP_20M = ("AAVE", "ADA", "AVAX", "DOGE", "HYPE", "LINK", "LTC", "SUI", "UNI")
_GROUP_3M = ("ARB", "BNB", "DOT", "TON", "TRX")

HYPERLIQUID = Venue(
    name="hyperliquid",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.00015,
    taker_fee_rate=0.00045,
    position_modes=(PositionMode.ONE_WAY,),
    tables={
        "BTC": _table(150_000_000, 40, 20),
        "ETH": _table(100_000_000, 25, 15),
        "SOL": _table(70_000_000, 20, 10),
        "XRP": _table(40_000_000, 20, 10),
        **dict.fromkeys(_GROUP_20M, _table(20_000_000, 10, 5)),
        **dict.fromkeys(_GROUP_3M, _table(3_000_000, 10, 5)),
    },
    tables_as_of=date(2026, 8, 1),
    controls=Controls(
        removal=RemovalRule(keeps_maintenance=False, kept_notional_share=0.1),
        lowers_isolated_leverage=False,
        leverage_moves_margin=False,
    ),
    funding_hours=1,
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.WALLET,
        backstop=2 / 3,
        step=FractionStep(
            fraction=0.2, above_notional=100_000, pause=timedelta(seconds=30)
        ),
    ),
    rounding="none known; liquidation prices of the API agree within 0.01 %",
    revisions=(
        Revision(
            date(2023, 6, 1),
            {"maintenance_basis": Basis.ENTRY},
            "maintenance stood still while the price moved",
        ),
    ),
    sources=(
        "Hyperliquid docs: Margining, Margin tiers, Liquidations (2026-07/08)",
        "Hyperliquid docs: Funding; Fees, tier 0",
        "account payloads of 2023-05 in hyperliquid-python-sdk, of 2024 in freqtrade",
    ),
    unverified=(
        "one tier table for all days: in 2024 BTC and ETH had 50x and DOGE 20x, until"
        " days that were not found",
        "before 2023-06 prices were those of a maintenance frozen at the notional of"
        " the moment; that at entry is the nearest rule there is here, and the day of"
        " the change was not found",
        "funding is paid at mark; the venue takes the oracle price",
        "the market close is at mark, without slippage",
        "orders of the whole wallet are cancelled by a liquidation",
        "leverage of an open isolated position cannot fall, and its wallet does not"
        " follow when it rises",
        "strict-isolated markets, where no margin can be removed, are not there",
    ),
)
