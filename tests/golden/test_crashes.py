"""Two crashes at five venues: the reviewed table, and its prices by hand."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def program() -> Any:
    """The program that makes the table."""
    spec = importlib.util.spec_from_file_location("crashes", HERE / "crashes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crashes"] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return module


CRASHES = program()
needs_market = pytest.mark.skipif(
    not CRASHES.MARKET.is_dir(), reason=f"no real candles at {CRASHES.MARKET}"
)
TABLE = (HERE / "crashes.txt").read_text(encoding="utf-8")
LINES = [line.split() for line in TABLE.splitlines()]


@needs_market
def test_the_table_is_what_the_program_prints() -> None:
    assert CRASHES.table() == TABLE


def test_every_difference_is_explained() -> None:
    notes = (HERE / "README.md").read_text(encoding="utf-8")
    assert all(f"`{venue}`" in notes for venue in CRASHES.VENUES)


# The mark at which a long on its own margin is liquidated, before any funding: with
# rate m, deduction c (quote), closing fee f and bankruptcy B = entry (1 - 1 / leverage)
#   maintenance on mark: (B - c / size) / (1 - m - f)      on entry: B + m entry


@pytest.mark.parametrize(
    ("symbol", "notional", "venue", "expected"),
    [
        # 2020-03-12, 10x from 7,919.57: B = 7,127.613
        pytest.param("BTCUSDT", "40000", "binanceusdm", 7_127.613 / 0.996, id="0.4 %"),
        pytest.param(
            "BTCUSDT", "40000", "bybit", 0.905 * 7_919.57, id="on entry in 2020: 0.5 %"
        ),
        pytest.param("BTCUSDT", "40000", "okx", 7_127.613 / 0.9955, id="0.4 % and fee"),
        pytest.param(
            "BTCUSDT", "40000", "hyperliquid", 0.9125 * 7_919.57, id="frozen: 1.25 %"
        ),
        pytest.param("BTCUSDT", "40000", "dydx", 7_127.613 / 0.988, id="1.2 %"),
        # 4,000,000 at 7,938.39, the open of the hour before, are 503.881 coins; 2.5 %
        # of what is above 1,000,000, so 16,300 deducted
        pytest.param(
            *("BTCUSDT", "4000000", "binanceusdm"),
            (7_127.613 - 16_300 / 503.881) / 0.975,
            id="2.5 % less 16,300",
        ),
        # 2025-10-10, 5x from 2.8102: B = 2.24816
        pytest.param("XRPUSDT", "40000", "bybit", 2.24816 / 0.99, id="1 % on mark"),
        pytest.param("XRPUSDT", "40000", "okx", 2.24816 / 0.9895, id="1 % and fee"),
        pytest.param("XRPUSDT", "40000", "hyperliquid", 2.24816 / 0.975, id="2.5 %"),
        pytest.param("XRPUSDT", "40000", "dydx", 2.24816 / 0.94, id="6 %"),
        pytest.param("LTCUSDT", "40000", "hyperliquid", 102.704 / 0.95, id="5 %"),
        pytest.param("LTCUSDT", "40000", "dydx", 102.704 / 0.94, id="LTC 6 %"),
        pytest.param("ADAUSDT", "40000", "okx", 0.65208 / 0.9945, id="0.5 % and fee"),
        pytest.param("ADAUSDT", "40000", "hyperliquid", 0.65208 / 0.95, id="ADA 5 %"),
    ],
)
def test_the_liquidation_price_by_hand(
    symbol: str, notional: str, venue: str, expected: float
) -> None:
    (line,) = (
        line
        for line in LINES
        if line[0] == symbol and line[2:5] == [notional, "isolated", venue]
    )
    assert float(line[6]) == pytest.approx(expected, rel=3e-7)
