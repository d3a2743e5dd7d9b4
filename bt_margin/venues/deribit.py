"""``deribit``: Deribit linear perpetuals, settled in USDC.

* The rates of initial and of maintenance margin rise with every coin held, for the
  whole position: BTC 2 % + 0.005 % and 1 % + 0.005 % for each BTC.
* One wallet holds the margin of all positions: there are no isolated ones, and one
  position per instrument. No leverage is set: it follows from the size.
* Liquidation: in the market, as much as makes the account compliant again, with an
  extra fee of 0.75 % of what is closed; what remains stays with the trader.
* Funding accrues all the time.

Slopes of BTC and SOL; of which day is not known.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CompliantStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
)
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.wallet import MarginMode

from .rules import Controls, PositionMode
from .venue import Venue

__all__ = ["DERIBIT"]

_LIQUIDATION_FEE_RATE = 0.0075


def _slope(initial: float, maintenance: float, slope: float) -> SizeTiers:
    """Rates that rise with each coin until initial margin is the whole notional."""
    largest = (1 - initial) / slope
    return SizeTiers(
        [
            SizeTier(largest, maintenance, 1 / initial, slope),
            SizeTier(float("inf"), maintenance + slope * largest, 1),
        ]
    )


DERIBIT = Venue(
    name="deribit",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0,
    taker_fee_rate=0.0005,
    margin_modes=(MarginMode.CROSS,),
    position_modes=(PositionMode.ONE_WAY,),
    tables={
        "BTC": _slope(0.02, 0.01, 0.000_05),
        "SOL": _slope(0.04, 0.02, 0.000_005),
    },
    tables_as_of=date(2025, 7, 9),
    controls=Controls(adds_margin=False, removal=None, mode_of_account=True),
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.WALLET,
        fee_rate=_LIQUIDATION_FEE_RATE,
        step=CompliantStep(margin_ratio=0.95, cost_rate=_LIQUIDATION_FEE_RATE),
    ),
    rounding="none known",
    sources=(
        "Deribit support: Linear Perpetual (margin rates)",
        "copies of the instruments endpoint, 2025-07-09 (fees)",
    ),
    unverified=(
        "inverse perpetuals are not there: their rates rise with the worth of a"
        " position in coin, and the numbers of their page were not found",
        "the day of the margin rates is not known: that of the fees is given, and they"
        " stand for all days",
        "leverage is a setting of this program: a position locks notional / leverage,"
        " at the venue what its size asks for",
        "marks stand for the index, on which the venue takes its requirements",
        "funding is paid at stamps of 8 h, or of the data; the venue accrues it by the"
        " millisecond and pays it out at 08:00 UTC",
        "the liquidation fee is the highest that the instruments list, on top of"
        " nothing else; that orders are cancelled first is not confirmed",
        "a liquidation closes down to a margin ratio of 95 %, taking the rate of the"
        " position as it was; how far the venue goes is not published",
        "portfolio margin and other collateral are not modelled",
    ),
)
