"""Gate: published answers and dated rules through the public page."""

from dataclasses import replace
from datetime import date

import pytest

from bt_margin import TierTable, get_venue

from .holding import held, liquidated, price_of

GATE = get_venue("gate")


def test_the_liquidation_price_that_the_venue_returned() -> None:
    # gate-api-eth-isolated: ccxt 4.5.90 gate.py parse_margin_modification, the page's
    # own rate 0.5 % and closing fee 0.075 %
    found = price_of(
        GATE, "ETH_USDT", 1, 1203.45, margin=5.415925875, contract_size=0.01
    )
    assert found == pytest.approx(665.69, abs=0.01)


@pytest.mark.parametrize(
    ("size", "margin", "expected"),
    [
        pytest.param(-2.0, 4.0, 11.87413417771621, id="freqtrade-gate-2"),
        pytest.param(1.0, 2.0, 8.085708510208207, id="freqtrade-gate-6"),
    ],
)
def test_the_prices_of_freqtrade(size: float, margin: float, expected: float) -> None:
    # c9ae5e1e9ff2 tests/exchange/test_exchange.py, with a taker fee of 0.06 %
    venue, tiers = replace(GATE, closing_fee_rate=0.0006), TierTable.flat(0.01, 50)
    found = price_of(venue, "XUSDT", size, 10, margin=margin, tiers=tiers)
    assert found == pytest.approx(expected, rel=1e-6)


def test_an_inverse_price() -> None:
    # U (1 + m + f) / (U / EP + M): 10,000 USD at 50,000, 10x, 0.5 % + 0.075 %
    found = price_of(GATE, "BTC_USD", 10_000, 50_000, leverage=10, inverse=True)
    assert found == pytest.approx(10_000 * 1.00575 / 0.22)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # The notice of 2025-07: 6,000 for 1.2 million, at one rate for all of it
        pytest.param(date(2025, 7, 28), 6_000, id="whole position"),
        # Tiers of 2026-09: 500,000 * 0.3 % + 500,000 * 0.35 % + 200,000 * 0.4 %
        pytest.param(date(2025, 7, 29), 4_050, id="progressive"),
    ],
)
def test_maintenance_became_progressive_on_the_day(day: date, expected: float) -> None:
    table = GATE.at(day).tables["BTC"].at_size(1)
    assert table.maintenance_margin(1_200_000) == pytest.approx(expected)


def test_the_published_deductions_are_those_of_the_recursion() -> None:
    table = GATE.tables["BTC"]
    assert isinstance(table, TierTable)
    # 500,000 * 0.05 % = 250; + 1,000,000 * 0.05 % = 750; and so on
    amounts = [0, 250, 750, 1_500, 2_500]
    assert [tier.maintenance_amount for tier in table] == amounts
    bare = TierTable(replace(tier, maintenance_amount=None) for tier in table)
    assert [tier.maintenance_amount for tier in bare] == pytest.approx(amounts)


@pytest.mark.parametrize(
    ("notional", "rate", "leverage"),
    [
        (499_999, 0.003, 200),
        (500_001, 0.0035, 150.01),
        (1_999_999, 0.0045, 110.01),
        (2_000_001, 0.005, 100),
        pytest.param(9e9, 0.005, 100, id="beyond what is known"),
    ],
)
def test_the_tiers_of_btc(notional: float, rate: float, leverage: float) -> None:
    tier = GATE.tables["BTC"].at_size(1).tier_of(notional)
    assert (tier.maintenance_margin_rate, tier.max_leverage) == (rate, leverage)


def test_a_higher_tier_is_left_for_the_one_below() -> None:
    # 16.5 BTC at 100,000 are above 1.5 million at the liquidation price, fourth tier:
    # 16.5 p (1 - 0.45 % - 0.075 %) = 16.5 * 99,000 - 1,500, p = 99,431.10
    account, position = held(GATE, "BTC_USDT", 16.5, 100_000, leverage=100)
    price = (16.5 * 99_000 - 1_500) / (16.5 * 0.99475)
    event = liquidated(account, position, GATE)
    assert event.fill_price == pytest.approx(price)
    assert event.remaining == pytest.approx(1_500_000 / price)
    # 0.075 % of what was closed
    assert event.fee == pytest.approx(-(16.5 * price - 1_500_000) * 0.00075)


def test_the_lowest_tier_is_taken_whole() -> None:
    account, position = held(GATE, "BTC_USDT", 1, 100_000, leverage=20)
    event = liquidated(account, position, GATE)
    assert event.remaining == 0
    assert event.fill_price == pytest.approx(95_000)
