"""Bounds: how much of a result hangs on the path inside the bars."""

import json
from pathlib import Path

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import Comparison, compare
from bt_margin.data import Market, SymbolData, as_candles


class Breakout(bt.Strategy):
    """Buys above the second bar."""

    def next(self) -> None:
        if len(self) == 2:
            self.buy(size=10, price=101, exectype=bt.Order.Stop)


def wild_market() -> Market:
    # Entry at 101, liquidation at 91.405; the bar's low of 85 comes before or after.
    bars = [(100, 100, 100, 100)] * 2 + [(100, 102, 85, 101), (101, 101, 101, 101)]
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"])
    frame["volume"] = 1
    frame.index = pd.date_range("2024-01-01", periods=len(bars), freq="1h")
    return Market("wild", [SymbolData("X", as_candles(frame, where="X"))])


@pytest.fixture(scope="module")
def wild() -> Comparison:
    modes = ("off", "isolated")
    return compare(Breakout, wild_market(), cash=1_000, modes=modes, bounds=True)


def test_each_mode_with_margin_runs_under_four_further_paths(wild: Comparison) -> None:
    paths = [(run.mode, run.bar_path) for run in wild.bound_runs]
    assert paths == [
        ("isolated", path) for path in ("low_first", "high_first", "worst", "best")
    ]


def test_the_spread_holds_both_outcomes(wild: Comparison) -> None:
    # Fee 101 * 10 * 0.0005 = 0.505. Alive: 999.495. Liquidated: 101 more are gone.
    rows = wild.spread.reset_index().set_index("figure")
    balance = rows.loc["final_balance"]
    assert balance["result"] == pytest.approx(898.495)
    assert balance["lowest"] == pytest.approx(898.495)
    assert balance["highest"] == pytest.approx(999.495)
    count = rows.loc["liquidations"]
    assert (count["lowest"], count["highest"]) == (0, 1)


def test_the_ambiguous_bar_is_listed(wild: Comparison) -> None:
    (bar,) = wild.ambiguous_bars.to_dict("records")
    assert bar["time"] == pd.Timestamp("2024-01-01 02:00", tz="UTC")
    assert (bar["above"], bar["below"]) == ("buy stop 101", "liquidation 91.405")


def test_the_json_has_the_bounds(wild: Comparison, tmp_path: Path) -> None:
    wild.to_json(tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(document["bounds"]) == 4
    assert len(document["runs"][1]["ambiguous_bars"]) == 1


def test_the_spread_has_a_row_for_each_figure(wild: Comparison) -> None:
    assert len(wild.spread) == len(wild.runs[1].figures.names())


def test_without_bounds_there_is_no_spread() -> None:
    plain = compare(Breakout, wild_market(), cash=1_000, modes=("isolated",))
    assert plain.bound_runs == ()
    assert plain.spread.empty
