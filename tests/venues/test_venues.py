"""Venue pages: one suite for all of them, and answers from outside for each."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bt_margin import get_venue, load_tiers, register_venue, venue_names
from bt_margin.core.contract import Basis
from bt_margin.core.errors import DataError, ParameterError, UnknownNameError
from bt_margin.core.tiers import TierTable
from bt_margin.study import plan_position
from bt_margin.venues import Venue, base_coin


@pytest.mark.parametrize("name", venue_names())
def test_every_page_is_whole(name: str) -> None:
    venue = get_venue(name)
    assert venue.name == name
    assert venue.sources
    assert 0 <= venue.maker_fee_rate <= venue.taker_fee_rate < 0.01
    assert 0 <= venue.liquidation.fee_rate < 0.1
    assert venue.max_leverage >= 1
    assert bool(venue.tables) == (venue.tables_as_of is not None)
    # Nobody may open a position that is liquidatable at once.
    for table in venue.all_tables():
        for tier in table:
            assert tier.maintenance_margin_rate < 1 / tier.max_leverage


@pytest.mark.parametrize("name", venue_names())
def test_nobody_could_open_what_is_liquidatable_on_an_earlier_day(name: str) -> None:
    for day in get_venue(name).days_of_change():
        for table in get_venue(name).at(day - timedelta(days=1)).all_tables():
            for tier in table:
                assert tier.maintenance_margin_rate < 1 / tier.max_leverage


def test_an_unknown_venue_is_refused_with_those_there_are() -> None:
    there_are = ", ".join(venue_names())
    with pytest.raises(UnknownNameError, match=f"choose one of {there_are}"):
        get_venue("mtgox")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ParameterError, match="taken"):
        register_venue(
            Venue("generic", Basis.MARK, 0, 0, tiers=TierTable.flat(0.01, 50))
        )


@pytest.mark.parametrize(
    ("symbol", "base"),
    [
        ("BTCUSDT", "BTC"),
        ("BTC/USDT:USDT", "BTC"),
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC_USDT", "BTC"),
        ("ethusdc", "ETH"),
        ("BTCUSD", "BTC"),
        ("SOL", "SOL"),
        ("USDT", "USDT"),
    ],
)
def test_the_base_coin_of_a_symbol(symbol: str, base: str) -> None:
    assert base_coin(symbol) == base


def test_a_symbol_without_a_table_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"give tiers.*'FOO'.*BTC"):
        get_venue("binanceusdm").tiers_of("FOOUSDT")


# Binance USD-M


def test_the_tier_is_that_of_the_notional_at_the_liquidation_price() -> None:
    # 100,000 of margin at 20x on ETHUSDT from 2,000: tier 0.65 %, deduction 950.
    # (100,000 + 950 - 1,000 * 2,000) / (1,000 * 0.0065 - 1,000) = 1,911.4746
    plan = plan_position(
        get_venue("binanceusdm").at(date(2024, 10, 24)),
        side="long",
        entry_price=2_000,
        leverage=20,
        notional=2_000_000,
        symbol="ETHUSDT",
    )
    assert plan.liquidation_price == pytest.approx(1911.4746, abs=1e-4)
    assert plan.initial_margin == 100_000
    assert plan.bankruptcy_price == pytest.approx(1_900)
    assert "0.0065 - 950.00" in plan.formula


# Hyperliquid


@pytest.mark.parametrize(
    ("coin", "notional", "expected"),
    [
        # The wiki's example at a highest leverage of 20: 10,000 asks for 250.
        pytest.param("SOL", 10_000, 250, id="SOL: 10,000 / (2 * 20)"),
        pytest.param("BTC", 80_000, 1_000, id="BTC: 80,000 / (2 * 40)"),
        # 150,000,000 * (1/40 - 1/80) = 1,875,000 are deducted beyond the floor.
        pytest.param("BTC", 200_000_000, 3_125_000, id="BTC beyond its floor"),
    ],
)
def test_hyperliquid_asks_for_half_of_the_smallest_initial_margin(
    coin: str, notional: float, expected: float
) -> None:
    table = get_venue("hyperliquid").tables[coin].at_size(1)
    assert table.maintenance_margin(notional) == pytest.approx(expected)


def test_generic_is_the_textbook() -> None:
    plan = plan_position(
        get_venue("generic"), side="long", entry_price=65_000, leverage=10
    )
    assert plan.liquidation_price == pytest.approx(58_825)
    assert plan.distance == pytest.approx(-0.095)
    assert plan.maintenance_margin == pytest.approx(325)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param({"side": "up"}, "long", id="no side"),
        pytest.param({"entry_price": 0}, "entry is 0", id="no price"),
        pytest.param({"leverage": -1}, "leverage is -1", id="no leverage"),
        pytest.param({"notional": 0}, "notional is 0", id="no notional"),
        pytest.param({"leverage": 126}, "at most 125", id="above the bound"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(words: dict[str, Any], message: str) -> None:
    plan = {"side": "long", "entry_price": 100.0, "leverage": 10.0, **words}
    with pytest.raises(ParameterError, match=message):
        plan_position(get_venue("generic"), **plan)


# Tier files


def test_a_dated_future_is_not_the_perpetual() -> None:
    dated = [{**row, "maxLeverage": 50} for row in CCXT["BTC/USDT:USDT"]]
    content = {**CCXT, "BTC/USDT:USDT-241227": dated}
    assert load_tiers(content, "BTCUSDT").max_leverage == 125
    assert load_tiers(content, "BTC/USDT:USDT-241227").max_leverage == 50


CCXT = {
    "BTC/USDT:USDT": [
        {
            "minNotional": 0,
            "maxNotional": 50_000,
            "maintenanceMarginRate": 0.004,
            "maxLeverage": 125,
        },
        {
            "minNotional": 50_000,
            "maxNotional": 600_000,
            "maintenanceMarginRate": 0.005,
            "maxLeverage": 100,
        },
    ]
}
BINANCE = [
    {
        "symbol": "BTCUSDT",
        "brackets": [
            {
                "notionalFloor": 0,
                "notionalCap": 50_000,
                "maintMarginRatio": 0.004,
                "initialLeverage": 125,
                "cum": 0.0,
            },
            {
                "notionalFloor": 50_000,
                "notionalCap": 600_000,
                "maintMarginRatio": 0.005,
                "initialLeverage": 100,
                "cum": 50.0,
            },
        ],
    }
]


@pytest.mark.parametrize("content", [CCXT, BINANCE], ids=["ccxt", "Binance"])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT:USDT"])
def test_both_shapes_give_the_same_table(
    tmp_path: Path, content: Any, symbol: str
) -> None:
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    table = load_tiers(path, symbol)
    assert table == load_tiers(content, symbol)
    # 60,000 * 0.005 - 50
    assert table.maintenance_margin(60_000) == pytest.approx(250)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        pytest.param("[1, 2", DataError, "is not JSON", id="not JSON"),
        pytest.param('"x"', DataError, "no mapping of symbols", id="another shape"),
        pytest.param('{"BTCUSDT": [{}]}', DataError, "without 'minNotional'", id="key"),
        pytest.param("{}", UnknownNameError, "'BTCUSDT'", id="no such symbol"),
    ],
)
def test_a_bad_tier_file_is_refused_by_name(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "tiers.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message) as caught:
        load_tiers(path, "BTCUSDT")
    assert "tiers.json" in str(caught.value)


def test_a_missing_tier_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json: cannot be read"):
        load_tiers(tmp_path / "gone.json", "BTCUSDT")
