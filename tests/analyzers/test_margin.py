"""What the analyzer says of runs whose arithmetic is written beside them."""

import pickle
from datetime import timedelta
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import CrossBroker, IsolatedBroker, MarginBroker
from bt_margin.analyzers import Margin
from bt_margin.core.errors import ParameterError

BOTH = pytest.mark.parametrize("broker", [IsolatedBroker, CrossBroker])


# The bridge


@BOTH
def test_bridge_of_a_long_with_one_funding_and_a_partial_close(
    scenario: Any, analyse: Any, broker: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 110, 110, 110, 120)]
    funding = s.stamps({s.moment(hours=3): 0.001})
    plan = {0: [s.send("buy", 10)], 3: [s.send("sell", 4)]}
    feed = s.perp(bars, funding=funding)
    margin = analyse(feed, plan, broker(cash=1_000, leverage=5))
    found = margin.get_analysis()
    bridge = found["bridge"]
    assert bridge["start"] == 1_000
    assert bridge["deposit"] == 0
    assert bridge["realized_pnl"] == pytest.approx(4 * (110 - 100))
    assert bridge["fee"] == pytest.approx(-0.0005 * (10 * 100 + 4 * 110))  # taker
    assert bridge["funding"] == pytest.approx(-10 * 110 * 0.001)
    assert bridge["unrealized_pnl"] == pytest.approx(6 * (120 - 100))
    # 1,000 + 40 - 0.72 - 1.1 + 120
    assert bridge["end"] == pytest.approx(1_158.18)
    (position,) = found["positions"]
    assert position["side"] == "long"
    assert position["opened"] == s.moment(hours=1)
    assert position["closed"] is None
    assert position["funding"] == pytest.approx(-1.1)
    assert position["fee"] == pytest.approx(-0.72)
    assert str(margin).splitlines()[:7] == [
        "                amount   balance",
        "start balance           1,000.00",
        "price PnL        40.00  1,040.00",
        "fees             -0.72  1,039.28",
        "funding          -1.10  1,038.18",
        "unrealized PnL  120.00  1,158.18",
        "end balance             1,158.18",
    ]


def test_amounts_between_two_cents_are_shown_so_that_all_sums_hold(
    scenario: Any, analyse: Any
) -> None:
    """Fees of 0.005 on each of three symbols: 0.01 or 0.02 in all, never 0.03 or 0."""
    s = scenario
    feeds = [s.perp([s.flat(10), s.flat(10)], name) for name in "ABC"]
    plan = {0: [s.send("buy", 1, label=name, data=name) for name in "ABC"]}
    margin = analyse(feeds, plan, CrossBroker(cash=1_000))
    lines = str(margin).splitlines()
    assert margin.get_analysis()["bridge"]["end"] == pytest.approx(999.985)
    assert lines[3].split() in (
        ["end", "balance", "999.98"],
        ["end", "balance", "999.99"],
    )
    assert sorted(line.split()[1] for line in lines[6:9]) == [
        "-0.01",
        "-0.01",
        "0.00",
    ] or (sorted(line.split()[1] for line in lines[6:9]) == ["-0.01", "0.00", "0.00"])


def test_a_deposit_is_a_line_of_the_bridge_and_no_return(
    scenario: Any, analyse: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 110, 110, 121)]
    plan = {
        0: [s.send("buy", 10)],
        2: [lambda strategy: strategy.broker.add_cash(500)],
    }
    broker = set_free(CrossBroker(cash=1_000, leverage=5))
    margin = analyse(s.perp(bars), plan, broker)
    bridge = margin.get_analysis()["bridge"]
    assert (bridge["start"], bridge["deposit"]) == (1_000, 500)
    assert bridge["end"] == pytest.approx(1_000 + 500 + 10 * 21)
    assert "(account)" in str(margin)
    # 1,000 -> 1,100 is 10 %; with the deposit 1,600 -> 1,710 is 6.875 %.
    expected = [0, 0, 0.1, 0, 1_710 / 1_600 - 1]
    assert margin.returns(every=None).tolist() == pytest.approx(expected)


def set_free(broker: Any) -> Any:
    """The broker without fees."""
    broker.setcommission(commission=0, leverage=5)
    return broker


# Liquidations


def test_an_isolated_liquidation(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 89, 95), s.flat(110)]
    plan = {0: [s.send("buy", 50)]}
    margin = analyse(s.perp(bars), plan, IsolatedBroker(cash=1_000, leverage=10))
    found = margin.get_analysis()
    liquidations = found["liquidations"]
    assert (liquidations["count"], liquidations["by_symbol"]) == (1, {"A": 1})
    (event,) = liquidations["events"]
    # Margin 500, maintenance 0.5 % of 5,000 = 25: 100 - (500 - 25) / 50 = 90.5
    assert event["liquidation_price"] == pytest.approx(90.5)
    assert (event["symbol"], event["size"], event["cause"]) == ("A", 50, "price")
    bridge = found["bridge"]
    assert bridge["realized_pnl"] == pytest.approx(-475)
    assert bridge["insurance"] == pytest.approx(-25)
    assert bridge["fee"] == pytest.approx(-2.5)
    assert bridge["end"] == pytest.approx(497.5)
    (position,) = found["positions"]
    assert position["ended_by"] == "liquidation"
    assert position["was_liquidated"]
    assert position["closed"] == event["time"]
    assert position["insurance"] == pytest.approx(-25)
    assert position["closest"]["distance"] == 0
    assert found["near_misses"] == found["contagion"] == []
    assert type(event["cause"]) is str


def test_a_cross_liquidation_that_takes_a_winner_is_contagion(
    scenario: Any, analyse: Any
) -> None:
    """Long 50 A and 10 B at 100: maintenance 25 and 5; B gains 10 * 10 = 100.

    Wallet 1,000 - 2.5 - 0.5 = 997. 997 + 100 - 50 * fall = 30: A falls by 21.34 to
    78.66. Of the 30 that are left B's share is 5: it gets 110 - 5 / 10 = 109.5.
    """
    s = scenario
    loser = [s.flat(100), s.flat(100), s.flat(100), (100, 100, 70, 75), s.flat(75)]
    winner = [s.flat(100), s.flat(100), s.flat(110), s.flat(110), s.flat(110)]
    feeds = [s.perp(loser, "A"), s.perp(winner, "B")]
    plan = {0: [s.send("buy", 50, "a"), s.send("buy", 10, "b", data="B")]}
    margin = analyse(feeds, plan, CrossBroker(cash=1_000, leverage=10))
    found = margin.get_analysis()
    assert found["liquidations"]["by_symbol"] == {"A": 1, "B": 1}
    first = found["liquidations"]["events"][0]
    assert first["mark_price"] == pytest.approx(78.66)
    (taken,) = found["contagion"]
    assert taken["event"]["symbol"] == "B"
    assert taken["event"]["fill_price"] == pytest.approx(109.5)
    assert taken["unrealized_pnl"] == pytest.approx(100)
    assert taken["lost"] == pytest.approx(-5)
    assert taken["losers"] == ["A"]
    assert found["bridge"]["end"] == pytest.approx(0, abs=1e-9)
    assert found["bridge"]["insurance"] == pytest.approx(-30)


def test_two_losers_of_one_wallet_are_no_contagion(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 70, 75)]
    feeds = [s.perp(bars, "A"), s.perp(bars, "B")]
    plan = {0: [s.send("buy", 25, "a"), s.send("buy", 25, "b", data="B")]}
    found = analyse(feeds, plan, CrossBroker(cash=1_000, leverage=10)).get_analysis()
    assert found["liquidations"]["count"] == 2
    assert found["contagion"] == []


def test_a_deleveraging(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(100), s.flat(100), s.flat(120), s.flat(120)]
    broker = IsolatedBroker(cash=1_000, leverage=5)
    broker.add_deleveraging("A", s.moment(hours=3), 1.0)
    found = analyse(s.perp(bars), {0: [s.send("buy", 10)]}, broker).get_analysis()
    (event,) = found["deleveragings"]
    assert event["pnl"] == pytest.approx(200)
    (position,) = found["positions"]
    assert position["ended_by"] == "deleveraging"
    assert position["closed"] == s.moment(hours=3)
    assert position["realized_pnl"] == pytest.approx(200)


# Near misses


def test_a_near_miss_of_an_isolated_long(scenario: Any, analyse: Any) -> None:
    """Liquidation price 90.5, low 91: 0.5 / 91 of mark.

    True ranges 0 and 9, over two bars 4.5: 0.5 / 4.5 ATR. The high of 100 is the open,
    so the low comes second, at two thirds of the hour.
    """
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 91, 95), s.flat(110), s.flat(110)]
    plan = {0: [s.send("buy", 50)], 3: [s.close()]}
    broker = IsolatedBroker(cash=1_000, leverage=10)
    found = analyse(s.perp(bars), plan, broker, atr_period=2).get_analysis()
    (near,) = found["near_misses"]
    closest = near["closest"]
    assert closest["distance"] == pytest.approx(0.5 / 91)
    assert closest["distance_atr"] == pytest.approx(0.5 / 4.5)
    assert closest["time"] == s.moment(hours=2, minutes=40)
    assert closest["mark_price"] == 91
    assert closest["liquidation_price"] == pytest.approx(90.5)
    assert near["ended_by"] == "order"
    assert near["closed"] == s.moment(hours=4)


def test_a_near_miss_of_a_short(scenario: Any, analyse: Any) -> None:
    """Short at 100: 100 + 475 / 50 = 109.5; high 109: 0.5 / 109."""
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 109, 100, 105)]
    plan = {0: [s.send("sell", 50)]}
    margin = analyse(s.perp(bars), plan, IsolatedBroker(cash=1_000, leverage=10))
    (near,) = margin.get_analysis()["near_misses"]
    assert near["side"] == "short"
    assert near["closest"]["distance"] == pytest.approx(0.5 / 109)


def test_the_mark_comes_near_and_not_the_last_price(
    scenario: Any, analyse: Any
) -> None:
    """The last price falls to 85, the mark to 93: 2.5 / 93."""
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 85, 95), s.flat(100)]
    marks = [s.flat(100), s.flat(100), (100, 100, 93, 98), s.flat(100)]
    feed = s.perp(bars, mark=s.candles(marks))
    broker = IsolatedBroker(cash=1_000, leverage=10)
    (near,) = analyse(feed, {0: [s.send("buy", 50)]}, broker).get_analysis()[
        "near_misses"
    ]
    assert near["closest"]["distance"] == pytest.approx(2.5 / 93)


def test_a_stop_that_saves_is_as_near_as_it_came(scenario: Any, analyse: Any) -> None:
    """The stop at 92 sells on the way from 100 to 85: 1.5 / 92, and no nearer."""
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 85, 95), s.flat(95)]
    plan = {0: [s.send("buy", 50), s.stop("sell", 50, 92)]}
    margin = analyse(s.perp(bars), plan, IsolatedBroker(cash=1_000, leverage=10))
    (near,) = margin.get_analysis()["near_misses"]
    assert near["ended_by"] == "order"
    assert near["closest"]["distance"] == pytest.approx(1.5 / 92)


def test_a_low_before_the_entry_is_no_approach(scenario: Any, analyse: Any) -> None:
    """Bought at 102 after the low: 102 * 0.905 = 92.31, and 102 is the nearest."""
    s = scenario
    bars = [s.flat(100), (100, 105, 93, 105), s.flat(105)]
    plan = {0: [s.stop("buy", 10, 102)]}
    broker = IsolatedBroker(cash=1_000, leverage=10, bar_path="low_first")
    (near,) = analyse(s.perp(bars), plan, broker).get_analysis()["near_misses"]
    assert near["closest"]["distance"] == pytest.approx(0.095)
    assert near["closest"]["mark_price"] == pytest.approx(102)


def test_in_cross_the_other_positions_move_the_price(
    scenario: Any, analyse: Any
) -> None:
    """Long 50 A and short 20 B at 100, wallet 1,000 - 2.5 - 1 = 996.5, maintenance 35.

    At the low of A (90) B is at 110 on the same path: 996.5 - 500 - 200 - 35 = 261.5
    are left: 261.5 / 50 = 5.23 below 90, and 261.5 / 20 = 13.075 above 110.
    """
    s = scenario
    falls = [s.flat(100), s.flat(100), (100, 100, 90, 100), s.flat(100)]
    rises = [s.flat(100), s.flat(100), (100, 110, 100, 100), s.flat(100)]
    feeds = [s.perp(falls, "A"), s.perp(rises, "B")]
    plan = {0: [s.send("buy", 50, "a"), s.send("sell", 20, "b", data="B")]}
    broker = CrossBroker(cash=1_000, leverage=10, bar_path="low_first")
    found = analyse(feeds, plan, broker).get_analysis()
    near = {one["symbol"]: one["closest"] for one in found["near_misses"]}
    # With the low first A is at 90 while B is still at its own low of 100: 461.5 left.
    assert near["A"]["mark_price"] == 90
    assert near["A"]["distance"] == pytest.approx(461.5 / 50 / 90)
    # B's high comes when A is back at its high of 100.
    assert near["B"]["mark_price"] in (100, 110)
    to_b = min(461.5 / 20 / 100, (996.5 - 200 - 35) / 20 / 110)
    assert near["B"]["distance"] == pytest.approx(to_b)


def test_a_flip_ends_one_position_and_begins_another(
    scenario: Any, analyse: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 110, 110, 105)]
    plan = {0: [s.send("buy", 10)], 2: [s.send("sell", 15)]}
    margin = analyse(s.perp(bars), plan, CrossBroker(cash=1_000, leverage=10))
    long, short = margin.get_analysis()["positions"]
    assert (long["side"], short["side"]) == ("long", "short")
    assert long["closed"] == short["opened"] == s.moment(hours=3)
    assert long["realized_pnl"] == pytest.approx(100)
    assert long["fee"] == pytest.approx(-0.5 - 0.55)
    assert short["fee"] == pytest.approx(-0.275)
    assert short["closed"] is None


def test_without_fees_a_cross_position_leaves_no_entry_and_is_seen_all_the_same(
    scenario: Any, analyse: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 110, 110, 100, 100)]
    plan = {
        0: [s.send("buy", 10)],
        1: [s.send("sell", 10)],
        2: [s.send("sell", 5)],
        4: [s.close()],
    }
    broker = set_free(CrossBroker(cash=1_000))
    long, short = analyse(s.perp(bars), plan, broker).get_analysis()["positions"]
    assert (long["opened"], long["closed"]) == (s.moment(hours=1), s.moment(hours=2))
    assert (short["opened"], short["closed"]) == (s.moment(hours=3), s.moment(hours=5))
    assert [one["realized_pnl"] for one in (long, short)] == [100, 50]


def test_what_comes_after_a_close_without_an_entry_is_no_approach(
    scenario: Any, analyse: Any
) -> None:
    """Bought and sold at 100 without fees: the low of 85 after the sale is not its."""
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 85, 90), s.flat(90)]
    plan = {0: [s.send("buy", 50)], 1: [s.send("sell", 50)]}
    broker = set_free(CrossBroker(cash=1_000))
    (near,) = analyse(s.perp(bars), plan, broker).get_analysis()["near_misses"]
    # 1,000 - 25 = 975 on 50: 80.5 is the liquidation price
    assert near["closest"]["distance"] == pytest.approx(0.195)
    assert near["realized_pnl"] == near["fee"] == 0


def test_both_legs_of_a_hedge_have_their_own_funding(
    scenario: Any, analyse: Any
) -> None:
    s = scenario
    bars = [s.flat(100)] * 5
    plan = {
        0: [
            s.send("buy", 10, "l", position_side="long"),
            s.send("sell", 4, "s", position_side="short"),
        ],
        3: [s.send("buy", 4, "c", position_side="short")],
    }
    for maker in (IsolatedBroker, CrossBroker):
        broker = maker(cash=1_000, leverage=5, position_mode="hedge")
        feed = s.perp(bars, funding=s.stamps({s.moment(hours=2): 0.001}))
        found = analyse(feed, plan, broker).get_analysis()
        legs = {one["leg"]: one for one in found["positions"]}
        assert legs["long"]["funding"] == pytest.approx(-1.0)
        assert legs["short"]["funding"] == pytest.approx(0.4)
        assert legs["long"]["fee"] == pytest.approx(-0.5)
        assert legs["short"]["fee"] == pytest.approx(-0.4)
        assert legs["long"]["closed"] is None
        assert legs["short"]["closed"] == s.moment(hours=4)


def test_both_legs_of_a_hedge_end_in_one_liquidation(
    scenario: Any, analyse: Any
) -> None:
    """Long 30 and short 10 at 100 on 450: at 60 the short gains 400, the long loses
    1,200, and both are taken."""
    s = scenario
    bars = [s.flat(100), s.flat(100), s.flat(95), s.flat(60), s.flat(60)]
    plan = {
        0: [
            s.send("buy", 30, "l", position_side="long"),
            s.send("sell", 10, "s", position_side="short"),
        ]
    }
    broker = CrossBroker(cash=450, leverage=10, position_mode="hedge")
    found = analyse(s.perp(bars), plan, broker).get_analysis()
    legs = {one["leg"]: one for one in found["positions"]}
    assert legs["long"]["ended_by"] == legs["short"]["ended_by"] == "liquidation"
    assert legs["long"]["realized_pnl"] == pytest.approx(30 * (60 - 100))
    assert legs["short"]["realized_pnl"] == pytest.approx(10 * (100 - 60))
    (taken,) = found["contagion"]
    assert taken["event"]["leg"] == "short"
    assert taken["unrealized_pnl"] == pytest.approx(400)


def test_two_strategies_on_one_account(scenario: Any, verify: Any) -> None:
    """Each analyzer tells of the whole account."""
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 100, 110, 110, 110)]
    broker = CrossBroker(cash=1_000, leverage=10)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(s.perp(bars))
    cerebro.addstrategy(
        s.Recorder, plan={0: [s.send("buy", 10)], 2: [s.send("sell", 10)]}
    )
    cerebro.addstrategy(
        s.Recorder, plan={0: [s.send("buy", 5)], 4: [s.send("sell", 5)]}
    )
    cerebro.addanalyzer(Margin, _name="margin")
    first, second = (one.analyzers.margin for one in cerebro.run())
    for margin in (first, second):
        verify(margin, broker)
        (position,) = margin.get_analysis()["positions"]
        assert position["opened"] == s.moment(hours=1)
        assert position["closed"] == s.moment(hours=6)


# Orders


def test_a_refused_order_says_what_it_needed_and_what_there_was(
    scenario: Any, analyse: Any
) -> None:
    """20,000 at 10x need 2,000 and a fee of 10."""
    s = scenario
    plan = {0: [s.send("buy", 200)]}
    broker = IsolatedBroker(cash=1_000, leverage=10)
    margin = analyse(s.perp([s.flat(100)] * 3), plan, broker)
    (refused,) = margin.get_analysis()["refused"]
    assert (refused["need"], refused["have"]) == (2_010, 1_000)
    assert (refused["symbol"], refused["size"]) == ("A", 200)
    assert "99.5025 would pass" in refused["reason"]


def test_an_order_below_the_minimum_is_refused_with_its_reason(
    scenario: Any, analyse: Any
) -> None:
    s = scenario
    broker = s.set_contract(IsolatedBroker(cash=1_000), min_quantity=5)
    found = analyse(s.perp([s.flat(100)] * 3), {0: [s.send("buy", 1)]}, broker)
    (refused,) = found.get_analysis()["refused"]
    assert (refused["need"], refused["have"]) == (None, None)
    assert "send 5 or more" in refused["reason"]


# Series


def test_series_have_one_value_for_each_bar(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 92, 100)]
    plan = {0: [s.send("buy", 50)]}
    margin = analyse(s.perp(bars), plan, IsolatedBroker(cash=1_000, leverage=10))
    found = margin.get_analysis()
    series = found["series"]
    assert all(values.typecode == "d" for values in series.values())
    assert list(series["used"]) == [0, 500, 500, 500]
    assert list(series["idle"]) == [1_000, 497.5, 497.5, 497.5]
    # 25 of 500; at 92 the 500 are 100: 25 of 100
    assert list(series["margin_ratio"]) == pytest.approx([0, 0.05, 0.25, 0.05])
    leverage = [0, 5_000 / 997.5, 4_600 / 597.5, 5_000 / 997.5]
    assert list(series["effective_leverage"]) == pytest.approx(leverage)
    frame = margin.frame()
    assert frame.index[0] == s.START
    assert frame.index[-1] == s.moment(hours=3)
    assert frame["value"].tolist() == pytest.approx([1_000, 997.5, 597.5, 997.5])


def test_time_at_risk(scenario: Any, analyse: Any) -> None:
    """Held at the end of three bars of four; above 0.2 at the end of one."""
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 92, 100)]
    plan = {0: [s.send("buy", 50)]}
    broker = IsolatedBroker(cash=1_000, leverage=10)
    found = analyse(s.perp(bars), plan, broker, threshold=0.2).get_analysis()
    risk = found["time_at_risk"]
    assert risk["bars"] == 4
    assert risk["in_position"] == risk["in_position_time"] == 0.75
    assert risk["above_threshold"] == risk["above_threshold_time"] == 0.25


# Elsewhere


@pytest.mark.parametrize(
    "make",
    [
        lambda: bt.brokers.BackBroker(cash=1_000),
        lambda: MarginBroker(cash=1_000, margin_mode="off"),
    ],
    ids=["BackBroker", "off"],
)
def test_stock_accounting_says_that_there_is_no_margin(
    scenario: Any, make: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 110, 110)]
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(make())
    cerebro.adddata(s.perp(bars))
    plan = {0: [s.send("buy", 5)], 1: [s.send("buy", 500, "much")]}
    cerebro.addstrategy(s.Recorder, plan=plan)
    cerebro.addanalyzer(Margin, _name="margin")
    margin = cerebro.run()[0].analyzers.margin
    found = margin.get_analysis()
    assert found["accounting"] == "stock"
    assert "stock accounting" in str(margin) == found["note"]
    assert found["bridge"] is None
    assert found["liquidations"] == {"count": 0, "by_symbol": {}, "events": []}
    assert [one["reason"] for one in found["refused"]] == ["not enough cash"]
    assert list(margin.frame().columns) == ["value", "fund_value"]
    assert margin.returns(every=None).sum() == pytest.approx(0.05)


def test_it_works_beside_stock_analyzers_observers_and_a_writer(
    scenario: Any, verify: Any, tmp_path: Any
) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 105, 92, 95, 99)]
    broker = IsolatedBroker(cash=1_000, leverage=10)
    cerebro = bt.Cerebro()
    cerebro.setbroker(broker)
    cerebro.adddata(s.perp(bars))
    cerebro.addstrategy(s.Recorder, plan={0: [s.send("buy", 20)], 3: [s.close()]})
    cerebro.addanalyzer(Margin, _name="margin")
    for name in ("TradeAnalyzer", "DrawDown", "TimeReturn", "PyFolio", "Transactions"):
        cerebro.addanalyzer(getattr(bt.analyzers, name))
    cerebro.addwriter(bt.WriterFile, out=str(tmp_path / "out.txt"))
    margin = cerebro.run()[0].analyzers.margin
    verify(margin, broker)
    assert "near_misses" in (tmp_path / "out.txt").read_text(encoding="utf-8")
    margin.print(out=str(tmp_path / "printed.txt"))


@pytest.mark.parametrize(
    "settings",
    [
        {"runonce": False},
        {"preload": False},
        {"exactbars": 1},
        {"cheat_on_open": True},
        {"quicknotify": True},
    ],
    ids=str,
)
def test_run_modes_make_no_difference(
    scenario: Any, tools: Any, settings: dict[str, Any]
) -> None:
    def run(**settings: Any) -> Any:
        broker = CrossBroker(cash=3_000, leverage=10)
        run = tools.record(
            broker,
            tools.soup,
            tools.random_walk(seed=3),
            prepare=lambda c: c.addanalyzer(Margin, _name="margin"),
            **settings,
        )
        return run.strategy.analyzers.margin.get_analysis()

    usual, other = run(), run(**settings)
    assert usual["positions"]
    for found in (usual, other):
        del found["series"]["time"]
        found["refused"] = [  # the reference in it counts up through the process
            (one["time"], one["size"], one["need"]) for one in found["refused"]
        ]
    assert pickle.dumps(plain(usual)) == pickle.dumps(plain(other))


def plain(found: Any) -> str:
    return repr({name: value for name, value in found.items() if name != "series"})


def test_a_resampled_clone_is_one_instrument_with_its_feed(
    scenario: Any, tools: Any, verify: Any
) -> None:
    s = scenario
    frame = tools.random_walk(bars=120, seed=5)
    broker = IsolatedBroker(cash=3_000, leverage=10)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    feed = tools.stock_feed(frame)
    cerebro.adddata(feed, name="A")
    cerebro.resampledata(
        feed, timeframe=bt.TimeFrame.Minutes, compression=240, name="B"
    )
    plan = {3: [s.send("buy", 50)], 9: [s.close()], 15: [s.send("sell", 30, data="B")]}
    cerebro.addstrategy(s.Recorder, plan=plan)
    cerebro.addanalyzer(Margin, _name="margin")
    margin = cerebro.run()[0].analyzers.margin
    verify(margin, broker)
    assert {one["symbol"] for one in margin.get_analysis()["positions"]} == {"A"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("atr_period", 0), ("atr_period", 2.5), ("threshold", "high"), ("period", 3)],
)
def test_a_wrong_parameter_is_refused(scenario: Any, name: str, value: Any) -> None:
    cerebro = bt.Cerebro()
    cerebro.adddata(scenario.perp([scenario.flat(100)] * 3))
    cerebro.addstrategy(bt.Strategy)
    cerebro.addanalyzer(Margin, **{name: value})
    with pytest.raises(ParameterError, match=name):
        cerebro.run()


def test_the_result_is_plain(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(100), s.flat(100), (100, 100, 89, 95), s.flat(110)]
    plan = {0: [s.send("buy", 50), s.send("buy", 5_000, "much")]}
    margin = analyse(s.perp(bars), plan, IsolatedBroker(cash=1_000, leverage=10))
    found = margin.get_analysis()
    data = pickle.dumps(dict(found))
    assert b"bt_margin" not in data
    assert pickle.loads(data) == found
    assert found["liquidations"]["events"][0]["time"].utcoffset() == timedelta()
    assert bt_margin.analyzers.Margin is Margin
