"""Margin formulas: liquidation and bankruptcy prices, requirements, order margin."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.margin import (
    MarginSummary,
    bankruptcy_price,
    initial_margin,
    liquidation_price,
    maintenance_margin,
    order_margin,
)
from bt_margin.core.position import Position
from bt_margin.core.tiers import Tier, TierTable

INFINITE = float("inf")
SHARED = Path(__file__).parents[2].parent / "shared"


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def flat(rate: str) -> TierTable:
    return TierTable.flat(exact(rate), 125)


TEXTBOOK = flat("0.005")
NO_MAINTENANCE = flat("0")
# 0.4 % to 50,000, then 0.5 % with 50,000 * 0.001 = 50 off
TWO_TIERS = TierTable(
    [
        Tier(0, exact(50_000), exact("0.004"), 125),
        Tier(exact(50_000), INFINITE, exact("0.005"), 100),
    ]
)


@pytest.mark.parametrize(
    ("size", "entry", "wallet", "tiers", "basis", "expected"),
    [
        pytest.param(
            1,
            65_000,
            6_500,
            TEXTBOOK,
            "entry",
            exact(58_825),  # 65,000 - (6,500 - 325)
            id="10x long at 65,000, maintenance on entry",
        ),
        pytest.param(
            1,
            65_000,
            6_500,
            TEXTBOOK,
            "mark",
            exact(58_500) / exact("0.995"),  # (65,000 - 6,500) / (1 - 0.005)
            id="10x long at 65,000, maintenance on mark",
        ),
        pytest.param(
            -1,
            65_000,
            6_500,
            TEXTBOOK,
            "entry",
            exact(71_175),  # 65,000 + (6,500 - 325)
            id="10x short at 65,000, maintenance on entry",
        ),
        pytest.param(
            -1,
            65_000,
            6_500,
            TEXTBOOK,
            "mark",
            exact(71_500) / exact("1.005"),  # (65,000 + 6,500) / (1 + 0.005)
            id="10x short at 65,000, maintenance on mark",
        ),
        pytest.param(
            50,
            100,
            500,
            TEXTBOOK,  # 5,000 * 0.005 = 25
            "entry",
            100 * exact("0.905"),  # 1 - (500 - 25) / 5,000
            id="500 on a long of 5,000 with maintenance 25",
        ),
        pytest.param(
            -50,
            100,
            500,
            TEXTBOOK,
            "entry",
            100 * exact("1.095"),
            id="500 on a short of 5,000 with maintenance 25",
        ),
        pytest.param(
            10,
            100,
            200,
            TEXTBOOK,  # 1,000 * 0.005 = 5
            "entry",
            100 * exact("0.805"),  # 1 - (200 - 5) / 1,000
            id="200 on a long of 1,000 at 5x with maintenance 5",
        ),
        pytest.param(
            -10,
            100,
            200,
            TEXTBOOK,
            "entry",
            100 * exact("1.195"),
            id="200 on a short of 1,000 at 5x with maintenance 5",
        ),
        pytest.param(
            5,
            100,
            50,
            flat("0.05"),  # 500 * 0.05 = 25
            "entry",
            exact(95),  # 100 - (50 - 25) / 5
            id="10x long at 100 with 5 percent",
        ),
        pytest.param(
            50,
            100,
            500,
            flat("0.004"),  # 5,000 * 0.004 = 20
            "entry",
            exact("90.4"),  # 100 - (500 - 20) / 50
            id="10x long at 100 with 0.4 percent",
        ),
        pytest.param(
            600,
            100,
            6_000,
            TWO_TIERS,
            "mark",
            exact(53_950) / 597,  # (60,000 - 6,000 - 50) / (600 * 0.995)
            id="60,000 at 10x: the second tier and its amount",
        ),
        pytest.param(
            510,
            100,
            5_100,
            TWO_TIERS,
            "mark",
            # 51,000 at entry, 46,085 there: the first tier, 45,900 / (510 * 0.996)
            exact(45_900) / exact("507.96"),
            id="a long that falls out of its tier on the way",
        ),
        pytest.param(
            -490,
            100,
            4_900,
            TWO_TIERS,
            "mark",
            # 49,000 at entry, 53,681 there: (49,000 + 4,900 + 50) / (490 * 1.005)
            exact(53_950) / exact("492.45"),
            id="a short that climbs into a tier on the way",
        ),
        pytest.param(
            -490,
            100,
            4_900,
            TWO_TIERS,
            "entry",
            # on entry the tier is that of 49,000: 196
            100 + (4_900 - exact(196)) / 490,
            id="on entry basis the tier is that of the entry",
        ),
    ],
)
def test_liquidation_price(
    size: int, entry: int, wallet: int, tiers: TierTable, basis: str, expected: Any
) -> None:
    assert expected == liquidation_price(
        exact(size),
        exact(entry),
        wallet_balance=exact(wallet),
        tiers=tiers,
        basis=basis,
    )


def test_the_anchor_in_floats() -> None:
    on_mark = liquidation_price(
        1, 65_000, wallet_balance=6_500, tiers=TierTable.flat(0.005, 125)
    )
    assert pytest.approx(58_793.969849, abs=1e-6) == on_mark


def test_the_tier_is_found_by_notional_not_by_margin() -> None:
    path = SHARED / "data" / "tiers" / "binance_leverage_tiers.json"
    if not path.exists():
        pytest.skip("needs ../shared/data/tiers/binance_leverage_tiers.json")
    brackets = json.loads(path.read_text())["ETH/USDT:USDT"]
    table = TierTable(
        Tier(
            exact(bracket["info"]["notionalFloor"]),
            exact(bracket["info"]["notionalCap"]),
            exact(bracket["info"]["maintMarginRatio"]),
            exact(bracket["info"]["initialLeverage"]),
        )
        for bracket in brackets
    )
    amounts = [exact(bracket["info"]["cum"]) for bracket in brackets]
    assert amounts == [tier.maintenance_amount for tier in table]
    price = liquidation_price(
        exact(1000), exact(2000), wallet_balance=exact(100_000), tiers=table
    )
    # 2,000,000 of notional: rate 0.0065, amount 950. By margin (0.4 %): 1,907.63.
    # 2,000,000 - 100,000 - 950, by 1,000 * 0.9935
    assert exact(1_899_050) / exact("993.5") == price
    assert price is not None
    assert f"{float(price):.4f}" == "1911.4746"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(
            600, exact(54_000) / 597, id="a long: 54,000 / (600 * 0.995), not the bound"
        ),
        pytest.param(
            -490,
            exact(53_900) / exact("492.45"),
            id="a short: 53,900 / (490 * 1.005), not None",
        ),
    ],
)
def test_beyond_the_highest_tier_its_rate_liquidates_too(
    size: int, expected: Any
) -> None:
    # At 10x from 100 both are worth more than 50,000 where they are liquidated.
    table = TierTable([Tier(0, exact(50_000), exact("0.005"), 100)])
    wallet = abs(exact(size)) * 100 / 10
    assert expected == liquidation_price(
        exact(size), exact(100), wallet_balance=wallet, tiers=table
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(11, exact(990) / exact("10.45"), id="a long in the upper tier"),
        pytest.param(-9, exact(1000) / 9, id="a short on the jump itself"),
    ],
)
def test_whole_position_tiers_jump_where_they_meet(size: int, expected: Any) -> None:
    # No deductions: 1 % of all below 1,000, 5 % of all from 1,000 on.
    # Long 11 at 100, wallet 110: 110 + 11 (p - 100) = 0.05 * 11 p, p = 990 / 10.45
    #   = 94.74, worth 1,042: above 1,000.
    # Short 9 at 100, wallet 120: at 1,000 / 9 = 111.11 it has 120 - 100 = 20 left,
    #   more than 1 % (10), less than 5 % (50).
    table = TierTable(
        [
            Tier(0, exact(1000), exact("0.01"), 50, 0),
            Tier(exact(1000), INFINITE, exact("0.05"), 10, 0),
        ]
    )
    wallet = exact(110 if size > 0 else 120)
    assert expected == liquidation_price(
        exact(size), exact(100), wallet_balance=wallet, tiers=table
    )


@pytest.mark.parametrize(
    ("size", "contract_size", "wallet", "tiers", "expected"),
    [
        pytest.param(
            10_000,
            1,
            "0.02",
            TEXTBOOK,
            exact(10_050) / exact("0.22"),  # 10,000 * 1.005 / (0.2 + 0.02)
            id="10x long of 10,000 USD at 50,000",
        ),
        pytest.param(
            -10_000,
            1,
            "0.02",
            TEXTBOOK,
            exact(9_950) / exact("0.18"),  # 10,000 * 0.995 / (0.2 - 0.02)
            id="10x short of 10,000 USD at 50,000",
        ),
        pytest.param(
            100,
            100,
            "0.02",
            TEXTBOOK,
            exact(10_050) / exact("0.22"),
            id="the same long as 100 contracts of 100 USD",
        ),
        pytest.param(
            10_000,
            1,
            "0.02",
            # from 0.21 coins 1 %: amount 0.21 * 0.005 = 0.00105
            TierTable(
                [
                    Tier(0, exact("0.21"), exact("0.005"), 100),
                    Tier(exact("0.21"), INFINITE, exact("0.01"), 50),
                ]
            ),
            exact(10_100) / exact("0.22105"),  # worth 0.2189 coins there
            id="a long climbs tiers as the price falls",
        ),
        pytest.param(
            -10_000, 1, "0.2", TEXTBOOK, None, id="a 1x short cannot lose its coins"
        ),
    ],
)
def test_liquidation_price_of_an_inverse_contract(
    size: int, contract_size: int, wallet: str, tiers: TierTable, expected: Any
) -> None:
    assert expected == liquidation_price(
        exact(size),
        exact(50_000),
        wallet_balance=exact(wallet),
        tiers=tiers,
        contract_size=exact(contract_size),
        inverse=True,
    )


@pytest.mark.parametrize(
    ("size", "wallet", "tiers", "inverse"),
    [
        pytest.param(1, 100, NO_MAINTENANCE, False, id="1x long, no maintenance"),
        pytest.param(1, 100, TEXTBOOK, False, id="1x long, maintenance on mark"),
        pytest.param(1, 250, TEXTBOOK, False, id="a long with more than it is worth"),
        pytest.param(-100, 1, NO_MAINTENANCE, True, id="1x inverse short"),
        pytest.param(-100, 3, TEXTBOOK, True, id="an inverse short with spare coins"),
    ],
)
def test_no_price_liquidates(
    size: int, wallet: int, tiers: TierTable, inverse: bool
) -> None:
    price = liquidation_price(
        exact(size),
        exact(100),
        wallet_balance=exact(wallet),
        tiers=tiers,
        inverse=inverse,
    )
    assert price is None


def test_a_1x_long_with_maintenance_on_entry_has_a_price() -> None:
    # 100 left at entry, 100 less at 0: at p there is p, and 0.5 is asked for
    assert exact("0.5") == liquidation_price(
        exact(1), exact(100), wallet_balance=exact(100), tiers=TEXTBOOK, basis="entry"
    )


def test_a_closing_fee_counts_as_maintenance_at_mark() -> None:
    # Gate: 10 + 4 / 2, by 1 + 0.01 + 0.0006
    assert exact(12) / exact("1.0106") == liquidation_price(
        exact(-2),
        exact(10),
        wallet_balance=exact(4),
        tiers=flat("0.01"),
        closing_fee_rate=exact("0.0006"),
    )


def test_other_positions_move_the_price() -> None:
    # 10 long at 100 on 100, another leg is 30 up and asks for 5.
    # 100 + 30 - 5 + 10 (p - 100) = 5      p = 88
    assert exact(88) == liquidation_price(
        exact(10),
        exact(100),
        wallet_balance=exact(100),
        tiers=TEXTBOOK,
        basis="entry",
        other_unrealized_pnl=exact(30),
        other_maintenance=exact(5),
    )


@pytest.mark.parametrize(
    ("size", "entry", "name", "value"),
    [
        pytest.param(0, 100, "size", 0, id="no size"),
        pytest.param(1, 0, "entry_price", 0, id="no entry price"),
        pytest.param(1, -5, "entry_price", -5, id="a negative entry price"),
    ],
)
def test_a_question_without_a_position_is_refused(
    size: int, entry: int, name: str, value: int
) -> None:
    with pytest.raises(ParameterError) as refusal:
        liquidation_price(size, entry, wallet_balance=10, tiers=TEXTBOOK)
    assert (name, value) == (refusal.value.name, refusal.value.value)


@pytest.mark.parametrize(
    ("size", "wallet", "inverse", "fee", "expected"),
    [
        pytest.param(1, 10, False, "0", exact(90), id="10x long: 100 * (1 - 1/10)"),
        pytest.param(-1, 10, False, "0", exact(110), id="10x short: 100 * (1 + 1/10)"),
        pytest.param(
            100,
            "0.1",
            True,
            "0",
            exact(1000) / 11,
            id="10x inverse long: 100 * 10 / 11",
        ),
        pytest.param(
            -100,
            "0.1",
            True,
            "0",
            exact(1000) / 9,
            id="10x inverse short: 100 * 10 / 9",
        ),
        pytest.param(
            1,
            10,
            False,
            "0.001",
            exact(90) / exact("0.999"),
            id="10x long that keeps its closing fee",
        ),
        pytest.param(1, 100, False, "0", None, id="1x long: never"),
    ],
)
def test_bankruptcy_price(
    size: int, wallet: Any, inverse: bool, fee: str, expected: Any
) -> None:
    assert expected == bankruptcy_price(
        exact(size),
        exact(100),
        wallet_balance=exact(wallet),
        inverse=inverse,
        closing_fee_rate=exact(fee),
    )


def test_bankruptcy_counts_the_other_legs() -> None:
    # 10 + 15 + (p - 100) = 0
    assert exact(75) == bankruptcy_price(
        exact(1), exact(100), wallet_balance=exact(10), other_unrealized_pnl=exact(15)
    )


@pytest.mark.parametrize(
    ("position", "buys", "sells", "loss", "leverage", "expected"),
    [
        pytest.param(0, 1000, 0, 0, 10, 100, id="flat: a buy locks 1,000 / 10"),
        pytest.param(0, 1000, 400, 0, 10, 100, id="flat: only the larger side"),
        pytest.param(0, 0, 0, 0, 10, 0, id="no orders lock nothing"),
        pytest.param(1000, 500, 0, 0, 10, 50, id="long: a buy adds 500"),
        pytest.param(1000, 0, 1000, 0, 10, 0, id="long: a closing sell adds nothing"),
        pytest.param(1000, 0, 2000, 0, 10, 0, id="long: a sell of twice reverses it"),
        pytest.param(1000, 0, 2500, 0, 10, 50, id="long: |1,000 - 2,500| - 1,000"),
        pytest.param(1000, 500, 2500, 0, 10, 50, id="long: both sides, equal"),
        pytest.param(
            -10_000,
            15_000,
            0,
            0,
            1,
            0,
            id="short 10,000, bids of 15,000: no new margin (Binance forum 17078)",
        ),
        pytest.param(-1000, 0, 300, 0, 5, 60, id="short: a sell adds 300"),
        pytest.param(1000, 0, 500, 7, 10, 7, id="an open loss is locked whole"),
    ],
)
def test_order_margin(
    position: int, buys: int, sells: int, loss: int, leverage: int, expected: int
) -> None:
    assert exact(expected) == order_margin(
        exact(position), exact(buys), exact(sells), exact(loss), exact(leverage)
    )


def test_initial_margin_is_notional_by_leverage() -> None:
    assert exact(6_500) == initial_margin(exact(65_000), exact(10))


@pytest.mark.parametrize("leverage", [0, -1])
def test_initial_margin_without_leverage_is_refused(leverage: int) -> None:
    with pytest.raises(ParameterError) as refusal:
        initial_margin(1000, leverage)
    assert ("leverage", leverage) == (refusal.value.name, refusal.value.value)
    assert "above 0" in refusal.value.fix


@pytest.mark.parametrize("leverage", [1, 5, 10, 125])
def test_leverage_never_changes_maintenance(leverage: int) -> None:
    contract = Contract("BTC", TEXTBOOK)
    position = Position(contract, exact(1), exact(65_000), exact(leverage))
    # 60,000 * 0.005, and the same surplus whatever was chosen
    assert exact(300) == position.maintenance_margin(exact(60_000))
    summary = position.summary(exact(60_000), Basis.MARK)
    assert exact(-5_300) == summary.surplus


def test_initial_and_maintenance_are_two_requirements() -> None:
    position = Position(Contract("BTC", TEXTBOOK), exact(1), exact(65_000), exact(10))
    summary = position.summary(exact(60_000), Basis.ENTRY)
    # PnL -5,000; 65,000 / 10; 60,000 * 0.005
    assert MarginSummary(exact(-5_000), exact(6_500), exact(300)) == summary


def test_summaries_add_up() -> None:
    total = MarginSummary(100, 20, 5) + MarginSummary(-30, 10, 2)
    assert MarginSummary(70, 30, 7) == total
    assert total.surplus == 63


@pytest.mark.parametrize(
    ("balance", "maintenance", "expected"),
    [
        pytest.param(100, 25, 0.25, id="a quarter used"),
        pytest.param(25, 25, 1, id="1 at liquidation"),
        pytest.param(0, 25, INFINITE, id="nothing left"),
        pytest.param(-5, 25, INFINITE, id="less than nothing left"),
        pytest.param(0, 0, 0, id="no position, no money"),
    ],
)
def test_margin_ratio(balance: float, maintenance: float, expected: float) -> None:
    assert expected == MarginSummary(balance, 0, maintenance).margin_ratio


AMOUNTS = st.fractions(Fraction(1, 10), 1000, max_denominator=100)
FEES = st.sampled_from([exact(0), exact("0.0006")])


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    """A linear or inverse contract with one to four continuous tiers."""
    floor, rate = exact(0), exact(0)
    tiers = []
    count = draw(st.integers(1, 4))
    for number in range(1, count + 1):
        end = INFINITE if number == count else floor + draw(AMOUNTS)
        rate += draw(st.fractions(0, Fraction(1, 10), max_denominator=1000))
        tiers.append(Tier(floor, end, rate, 1))
        floor = end
    return Contract(
        "X",
        TierTable(tiers),
        contract_size=draw(st.sampled_from([exact(1), exact("0.01"), exact(100)])),
        inverse=draw(st.booleans()),
        maintenance_basis=draw(st.sampled_from(Basis)),
        closing_fee_rate=draw(FEES),
    )


def check_liquidation_price(
    contract: Contract, size: Any, entry: Any, budget: Any, others: tuple[Any, Any]
) -> None:
    """At the price, margin balance is maintenance margin; None: never short of it."""
    other_pnl, other_maintenance = others
    # What the position may lose, `budget`, split over wallet and other positions.
    wallet = budget - other_pnl + other_maintenance
    price = liquidation_price(
        size,
        entry,
        wallet_balance=wallet,
        tiers=contract.tiers,
        basis=contract.maintenance_basis,
        closing_fee_rate=contract.closing_fee_rate,
        contract_size=contract.contract_size,
        inverse=contract.inverse,
        other_maintenance=other_maintenance,
        other_unrealized_pnl=other_pnl,
    )
    position = Position(contract, size, entry, exact(1))

    def margin_balance(mark: Any) -> Any:
        return wallet + other_pnl + position.unrealized_pnl(mark)

    def maintenance(mark: Any) -> Any:
        return other_maintenance + position.maintenance_margin(mark)

    if price is not None:
        assert price > 0
        assert margin_balance(price) == maintenance(price)
        # one step on in the direction of loss it is liquidated, one back it stands
        worse, better = (
            (price * 99 / 100, price * 101 / 100)
            if size > 0
            else (price * 101 / 100, price * 99 / 100)
        )
        assert margin_balance(worse) < maintenance(worse)
        assert margin_balance(better) > maintenance(better)
    else:
        for mark in (entry / 10**6, entry / 2, entry, entry * 2, entry * 10**6):
            assert margin_balance(mark) > maintenance(mark)


POSITIONS = {
    "contract": contracts(),
    "size": st.tuples(AMOUNTS, st.sampled_from([1, -1])).map(
        lambda pair: pair[0] * pair[1]
    ),
    "entry": AMOUNTS,
    "budget": st.fractions(0, 10**5, max_denominator=1000),
    "others": st.tuples(
        st.fractions(-500, 500, max_denominator=10),
        st.fractions(0, 100, max_denominator=10),
    ),
}


@given(**POSITIONS)
def test_at_the_liquidation_price_balance_is_maintenance(
    contract: Contract, size: Any, entry: Any, budget: Any, others: tuple[Any, Any]
) -> None:
    check_liquidation_price(contract, size, entry, budget, others)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**POSITIONS)
def test_at_the_liquidation_price_balance_is_maintenance_at_length(
    contract: Contract, size: Any, entry: Any, budget: Any, others: tuple[Any, Any]
) -> None:
    check_liquidation_price(contract, size, entry, budget, others)


@given(notional=AMOUNTS, leverage=AMOUNTS)
def test_what_leverage_changes_is_initial_margin_alone(
    notional: Any, leverage: Any
) -> None:
    assert notional == initial_margin(notional, leverage) * leverage
    assert notional * exact("0.005") == maintenance_margin(notional, TEXTBOOK)
