"""``bitmex``: BitMEX perpetuals, linear in USDT and inverse in XBT.

* Maintenance on notional at entry, for the whole position at the rate of its risk
  limit, without deduction. Each step above the base limit raises the rates of initial
  and of maintenance margin by the base maintenance rate.
* Contracts are small: XBTUSD is worth 1 USD (inverse), XBTUSDT 0.000001 XBT, ETHUSDT
  0.00001 ETH, LTCUSDT 0.0001 LTC, XRPUSDT and ADAUSDT 0.01 coins; give it as
  ``contract_size``. Bitcoin is XBT in its symbols.
* A quanto contract is a linear one whose contract size is in its settle currency for
  each unit of price: ETHUSD, settled in XBT, 0.000001 XBT for each USD; its tiers have
  to be given, in XBT.
* Liquidation: orders of that contract are cancelled; a position above the base limit
  is brought one step down in the market; otherwise all of it is taken over at the
  bankruptcy price, and what is left of its margin with it.
* The leverage of an open position moves its margin.
* Funding at 04, 12 and 20 UTC.

Risk limits as of 2026-05-21 (XRP: 2025-01-30).
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)
from bt_margin.core.tiers import Tier, TierTable

from .rules import ContractKind, OrderMarginRule, PositionMode, Revision
from .venue import Venue

__all__ = ["BITMEX"]

_TIERS = 20  # of a table; how many steps the venue grants was not found


def _table(limit: float, step: float, initial: float, maintenance: float) -> TierTable:
    """Risk limits from the base limit, the step and the base rates."""
    caps = [0.0, *(limit + step * place for place in range(_TIERS))]
    return TierTable(
        Tier(
            caps[place],
            caps[place + 1],
            maintenance * (place + 1),
            1 / (initial + maintenance * place),
            maintenance_amount=0,
        )
        for place in range(_TIERS)
    )


def _bitcoin(table: TierTable) -> dict[str, TierTable]:
    return dict.fromkeys(("BTC", "XBT"), table)


_USDT_100X = _table(1_000_000, 1_000_000, 0.01, 0.005)

BITMEX = Venue(
    name="bitmex",
    maintenance_basis=Basis.ENTRY,
    maker_fee_rate=0.0005,
    taker_fee_rate=0.0005,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    position_modes=(PositionMode.ONE_WAY,),
    tables={
        **_bitcoin(_USDT_100X),
        "ETH": _USDT_100X,
        "XRP": _USDT_100X,
        "LTC": _table(1_000_000, 1_000_000, 0.02, 0.01),
        "ADA": _table(1_000_000, 1_000_000, 0.03, 0.015),
    },
    inverse_tables=_bitcoin(_table(200, 150, 0.01, 0.005)),
    tables_as_of=date(2026, 5, 21),
    cross_margin_basis=Basis.ENTRY,
    order_margin=OrderMarginRule(fees=True, untriggered_stops=False),
    first_funding_hour=4,
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY,
        cancel=OrderScope.SYMBOL,
        step=TierStep(down=1, untouched=1),
    ),
    rounding="prices to the tick, which is not done here",
    revisions=(
        Revision(
            date(2021, 8, 31),
            {"inverse_tables": _bitcoin(_table(200, 100, 0.01, 0.005))},
            "risk step of XBTUSD 100 XBT, then 150",
        ),
    ),
    sources=(
        "BitMEX: Isolated Margin Examples, Liquidation, Risk Limits Examples",
        "BitMEX blog, 2021-08-31 (risk steps) and 2024-03-19 (base maintenance)",
        "copies of the instrument endpoint, 2025-01-30 and 2026-05-21",
    ),
    unverified=(
        "the multiplier of ETHUSD (quanto) is general knowledge, and no risk limits of"
        " quanto contracts are here: give tiers",
        "the risk limits go on for 20 tiers; how far the venue lets them go was not"
        " found, and a trader had to ask for them by hand",
        "ADA: its highest leverage of 33.3 is known, limit and step are those of the"
        " other USDT contracts",
        "LTC had 3 % and 1.5 % about 2022; its day of change was not found",
        "base maintenance of XBTUSD 0.5 % on every day; a copy of 2020-11-05 shows"
        " 0.35 %, and it was set to 0.5 % again on 2024-03-19",
        "maker and taker fee 0.05 % on every day; copies show -0.025 % and 0.075 % for"
        " 2018 to 2020, -0.01 % and 0.05 % about 2022, without days of change",
        "a position that is open on the day of a change comes under the new limits;"
        " at the venue it keeps the old ones until it is changed",
        "what a step closes is closed at mark; the venue sends one order that is filled"
        " whole or not at all",
        "the fee of a close at bankruptcy is not part of margin, as in the examples of"
        " the official pages; resting orders lock it, with their opening fee",
        "cross positions lock margin at entry; stops lock none before their trigger",
        "how much margin can be removed was not found",
    ),
)
