"""What a comparison looks like on screens of several widths."""

import io

import backtrader as bt
import pandas as pd
import pytest
from rich.console import Console

from bt_margin import compare
from bt_margin.data import Market, SymbolData, as_candles
from bt_margin.report.terminal import print_comparison
from bt_margin.study import Comparison

VENUES = ("hyperliquid", "generic", "binanceusdm")


class Hold(bt.Strategy):
    """Buys once."""

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=20)


def crash(venue: str | tuple[str, ...], **broker_params: str) -> Comparison:
    bars = [(100, 100, 100, 100)] * 2 + [(100, 100, 80, 90), (90, 90, 90, 90)]
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"])
    frame["volume"] = 1
    frame.index = pd.date_range("2024-01-01", periods=len(bars), freq="1h")
    data = SymbolData("BTCUSDT", as_candles(frame, where="BTCUSDT"))
    market = Market("crash", [data])
    return compare(
        Hold,
        market,
        venue=venue,
        cash=1_000,
        bounds=True,
        broker_params=broker_params,
    )


@pytest.fixture(scope="module")
def several() -> Comparison:
    return crash(VENUES)


@pytest.fixture(scope="module")
def one() -> Comparison:
    return crash("generic")


def lines(comparison: Comparison, width: int) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=width, highlight=False, markup=False)
    print_comparison(console, comparison)
    return screen.getvalue().splitlines()


def row(printed: list[str], *words: str) -> str:
    (found,) = [line for line in printed if line.split()[: len(words)] == list(words)]
    return found


@pytest.mark.parametrize("width", [150, 100, 80])
def test_every_row_names_its_venue_and_fits(several: Comparison, width: int) -> None:
    printed = lines(several, width)
    for venue in VENUES:
        death = row(printed, venue, "10x", "isolated", "2024-01-01")
        assert death.split()[-2] == "price"
        assert len(death) <= width
        spread = row(printed, venue, "10x", "isolated", "liquidations")
        assert spread.split()[-3:] == ["1.00", "1.00", "1.00"]
        assert len(spread) <= width


def test_a_wide_screen_has_a_row_for_each_run(several: Comparison) -> None:
    printed = lines(several, 150)
    for venue in VENUES:
        for mode in ("off", "isolated", "cross"):
            found = [
                line for line in printed if line.split()[:3] == [venue, "10x", mode]
            ]
            assert "%" in found[0]
    assert row(printed, "venue", "leverage", "mode", "balance")


@pytest.mark.parametrize("width", [100, 80])
def test_a_narrow_screen_has_a_block_for_each_venue_and_leverage(
    several: Comparison, width: int
) -> None:
    printed = lines(several, width)
    for venue in VENUES:
        assert row(printed, venue, "10x", "off", "isolated", "cross")
    balances = [line for line in printed if line.startswith("final balance")]
    assert len(balances) == len(VENUES)


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        pytest.param(150, ["size", "entry", "mark", "cause", "loss"], id="all of them"),
        pytest.param(100, ["size", "entry", "mark", "cause", "loss"], id="still all"),
        pytest.param(84, ["mark", "cause", "loss"], id="without size and entry"),
        pytest.param(80, ["cause", "loss"], id="without mark, too"),
    ],
)
def test_a_narrow_screen_leaves_out_the_columns_needed_least(
    several: Comparison, width: int, headings: list[str]
) -> None:
    heading = row(lines(several, width), "venue", "run", "time")
    assert heading.split()[5:] == headings


@pytest.mark.parametrize("width", [150, 80])
def test_one_venue_is_named_in_the_heading_alone(one: Comparison, width: int) -> None:
    printed = lines(one, width)
    assert printed[1].startswith("venue generic, cash 1,000.00;")
    assert not any("generic" in line for line in printed[2:])


@pytest.mark.parametrize("width", [150, 80])
def test_money_put_in_is_shown_where_there_was_any(one: Comparison, width: int) -> None:
    assert not any("put in" in line for line in lines(one, width))
    # The isolated long of 20 from 100 loses its 200 and a fee of 1.
    refilled = lines(crash("generic", on_liquidation="refill"), width)
    if width == 80:
        assert row(refilled, "put", "in").split()[2:] == ["0.00", "201.00", "0.00"]
    else:
        found = next(
            line for line in refilled if line.split()[:2] == ["10x", "isolated"]
        )
        assert found.split()[2:5] == ["1,000.00", "201.00", "-20.1%"]
