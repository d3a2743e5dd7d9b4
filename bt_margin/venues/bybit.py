"""``bybit``: Bybit perpetuals, linear and inverse, in a unified account.

* Maintenance on notional at mark, progressive tiers with a deduction; inverse tiers
  are in coin. Before 2025-09-02 maintenance was on notional at entry.
* The taker fee of a close at the bankruptcy price, entry * (1 - side / leverage)
  (inverse: the value in coin * (1 + side / leverage)), counts in initial and in
  maintenance margin alike, so it cancels out of the liquidation price.
* Isolated positions lock margin at entry, cross ones at mark (before 2025-09-02: at
  entry).
* A resting order locks price * quantity / leverage, its opening fee and the fee of a
  close at its bankruptcy price.
* Liquidation: orders that add to the position are cancelled; one in a higher tier is
  brought down a tier; the rest is settled at the bankruptcy price, so that all of
  the position's margin is lost. What a better fill leaves goes to the insurance fund.
* Funding is paid by the available balance, and where that is short by the position.
* Margin mode is that of the account. No more margin can be removed than was added; a
  change of leverage resets what was added. Automatic margin adds the initial margin.

Tiers as of 2026-09-25.
"""

from datetime import date

from bt_margin.core.adjust import RemovalRule
from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import FundingSource

from .brackets import bracket_table
from .rules import ContractKind, Controls, OrderMarginRule, Revision
from .venue import Venue

__all__ = ["BYBIT"]


_ETH = TierTable.flat(0.005, max_leverage=100)
_BTC = bracket_table(
    (300_000, 0.0033, 150, 0),
    (2_000_000, 0.005, 100, 510),
    (2_600_000, 0.0056, 90, 1_710),
)
_BTC_EARLY_2025 = bracket_table(
    (2_000_000, 0.005, 100, 0),
    (2_600_000, 0.0056, 90, 1_200),
)
_BTC_USD = bracket_table(
    (150, 0.005, 100, 0),
    (300, 0.01, 66.67, 0.75),
)

BYBIT = Venue(
    name="bybit",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.00055,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    tiers=TierTable.flat(0.01, max_leverage=50),
    tables={"BTC": _BTC, "ETH": _ETH},
    inverse_tables={"BTC": _BTC_USD},
    tables_as_of=date(2026, 9, 25),
    reserved_fee_rate=0.00055,
    order_margin=OrderMarginRule(open_loss=False, fees=True, untriggered_stops=False),
    controls=Controls(
        removal=RemovalRule(
            keeps_initial=False, keeps_maintenance=False, only_added=True
        ),
        auto_margin=True,
        mode_of_account=True,
    ),
    funding_source=FundingSource.AVAILABLE,
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY,
        cancel=OrderScope.ADDING,
        step=TierStep(down=1, untouched=1),
        step_settlement=Settlement.BANKRUPTCY,
    ),
    rounding="prices of liquidation and bankruptcy to the tick toward the entry",
    revisions=(
        Revision(
            before=date(2025, 9, 2),
            changes={
                "maintenance_basis": Basis.ENTRY,
                "cross_margin_basis": Basis.ENTRY,
                "tables": {"BTC": _BTC_EARLY_2025, "ETH": _ETH},
            },
            note="maintenance and cross margin were on notional at entry",
        ),
    ),
    sources=(
        "Bybit help: Understanding the Adjustment and Impact of the New Margin"
        " Calculation (2025-09-18)",
        "Bybit help: Liquidation Price USDT Contract; Bankruptcy Price; Order Cost",
        "Bybit help: Liquidation Price under Isolated Mode, Inverse (2026-05-27)",
        "Bybit help: Auto Margin Replenishment; Funding Fee (2024-12)",
        "Bybit API docs v5: market/risk-limit, account/set-margin-mode",
        "Bybit API market/risk-limit, copies of 2025-02, 2026-09-25 and 2026-09-26",
        "Bybit API position samples in ccxt 4.5.90 (ETHUSDT and XRPUSDT rates)",
    ),
    unverified=(
        "BTCUSDT has about 35 tiers and BTCUSD more than two: the ones above 2.6"
        " million USDT and 300 BTC are not known, and the last rate goes on",
        "the BTCUSDT tiers of early 2025 are taken for every day before 2025-09-02;"
        " the day they changed is not known",
        "ETH has one assumed tier, 0.5 % at 100x: the maintenance margin in an API"
        " sample of ETHUSDT comes out at 0.5 %",
        "coins without a table of their own have one assumed tier, 1 % at 50x: the"
        " maintenance margin in an API sample of XRPUSDT comes out at 1 %, the first"
        " tier of XRPUSD and EOSUSD was 1 %, and initial margin is twice that; inverse"
        " ones too",
        "the linear isolated liquidation price since 2025-09-02 follows from"
        " maintenance on mark; no page with it could be read, and the announcement"
        " says that displayed values stay as they were",
        "inverse: margin added counts in full; the venue divides it by (1 +- fee)",
        "fees: those of a page's example (taker) and general knowledge (maker); the"
        " inverse contracts of 2022 and before had 0.075 %",
        "hedge mode is offered for USDT perpetuals only; here for inverse ones too",
        "tiers follow the value of positions and orders together at the venue; here of"
        " the position",
        "a step down a tier loses its part of the margin as at bankruptcy; the venue"
        " sends it to the market as fill or kill, or immediate or cancel",
        "conditional orders lock nothing until they trigger: general knowledge",
        "orders have no margin for a loss at once: the published order cost names none",
        "of buys and sells the larger side locks margin, as the published copies say;"
        " that fees do so too is an assumption",
        "leverage may change while orders rest, margin mode may not: no page says so",
        "cross accounts before the unified one shared only their available balance, and"
        " a full hedge was never liquidated; not there",
    ),
)
