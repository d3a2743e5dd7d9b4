"""Published answers of venues and other systems, through the public functions.

Inputs and answers are the sources' own, under the names and tolerances of
`facts/worked-examples.json`; the larger of the absolute and the relative bound wins.
A function per rule turns the inputs into the answer; the venue's rule stands above it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.funding import funding_payment
from bt_margin.core.liquidation import bankruptcy_shares
from bt_margin.core.margin import (
    MarginSummary,
    bankruptcy_price,
    initial_margin,
    liquidation_price,
    maintenance_margin,
    order_margin,
)
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable

SHARED = Path(__file__).parents[2].parent / "shared"
INFINITE = float("inf")

Values = dict[str, Any]
Answer = Callable[[Values], Values]


@dataclass(frozen=True)
class Example:
    """One published answer: what was given, what must come out, how exactly."""

    id: str
    answer: Answer
    given: Values
    expected: Values
    tolerance: Values

    def bound(self, key: str) -> float:
        """The largest difference allowed for one answer."""
        absolute = self.tolerance.get("abs", 0)
        if isinstance(absolute, dict):
            absolute = absolute.get(key, 0)
        relative = self.tolerance.get("rel", 0) * abs(self.expected[key])
        return float(max(absolute, relative))


EXAMPLES: list[Example] = []


def value(word: str) -> Any:
    """A number where the word is one."""
    try:
        return float(word)
    except ValueError:
        return word


def examples(
    answer: Answer, *, takes: str, gives: str, rows: str, **tolerance: Any
) -> None:
    """List a table: id, the inputs named by ``takes`` > the answers by ``gives``."""
    for row in rows.strip().splitlines():
        inputs, answers = row.split(">")
        name, *words = inputs.split()
        given = dict(zip(takes.split(), map(value, words), strict=True))
        found = dict(zip(gives.split(), map(value, answers.split()), strict=True))
        EXAMPLES.append(Example(name, answer, given, found, tolerance))


def signed(given: Values, size: str) -> float:
    return float(given[size] if given["side"] == "long" else -given[size])


def one_tier(rate: float, amount: float = 0) -> TierTable:
    return TierTable([Tier(0, INFINITE, rate, 1, amount)])


def isolated(
    given: Values, *, size: str, wallet: str, rate: str = "mmr"
) -> dict[str, float | None]:
    """A position alone in its wallet, maintenance on mark."""
    price = liquidation_price(
        signed(given, size) * given.get("contract_size", 1),
        given["entry_price"],
        wallet_balance=given[wallet],
        tiers=one_tier(given[rate], given.get("maintenance_amount", 0)),
        closing_fee_rate=given.get("taker_fee", 0),
    )
    return {"liquidation_price": price}


# Binance USD-M: maintenance on mark, tiers with amounts, no closing fee
# LP = (WB + cum - side Q EP) / (Q MMR - side Q)
# freqtrade c9ae5e1e9ff2 tests/exchange/test_binance.py::test_liquidation_price_binance

examples(
    lambda given: isolated(given, size="qty", wallet="wallet_balance"),
    takes="side wallet_balance qty entry_price mmr maintenance_amount",
    gives="liquidation_price",
    rows="""
    binance-faq-isolated-eth long 1535443.01 3683.979 1456.84 0.1 135365.0 > 1114.78
    binance-faq-isolated-btc long 1535443.01 109.488 32481.98 0.025 16300.0 > 18778.73
    """,
    abs=0.01,
)

# freqtrade c9ae5e1e9ff2 tests/exchange/test_exchange.py::test_get_liquidation_price
examples(
    lambda given: isolated(given, size="qty", wallet="wallet_balance"),
    takes="side wallet_balance qty entry_price mmr maintenance_amount",
    gives="liquidation_price",
    rows="""
    freqtrade-binance-1 short 2.0 1.0 10 0.01 0.01 > 11.89108910891089
    freqtrade-binance-3 short 1.6 1.0 8 0.01 0.01 > 9.514851485148514
    """,
    rel=1e-06,
)

# Binance API doc, positionRisk in hedge mode (ccxt 4.5.90 binance.py)
examples(
    lambda given: isolated(given, size="qty", wallet="isolated_wallet"),
    takes="side isolated_wallet qty entry_price mmr maintenance_amount",
    gives="liquidation_price",
    rows="binance-api-hedge-isolated-btc"
    " long 13200.707269080001 20 6563.665 0.005 50 > 5930.78",
    abs=0.01,
)

# positionRisk payload of an account (GitHub file id 1228842397)
examples(
    lambda given: isolated(given, size="qty", wallet="isolated_wallet"),
    takes="side isolated_wallet qty entry_price mmr maintenance_amount",
    gives="liquidation_price",
    rows="""
    binance-api-isolated-doge-short short 0.88304001 32 0.16395 0.005 0 > 0.19059204
    """,
    abs=1e-08,
)


def cross_with_one_other(given: Values) -> Values:
    """LP with WB - TMM_others + UPNL_others in place of WB."""
    (other,) = given["other_positions"]
    mark, tiers = (
        other["mark_price"],
        one_tier(other["mmr"], other["maintenance_amount"]),
    )
    held = Position(Contract("", tiers), signed(other, "qty"), other["entry_price"], 1)
    price = liquidation_price(
        signed(given, "qty"),
        given["entry_price"],
        wallet_balance=given["wallet_balance"],
        tiers=one_tier(given["mmr"], given["maintenance_amount"]),
        other_maintenance=held.maintenance_margin(mark),
        other_unrealized_pnl=held.unrealized_pnl(mark),
    )
    return {"liquidation_price": price}


# the same test: two longs that share one wallet of 1,535,443.01
ETH = {
    "side": "long",
    "qty": 3683.979,
    "entry_price": 1456.84,
    "mmr": 0.1,
    "maintenance_amount": 135365.0,
}
BTC = {
    "side": "long",
    "qty": 109.488,
    "entry_price": 32481.98,
    "mmr": 0.025,
    "maintenance_amount": 16300.0,
}
EXAMPLES += [
    Example(
        "binance-faq-cross-eth",
        cross_with_one_other,
        {
            "wallet_balance": 1535443.01,
            **ETH,
            "other_positions": [{**BTC, "mark_price": 31967.27}],
        },
        {"liquidation_price": 1153.26},
        {"abs": 0.01},
    ),
    Example(
        "binance-faq-cross-btc",
        cross_with_one_other,
        {
            "wallet_balance": 1535443.01,
            **BTC,
            "other_positions": [{**ETH, "mark_price": 1335.18}],
        },
        {"liquidation_price": 26316.89},
        {"abs": 0.01},
    ),
]


def cost_of_a_limit(given: Values) -> Values:
    """IM = price q / leverage; open loss = q |min(0, side (mark - price))|."""
    notional, leverage = given["qty"] * given["order_price"], given["leverage"]
    loss = given["qty"] * abs(min(0, given["mark_price"] - given["order_price"]))
    locked = order_margin(0, notional, 0, loss, leverage)
    return {
        "initial_margin": initial_margin(notional, leverage),
        "open_loss": locked - initial_margin(notional, leverage),
    }


# Binance FAQ 87fa7ee33b574f7084d42bd2ce2e463b; it truncates 462.665
examples(
    cost_of_a_limit,
    takes="qty order_price mark_price leverage",
    gives="initial_margin open_loss",
    rows="binance-cost-long-limit 1 9253.3 9259.84 20 > 462.66 0.0",
    abs=0.006,
)


def present_notional(given: Values) -> Values:
    """Symbol IM = max(|pos + bids|, |pos - asks|) / leverage."""
    position, leverage = given["position_notional"], given["leverage"]
    bids, asks = given["bid_order_value"], given["ask_order_value"]
    held = initial_margin(abs(position), leverage)
    return {"initial_margin": held + order_margin(position, bids, asks, 0, leverage)}


# Binance developer forum, dev.binance.vision/t/margin-requirements/17078
examples(
    present_notional,
    takes="position_notional bid_order_value ask_order_value leverage",
    gives="initial_margin",
    rows="binance-present-notional-forum -10000 15000 0 1 > 10000",
    abs=1e-09,
)


# Tiers: the amount goes on by floor times the step of the rate


def ladder(rungs: list[list[float]]) -> TierTable:
    ends = [*(floor for floor, _ in rungs[1:]), INFINITE]
    return TierTable(
        Tier(floor, end, rate, 1)
        for (floor, rate), end in zip(rungs, ends, strict=True)
    )


def all_amounts(given: Values) -> Values:
    tiers = enumerate(ladder(given["tiers_floor_mmr"]), start=1)
    return {f"cum{number}": tier.maintenance_amount for number, tier in tiers}


def tier_in_coin(given: Values) -> Values:
    table = ladder(given["tiers_floor_mmr"])
    tier = table.tier_of(given["position_value_btc"])
    return {
        "mmr": tier.maintenance_margin_rate,
        "maintenance_amount": tier.maintenance_amount,
    }


def amount_above(given: Values) -> Values:
    below = Tier(0, given["floor"], given["mmr_prev"], 1, given["cum_prev"])
    above = Tier(given["floor"], INFINITE, given["mmr"], 1)
    return {"maintenance_amount": list(TierTable([below, above]))[1].maintenance_amount}


EXAMPLES += [
    # BTCUSDT 2021, gist highfestiva/b71e76f51eed84d56c1be8ebbcc286b5
    Example(
        "binance-usdm-cum-ladder",
        all_amounts,
        {
            "tiers_floor_mmr": [
                [0, 0.004],
                [50_000, 0.005],
                [250_000, 0.01],
                [1_000_000, 0.025],
                [10_000_000, 0.05],
                [20_000_000, 0.1],
            ]
        },
        {"cum2": 50, "cum3": 1300, "cum4": 16300, "cum5": 266300, "cum6": 1266300},
        {"abs": 1e-06},
    ),
    # Binance FAQ ceccfcfb4e3a45e3b48b0b1bb1a8ae46 (es-MX), COIN-M
    Example(
        "binance-coinm-cum-300btc",
        tier_in_coin,
        {
            "position_value_btc": 300,
            "tiers_floor_mmr": [
                [0, 0.004],
                [5, 0.005],
                [10, 0.01],
                [20, 0.025],
                [50, 0.05],
                [100, 0.1],
                [200, 0.125],
            ],
        },
        {"mmr": 0.125, "maintenance_amount": 11.605},
        {"abs": 1e-09},
    ),
]

# the same page, an older copy (es)
examples(
    amount_above,
    takes="floor mmr mmr_prev cum_prev",
    gives="maintenance_amount",
    rows="binance-coinm-cum-old-level5 50 0.05 0.025 0.56 > 1.81",
    abs=1e-09,
)


def tier_by_notional(given: Values) -> Values:
    table = TierTable(
        Tier(tier["floor"], tier["cap"], tier["mmr"], tier["max_leverage"])
        for tier in given["tiers"]
    )
    tier = table.tier_of(given["notional"])
    return {
        "mmr": tier.maintenance_margin_rate,
        "maintenance_amount": tier.maintenance_amount,
    }


def brackets(text: str, cap: float) -> list[Values]:
    """'floor rate leverage, ...' as the list of brackets up to ``cap``."""
    rungs = [tuple(map(float, rung.split())) for rung in text.split(",")]
    caps = [*(rung[0] for rung in rungs[1:]), cap]
    return [
        {"floor": floor, "cap": end, "mmr": rate, "max_leverage": leverage}
        for (floor, rate, leverage), end in zip(rungs, caps, strict=True)
    ]


# freqtrade c9ae5e1e9ff2 test_get_maintenance_ratio_and_amt*, conftest leverage_tiers
EXAMPLES += [
    Example(
        name,
        tier_by_notional,
        {"notional": notional, "tiers": brackets(text, cap)},
        {"mmr": rate, "maintenance_amount": amount},
        {"abs": 0.0001},
    )
    for name, notional, text, cap, rate, amount in (
        (
            "freqtrade-tier-bnb-5e+06",
            5e6,
            "0 0.0065 75, 10000 0.01 50, 50000 0.02 25, 250000 0.05 10, 1000000 0.1 5,"
            "2000000 0.125 4, 5000000 0.15 3, 10000000 0.25 2, 20000000 0.5 1",
            5e7,
            0.15,
            233035.0,
        ),
        (
            "freqtrade-tier-btc-6e+08",
            6e8,
            "0 0.004 125, 50000 0.005 100, 250000 0.01 50, 1000000 0.025 20,"
            "7500000 0.05 10, 40000000 0.1 5, 100000000 0.125 4, 200000000 0.15 3,"
            "400000000 0.25 2, 600000000 0.5 1",
            1e9,
            0.5,
            199703800.0,
        ),
        (
            "freqtrade-tier-ada-500",
            500,
            "0 0.025 20, 100000 0.05 10, 500000 0.1 5, 1000000 0.15 3, 2000000 0.25 2,"
            "5000000 0.5 1",
            3e7,
            0.025,
            0.0,
        ),
        (
            "freqtrade-tier-zec-2e+07",
            2e7,
            "0 0.01 50, 50000 0.025 20, 150000 0.05 10, 250000 0.1 5, 500000 0.125 4,"
            "1000000 0.25 2, 2000000 0.5 1",
            3e7,
            0.5,
            654500.0,
        ),
    )
]


# Binance COIN-M: maintenance on mark, in coin
# LP = usd (1 + side MMR) / (side (WB + cum) + usd / EP)


def coin_requirement(given: Values) -> Values:
    tiers = one_tier(given["mmr"], given["maintenance_amount"])
    size = given["contract_size_usd"]
    contract = Contract("", tiers, contract_size=size, inverse=True)
    notional = contract.notional(given["contracts"], given["mark_price"])
    return {
        "notional_coin": notional,
        "maintenance_margin": maintenance_margin(notional, tiers),
    }


# Binance FAQ ceccfcfb4e3a45e3b48b0b1bb1a8ae46 (es-MX)
examples(
    coin_requirement,
    takes="contracts contract_size_usd mark_price mmr maintenance_amount",
    gives="notional_coin maintenance_margin",
    rows="binance-coinm-mm-faq 100 100 25000 0.004 0 > 0.4 0.0016",
    abs=1e-12,
)


def coin_position(given: Values) -> Values:
    tiers = one_tier(given["mmr"], given["maintenance_amount"])
    usd, wallet = given["contract_size_usd"], given["isolated_wallet"]
    contract = Contract("", tiers, contract_size=usd, inverse=True)
    held = Position(contract, signed(given, "contracts"), given["entry_price"], 1)
    mark = given["mark_price"]
    price = liquidation_price(
        held.size,
        held.entry_price,
        wallet_balance=wallet,
        tiers=tiers,
        contract_size=usd,
        inverse=True,
    )
    return {
        "liquidation_price": price,
        "unrealized_pnl": held.unrealized_pnl(mark),
        "isolated_margin": wallet + held.unrealized_pnl(mark),
        "notional_coin": held.notional(mark),
    }


# COIN-M payload (ccxt 4.5.90 binance.py parse_position_risk); wallet to 8 decimals
examples(
    coin_position,
    takes="side contracts contract_size_usd entry_price isolated_wallet mark_price mmr"
    " maintenance_amount",
    gives="liquidation_price unrealized_pnl isolated_margin notional_coin",
    rows="binance-coinm-isolated-btc"
    " long 2 100 37643.10000021 0.00268058 38103.05510455 0.004 0"
    " > 25119.9744576 6.413e-05 0.00274471 0.00524892",
    abs={
        "liquidation_price": 0.02,
        "unrealized_pnl": 1e-08,
        "isolated_margin": 1.1e-08,
        "notional_coin": 1e-08,
    },
)


# Gate: the closing fee counts in maintenance
# LP = (EP - side margin / q) / (1 - side (MMR + taker))
# freqtrade c9ae5e1e9ff2 tests/exchange/test_exchange.py::test_get_liquidation_price

examples(
    lambda given: isolated(given, size="qty", wallet="margin"),
    takes="side margin qty entry_price mmr taker_fee",
    gives="liquidation_price",
    rows="""
    freqtrade-gate-2 short 4.0 2.0 10 0.01 0.0006 > 11.87413417771621
    freqtrade-gate-6 long 2.0 1.0 10 0.01 0.0006 > 8.085708510208207
    """,
    rel=1e-06,
)


def gate_payload(given: Values) -> Values:
    tiers, size = one_tier(given["mmr"]), given["contract_size"]
    held = Position(
        Contract("", tiers, contract_size=size),
        signed(given, "contracts"),
        given["entry_price"],
        1,
    )
    price = isolated(given, size="contracts", wallet="margin")
    return {**price, "unrealized_pnl": held.unrealized_pnl(given["mark_price"])}


# ccxt 4.5.90 gate.py parse_margin_modification: after margin was added
examples(
    gate_payload,
    takes="side margin contracts contract_size entry_price mark_price mmr taker_fee",
    gives="liquidation_price unrealized_pnl",
    rows="gate-api-eth-isolated"
    " long 5.415925875 1 0.01 1203.45 1192.57 0.005 0.00075 > 665.69 -0.1088",
    abs=0.01,
)


# Bybit (legacy): maintenance on entry; fees sit in both requirements
# LP = EP - side times what may be lost per coin, IM - MM


def bybit(given: Values) -> Values:
    size, entry = signed(given, "qty"), given["entry_price"]
    notional, tiers = given["qty"] * entry, one_tier(given.get("mmr", 0))
    margin = initial_margin(notional, given["leverage"])
    return {
        "initial_margin": margin,
        "maintenance_margin": maintenance_margin(notional, tiers),
        "liquidation_price": liquidation_price(
            size, entry, wallet_balance=margin, tiers=tiers, basis="entry"
        ),
        "bankruptcy_price": bankruptcy_price(size, entry, wallet_balance=margin),
    }


# freqtrade c9ae5e1e9ff2 tests/exchange/test_exchange.py::test_get_liquidation_price
examples(
    bybit,
    takes="side leverage qty entry_price mmr",
    gives="liquidation_price",
    rows="""
    freqtrade-bybit-1 long   1 1.0 10.0 0.01 >  0.1
    freqtrade-bybit-2 long   3 1.0 10.0 0.01 >  6.7666666
    freqtrade-bybit-4 long  10 1.0 10.0 0.01 >  9.1
    freqtrade-bybit-5 short  1 1.0 10.0 0.01 > 19.9
    freqtrade-bybit-8 short 10 1.0 10.0 0.01 > 10.9
    """,
    rel=1e-06,
)

# Bybit help, Liquidation-Price-USDT-Contract
examples(
    bybit,
    takes="side qty entry_price leverage mmr",
    gives="initial_margin maintenance_margin liquidation_price",
    rows="bybit-help-long-20000 long 1 20000 50 0.005 > 400 100 19700",
    abs=1e-06,
)

# Bybit help, Bankruptcy Price USDT contract
examples(
    bybit,
    takes="side qty entry_price leverage",
    gives="bankruptcy_price",
    rows="bybit-bust-50x long 1 10000 50 > 9800",
    abs=1e-06,
)


def sustainable_loss(given: Values) -> Values:
    """Available balance + IM - MM: the surplus at mark."""
    notional = given["qty"] * given["entry_price"]
    margin = initial_margin(notional, 1 / given["imr"])
    required = maintenance_margin(notional, one_tier(given["mmr"]))
    balance = given["available_balance"] + margin
    return {
        "initial_margin": margin,
        "maintenance_margin": required,
        "sustainable_loss": MarginSummary(balance, margin, required).surplus,
    }


# Bybit help 900000181046 (legacy standard account)
examples(
    sustainable_loss,
    takes="qty entry_price available_balance imr mmr",
    gives="initial_margin maintenance_margin sustainable_loss",
    rows="bybit-help-cross-budget 2 10000 2000 0.01 0.005 > 200 100 2100",
    abs=1e-06,
)


def inverse_cross(given: Values) -> Values:
    """MM on entry value; the closing fee is one amount, at the bankruptcy price."""
    size, entry, fee = signed(given, "contracts_usd"), given["entry_price"], "taker_fee"
    wallet = given["account_balance"]
    bust = bankruptcy_price(
        size, entry, wallet_balance=wallet, closing_fee_rate=given[fee], inverse=True
    )
    assert bust is not None
    price = liquidation_price(
        size,
        entry,
        wallet_balance=wallet,
        tiers=one_tier(given["mmr"]),
        basis="entry",
        inverse=True,
        other_maintenance=abs(size) / bust * given[fee],
    )
    return {"bankruptcy_price": bust, "liquidation_price": price}


# Bybit help 360039261334 (tick 0.5)
examples(
    inverse_cross,
    takes="side contracts_usd entry_price account_balance mmr taker_fee",
    gives="bankruptcy_price liquidation_price",
    rows="bybit-help-inverse-cross long 10000 8000 0.5 0.005 0.00075 > 5718.57 5739.5",
    abs=0.6,
)


def with_fee_to_close(given: Values) -> Values:
    """Both requirements hold the closing fee at the bankruptcy price."""
    answers = bybit(given)
    bust = answers["bankruptcy_price"]
    contract = Contract(
        "",
        one_tier(given["mmr"]),
        maintenance_basis=Basis.ENTRY,
        closing_fee_rate=given["taker_fee"],
    )
    held = Position(contract, signed(given, "qty"), given["entry_price"], 1)
    locked = answers["initial_margin"] + held.notional(bust) * given["taker_fee"]
    return {
        "position_value": held.entry_notional,
        "bankruptcy_price": bust,
        "liquidation_price": answers["liquidation_price"],
        "position_balance": locked,
        "initial_margin": locked,
        "maintenance_margin": held.maintenance_margin(bust),
    }


# ccxt 4.5.90 bybit.py fetch_positions (V5 doc sample)
examples(
    with_fee_to_close,
    takes="side qty entry_price leverage mmr taker_fee",
    gives="initial_margin maintenance_margin",
    rows="""
    bybit-api-im-mm-xrp-100 long 100 0.3615 10 0.01 0.0006 > 3.634521 0.381021
    bybit-api-im-mm-eth-0.5 long 0.5 1073.85 10 0.005 0.0006 > 53.9824395 2.9745645
    """,
    abs=1e-07,
)

# ccxt 4.5.90 bybit.py fetch_positions (contract v3 doc sample); prices up to 0.05
examples(
    with_fee_to_close,
    takes="side qty entry_price leverage mmr taker_fee",
    gives="position_value bankruptcy_price liquidation_price position_balance",
    rows="bybit-api-eth-isolated"
    " long 0.1 1198.45 4.2 0.005 0.0006 > 119.845 913.15 919.1 28.58931118",
    abs={
        "bankruptcy_price": 0.05,
        "liquidation_price": 0.05,
        "position_balance": 5e-06,
        "position_value": 1e-09,
    },
)


def inverse_order_cost(given: Values) -> Values:
    """(Q/P) / leverage + (Q/P) fee + Q/bust fee."""
    contract = Contract("", one_tier(0), inverse=True)
    size, price = given["qty_usd"], given["price"]
    notional, fee = contract.notional(size, price), given["taker_fee"]
    margin = initial_margin(notional, given["leverage"])
    bust = bankruptcy_price(size, price, wallet_balance=margin, inverse=True)
    assert bust is not None
    closing = contract.notional(size, bust) * fee
    return {
        "initial_margin": margin,
        "open_fee": notional * fee,
        "close_fee": closing,
        "order_cost": margin + notional * fee + closing,
    }


# Bybit help "Order Cost" (ukcamo.com/14820.html; formula on testnet.bybit.com)
examples(
    inverse_order_cost,
    takes="qty_usd price leverage taker_fee",
    gives="initial_margin open_fee close_fee order_cost",
    rows="bybit-ordercost-inverse 10000 2000 25 0.00055 > 0.2 0.00275 0.00286 0.20561",
    abs=1e-09,
)


def inverse_initial(given: Values) -> Values:
    contract = Contract("", one_tier(0), inverse=True)
    worth = contract.notional(given["qty_usd"], given["entry_price"])
    margin = initial_margin(worth, given["leverage"])
    return {"position_value": worth, "initial_margin": margin}


# Bybit help, Liquidation-Price-Calculation-under-Isolated-Mode-UTA (ar-SA)
examples(
    inverse_initial,
    takes="qty_usd entry_price leverage",
    gives="position_value initial_margin",
    rows="bybit-inverse-isolated-im 60000 50000 10 > 1.2 0.12",
    abs=1e-09,
)


# OKX: ratio = equity / ((MMR + fee) usd / mark), the other way up from ours


def okx_ratio(given: Values) -> Values:
    contract = Contract(
        "",
        one_tier(given["mmr"]),
        inverse=True,
        closing_fee_rate=given["taker_fee"],
    )
    mark = given["mark_price_from_mmr"]
    held = Position(contract, signed(given, "usd"), mark, 1)
    balance = given["margin"] + given["unrealized_pnl"]
    summary = MarginSummary(balance, 0, held.maintenance_margin(mark))
    return {"margin_ratio": 1 / summary.margin_ratio}


# ccxt 4.5.90 okx.py fetch_positions (ETH-USD-210430)
examples(
    okx_ratio,
    takes="side usd margin unrealized_pnl mark_price_from_mmr mmr taker_fee",
    gives="margin_ratio",
    rows="okx-api-ethusd-mgnratio long 10 0.0003896645377994 -9.932766034e-07"
    " 2565.6559999983538 0.008 0.0005 > 11.731726509588816",
    rel=1e-06,
)


# Hyperliquid: maintenance on mark at half the initial margin of the highest leverage
# l = 1 / (2 max leverage); LP = EP - side (margin - q EP l) / q / (1 - l side)


def hyperliquid(given: Values) -> Values:
    rate = 1 / (2 * given["max_leverage"])
    return isolated(
        {**given, "rate": rate}, size="size", wallet="isolated_margin", rate="rate"
    )


# freqtrade 3b1fb5af8478 tests/exchange/test_hyperliquid.py (prices from the venue)
examples(
    hyperliquid,
    takes="side size entry_price isolated_margin max_leverage",
    gives="liquidation_price",
    rows="""
    hyperliquid-ft-02 long  0.00039 63287.0 24.673292 50 > 22.37166537
    hyperliquid-ft-03 long  0.16    146.82  23.482979 20 > 0.05269872
    hyperliquid-ft-05 long  0.0199  2459.5  24.454895 50 > 1243.0411908
    hyperliquid-ft-06 long  0.00077 62739.0 24.137992 50 > 31708.03843631
    hyperliquid-ft-07 long  437.0   0.11586 25.29769  20 > 0.05945697
    hyperliquid-ft-08 short 0.019   2642.8  25.091876 50 > 3924.18322043
    hyperliquid-ft-10 short 351.0   0.14333 25.136807 20 > 0.20970228
    hyperliquid-ft-13 long  0.6     173.06  20.735658 20 > 142.05186667
    hyperliquid-ft-14 long  0.0329  2545.5  20.909894 50 > 1929.23322895
    hyperliquid-ft-16 short 0.0327  2552.0  20.833393 50 > 3157.53150453
    hyperliquid-ft-17 long  0.0015  66930.0 20.043862 50 > 54108.51043771
    hyperliquid-ft-18 long  0.00121 67033.0 20.251817 50 > 50804.00091827
    hyperliquid-ft-19 long  0.0237  2521.9  19.902091 50 > 1699.14071943
    hyperliquid-ft-20 short 0.00145 68139.0 19.72573  50 > 80933.61590987
    hyperliquid-ft-22 long  0.33    176.23  19.364946 20 > 120.56240404
    hyperliquid-ft-23 short 0.33    173.08  19.01881  20 > 225.08561715
    hyperliquid-ft-24 short 0.00105 68240.0 17.887922 50 > 84431.79820839
    hyperliquid-ft-25 short 0.007   2518.4  17.62263  50 > 4986.05799151
    hyperliquid-ft-26 long  0.0347  2533.2  17.555195 50 > 2047.7642302
    hyperliquid-ft-27 long  360.0   0.13284 15.943218 20 > 0.09082388
    hyperliquid-ft-32 long  1.0     350.0   50.0      10 > 315.7894736842105
    """,
    rel=0.0001,
)


def from_raw_usd(given: Values) -> Values:
    """The wallet at entry: raw USD plus the coins at their price."""
    wallet = given["raw_usd"] + given["size"] * given["entry_price"]
    return hyperliquid({**given, "isolated_margin": wallet})


# a HIP-3 market (GitHub file id 20143082615)
examples(
    from_raw_usd,
    takes="side size entry_price raw_usd max_leverage",
    gives="liquidation_price",
    rows="hyperliquid-hip3-xyz100 long 0.0004 25075.0 -9.538334 20 > 24457.2666",
    abs=0.01,
)


def frozen_maintenance(given: Values) -> Values:
    """May 2023, no longer in force: maintenance stays that of the current notional."""
    size, mark = signed(given, "size"), given["position_value"] / given["size"]
    rate = given["mm_fraction_all"]
    others = (given["total_notional"] - given["position_value"]) * rate
    price = liquidation_price(
        size,
        mark,
        wallet_balance=given["account_value"],
        tiers=one_tier(rate),
        basis="entry",
        other_maintenance=others,
    )
    return {"liquidation_price": price}


# hyperliquid-python-sdk 7ee976d123b1 cassettes/info_test/test_get_user_state.yaml
examples(
    frozen_maintenance,
    takes="side size position_value account_value total_notional mm_fraction_all",
    gives="liquidation_price",
    rows="""
    hyperliquid-2023-cross-btc  short 0.00785 211.64542 1182.312496 3434.815334 0.01 > \
173198.69592357
    hyperliquid-2023-cross-dydx short 121.2 287.244 1182.312496 3434.815334 0.01 > \
11.841653
    hyperliquid-2023-cross-ape  short 131.8 509.5388 1182.312496 3434.815334 0.01 > \
12.57589638
    hyperliquid-2023-cross-op   short 76.4 156.238 1182.312496 3434.815334 0.01 > \
17.0707113
    """,
    rel=1e-07,
)


def hourly_funding(given: Values) -> Values:
    """The source states what a long pays; ours is the cash flow, negative."""
    rate = given["funding_rate_8h"] / 8
    paid = -funding_payment(given["size"], given["oracle"], rate)
    return {"hourly_rate": rate, "funding_fee": paid}


# GitHub file id 56059460173, on the example of the docs
examples(
    hourly_funding,
    takes="size oracle funding_rate_8h",
    gives="hourly_rate funding_fee",
    rows="hyperliquid-funding-payment 10 10000 0.0095 > 0.0011875 118.75",
    abs=1e-09,
)


def two_requirements(given: Values) -> Values:
    notional, rate = given["notional"], 1 / (2 * given["max_leverage"])
    return {
        "initial_margin": initial_margin(notional, given["leverage"]),
        "maintenance_margin": maintenance_margin(notional, one_tier(rate)),
    }


# hyperliquid-co.gitbook.io/wiki: margin-management
examples(
    two_requirements,
    takes="notional leverage max_leverage",
    gives="initial_margin maintenance_margin",
    rows="hyperliquid-im-mm-wiki 10000 10 20 > 1000 250",
    abs=1e-09,
)


# Deribit: the rate rises with each coin, for the whole position


def sloped(given: Values) -> Values:
    base = 1 / given["im_base"]
    slope = given["slope_per_coin"]
    tiers = SizeTiers([SizeTier(INFINITE, given["mm_base"], base, slope)])
    size, price = given["size_coin"], given["index_price"]
    leverage = tiers.at_size(size).max_leverage
    position = Position(Contract("", tiers), size, price, leverage)
    return {"initial_margin": position.initial_margin(price, Basis.MARK)}


# support.deribit.com 25944738177565 (Linear Perpetual)
examples(
    sloped,
    takes="size_coin index_price im_base mm_base slope_per_coin",
    gives="initial_margin",
    rows="deribit-linear-btc-350 350 100000 0.02 0.01 5e-05 > 1312500",
    rel=1e-09,
)


# dYdX v4: p' = (e - s p) / (|s| MMF - s)


def dydx(given: Values) -> Values:
    tiers = one_tier(given["mmf"])
    price = liquidation_price(
        given["size"], given["price"], wallet_balance=given["equity"], tiers=tiers
    )
    assert price is not None
    required = maintenance_margin(abs(given["size"]) * price, tiers)
    return {"liquidation_price": price, "maintenance_margin_at_lp": required}


# v4-documentation 3e475b73231a docs/pages/concepts/trading (liquidations)
examples(
    dydx,
    takes="equity size price mmf",
    gives="liquidation_price maintenance_margin_at_lp",
    rows="dydx-doc-isolated 1000 -3 3000 0.05 > 3174.6 476.2",
    abs=0.02,
)


def bankruptcy_quote(given: Values) -> Values:
    """Position value less its share of what the account is worth."""
    held = [
        (
            Position(Contract("", one_tier(p["mmf"])), p["size"], p["oracle_price"], 1),
            p["oracle_price"],
        )
        for p in given["positions"]
    ]
    worth = given["usdc_balance"] + sum(p.size * mark for p, mark in held)
    share = bankruptcy_shares(held, worth)[given["close_index"]]
    position, mark = held[given["close_index"]]
    fill = position.contract.price_at_cost(position.size, mark, share)
    return {"bankruptcy_quote_usd": fill * position.size}


# v4-chain 84d4664bae71 clob/keeper/liquidations_test.go
#   ::TestGetBankruptcyPriceInQuoteQuantums
EXAMPLES += [
    Example(
        name,
        bankruptcy_quote,
        {
            "usdc_balance": balance,
            "positions": [
                {"size": size, "oracle_price": price, "mmf": 0.1}
                for size, price in positions
            ],
            "close_index": len(positions) - 1,
            "close_fraction": 1,
        },
        {"bankruptcy_quote_usd": expected},
        {"abs": 1e-06},
    )
    for name, balance, positions, expected in (
        ("dydx-bust-long-below-mm", -4501, [(0.1, 50000)], 4501),
        ("dydx-bust-short-below-mm", 5499, [(-0.1, 50000)], -5499),
        ("dydx-bust-long-at-bust", -5000, [(0.1, 50000)], 5000),
        ("dydx-bust-two-shorts", 510, [(-0.004, 50000), (-0.1, 3000)], -306),
        ("dydx-bust-long-short", 110, [(0.004, 50000), (-0.1, 3000)], -306),
    )
]


# Kraken, inverse: the printed price solves maintenance on the current value


def kraken(given: Values) -> Values:
    tiers = one_tier(given["mmr"])
    size, entry = signed(given, "contracts_usd"), given["entry_price"]
    worth = Contract("", tiers, inverse=True).notional(size, entry)
    wallet = given["margin"]
    return {
        "position_value": worth,
        "initial_margin": initial_margin(worth, 1 / given["imr"]),
        "maintenance_margin": maintenance_margin(worth, tiers),
        "liquidation_price": liquidation_price(
            size, entry, wallet_balance=wallet, tiers=tiers, inverse=True
        ),
        "bankruptcy_price": bankruptcy_price(
            size, entry, wallet_balance=wallet, inverse=True
        ),
    }


# support.kraken.com 360022835671, Equity Protection Process
examples(
    kraken,
    takes="side contracts_usd entry_price margin imr mmr",
    gives="position_value initial_margin maintenance_margin liquidation_price"
    " bankruptcy_price",
    rows="kraken-epp-inverse long 1000 8000 0.01 0.02 0.01"
    " > 0.125 0.0025 0.00125 7481 7407",
    abs={
        "liquidation_price": 1.0,
        "bankruptcy_price": 1.0,
        "position_value": 1e-12,
        "initial_margin": 1e-12,
        "maintenance_margin": 1e-12,
    },
)


# KuCoin isolated: maintenance is an amount. LP = EP - side (margin - maintenance) / q


def kucoin(given: Values) -> Values:
    size, entry = signed(given, "qty"), given["entry_price"]
    rate = given["pos_maint"] / (given["qty"] * entry)
    return {
        "liquidation_price": liquidation_price(
            size,
            entry,
            wallet_balance=given["pos_margin"],
            tiers=one_tier(rate),
            basis="entry",
        ),
        "bankruptcy_price": bankruptcy_price(
            size, entry, wallet_balance=given["pos_init"]
        ),
    }


# ccxt 4.5.90 kucoin.py (KuCoin Futures doc sample), rounded to the tick
examples(
    kucoin,
    takes="side qty entry_price pos_margin pos_maint pos_init",
    gives="liquidation_price bankruptcy_price",
    rows="kucoin-api-isolated-eth-long"
    " long 0.02 4182.1 3.68897586 0.50637594 3.6366087 > 4023.0 4000.25",
    abs=0.05,
)


# Phemex: the closing fee counts in both prices
# bankrupt: bal + q (b - EP) = q b fee; LP: bal + q (p - EP) = q p (MMR + fee)


def phemex(given: Values) -> Values:
    bust = bankruptcy_price(
        signed(given, "qty"),
        given["entry_price"],
        wallet_balance=given["account_balance"],
        closing_fee_rate=given["taker_fee"],
    )
    price = isolated(given, size="qty", wallet="account_balance")
    return {**price, "bankruptcy_price": bust}


# ccxt 4.5.90 phemex.py fetch_positions (payload of an account)
examples(
    phemex,
    takes="side qty entry_price account_balance mmr taker_fee",
    gives="bankruptcy_price liquidation_price",
    rows="phemex-api-cross-btc long 0.01 88753.1 439.96184445932 0.005 0.0006"
    " > 44783.79 45009",
    abs={"bankruptcy_price": 0.05, "liquidation_price": 0.5},
)


# BitMEX: maintenance on entry value. bust = EP (1 - IMR); LP = bust + MMR EP


def bitmex(given: Values) -> Values:
    return bybit({**given, "leverage": 1 / given["imr"]})


# testnet.bitmex.com/app/liquidationExamples
examples(
    bitmex,
    takes="side qty entry_price imr mmr",
    gives="bankruptcy_price liquidation_price",
    rows="bitmex-liq-example long 1 100.0 0.01 0.005 > 99.0 99.5",
    abs=1e-09,
)


# Funding of a short, received (+) or paid (-), summed over the stamps that the source
# counts: those from open to close. Which stamps a venue counts is the feed's question.


def funding_window(given: Values) -> Values:
    size = signed(given, "size")
    opened = given["open"].split()[1]
    paid = [
        funding_payment(size, given["mark"][stamp], rate)
        for stamp, rate in given["rates"].items()
        if opened <= f"{stamp}:00" <= given["close"]
    ]
    return {"funding_fee": sum(paid)}


# freqtrade c9ae5e1e9ff2 test_exchange.py::test__fetch_and_calculate_funding_fees
EXAMPLES += [
    Example(
        f"freqtrade-funding-window-{number}",
        funding_window,
        {
            "side": "short",
            "size": size,
            "open": f"2021-09-01 {opened}",
            "close": closed,
            "rates": {"00:00": -8e-06, "08:00": -3e-06},
            "mark": {"00:00": 2.77, "08:00": 2.77},
        },
        {"funding_fee": expected},
        {"rel": 1e-05, "abs": 1e-12},
    )
    for number, size, opened, closed, expected in (
        (1, 30, "01:00:00", "04:00:00", 0.0),
        (4, 30, "00:00:00", "07:59:59", -0.00066479999),
        (5, 30, "00:00:00", "12:00:00", -0.00091409999),
        (8, 30, "00:10:01", "08:00:00", -0.0002493),
        (9, 50, "00:00:00", "08:00:00", -0.0015235),
    )
]


LEFT_OUT = {
    "dydx-doc-funding-cap": "how a venue caps its rates; ours come as data",
    "dydx-funding-clamp": "how a venue caps its rates; ours come as data",
    "dydx-imf-rounding": "rounding up to the venue's quanta; ours does not round",
    "kucoin-cross-btc-eth": "splits equity over positions by mark value, for display;"
    " one of its prices does not follow from its inputs",
}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_published_answer(example: Example) -> None:
    answers = example.answer(example.given)
    for key, expected in example.expected.items():
        assert pytest.approx(expected, abs=example.bound(key), rel=0) == answers[key]


@pytest.fixture
def published() -> dict[str, Any]:
    path = SHARED / "facts" / "worked-examples.json"
    if not path.exists():
        pytest.skip("needs ../shared/facts/worked-examples.json")
    return {each["id"]: each for each in json.loads(path.read_text(encoding="utf-8"))}


def test_every_published_example_is_tested_or_left_out_with_a_reason(
    published: dict[str, Any],
) -> None:
    tested = [example.id for example in EXAMPLES]
    assert len(tested) == len(set(tested))
    assert set() == set(tested) & set(LEFT_OUT)
    assert set(published) == set(tested) | set(LEFT_OUT)
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_the_table_agrees_with_the_published_file(
    example: Example, published: dict[str, Any]
) -> None:
    source = published[example.id]
    stated = {key: source["inputs"][key] for key in example.given}
    assert stated == example.given
    assert source["expected"] == example.expected
    assert source["tolerance"] == example.tolerance
