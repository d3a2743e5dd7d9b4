"""``okx``: OKX perpetual swaps.

* Maintenance on notional at mark plus the taker fee of a close, also at mark:
  liquidation at equity <= notional * (rate + taker fee).
* Position tiers go by contracts, so price does not move a position between them; the
  whole position has the rate of its tier. Here they are in coins (inverse: USD):
  contracts * contract size (BTC 0.01, ETH 0.1, ADA 100 coins; inverse BTC 100 USD).
* Cross positions lock margin at mark, isolated ones at entry.
* Liquidation: open orders are cancelled; of cross positions what a long and a short
  of one contract offset goes first; a position in tier 3 or higher is cut by two
  tiers; one in tiers 1 and 2 is taken over whole at its bankruptcy price, with its
  remaining margin.
* Leverage cannot change while isolated orders rest; position mode and margin mode
  cannot change with positions or orders.

Tiers as of 2026-09-25; ADA's are those of 2023-05-19, the inverse BTC ones of 2023-06.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CrossScope,
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import TierTable

from .rules import ContractKind, Controls, OrderMarginRule, Revision
from .venue import Venue

__all__ = ["OKX"]

_LOWEST_LEVERAGE = 2  # where the list of stepped tiers ends


def _stepped(*rows: tuple[float, float, float, float], step: float) -> SizeTiers:
    """From (units, maintenance rate, initial rate, leverage), then on by steps.

    Each further tier holds ``step`` more units, and both its rates are 0.5 % higher.
    """
    tiers = [SizeTier(units, rate, leverage) for units, rate, _, leverage in rows]
    units, rate, initial, _ = rows[-1]
    for number in range(1, round((1 / _LOWEST_LEVERAGE - initial) / 0.005) + 1):
        rise = 0.005 * number
        leverage = 1 / round(initial + rise, 6)
        tiers.append(SizeTier(units + step * number, round(rate + rise, 6), leverage))
    return SizeTiers(tiers)


_TABLES = {
    "BTC": SizeTiers([SizeTier(10, 0.004, 100)]),
    "ETH": SizeTiers([SizeTier(500, 0.004, 100)]),
    "ADA": _stepped(
        (150_000, 0.005, 0.0133, 75),
        (300_000, 0.0075, 0.02, 50),
        (600_000, 0.01, 0.025, 40),
        step=600_000,
    ),
}
_ADA_BEFORE = _stepped(
    (50_000, 0.01, 0.013, 75),
    (100_000, 0.015, 0.02, 50),
    (600_000, 0.02, 0.05, 20),
    step=600_000,
)
_BTC_USD = _stepped(
    (200_000, 0.004, 0.008, 100),
    (500_000, 0.005, 0.01, 100),
    (2_000_000, 0.0075, 0.015, 66.66),
    step=2_000_000,
)

OKX = Venue(
    name="okx",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    tiers=TierTable.flat(0.01, max_leverage=50),
    tables=_TABLES,
    inverse_tables={"BTC": _BTC_USD},
    tables_as_of=date(2026, 9, 25),
    closing_fee_rate=0.0005,
    order_margin=OrderMarginRule(open_loss=False, untriggered_stops=False),
    controls=Controls(leverage_with_orders=False),
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY,
        cancel=OrderScope.WALLET,
        fee_rate=0.0005,
        step=TierStep(down=2, untouched=2),
        cross_scope=CrossScope.HEDGED_FIRST,
    ),
    rounding="the isolated liquidation price of an inverse position shows a tick more",
    revisions=(
        Revision(
            before=date(2023, 5, 19),
            changes={"tables": {**_TABLES, "ADA": _ADA_BEFORE}},
            note="ADA-USDT-SWAP had smaller tiers with higher rates",
        ),
    ),
    sources=(
        "OKX help 360053909272: margin and liquidation of perpetual swaps",
        "OKX help: Tiered maintenance margin ratio rules (copy of 2025-05)",
        "OKX help: Introduction to the isolated mode (2024-08-28)",
        "OKX announcement of 2023-05-15: position tiers (ADA), copies",
        "OKX announcement of 2023-06-09: position tiers (inverse BTC), copy",
        "OKX API public instruments and tiers, a copy of 2026-09-25 (BTC, ETH)",
        "OKX API account/positions, doc sample in ccxt 4.5.90 (margin ratio)",
    ),
    unverified=(
        "BTC and ETH: only the first tier of 2026-09-25 is known (a third party's copy"
        " of the answer); larger positions go on at its rate, while the venue asks for"
        " more and cuts by tiers",
        "coins without a table of their own have one assumed tier, 1 % at 50x: between"
        " the first tiers of ADA (0.5 % to 1 %, 2023) and the first tier of"
        " coin-margined LTC (1 %, 50x, 2020); XRP then had 1.5 %",
        "ADA: the size of a contract, 100 ADA, is general knowledge; tiers since"
        " 2023-05-19 are taken to hold on",
        "tiers beyond the listed ones are written out down to a leverage of 2; above"
        " that the last rate goes on",
        "inverse BTC: tiers of 2023-06, their highest leverage lowered from 125 to the"
        " 100 of 2026; the day of that change is not known, nor that of linear BTC",
        "maker and taker fee: a third party's reading of the base tier; the taker rate"
        " stands in maintenance",
        "what a partial step or an offset pair closes pays the taker fee: no other"
        " liquidation fee is named",
        "a step cuts by two tiers at once at mark, and the next may follow at once; the"
        " venue repeats about every minute, and an older page cuts to the first tier",
        "a position whose margin ratio is below that of the first tier is taken over"
        " whole by the venue, whatever its tier; here only at bankruptcy",
        "cross tiers add a contract's long and short at the venue; here each leg has"
        " its own",
        "funding of an isolated position is paid by its margin; the cap that keeps a"
        " cross account above maintenance is not there",
        "a resting order locks notional / leverage without a fee reserve, a trigger"
        " order nothing until it triggers: general knowledge",
        "how much isolated margin can be removed is not published: initial margin at"
        " mark must stay",
        "rates with haircuts (multi-currency and portfolio modes) are not there",
    ),
)
