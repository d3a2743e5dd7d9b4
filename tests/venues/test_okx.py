"""OKX: published answers and dated tiers through the public page."""

from datetime import date
from typing import Any

import pytest

from bt_margin import Account, Position, TierTable, get_venue
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator

from .holding import NOON, held, liquidated, price_of

OKX = get_venue("okx")
INVERSE: dict[str, Any] = {"inverse": True, "contract_size": 100}  # USD


def test_the_margin_ratio_of_the_api_sample() -> None:
    # okx-api-ethusd-mgnratio: ETH-USD-210430 in ccxt 4.5.90 okx.py fetch_positions;
    # rate 0.8 %, taker 0.05 %. The venue's ratio is balance / (maintenance + fee).
    margin, pnl, mark = 0.0003896645377994, -9.932766034e-07, 2565.6559999983538
    entry = 10 / (pnl + 10 / mark)
    account, _ = held(
        OKX,
        "ETH-USD",
        10,
        entry,
        margin=margin,
        tiers=TierTable.flat(0.008, 50),
        inverse=True,
    )
    summary = account.summary(account.shared, lambda _: mark)
    ratio = summary.margin_balance / summary.maintenance_margin
    assert ratio == pytest.approx(11.731726509588816, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # (EP - s M / Q) / (1 - s (m + f)) with m 0.4 %, f 0.05 %
        pytest.param(1, 45_000 / 0.9955, id="long: 45,203.42"),
        pytest.param(-1, 55_000 / 1.0045, id="short: 54,753.61"),
    ],
)
def test_the_closing_fee_stands_in_the_liquidation_price(
    size: float, expected: float
) -> None:
    found = price_of(OKX, "BTC-USDT", size, 50_000, leverage=10)
    assert found == pytest.approx(expected)


def test_an_inverse_price() -> None:
    # U (1 + m + f) / (U / EP + M), first tier 0.4 %: 100,000 USD at 50,000, 10x
    found = price_of(OKX, "BTC-USD", 1_000, 50_000, leverage=10, **INVERSE)
    assert found == pytest.approx(100_000 * 1.0045 / 2.2)


@pytest.mark.parametrize(
    ("day", "units", "rate", "leverage"),
    [
        # ADA-USDT-SWAP, 100 ADA per contract; announcement of 2023-05-15.
        pytest.param(date(2023, 5, 18), 50_000, 0.01, 75, id="500 contracts, before"),
        pytest.param(date(2023, 5, 18), 50_001, 0.015, 50, id="one more, before"),
        pytest.param(date(2023, 5, 18), 600_000, 0.02, 20, id="6,000, before"),
        # 2 % + 0.5 %, and 5 % + 0.5 % of initial margin
        pytest.param(date(2023, 5, 18), 1_200_000, 0.025, 1 / 0.055, id="12,000 then"),
        pytest.param(date(2023, 5, 19), 50_001, 0.005, 75, id="501 contracts, after"),
        pytest.param(date(2023, 5, 19), 150_000, 0.005, 75, id="1,500 contracts"),
        pytest.param(date(2023, 5, 19), 150_001, 0.0075, 50, id="one more"),
        pytest.param(date(2023, 5, 19), 600_000, 0.01, 40, id="6,000 contracts"),
        # 1 % + 2 * 0.5 %, and 2.5 % + 2 * 0.5 %
        pytest.param(date(2023, 5, 19), 1_800_000, 0.02, 1 / 0.035, id="18,000"),
    ],
)
def test_the_whole_position_has_the_rate_of_its_tier(
    day: date, units: float, rate: float, leverage: float
) -> None:
    [tier] = OKX.at(day).tiers_of("ADAUSDT").at_size(units)
    assert tier.maintenance_margin_rate == pytest.approx(rate)
    assert tier.max_leverage == pytest.approx(leverage)
    assert tier.maintenance_amount == 0


@pytest.mark.parametrize(
    ("contracts", "rate"),
    [
        # BTC-USD-SWAP of 2023-06, 100 USD per contract
        (2_000, 0.004),
        (2_001, 0.005),
        (20_000, 0.0075),
        # each +20,000: +0.5 %
        (40_000, 0.0125),
        (40_001, 0.0175),
    ],
)
def test_inverse_tiers_go_by_contracts(contracts: int, rate: float) -> None:
    contract = OKX.contract("BTCUSD", OKX.tiers_of("BTCUSD", inverse=True), **INVERSE)
    [tier] = contract.tiers_of(contracts)
    assert tier.maintenance_margin_rate == pytest.approx(rate)


def test_a_position_in_a_higher_tier_is_cut_by_two() -> None:
    # 19,000 contracts of ADA stand in the sixth tier (2.5 %); the fourth holds 12,000.
    # 0.95 / (1 - 0.025 - 0.0005) = 0.974859; 700,000 * 0.974859 * 0.05 % = 341.20
    account, position = held(OKX, "ADAUSDT", 1_900_000, 1.0, leverage=20)
    event = liquidated(account, position, OKX)
    assert event.remaining == pytest.approx(1_200_000)
    assert event.fill_price == pytest.approx(0.95 / 0.9745)
    assert event.fee == pytest.approx(-341.20, abs=0.01)
    assert event.insurance == 0


def test_a_position_in_the_two_lowest_tiers_is_taken_whole() -> None:
    # 2,500 contracts: the second tier. Bankrupt at 1 * (1 - 1 / 20).
    account, position = held(OKX, "ADAUSDT", 250_000, 1.0, leverage=20)
    event = liquidated(account, position, OKX)
    assert (event.remaining, event.fee) == (0, 0)
    assert event.fill_price == pytest.approx(0.95)


def test_of_two_legs_what_they_offset_goes_first() -> None:
    tiers = OKX.tiers_of("ETHUSDT")
    account = Account(500)
    for leg, size in (("long", 3.0), ("short", -1.0)):
        contract = OKX.contract("ETHUSDT", tiers, leg=leg)
        account.put(Position(contract, size, 2_000, 20), account.shared)
    # 500 + 2 (p - 2,000) = 4 p (0.4 % + 0.05 %): 3,500 / 1.982
    price = account.liquidation_price("ETHUSDT:long", lambda _: 2_000)
    assert price is not None
    assert price == pytest.approx(3_500 / 1.982)
    long, short, *_ = Liquidator(OKX.liquidation).liquidate(
        account, account.shared, lambda _: price, time=NOON, cause=Cause.PRICE
    )
    assert (long.size, long.remaining) == (1, 2)
    assert (short.size, short.remaining) == (-1, 0)
