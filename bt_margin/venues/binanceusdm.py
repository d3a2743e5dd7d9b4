"""``binanceusdm``: Binance USD-M futures.

* Maintenance on notional at mark, progressive tiers, no closing fee in it; the tier
  is that of the notional at the liquidation price.
* Cross positions lock margin at mark; an isolated wallet holds entry notional /
  leverage.
* Liquidation: open orders are cancelled, the position is closed in the market, and a
  fee of the closed notional is charged, never more than what is left; what remains
  stays with the trader. Beyond bankruptcy the insurance fund pays.
* Funding is paid at mark by the wallet of the position.

Tiers as of 2024-10-24, from the bracket table that freqtrade publishes.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement
from bt_margin.core.tiers import Tier, TierTable

from .venue import Venue

__all__ = ["BINANCE_USDM"]


def _table(*rows: tuple[float, float, float]) -> TierTable:
    """From (notional cap, maintenance margin rate, max leverage)."""
    floors = [0.0, *(cap for cap, _, _ in rows)]
    return TierTable(
        Tier(floor, cap, rate, leverage)
        for floor, (cap, rate, leverage) in zip(floors, rows, strict=False)
    )


_BTC = _table(
    (50_000, 0.004, 125),
    (600_000, 0.005, 100),
    (3_000_000, 0.0065, 75),
    (12_000_000, 0.01, 50),
    (70_000_000, 0.02, 25),
    (100_000_000, 0.025, 20),
    (230_000_000, 0.05, 10),
    (480_000_000, 0.1, 5),
    (600_000_000, 0.125, 4),
    (800_000_000, 0.15, 3),
    (1_200_000_000, 0.25, 2),
    (1_800_000_000, 0.5, 1),
)
_ETH = _table(
    (50_000, 0.004, 125),
    (600_000, 0.005, 100),
    (3_000_000, 0.0065, 75),
    (12_000_000, 0.01, 50),
    (50_000_000, 0.02, 25),
    (65_000_000, 0.025, 20),
    (150_000_000, 0.05, 10),
    (320_000_000, 0.1, 5),
    (400_000_000, 0.125, 4),
    (530_000_000, 0.15, 3),
    (800_000_000, 0.25, 2),
    (1_200_000_000, 0.5, 1),
)
_SOL = _table(
    (20_000, 0.005, 100),
    (100_000, 0.0065, 75),
    (800_000, 0.01, 50),
    (4_000_000, 0.02, 25),
    (8_000_000, 0.025, 20),
    (40_000_000, 0.05, 10),
    (80_000_000, 0.1, 5),
    (100_000_000, 0.125, 4),
    (200_000_000, 0.25, 2),
    (400_000_000, 0.5, 1),
)
_XRP = _table(
    (10_000, 0.005, 75),
    (20_000, 0.0065, 50),
    (160_000, 0.01, 40),
    (800_000, 0.02, 25),
    (1_600_000, 0.025, 20),
    (8_000_000, 0.05, 10),
    (16_000_000, 0.1, 5),
    (20_000_000, 0.125, 4),
    (40_000_000, 0.25, 2),
    (80_000_000, 0.5, 1),
)
_DOGE = _table(
    (10_000, 0.005, 75),
    (50_000, 0.007, 50),
    (750_000, 0.01, 40),
    (800_000, 0.02, 25),
    (1_600_000, 0.025, 20),
    (8_000_000, 0.05, 10),
    (16_000_000, 0.1, 5),
    (20_000_000, 0.125, 4),
    (40_000_000, 0.25, 2),
    (80_000_000, 0.5, 1),
)

BINANCE_USDM = Venue(
    name="binanceusdm",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    tables={"BTC": _BTC, "ETH": _ETH, "SOL": _SOL, "XRP": _XRP, "DOGE": _DOGE},
    tables_as_of=date(2024, 10, 24),
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET, cancel=OrderScope.WALLET, fee_rate=0.0125
    ),
    sources=(
        "Binance FAQ: How to Calculate Liquidation Price of USD-M Futures Contracts",
        "Binance FAQ: Leverage and Margin of USD-M Futures",
        "Binance FAQ: Liquidation Protocols",
        "freqtrade exchange/binance_leverage_tiers.json, 2024-10-24 (tiers)",
    ),
    unverified=(
        "liquidation fee 1.25 %: that of BTCUSDT in exchangeInfo of 2026-09-30, taken"
        " for every symbol and day",
        "the whole position is closed at mark; the venue closes only as much as makes"
        " the account compliant again",
        "one tier table for all days",
    ),
)
