"""``binanceusdm``: answers of the venue, its tables by day, and how it liquidates."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bt_margin import get_venue, load_tiers
from bt_margin.core.account import Account
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate
from bt_margin.core.tiers import TierTable

Hold = Callable[..., Account]

BINANCE = get_venue("binanceusdm")
NOW = datetime(2024, 1, 1, tzinfo=UTC)
SHARED = Path(__file__).parents[2].parent / "shared"
BRACKETS = SHARED / "data" / "tiers" / "binance_leverage_tiers.json"
COINS = ("ADA", "BNB", "BTC", "DOGE", "ETH", "LTC", "SOL", "XRP")
needs_brackets = pytest.mark.skipif(
    not BRACKETS.is_file(), reason=f"no bracket file at {BRACKETS}"
)

# Published answers. The first four are the example of the FAQ on liquidation prices
# (freqtrade tests/exchange/test_binance.py): the rates and amounts that it prints, 10 %
# and 135,365, 2.5 % and 16,300, are found in the tables of 2021 at the notional at the
# liquidation price, 4.1 and 2.1 million.

ETH = {"symbol": "ETHUSDT", "size": 3_683.979, "entry": 1_456.84}
BTC = {"symbol": "BTCUSDT", "size": 109.488, "entry": 32_481.98}
MARKS = {"ETHUSDT": 1_335.18, "BTCUSDT": 31_967.27}


@pytest.mark.parametrize(
    ("held", "symbol", "expected"),
    [
        pytest.param([ETH], "ETHUSDT", 1_114.78, id="binance-faq-isolated-eth"),
        pytest.param([BTC], "BTCUSDT", 18_778.73, id="binance-faq-isolated-btc"),
        pytest.param([ETH, BTC], "ETHUSDT", 1_153.26, id="binance-faq-cross-eth"),
        pytest.param([ETH, BTC], "BTCUSDT", 26_316.89, id="binance-faq-cross-btc"),
    ],
)
def test_the_faq_example_comes_out_with_the_tables_of_2021(
    hold: Hold, held: list[dict[str, object]], symbol: str, expected: float
) -> None:
    account = hold(BINANCE.at(date(2021, 6, 1)), 1_535_443.01, *held)
    price = account.liquidation_price(symbol, MARKS.__getitem__)
    assert price == pytest.approx(expected, abs=0.01)


def test_a_position_of_the_api_documentation(hold: Hold) -> None:
    # binance-api-hedge-isolated-btc: ccxt 4.5.90 binance.py, positionRisk sample.
    # 118,600 at the liquidation price: 0.5 % and 50 in the first tables.
    page = BINANCE.at(date(2020, 1, 1))
    account = hold(page, 13_200.70726908, {"size": 20, "entry": 6_563.665})
    price = account.liquidation_price("BTCUSDT", lambda _: 6_679.50671178)
    assert price == pytest.approx(5_930.78, abs=0.01)


def test_a_short_of_an_account(hold: Hold) -> None:
    # binance-api-isolated-doge-short: a positionRisk payload of 2024-03.
    page = BINANCE.at(date(2024, 3, 1))
    doge = {"symbol": "DOGEUSDT", "size": -32, "entry": 0.16395}
    account = hold(page, 0.88304001, doge)
    price = account.liquidation_price("DOGEUSDT", lambda _: 0.16465933)
    assert price == pytest.approx(0.19059204, abs=1e-8)


# Tables by day


@needs_brackets
@pytest.mark.parametrize("coin", COINS)
def test_the_tables_of_2024_are_the_published_brackets(coin: str) -> None:
    page = BINANCE.at(date(2024, 10, 24))
    assert page.tables[coin] == load_tiers(BRACKETS, f"{coin}USDT")
    rows = json.loads(BRACKETS.read_text(encoding="utf-8"))[f"{coin}/USDT:USDT"]
    found = [tier.maintenance_amount for tier in page.tables[coin].at_size(1)]
    assert found == pytest.approx([float(row["info"]["cum"]) for row in rows])


@pytest.mark.parametrize(
    ("day", "coin", "published"),
    [
        # the public bracket endpoint, read 2026-09-22
        pytest.param(
            date(2026, 9, 22),
            "BTC",
            [0, 300, 1_500, 12_000, 132_000, 482_000],
            id="BTC 2026",
        ),
        pytest.param(
            date(2026, 9, 22),
            "ETH",
            [0, 300, 1_500, 12_000, 132_000, 382_000],
            id="ETH 2026",
        ),
        pytest.param(
            date(2026, 9, 22),
            "SOL",
            [0, 75, 1_475, 11_475, 31_475, 231_475],
            id="SOL 2026",
        ),
        # freqtrade binance_leverage_tiers.json @e73f215a6712
        pytest.param(
            date(2023, 8, 1),
            "BTC",
            [0, 50, 1_300, 46_300, 546_300, 2_546_300, 5_046_300, 8_046_300],
            id="BTC 2023",
        ),
        pytest.param(
            date(2023, 8, 1),
            "ETH",
            [0, 150, 1_025, 21_025, 471_025, 1_971_025, 3_471_025, 5_471_025],
            id="ETH 2023",
        ),
        pytest.param(
            date(2023, 8, 1),
            "XRP",
            [0, 5, 45, 545, 23_045, 173_045, 423_045, 723_045, 2_723_045, 10_223_045],
            id="XRP 2023",
        ),
        pytest.param(
            date(2023, 8, 1),
            "ADA",
            [0, 5, 45, 545, 8_045, 58_045, 183_045, 433_045, 2_433_045, 9_933_045],
            id="ADA 2023",
        ),
        # By hand from the floors and rates of 2021, e.g. XRP
        # 10,000 * 0.35 % = 35; 35 + 50,000 * 1 % = 535; 535 + 250,000 * 3 % = 8,035
        pytest.param(
            date(2021, 9, 1),
            "XRP",
            [0, 35, 535, 8_035, 58_035, 108_035, 233_035, 1_233_035],
            id="XRP 2021",
        ),
    ],
)
def test_the_amounts_are_the_published_ones(
    day: date, coin: str, published: list[float]
) -> None:
    table = BINANCE.at(day).tables[coin].at_size(1)
    found = [tier.maintenance_amount for tier in table]
    assert found[: len(published)] == pytest.approx(published)


@pytest.mark.parametrize(
    ("day", "bound", "required"),
    [
        # 400,000 of BTC ask for 1 % less 1,300 in 2021 and 2023, for 0.5 % less 50 in
        # 2024, for 0.5 % less 300 since.
        pytest.param(date(2020, 3, 12), 125, 2_700, id="before the first table"),
        pytest.param(date(2023, 6, 30), 125, 2_700, id="2021"),
        pytest.param(date(2023, 7, 1), 125, 2_700, id="2023"),
        pytest.param(date(2024, 10, 23), 125, 2_700, id="2023, last day"),
        pytest.param(date(2024, 10, 24), 125, 1_950, id="2024"),
        pytest.param(date(2025, 8, 18), 125, 1_950, id="2024, last day"),
        pytest.param(date(2025, 8, 19), 150, 1_700, id="since 2025-08-19"),
    ],
)
def test_a_day_has_its_table(day: date, bound: float, required: float) -> None:
    table = BINANCE.at(day).tables["BTC"].at_size(1)
    assert table.max_leverage == bound
    assert table.maintenance_margin(400_000) == pytest.approx(required)


@pytest.mark.parametrize(
    ("notional", "required"),
    [
        pytest.param(299_999.99, 1_199.99996, id="a cent below: 0.4 %"),
        pytest.param(300_000, 1_200, id="on it: 0.5 % - 300"),
        pytest.param(300_001, 1_200.005, id="above"),
    ],
)
def test_the_requirement_is_continuous_where_tiers_meet(
    notional: float, required: float
) -> None:
    table = BINANCE.tables["BTC"].at_size(1)
    assert table.maintenance_margin(notional) == pytest.approx(required)
    assert table.tier_of(notional).max_leverage == (150 if notional < 300_000 else 100)


@pytest.mark.parametrize("coin", COINS)
def test_every_coin_has_a_table_on_every_day(coin: str) -> None:
    for day in (date(2019, 9, 8), *BINANCE.days_of_change()):
        assert coin in BINANCE.at(day).tables


# Liquidation and controls


def test_as_much_is_closed_as_brings_the_margin_ratio_to_four_fifths(
    hold: Hold,
) -> None:
    # At 5 % and 100,000 of notional the requirement is 5,000, and so is the balance.
    # With a quarter closed the fee is 312.50: 3,750 / (5,000 - 312.50) = 0.8.
    long = {"size": 1, "entry": 100_000, "tiers": TierTable.flat(0.05, 10)}
    account = hold(BINANCE, 5_000, long)
    [event] = liquidate(
        account,
        account.shared,
        lambda _: 100_000,
        time=NOW,
        cause=Cause.PRICE,
        policy=BINANCE.liquidation,
    )
    assert event.size == pytest.approx(0.25)
    assert event.fee == pytest.approx(-312.5)
    assert account.balance(account.shared) == pytest.approx(4_687.5)
    assert account.positions["BTCUSDT"].size == pytest.approx(0.75)


def test_a_small_position_goes_whole_and_the_fee_takes_the_rest(hold: Hold) -> None:
    # 50,000 at 0.4 %: 200 are left where 1.25 % would be 625.
    account = hold(BINANCE, 200, {"size": 1, "entry": 50_000})
    [event] = liquidate(
        account,
        account.shared,
        lambda _: 50_000,
        time=NOW,
        cause=Cause.PRICE,
        policy=BINANCE.liquidation,
    )
    assert (event.size, event.fee) == (1, -200)
    assert not account.positions
    assert account.balance(account.shared) == 0


def test_what_may_change_while_a_position_is_open() -> None:
    controls = BINANCE.controls
    assert controls.removal is not None
    assert controls.removal.keeps_initial
    assert controls.removal.keeps_maintenance
    assert not controls.lowers_isolated_leverage  # error -4161
    assert controls.raises_isolated_leverage
    assert not controls.mode_with_orders  # error -4047
