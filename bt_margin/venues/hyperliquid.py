"""``hyperliquid``: perpetuals settled in USDC.

* Maintenance on notional at mark: half of the initial margin at the tier's highest
  leverage, progressive with a deduction; the tier is that of the notional at the
  liquidation price. It does not depend on the leverage chosen.
* Liquidation: the position goes to the book without a fee, and what remains stays
  with the trader; with less than 2/3 of maintenance left the backstop takes all.
* Isolated positions and the cross pool are separate in both directions.

Tiers as of 2026-08.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement
from bt_margin.core.tiers import Tier, TierTable

from .venue import Venue

__all__ = ["HYPERLIQUID"]


def _table(floor: float, below: float, above: float) -> TierTable:
    """Two tiers by their highest leverage, below and above a notional."""
    return TierTable(
        [
            Tier(0, floor, 1 / (2 * below), below),
            Tier(floor, float("inf"), 1 / (2 * above), above),
        ]
    )


_GROUP_20M = _table(20_000_000, 10, 5)

HYPERLIQUID = Venue(
    name="hyperliquid",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.00015,
    taker_fee_rate=0.00045,
    tables={
        "BTC": _table(150_000_000, 40, 20),
        "ETH": _table(100_000_000, 25, 15),
        "SOL": _table(70_000_000, 20, 10),
        "XRP": _table(40_000_000, 20, 10),
        **dict.fromkeys(
            ("AAVE", "ADA", "AVAX", "DOGE", "HYPE", "LINK", "LTC", "SUI", "UNI"),
            _GROUP_20M,
        ),
    },
    tables_as_of=date(2026, 8, 1),
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.WALLET,
        backstop=2 / 3,
    ),
    sources=(
        "Hyperliquid docs: Margining, Margin tiers, Liquidations (2026-07/08)",
        "Hyperliquid docs: Fees, tier 0",
    ),
    unverified=(
        "positions above 100,000 USDC are closed at once; the venue sends 20 % first",
        "funding is paid at mark; the venue takes the oracle price",
        "the market close is at mark, without slippage",
        "the rule before 2023-05 (maintenance frozen at the current notional) is not"
        " there",
    ),
)
