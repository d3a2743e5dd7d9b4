"""``gate``: Gate perpetual futures.

* Maintenance on notional at mark plus a closing fee of 0.075 %, the contract's own
  taker rate whatever the account pays: liquidation price of an isolated position
  (entry - side * margin / quantity) / (1 - side * (rate + 0.075 %)).
* Tiers are progressive with a deduction since 2025-07-29. Before that the whole
  position had the rate of its tier: tiers given for those days need a
  ``maintenance_amount`` of 0.
* Cross positions lock margin at mark, isolated ones at entry.
* Liquidation: all orders are cancelled, the position is brought down a tier and looked
  at again; in the lowest tier it is taken over.
* Margin mode changes only without positions and orders.

Tiers as of 2026-09-25; inverse ones are in coin.
"""

from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)
from bt_margin.core.tiers import TierTable

from .brackets import bracket_table
from .rules import ContractKind, OrderMarginRule, Revision
from .venue import Venue

__all__ = ["GATE"]

_CLOSING_FEE = 0.00075


_ETH = TierTable.flat(0.005, max_leverage=100)
_BTC = bracket_table(
    (500_000, 0.003, 200, 0),
    (1_000_000, 0.0035, 150.01, 250),
    (1_500_000, 0.004, 125, 750),
    (2_000_000, 0.0045, 110.01, 1_500),
    (3_000_000, 0.005, 100, 2_500),
)
_BTC_BEFORE = TierTable.flat(0.005, max_leverage=100)
_BTC_USD = bracket_table((3, 0.005, 100, 0))

GATE = Venue(
    name="gate",
    maintenance_basis=Basis.MARK,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    kinds=(ContractKind.LINEAR, ContractKind.INVERSE),
    tiers=TierTable.flat(0.01, max_leverage=50),
    tables={"BTC": _BTC, "ETH": _ETH},
    inverse_tables={"BTC": _BTC_USD},
    tables_as_of=date(2026, 9, 25),
    closing_fee_rate=_CLOSING_FEE,
    order_margin=OrderMarginRule(untriggered_stops=False),
    liquidation=LiquidationPolicy(
        settlement=Settlement.BANKRUPTCY,
        cancel=OrderScope.WALLET,
        fee_rate=_CLOSING_FEE,
        step=TierStep(down=1, untouched=1),
    ),
    rounding="the liquidation price of a long up to the tick",
    revisions=(
        Revision(
            before=date(2025, 7, 29),
            changes={"tables": {"BTC": _BTC_BEFORE, "ETH": _ETH}},
            note="the whole position had the rate of its tier, without a deduction",
        ),
    ),
    sources=(
        "Gate help 22148: initial margin; adjusting margin",
        "Gate help 22159: liquidation",
        "Gate help 22121: leverage and margin mode; 22080: position mode (2025-10-31)",
        "Gate notice of 2025-07: tiers by position value, progressive maintenance (a"
        " third party's copy), and the page of SAND_USDT",
        "Gate API futures contracts and risk_limit_tiers, a copy of 2026-09-25",
        "Gate API position sample in ccxt 4.5.90 (ETH_USDT: rate and closing fee)",
    ),
    unverified=(
        "BTC: tiers above 3 million USDT (inverse: 3 BTC) are not known, and the last"
        " rate goes on; the venue has tiers up to 1.5 billion USDT and 2,500 BTC",
        "BTC before 2025-07-29 has one tier of 0.5 % at 100x: the notice states 6,000"
        " for 1.2 million USDT, and older contract payloads 0.5 % and 100x; its higher"
        " tiers are not known",
        "ETH has one assumed tier, 0.5 % at 100x, the rate of an account's payload",
        "coins without a table of their own have one assumed tier, 1 % at 50x: twice"
        " what BTC and ETH had before 2025-07-29; inverse ones too",
        "the rule of 2025-07-29 came in batches of contracts; here for all on that day",
        "maker and taker fee of a new account: general knowledge; the contract's own"
        " are -0.01 % and 0.075 %",
        "the closing fee of 0.075 % fits a liquidation price that the venue returned"
        " and a support reply; the help page on initial margin names it",
        "initial margin is notional / leverage plus the closing fee at the venue; here"
        " without the fee, so an isolated position is liquidated earlier by that much",
        "what a step closes pays 0.075 %, and a position taken over leaves nothing to"
        " the trader: no page names the fee or who keeps the rest",
        "in hedge mode both legs have the rate of the larger one at the venue; here"
        " each has its own",
        "margin may be removed down to 'the lowest requirement of the position': taken"
        " as initial margin at mark",
        "funding of an isolated position is paid by its margin; trigger orders lock"
        " nothing until they trigger: general knowledge",
        "leverage may change while orders rest: no page says otherwise",
    ),
)
