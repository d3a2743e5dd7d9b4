"""``binanceusdm``: Binance USD-M futures.

* Maintenance on notional at mark, progressive tiers, no closing fee in it; the tier
  is that of the notional at the liquidation price.
* Cross positions lock margin at mark; an isolated wallet holds entry notional /
  leverage.
* Liquidation: open orders are cancelled; as much is closed in the market as makes the
  account compliant again, and a fee of the closed notional is charged, never more than
  what is left. Where closing costs more than it frees (a maintenance rate near the fee
  or below it) all is closed, and the fee takes the rest. Beyond bankruptcy the
  insurance fund pays.
* Margin can be added to an isolated position, and removed down to its initial margin
  at mark and its maintenance margin. Its leverage can rise, not fall; margin mode
  cannot change while a position or orders are open.
* Funding is paid at mark by the wallet of the position, by default at 00, 08 and 16
  UTC.

Tiers of BTC, ETH and SOL as of 2026-09-22 (those of BTC hold since 2025-08-19), of all
others as of 2024-10-24; earlier ones under `revisions`.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CompliantStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
)

from .brackets import bracket_table
from .rules import Controls, Revision
from .venue import Venue

__all__ = ["BINANCE_USDM"]

_LIQUIDATION_FEE_RATE = 0.0125

# Seen 2026-09-22: BTC and ETH to 2.5 %, SOL to 5 %. What lies above is that of 2024.
_BTC = bracket_table(
    (300_000, 0.004, 150),
    (800_000, 0.005, 100),
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
_ETH = bracket_table(
    (300_000, 0.004, 125),
    (800_000, 0.005, 100),
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
_SOL = bracket_table(
    (50_000, 0.005, 100),
    (400_000, 0.0065, 75),
    (1_000_000, 0.01, 50),
    (4_000_000, 0.02, 25),
    (8_000_000, 0.025, 20),
    (40_000_000, 0.05, 10),
    (80_000_000, 0.1, 5),
    (100_000_000, 0.125, 4),
    (200_000_000, 0.25, 2),
    (400_000_000, 0.5, 1),
)

# Seen 2024-10-24.
_BTC_2024 = bracket_table(
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
_ETH_2024 = bracket_table(
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
_SOL_2024 = bracket_table(
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
_XRP = bracket_table(
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
_DOGE = bracket_table(
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
_LTC = bracket_table(
    (10_000, 0.005, 75),
    (50_000, 0.01, 50),
    (100_000, 0.015, 40),
    (750_000, 0.02, 25),
    (1_000_000, 0.025, 20),
    (5_000_000, 0.05, 10),
    (10_000_000, 0.1, 5),
    (20_000_000, 0.125, 4),
    (30_000_000, 0.25, 2),
    (50_000_000, 0.5, 1),
)
_ADA = bracket_table(
    (10_000, 0.005, 75),
    (50_000, 0.01, 50),
    (100_000, 0.015, 40),
    (500_000, 0.02, 25),
    (1_000_000, 0.025, 20),
    (5_000_000, 0.05, 10),
    (10_000_000, 0.1, 5),
    (20_000_000, 0.125, 4),
    (30_000_000, 0.25, 2),
    (50_000_000, 0.5, 1),
)
_BNB = bracket_table(
    (10_000, 0.005, 75),
    (50_000, 0.006, 50),
    (200_000, 0.01, 40),
    (1_500_000, 0.02, 25),
    (3_000_000, 0.025, 20),
    (15_000_000, 0.05, 10),
    (30_000_000, 0.1, 5),
    (37_500_000, 0.125, 4),
    (75_000_000, 0.25, 2),
    (150_000_000, 0.5, 1),
)

# Seen in the third quarter of 2023.
_BTC_2023 = bracket_table(
    (50_000, 0.004, 125),
    (250_000, 0.005, 100),
    (3_000_000, 0.01, 50),
    (20_000_000, 0.025, 20),
    (40_000_000, 0.05, 10),
    (100_000_000, 0.1, 5),
    (120_000_000, 0.125, 4),
    (200_000_000, 0.15, 3),
    (300_000_000, 0.25, 2),
    (500_000_000, 0.5, 1),
)
_ETH_2023 = bracket_table(
    (100_000, 0.005, 100),
    (250_000, 0.0065, 75),
    (2_000_000, 0.01, 50),
    (15_000_000, 0.02, 20),
    (30_000_000, 0.05, 10),
    (60_000_000, 0.1, 5),
    (80_000_000, 0.125, 4),
    (100_000_000, 0.15, 3),
    (150_000_000, 0.25, 2),
    (300_000_000, 0.5, 1),
)
_LTC_2023 = bracket_table(  # and XRP
    (5_000, 0.005, 75),
    (10_000, 0.006, 50),
    (50_000, 0.01, 40),
    (750_000, 0.02, 25),
    (3_000_000, 0.05, 10),
    (10_000_000, 0.1, 5),
    (12_000_000, 0.125, 4),
    (20_000_000, 0.15, 3),
    (30_000_000, 0.25, 2),
    (50_000_000, 0.5, 1),
)
_ADA_2023 = bracket_table(
    (5_000, 0.005, 75),
    (10_000, 0.006, 50),
    (50_000, 0.01, 40),
    (250_000, 0.02, 25),
    (1_000_000, 0.05, 10),
    (5_000_000, 0.1, 5),
    (10_000_000, 0.125, 4),
    (20_000_000, 0.15, 3),
    (30_000_000, 0.25, 2),
    (50_000_000, 0.5, 1),
)

# Seen in the autumn of 2021, without leverages: those of the same rates later on.
_END = float("inf")
_BTC_2021 = bracket_table(
    (50_000, 0.004, 125),
    (250_000, 0.005, 100),
    (1_000_000, 0.01, 50),
    (5_000_000, 0.025, 20),
    (20_000_000, 0.05, 10),
    (50_000_000, 0.1, 5),
    (100_000_000, 0.125, 4),
    (200_000_000, 0.15, 3),
    (300_000_000, 0.25, 2),
    (_END, 0.5, 1),
)
_ETH_2021 = bracket_table(
    (10_000, 0.005, 100),
    (100_000, 0.0065, 75),
    (500_000, 0.01, 50),
    (1_000_000, 0.02, 25),
    (2_000_000, 0.05, 10),
    (5_000_000, 0.1, 5),
    (10_000_000, 0.125, 4),
    (20_000_000, 0.15, 3),
    (_END, 0.25, 2),
)
_ALT_2021 = bracket_table(
    (10_000, 0.0065, 75),
    (50_000, 0.01, 50),
    (250_000, 0.02, 25),
    (1_000_000, 0.05, 10),
    (2_000_000, 0.1, 5),
    (5_000_000, 0.125, 4),
    (10_000_000, 0.15, 3),
    (_END, 0.25, 2),
)
_DOGE_2021 = bracket_table(
    (50_000, 0.01, 50),
    (150_000, 0.025, 20),
    (250_000, 0.05, 10),
    (500_000, 0.1, 5),
    (750_000, 0.125, 4),
    (1_000_000, 0.25, 2),
    (_END, 0.5, 1),
)
_SOL_2021 = bracket_table(
    (50_000, 0.01, 50),
    (250_000, 0.025, 20),
    (1_000_000, 0.05, 10),
    (2_000_000, 0.1, 5),
    (5_000_000, 0.125, 4),
    (10_000_000, 0.25, 2),
    (_END, 0.5, 1),
)

_TABLES_2024 = {
    "ADA": _ADA,
    "BNB": _BNB,
    "BTC": _BTC_2024,
    "DOGE": _DOGE,
    "ETH": _ETH_2024,
    "LTC": _LTC,
    "SOL": _SOL_2024,
    "XRP": _XRP,
}
_TABLES_2023 = {
    **_TABLES_2024,
    **dict.fromkeys(("LTC", "XRP"), _LTC_2023),
    "ADA": _ADA_2023,
    "BTC": _BTC_2023,
    "ETH": _ETH_2023,
}
_TABLES_2021 = {
    **_TABLES_2024,
    **dict.fromkeys(("ADA", "LTC", "XRP"), _ALT_2021),
    "BTC": _BTC_2021,
    "DOGE": _DOGE_2021,
    "ETH": _ETH_2021,
    "SOL": _SOL_2021,
}

BINANCE_USDM = Venue(
    name="binanceusdm",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    tables={**_TABLES_2024, "BTC": _BTC, "ETH": _ETH, "SOL": _SOL},
    tables_as_of=date(2026, 9, 22),
    controls=Controls(
        auto_margin=True, lowers_isolated_leverage=False, leverage_moves_margin=False
    ),
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.WALLET,
        fee_rate=_LIQUIDATION_FEE_RATE,
        step=CompliantStep(margin_ratio=0.8, cost_rate=_LIQUIDATION_FEE_RATE),
    ),
    rounding="none known; liquidation prices of the API agree to their last digit",
    revisions=(
        Revision(
            date(2025, 8, 19),
            {"tables": _TABLES_2024, "tables_as_of": date(2024, 10, 24)},
            "lower tiers of BTC, ETH and SOL widened; BTC to 150x",
        ),
        Revision(
            date(2024, 10, 24),
            {"tables": _TABLES_2023, "tables_as_of": date(2023, 7, 1)},
            "tiers of BTC, ETH, XRP, LTC and ADA as seen in the third quarter of 2023",
        ),
        Revision(
            date(2023, 7, 1),
            {"tables": _TABLES_2021, "tables_as_of": date(2021, 9, 1)},
            "tiers as seen in the autumn of 2021",
        ),
    ),
    sources=(
        "Binance FAQ: How to Calculate Liquidation Price of USD-M Futures Contracts",
        "Binance FAQ: Leverage and Margin of USD-M Futures",
        "Binance FAQ: Liquidation Protocols",
        "Binance FAQ: How to Adjust Margin",
        "Binance API error codes -4047, -4048, -4053, -4161 (controls)",
        "copies of the public bracket endpoint, 2026-08-02 and 2026-09-22 (tiers)",
        "freqtrade exchange/binance_leverage_tiers.json, 2024-10-24 and"
        " @e73f215a6712 (tiers of 2024 and 2023)",
        "freqtrade exchange/binance_leverage_brackets.json @778f0d9d0a83 (of 2021)",
    ),
    unverified=(
        "a tier table is taken from the day it was seen to the day the next one was;"
        " only 2025-08-19 is the day of a change, and it is that of BTC alone",
        "the tiers of 2021-09 stand for all days before 2023-07, 2019 and 2020 too",
        "the tables of 2021 came without leverages: they are those that the same rates"
        " had later on",
        "of the tables of 2026 the tiers above 2.5 % (BTC, ETH) and 5 % (SOL) are those"
        " of 2024, and so are all leverages but those of BTC to 1 %",
        "the tiers of SOL and DOGE step from those of 2021 to those of 2024 in 2023-07;"
        " BNB has those of 2024 on every day",
        "liquidation fee 1.25 %: that of BTC, ETH and XRP in exchangeInfo of 2024-03-28"
        " and of BTC on 2026-09-30, taken for every symbol and day; LTC had 1.5 %",
        "a liquidation closes down to a margin ratio of 80 %; how far the venue goes is"
        " not published",
        "a market close is at mark, without slippage",
        "taker fee 0.05 % on every day; it was 0.04 % until a day that was not found",
        "auto-added margin: that it is offered for isolated positions is known, how"
        " much is added each time is not",
        "funding every 8 h where the data says nothing else; many symbols have 4 h",
    ),
)
