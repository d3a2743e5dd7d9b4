"""Comparison: the same strategy, the same bars, another accounting."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import TierTable, compare, load_market
from bt_margin.core.errors import MarginError, ParameterError, StrategyError
from bt_margin.data import Market, SymbolData, as_candles
from bt_margin.study import Comparison, bundled_strategies

REAL = (
    Path(__file__).parents[2].parent / "shared" / "data" / "binance_usdm_1h_2019_2026"
)

# Falls to 80 and back to 110: a 10x long from 100 dies at 90.5 on a margin of its own.
DIP = [
    (100, 100, 100, 100),
    (100, 100, 100, 100),
    (100, 101, 80, 90),
    (90, 110, 90, 110),
    (110, 110, 110, 110),
]


def market(*bars: tuple[float, float, float, float], symbol: str = "X") -> Market:
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"]).assign(
        volume=1
    )
    frame.index = pd.date_range("2024-01-01", periods=len(bars), freq="1h")
    return Market("hand-made", [SymbolData(symbol, as_candles(frame, where=symbol))])


class Hold(bt.Strategy):
    """Buys once."""

    params = (("size", 20.0),)

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=self.p.size)


class Fails(bt.Strategy):
    """Has a bug."""

    def next(self) -> None:
        raise KeyError("lost")


@pytest.fixture(scope="module")
def dip() -> Comparison:
    return compare(Hold, market(*DIP), leverage=10, cash=1_000)


def test_one_run_for_each_leverage_and_mode() -> None:
    result = compare(Hold, market(*DIP), leverage=(5, 10), cash=1_000)
    expected = [
        ("generic", lever, mode)
        for lever in (5, 10)
        for mode in ("off", "isolated", "cross")
    ]
    assert expected == list(result.table.index)


def test_final_balances_are_those_of_the_arithmetic(dip: Comparison) -> None:
    # 20 at 100: fee 1.00. Isolated loses its 200 margin; the others gain 20 * 10.
    finals = dip.table["final_balance"].to_dict()
    assert finals == pytest.approx(
        {
            ("generic", 10.0, "off"): 1_000 - 1 + 200,
            ("generic", 10.0, "isolated"): 1_000 - 1 - 200,
            ("generic", 10.0, "cross"): 1_000 - 1 + 200,
        }
    )


def test_figures_of_a_liquidated_run(dip: Comparison) -> None:
    run = dip.run_of("isolated", 10)
    assert run is not None
    figures = run.figures
    assert (figures.trades, figures.liquidations, figures.refused_orders) == (1, 1, 0)
    assert figures.fees == pytest.approx(-1)
    # It lost the whole margin and the fee: 201 of 200.
    assert figures.worst_loss_on_margin == pytest.approx(-1.005)
    # Balance: 1,000, then 999 at entry, then 799 from the liquidation on.
    assert figures.max_drawdown == pytest.approx(0.201)
    # Settled at 90.0, taken over at 90.5: the fund keeps 0.5 on each of 20.
    assert figures.insurance == pytest.approx(-10)
    # Available at the bars' ends: 1,000, then 999 - 200, then 799 three times.
    assert figures.idle_balance == pytest.approx((1_000 + 4 * 799) / 5)
    # 200 of margin in a balance of 999.
    assert figures.peak_margin_use == pytest.approx(200 / 999)


def test_the_liquidation_is_listed_with_time_symbol_price_and_cause(
    dip: Comparison,
) -> None:
    (row,) = dip.liquidations.to_dict("records")
    listed = (row["mode"], row["symbol"], row["mark_price"], row["cause"])
    assert listed == ("isolated", "X", pytest.approx(90.5), "price")
    assert pd.Timestamp("2024-01-01 02:00", tz="UTC") < row["time"]
    assert row["time"] < pd.Timestamp("2024-01-01 03:00", tz="UTC")


def test_the_sentences_say_where_the_modes_parted_and_why(dip: Comparison) -> None:
    text = "\n".join(dip.explain())
    assert "At 10x they parted at 2024-01-01 02:00 UTC: isolated liquidated" in text
    assert "long X from 100 at mark 90.5 (price)" in text
    assert "own margin was down to 10.00" in text  # 200 - 20 * 9.5
    assert "the other 799.00 of the account stood behind it" in text
    assert "isolated ended with 799.00, cross with 1,199.00: cross kept 400.00" in text
    assert "ended at 1,199.00; a venue would have liquidated under isolated" in text


def test_modes_that_made_the_same_trades_say_so() -> None:
    calm = market(*[(100, 101, 99, 100)] * 4)
    sentences = compare(Hold, calm, leverage=10, cash=1_000).explain()
    assert sentences == [
        "At 10x isolated and cross made the same trades: the same result."
    ]


def test_stock_accounting_below_zero_is_named() -> None:
    # 90 at 100 on 1,000: at 10 stock shows 1,000 - 4.5 - 90 * 90 = -7,104.50.
    crash = market(*[(100, 100, 100, 100)] * 2, (100, 100, 10, 10), (10, 10, 10, 10))
    result = compare(Hold, crash, cash=1_000, strategy_params={"size": 90})
    assert "fell to a balance of -7,104.50" in result.explain()[0]
    assert result.table.loc[("generic", 10.0, "cross"), "final_balance"] == 0


def test_cross_dies_as_a_whole_and_the_sentence_says_so() -> None:
    # 60 at 100 on 1,000: isolated loses 600, cross 997 (the fee of 3 is gone).
    result = compare(
        Hold,
        market(*[(100, 100, 100, 100)] * 2, (100, 100, 50, 60), (60, 60, 60, 60)),
        cash=1_000,
        strategy_params={"size": 60},
    )
    finals = result.table["final_balance"]
    assert finals["generic", 10.0, "isolated"] == pytest.approx(397)
    assert finals["generic", 10.0, "cross"] == 0
    assert any("isolated kept 397.00 more" in line for line in result.explain())


def test_refused_orders_are_counted_with_the_reason() -> None:
    calm = market(*[(100, 101, 99, 100)] * 4)
    result = compare(Hold, calm, cash=1_000, strategy_params={"size": 200})
    run = result.run_of("isolated", 10)
    assert run is not None
    assert run.figures.refused_orders == 1
    assert "at most 99.5" in run.refusals[0].reason  # 1,000 / (10 + 0.05)


def test_parallel_processes_give_the_same_runs() -> None:
    path = bundled_strategies() / "scalper.py"
    from bt_margin import sample_market  # noqa: PLC0415

    sample = sample_market().select("BTCUSDT").between("2025-03-04", "2025-03-05")
    alone = compare(path, sample, modes=("isolated", "cross"))
    together = compare(path, sample, modes=("isolated", "cross"), jobs=2)
    pd.testing.assert_frame_equal(alone.table, together.table)


def test_progress_is_told_after_each_run() -> None:
    told: list[tuple[int, int]] = []
    compare(Hold, market(*DIP), progress=lambda *counts: told.append(counts))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"leverage": 0}, "leverage is 0", id="leverage 0"),
        pytest.param({"leverage": -3}, "leverage is -3", id="negative leverage"),
        pytest.param({"leverage": float("nan")}, "leverage is nan", id="NaN leverage"),
        pytest.param({"leverage": 126}, "allow at most 125", id="above the tier"),
        pytest.param({"leverage": ()}, "give at least one", id="no leverage"),
        pytest.param({"leverage": (5, 5)}, "each one once", id="the same twice"),
        pytest.param({"modes": ("margin",)}, "off, isolated, cross", id="unknown mode"),
        pytest.param({"cash": 0}, "cash is 0", id="no cash"),
        pytest.param({"venue": "mtgox"}, "unknown venue 'mtgox'", id="unknown venue"),
        pytest.param(
            {"strategy_params": {"x": 1}}, "Hold has size", id="unknown param"
        ),
        pytest.param({"broker_params": {"lever": 1}}, "no such parameter", id="typo"),
        pytest.param({"broker_params": {"bar_path": "up"}}, "adaptive", id="bad path"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    options: dict[str, Any], message: str
) -> None:
    told: list[Any] = []
    with pytest.raises(MarginError, match=message):
        compare(
            Hold, market(*DIP), progress=lambda *counts: told.append(counts), **options
        )
    assert told == []


def test_a_strategy_that_fails_is_named_with_its_place() -> None:
    with pytest.raises(
        StrategyError, match=r"Fails failed at .*:\d+ with KeyError: 'lost'"
    ):
        compare(Fails, market(*DIP))


def test_an_unknown_symbol_of_a_market_is_refused() -> None:
    with pytest.raises(MarginError, match="unknown symbol 'Y': choose one of X"):
        market(*DIP).select("Y")


def ledger_sums(run: dict[str, Any]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for entry in run["ledger"]:
        sums[entry["wallet"]] += entry["amount"]
    return dict(sums)


def test_the_json_holds_everything(dip: Comparison, tmp_path: Path) -> None:
    dip.to_json(tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["explanation"] == dip.explain()
    off, isolated, _cross = document["runs"]
    assert off["figures"]["peak_margin_use"] is None
    assert isolated["liquidations"][0]["cause"] == "price"
    assert isolated["ledger"][0]["kind"] == "deposit"
    assert ledger_sums(isolated) == isolated["ledger_balances"]
    assert isolated["ledger_sums_equal_balances"] is True
    assert len(isolated["equity"]["time"]) == len(isolated["equity"]["balance"]) == 5


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real market at {REAL}")
def test_march_2020_with_rising_leverage(tmp_path: Path) -> None:
    month = load_market(REAL, symbols="BTCUSDT", start="2020-03-01", end="2020-04-01")
    path = bundled_strategies() / "scalper.py"
    result = compare(path, month, leverage=(3, 5, 10, 20))
    counts = result.table["liquidations"]["generic"].xs("isolated", level="mode")
    assert counts[3.0] == 0
    assert counts[20.0] > 0
    assert counts.is_monotonic_increasing
    result.to_json(tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    for run in document["runs"]:
        assert run["ledger_sums_equal_balances"] is True
        assert ledger_sums(run) == run["ledger_balances"]


class Flip(bt.Strategy):
    """Long, then short by one order, so that a flip ends the first trade."""

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=20)
        if len(self) == 3:
            self.sell(size=40)
        if len(self) == 5:
            self.close()


def test_a_flip_does_not_hide_a_loss() -> None:
    # Long 20 at 100 out at 100; short 20 from 100 out at 110: 200 lost of 400 margin.
    prices = [(p, p, p, p) for p in (100, 100, 100, 100, 110, 110)]
    result = compare(Flip, market(*prices), leverage=5, cash=1_000, modes=("cross",))
    worst = result.runs[0].figures.worst_loss_on_margin
    assert worst == pytest.approx(-(200 + 1.0 + 1.1) / 400)


class RefusedThenDead(bt.Strategy):
    """Holds on; the second order is too much for isolated margin alone."""

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=30)
        if len(self) == 3:
            self.buy(size=50)


def test_a_refusal_is_named_and_not_a_later_liquidation() -> None:
    bars = [(100, 100, 100, 100)] * 2 + [(130, 130, 130, 130)] * 3 + [(130, 130, 1, 1)]
    result = compare(
        RefusedThenDead, market(*bars, bars[-1]), cash=800, modes=("isolated", "cross")
    )
    (parted,) = [line for line in result.explain() if "they parted" in line]
    assert "isolated refused an order that cross took" in parted


@pytest.mark.parametrize("name", ["margin_mode", "leverage", "venue", "cash"])
def test_what_compare_has_an_argument_for_is_no_broker_parameter(name: str) -> None:
    with pytest.raises(ParameterError, match="compare has an argument for it"):
        compare(Hold, market(*DIP), broker_params={name: "cross"})


# Money put in after the start


class Again(bt.Strategy):
    """Buys 20 whenever it is flat."""

    def next(self) -> None:
        if not self.position:
            self.buy(size=20)


# A long of 20 from 100 has a margin of 200 at 10x and dies at 90.5 with all of it;
# the one from 80 has 160 and dies at 72.4. Taker fee 0.05 %: 1 and 0.8.
FLAT = {"X": TierTable.flat(0.005, max_leverage=50)}
TWO_FALLS = [(p,) * 4 for p in (100, 100, 80, 80, 60)]


def falls(on_liquidation: str, **words: Any) -> Comparison:
    settings = {"on_liquidation": on_liquidation}
    bars: Any = TWO_FALLS
    return compare(
        Again,
        market(*bars),
        leverage=10,
        modes=("isolated", "cross"),
        cash=1_000,
        broker_params=settings,
        **words,
    )


def test_a_refill_is_put_in_and_no_return() -> None:
    # The second loss is refilled, too: 201 and 160.8 of 1,000 are lost, and put in.
    isolated, cross = (run.figures for run in falls("refill").runs)
    assert isolated.final_balance == pytest.approx(1_000)
    assert isolated.put_in == pytest.approx(201 + 160.8)
    assert isolated.total_return == pytest.approx(-0.3618)
    assert isolated.max_drawdown == pytest.approx(0.3618)
    # Cross holds on: 20 * (60 - 100) and the fee.
    assert (cross.put_in, cross.liquidations) == (0, 0)
    assert cross.total_return == pytest.approx(-0.801)


def test_without_a_refill_the_return_is_the_same_and_nothing_is_put_in() -> None:
    figures = falls("continue").runs[0].figures
    assert figures.put_in == 0
    assert figures.final_balance == pytest.approx(1_000 - 361.8)
    assert figures.total_return == pytest.approx(-0.3618)
    assert figures.max_drawdown == pytest.approx(0.3618)


def test_a_stopped_run_ends_with_the_liquidation() -> None:
    run = falls("stop").runs[0]
    assert len(run.equity) == 3
    assert run.figures.total_return == pytest.approx(-0.201)


def test_the_outcome_leaves_out_what_was_put_in() -> None:
    sentence = falls("refill").explain()[-1]
    assert "isolated ended with 1,000.00 (361.80 put in after the start)" in sentence
    # 638.20 of its own against 199.00.
    assert sentence.endswith("cross with 199.00: isolated kept 439.20 more.")


def test_venues_are_told_apart_without_what_was_put_in() -> None:
    # hyperliquid settles what is left in the market: it ends with more of its own.
    result = falls("refill", venue=("generic", "hyperliquid"), tiers=FLAT)
    sentence = next(s for s in result.explain() if s.startswith("At 10x isolated"))
    own = {
        run.venue: run.figures.final_balance - run.figures.put_in
        for run in result.runs
        if run.mode == "isolated"
    }
    assert "highest final balance less what was put in at " in sentence
    assert all(f"({balance:,.2f})" in sentence for balance in own.values())


class Saver(bt.Strategy):
    """Puts 500 in at the second bar and takes 200 out at the third."""

    def next(self) -> None:
        if len(self) in (2, 3):
            self.broker.add_cash(500 if len(self) == 2 else -200)


def test_deposits_of_a_strategy_are_no_return_in_any_mode() -> None:
    for run in compare(Saver, market(*DIP), leverage=10, cash=1_000).runs:
        assert run.figures.put_in == pytest.approx(300)
        assert run.figures.final_balance == pytest.approx(1_300)
        assert run.figures.total_return == pytest.approx(0)
        assert run.figures.max_drawdown == pytest.approx(0)
