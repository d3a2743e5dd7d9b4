"""``binancecoinm``: Binance COIN-M perpetuals, settled in the coin.

* Contracts are worth a fixed amount of USD: 100 for BTCUSD, 10 for the others; give it
  as ``contract_size``.
* Maintenance on notional in coin at mark, progressive tiers by coin, no closing fee in
  it; the tier is that of the notional at the liquidation price. A long climbs the
  tiers as the price falls.
* Cross positions lock margin at mark; an isolated wallet holds entry notional /
  leverage.
* Liquidation, margin changes and funding as for USD-M, with a larger liquidation fee.

Tiers of BTCUSD of 2021, put together from the examples of the FAQ: its amount at 300
BTC is 11.605. Other coins have none here.
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
from .rules import ContractKind, Controls
from .venue import Venue

__all__ = ["BINANCE_COINM"]

_LIQUIDATION_FEE_RATE = 0.015

_BTC = bracket_table(  # caps in BTC
    (5, 0.004, 125),
    (10, 0.005, 100),
    (20, 0.01, 50),
    (50, 0.025, 20),
    (100, 0.05, 10),
    (200, 0.1, 5),
    (float("inf"), 0.125, 4),
)

BINANCE_COINM = Venue(
    name="binancecoinm",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    kinds=(ContractKind.INVERSE,),
    tables={"BTC": _BTC},
    tables_as_of=date(2021, 1, 1),
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
    sources=(
        "Binance FAQ: How to Calculate Liquidation Price of COIN-M Futures Contracts",
        "Binance FAQ: How to Adjust Margin",
        "Binance API: COIN-M notional brackets (measured in coin), error code -4150",
        "a copy of exchangeInfo of 2026-09-25 (contract sizes, liquidation fee)",
    ),
    unverified=(
        "the tiers of BTC are of 2021 (the year alone is known) and stand for all days;"
        " their floors and leverages are put together from examples and from USD-M,"
        " and tiers above 12.5 % are missing",
        "the API's own example page shows other first tiers (to 50 BTC, to 100 BTC):"
        " taken for illustrations",
        "maker fee 0.02 % and taker fee 0.05 %: no official page was read",
        "liquidation fee 1.5 %: that of BTCUSD and ETHUSD perpetuals on 2026-09-25,"
        " taken for every symbol and day; dated futures have 0.75 %",
        "a liquidation closes down to a margin ratio of 80 %; how far the venue goes is"
        " not published",
        "a market close is at mark, without slippage",
        "auto-added margin: how much is added each time is not known",
    ),
)
