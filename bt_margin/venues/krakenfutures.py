"""``krakenfutures``: Kraken Futures perpetuals, linear (PF) and inverse (PI).

* Maintenance is half of initial margin, by margin levels: the whole position has the
  rate of its level, so the requirement steps up from level to level. Levels go by
  notional in USD (linear) and by contracts of 1 USD (inverse).
* Maintenance on the current value, no closing fee in it: the example of the Equity
  Protection Process, 1,000 contracts at 8,000 on 0.01 BTC, is liquidated at 7,481 and
  bankrupt at 7,407. Initial margin on the value at entry.
* Liquidation: orders that add risk are cancelled, the position goes to the book as
  immediate or cancel with its zero-equity price as limit, and what is left stays with
  the trader; what the book does not take is assigned at that price.
* One position per contract. Funding is hourly.

Levels as of 2026-09-25; inverse ones above the second are those of the schedule.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable

from .rules import ContractKind, Controls, OrderMarginRule, PositionMode
from .venue import Venue

__all__ = ["KRAKEN_FUTURES"]


def _levels(*rows: tuple[float, float]) -> TierTable:
    """From (notional from which it holds, initial margin rate)."""
    ends = [*(floor for floor, _ in rows[1:]), float("inf")]
    return TierTable(
        Tier(floor, end, initial / 2, 1 / initial, 0)
        for (floor, initial), end in zip(rows, ends, strict=True)
    )


def _by_contracts(*rows: tuple[float, float]) -> SizeTiers:
    """From (largest number of contracts, initial margin rate)."""
    return SizeTiers(SizeTier(most, rate / 2, 1 / rate) for most, rate in rows)


KRAKEN_FUTURES = Venue(
    name="krakenfutures",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    position_modes=(PositionMode.ONE_WAY,),
    tables={
        "BTC": _levels((0, 0.01), (1_000_000, 0.02), (3_000_000, 0.04)),
        "DOGE": _levels((0, 0.02), (2_000_000, 0.04)),
    },
    inverse_tables={
        "BTC": _by_contracts(
            (500_000, 0.02),
            (1_000_000, 0.04),
            (3_000_000, 0.06),
            (6_000_000, 0.1),
            (12_000_000, 0.15),
            (20_000_000, 0.25),
            (50_000_000, 0.3),
            (75_000_000, 0.4),
        ),
    },
    tables_as_of=date(2026, 9, 25),
    cross_margin_basis=Basis.ENTRY,
    order_margin=OrderMarginRule(untriggered_stops=False),
    controls=Controls(adds_margin=False, removal=None),
    funding_hours=1,
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET, cancel=OrderScope.ADDING
    ),
    rounding="the example of a liquidation price is cut to whole USD",
    sources=(
        "Kraken support 360022835671: Equity Protection Process",
        "Kraken support 15579128794772: inverse futures margin schedule",
        "Kraken support 360022632452: multi-collateral margin schedule",
        "Kraken support 4844463246100: margining",
        "Kraken Futures API instruments and feeschedules, a copy of 2026-09-25",
    ),
    unverified=(
        "linear levels above 4 % initial margin may be missing; the last rate goes on",
        "the linear first level was 2 % (50x) before it was 1 % (100x); the day is not"
        " known, and 1 % holds for all days",
        "that the whole position has the rate of its level, and that linear levels go"
        " by notional in USD, is general knowledge; no deduction is published",
        "the inverse schedule names no sixth level: 12 to 20 million has the seventh",
        "maintenance on the current value fits the printed example; the margin schedule"
        " says that its shares are of the value at entry",
        "orders that add risk are cancelled when margin falls below initial margin at"
        " the venue; here at liquidation",
        "the position is sold at mark without slippage and without a fee: no fee of it"
        " is named",
        "isolated margin by a leverage preference, cross without; margin is not added"
        " or removed by hand: general knowledge",
        "funding is paid in hourly stamps; the venue accrues it continuously",
        "perpetual and dated futures of a coin share one requirement in cross margin at"
        " the venue, and other collateral has a haircut; not there",
        "trigger orders lock nothing until they trigger: general knowledge",
    ),
)
