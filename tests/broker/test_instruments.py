"""Feeds: several of one instrument, finer candles inside, lines, ends, steps."""

import logging
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin.core.errors import MarginError, ParameterError, UnknownNameError

Candle = tuple[float, float, float, float]
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
RIVER = SHARED / "binance_usdm_1m_river_xag_2026"
BOTH = [bt_margin.IsolatedBroker, bt_margin.CrossBroker]


def frame(bars: list[Candle], freq: str = "1h", start: str = "2024-01-01") -> Any:
    result = pd.DataFrame(bars, columns=["open", "high", "low", "close"])
    result.index = pd.date_range(start, periods=len(bars), freq=freq)
    return result.assign(volume=1.0)


def flat(price: float, count: int) -> list[Candle]:
    return [(price, price, price, price)] * count


class Plan(bt.Strategy):
    """Does at a bar's end what the plan says; keeps what it is told."""

    params = (("plan", None),)

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.trades: list[Any] = []

    def next(self) -> None:
        for act in self.p.plan.get(len(self), []):
            act(self)

    def notify_order(self, order: Any) -> None:
        self.told.append(order)

    def notify_trade(self, trade: Any) -> None:
        self.trades.append((trade.data._name, trade.isclosed, trade.pnl))


def run(broker: Any, plan: dict[int, list[Any]], *feeds: Any, resample: int = 0) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    for feed in feeds:
        cerebro.adddata(feed)
    if resample:
        unit = bt.TimeFrame.Minutes
        cerebro.resampledata(
            feeds[0], timeframe=unit, compression=resample, name="slow"
        )
    cerebro.addstrategy(Plan, plan=plan)
    return cerebro.run()[0]


def perp(bars: list[Candle], name: str = "X", freq: str = "1h", **more: Any) -> Any:
    return bt_margin.PerpData(dataname=frame(bars, freq), name=name, **more)


# One instrument on two feeds


@pytest.mark.parametrize("broker", BOTH)
def test_a_clone_and_its_feed_hold_one_position_booked_on_the_feed(broker: Any) -> None:
    held = []
    plan = {
        5: [lambda s: s.buy(data=s.data1, size=3)],
        14: [lambda s: held.append([s.getposition(d).size for d in s.datas])],
        15: [lambda s: s.close(data=s.data0)],
    }
    feed = perp(flat(100, 30), freq="1min")
    strategy = run(broker(cash=1_000, leverage=10), plan, feed, resample=5)
    assert held == [[3, 3]]
    assert [name for name, _, _ in strategy.trades] == ["X", "X"]
    assert strategy.trades[-1][1]
    assert strategy.broker.account.positions == {}
    assert feed._compensate is None


def test_switched_off_they_are_two() -> None:
    held = []
    plan = {
        5: [lambda s: s.buy(data=s.data1, size=3)],
        14: [lambda s: held.append([s.getposition(d).size for d in s.datas])],
    }
    broker = bt_margin.CrossBroker(cash=1_000, leverage=10, same_instrument=False)
    run(broker, plan, perp(flat(100, 30), freq="1min"), resample=5)
    assert held == [[0, 3]]


def test_two_feeds_are_one_when_the_user_says_so() -> None:
    one, other = perp(flat(100, 6), "A"), perp(flat(100, 6), "B")
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=10)
    broker.same_instrument(one, other)
    plan = {
        1: [lambda s: s.buy(data=s.data1, size=2)],
        3: [lambda s: s.sell(data=s.data0, size=2)],
    }
    strategy = run(broker, plan, one, other)
    assert strategy.trades == [("A", False, 0), ("A", True, 0)]


def test_a_pair_that_is_not_in_the_run_is_refused() -> None:
    broker = bt_margin.IsolatedBroker(cash=1_000)
    broker.same_instrument(perp(flat(1, 3), "A"), perp(flat(1, 3), "B"))
    with pytest.raises(ParameterError, match="add both feeds"):
        run(broker, {}, perp(flat(1, 3), "C"))


# Ends, lines and constants


def test_a_feed_that_has_ended_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    long, short = perp(flat(100, 10), "A"), perp(flat(50, 4), "B")
    plan = {2: [lambda s: s.buy(data=s.data1, size=1)]}
    with caplog.at_level(logging.WARNING, logger="bt_margin"):
        strategy = run(bt_margin.CrossBroker(cash=1_000), plan, long, short)
    (record,) = caplog.records
    assert "B has ended" in record.getMessage()
    # It keeps its last price: 1,000 less the fee of 50 * 0.0005.
    assert strategy.broker.getvalue() == pytest.approx(999.975)


def test_one_rate_for_every_eight_hours() -> None:
    feed = perp(flat(100, 20), funding=0.001)
    strategy = run(
        bt_margin.CrossBroker(cash=1_000), {1: [lambda s: s.buy(size=2)]}, feed
    )
    # 2 * 100 * 0.001 at 08:00 and at 16:00; the stamp of 00:00 came before the entry.
    assert [event.payment for event in strategy.broker.fundings] == [-0.2, -0.2]


class WithRates(bt.feeds.PandasData):
    """A stock feed with a line of rates."""

    lines = ("funding_rate",)
    params = (("funding_rate", "funding_rate"),)


@pytest.mark.parametrize("runonce", [True, False])
def test_a_line_of_rates_pays_at_the_bars_start(runonce: bool) -> None:
    bars = frame(flat(100, 8)).assign(funding_rate=[0.0] * 3 + [0.001] * 2 + [0.0] * 3)
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    broker = bt_margin.IsolatedBroker(cash=1_000)
    cerebro.setbroker(broker)
    cerebro.adddata(WithRates(dataname=bars, name="X"))
    # Filled at the open of the fourth bar, after its stamp.
    cerebro.addstrategy(Plan, plan={3: [lambda s: s.sell(size=2)]})
    cerebro.run()
    assert [f"{e.time:%H:%M} {e.payment:+.1f}" for e in broker.fundings] == [
        "04:00 +0.2"
    ]


# Finer candles inside


def minutes(*prices: float) -> list[Candle]:
    return [(p, p, p, p) for p in prices]


@pytest.mark.parametrize("broker", BOTH)
@pytest.mark.parametrize(
    ("inside", "price"),
    [
        pytest.param((100, 110, 95, 100), 110, id="the target came first"),
        pytest.param((100, 95, 110, 100), 95, id="the stop came first"),
    ],
)
def test_detail_tells_what_came_first(
    broker: Any, inside: tuple[float, ...], price: float
) -> None:
    bars = [*flat(100, 3), (100, 110, 95, 100), *flat(100, 2)]
    detail = [*minutes(*[100] * 12), *minutes(*inside), *minutes(*[100] * 8)]
    feed = perp(bars, detail=frame(detail, "15min"))
    plan = {
        1: [lambda s: s.buy_bracket(size=10, exectype=0, stopprice=95, limitprice=110)]
    }
    path = broker(cash=1_000, leverage=5, fill_order="path")
    strategy = run(path, plan, feed)
    assert strategy.told[-2].executed.price == price


@pytest.mark.parametrize("broker", BOTH)
@pytest.mark.parametrize(
    ("detailed", "alive"),
    [
        pytest.param(False, False, id="the coarse path: liquidated after the entry"),
        pytest.param(True, True, id="the detail: the fall came before the entry"),
    ],
)
def test_detail_tells_whether_the_fall_came_before_the_entry(
    broker: Any, detailed: bool, alive: bool
) -> None:
    # The high is nearer the open: the coarse path enters at 101 and then falls to 85.
    bars = [*flat(100, 2), (100, 102, 85, 101), *flat(101, 2)]
    inside = [
        (100, 100, 85, 90),
        (90, 95, 90, 95),
        (95, 102, 95, 102),
        (102, 102, 101, 101),
    ]
    detail = (
        frame([*flat(100, 8), *inside, *flat(101, 8)], "15min") if detailed else None
    )
    plan = {2: [lambda s: s.buy(size=10, price=101, exectype=bt.Order.Stop)]}
    just_enough = broker(cash=102, leverage=10)
    strategy = run(just_enough, plan, perp(bars, detail=detail))
    assert bool(strategy.broker.account.positions) is alive


def test_a_missing_fine_candle_is_a_jump_and_no_line() -> None:
    # 100 until 02:30, nothing until 02:45, then 80: never at 90.5 on the way.
    bars = [*flat(100, 2), (100, 100, 80, 80), *flat(80, 2)]
    detail = frame([*flat(100, 10), *flat(0.01, 1), *flat(80, 9)], "15min")
    detail = detail.drop(detail.index[10])
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=10)
    run(broker, {1: [lambda s: s.buy(size=10)]}, perp(bars, detail=detail))
    (event,) = broker.liquidations
    assert f"{event.time:%H:%M}" == "02:45"
    assert event.mark_price == 80


def test_a_stop_inside_a_jump_fills_where_the_jump_lands() -> None:
    # 100 until 02:30, then 110: nothing was traded at 101.
    bars = [*flat(100, 2), (100, 110, 100, 110), *flat(110, 2)]
    detail = frame([*flat(100, 10), *flat(110, 10)], "15min")
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=5, fill_order="path")
    plan = {1: [lambda s: s.buy(size=1, price=101, exectype=bt.Order.Stop)]}
    strategy = run(broker, plan, perp(bars, detail=detail))
    assert strategy.told[-1].executed.price == 110


def test_marks_and_funding_for_a_feed_that_is_not_there_are_refused() -> None:
    broker = bt_margin.IsolatedBroker(cash=1_000)
    broker.add_mark("Y", frame(flat(100, 3)))
    with pytest.raises(UnknownNameError, match="unknown feed 'Y': choose one of X"):
        run(broker, {}, perp(flat(100, 3)))


@pytest.mark.parametrize(
    ("waits", "fee"),
    [
        pytest.param(0, 105 * 0.0005, id="triggered in its first bar: taker"),
        pytest.param(3, 105 * 0.0005, id="triggered after a wait: taker all the same"),
    ],
)
def test_a_stop_limit_is_in_the_book_from_its_trigger_on(
    waits: int, fee: float
) -> None:
    bars = [*flat(100, 2 + waits), (100, 107, 100, 107), *flat(107, 1)]
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=5)
    words = {"size": 1, "price": 105, "plimit": 106, "exectype": bt.Order.StopLimit}
    run(broker, {2: [lambda s: s.buy(**words)]}, perp(bars))
    (paid,) = [e.amount for e in broker.ledger if e.kind == "fee"]
    assert paid == pytest.approx(-fee)


def test_a_deposit_before_the_first_bar_is_booked() -> None:
    class Saver(Plan):
        def start(self) -> None:
            self.broker.add_cash(100)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt_margin.CrossBroker(cash=1_000))
    cerebro.adddata(perp(flat(100, 3)))
    cerebro.addstrategy(Saver, plan={})
    cerebro.run()
    assert cerebro.broker.getvalue() == 1_100


def test_coins_beside_quote_currency_are_refused() -> None:
    broker = bt_margin.CrossBroker(cash=1_000)
    broker.addcommissioninfo(bt_margin.PerpCommission(inverse=True), name="B")
    with pytest.raises(ParameterError, match="a broker of its own"):
        run(broker, {}, perp(flat(100, 3), "A"), perp(flat(100, 3), "B"))


@pytest.mark.parametrize(
    ("names", "inverse", "coins"),
    [
        (("BTCUSDT", "ETHUSDC"), False, "USDT for BTCUSDT, USDC for ETHUSDC"),
        (("BTC/USDT:USDT", "ETHUSD"), False, "USDT for BTC/USDT:USDT, USD for ETHUSD"),
        (("BTCUSD", "ETHUSD"), True, "BTC for BTCUSD, ETH for ETHUSD"),
        (("BTC/USD:BTC", "ETH-USD"), True, "BTC for BTC/USD:BTC, ETH for ETH-USD"),
    ],
)
def test_two_settle_currencies_are_refused(
    names: tuple[str, str], inverse: bool, coins: str
) -> None:
    broker = bt_margin.CrossBroker(cash=1_000)
    broker.addcommissioninfo(bt_margin.PerpCommission(inverse=inverse))
    with pytest.raises(ParameterError) as refusal:
        run(broker, {}, *(perp(flat(100, 3), name) for name in names))
    assert coins in str(refusal.value)
    assert "give each settle currency a broker of its own" in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "inverse"),
    [
        (("BTCUSDT", "ETH-USDT-SWAP", "SOL/USDT:USDT", "BTCUSDT"), False),
        (("BTCUSDT", "BTC", "A", "coin0"), False),
        (("BTCUSD", "A", "coin0", "BTCUSD"), True),
    ],
)
def test_one_settle_currency_and_names_that_show_none_go_together(
    names: tuple[str, ...], inverse: bool
) -> None:
    broker = bt_margin.CrossBroker(cash=1_000)
    broker.addcommissioninfo(bt_margin.PerpCommission(inverse=inverse))
    feeds = [perp(flat(100, 3), name) for name in names]
    assert run(broker, {}, *feeds).broker.getvalue() == 1_000


def test_at_a_venue_of_coins_a_coin_is_a_name() -> None:
    broker = bt_margin.CrossBroker(cash=1, venue="bybit")
    broker.addcommissioninfo(bt_margin.PerpCommission(inverse=True))
    with pytest.raises(ParameterError, match="BTC for BTC, ETH for ETH"):
        run(broker, {}, perp(flat(100, 3), "BTC"), perp(flat(100, 3), "ETH"))


def test_a_question_about_margin_under_stock_accounting_says_so() -> None:
    broker = bt_margin.MarginBroker(margin_mode="off", cash=1_000)
    with pytest.raises(MarginError, match="knows no margin"):
        run(broker, {1: [lambda s: s.broker.margin_ratio()]}, perp(flat(100, 3)))


def test_detail_coarser_than_the_bars_is_refused() -> None:
    with pytest.raises(ParameterError, match="finer than the bars"):
        perp(flat(100, 4), detail=frame(flat(100, 4), "2h"))


def turns(bars_an_hour: int, target: float) -> dict[int, list[Any]]:
    """By market at the edge of every twelfth hour, long and short by turns."""

    def to(share: float) -> Any:
        return lambda strategy: strategy.order_target_percent(target=share)

    hours = range(12, 790, 12)
    return {
        hour * bars_an_hour: [to(target if hour % 24 else -target)] for hour in hours
    }


@pytest.mark.skipif(not RIVER.is_dir(), reason=f"no real market at {RIVER}")
@pytest.mark.parametrize(
    ("mode", "target", "least"), [("isolated", 0.5, 20), ("cross", 8.0, 1)]
)
def test_hours_with_minutes_inside_liquidate_as_minutes_do(
    mode: str, target: float, least: int
) -> None:
    data = bt_margin.load_market(RIVER, symbols="RIVERUSDT")["RIVERUSDT"]
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    hours = data.trade.resample("1h").agg({**rules, "volume": "sum"})
    beside = {"mark": data.mark, "funding": data.funding, "name": "RIVERUSDT"}

    def liquidations(feed: Any, bars_an_hour: int) -> list[tuple[Any, float]]:
        broker = bt_margin.MarginBroker(margin_mode=mode, leverage=20, cash=1_000_000)
        run(broker, turns(bars_an_hour, target), feed)
        return [(event.time, event.mark_price) for event in broker.liquidations]

    by_minutes = liquidations(bt_margin.PerpData(dataname=data.trade, **beside), 60)
    detailed = bt_margin.PerpData(dataname=hours, detail=data.trade, **beside)
    by_detail = liquidations(detailed, 1)
    assert len(by_minutes) == len(by_detail) >= least
    for one, other in zip(by_minutes, by_detail, strict=True):
        assert abs(one[0] - other[0]) <= pd.Timedelta(minutes=1)
        assert one[1] == pytest.approx(other[1])


# Steps, ticks and minimums


def contract(**facts: Any) -> Any:
    broker = bt_margin.IsolatedBroker(cash=10_000, leverage=10)
    broker.addcommissioninfo(bt_margin.PerpCommission(**facts), name="X")
    return broker


def test_sizes_snap_down_and_prices_never_to_a_better_one() -> None:
    broker = contract(size_step=0.5, price_tick=0.25)
    plan = {
        1: [
            lambda s: s.buy(size=1.7),
            lambda s: s.buy(size=1, price=90.1, exectype=bt.Order.Limit),
            lambda s: s.sell(size=1, price=110.1, exectype=bt.Order.Limit),
        ]
    }
    strategy = run(broker, plan, perp(flat(100, 4)))
    sent = [order for order in strategy.told if order.status == order.Submitted]
    assert [abs(order.created.size) for order in sent] == [1.5, 1.0, 1.0]
    assert [order.created.price for order in sent] == [100, 90.25, 110.0]


@pytest.mark.parametrize(
    ("facts", "size", "reason"),
    [
        pytest.param({"size_step": 1}, 0.4, "below the size step 1", id="size step"),
        pytest.param({"min_quantity": 2}, 1, "quantity 1 is too small", id="quantity"),
        pytest.param({"min_notional": 500}, 4, "notional 400 is too", id="notional"),
    ],
)
def test_an_order_below_a_minimum_is_rejected_with_the_reason(
    facts: dict[str, Any], size: float, reason: str
) -> None:
    broker = contract(**facts)
    strategy = run(broker, {1: [lambda s: s.buy(size=size)]}, perp(flat(100, 4)))
    order = strategy.told[-1]
    assert order.status == order.Rejected
    assert reason in order.info.reason


def test_a_close_below_the_minimum_is_taken() -> None:
    broker = contract(min_quantity=2)
    plan = {
        1: [lambda s: s.buy(size=3)],
        2: [lambda s: s.sell(size=2)],
        3: [lambda s: s.close()],
    }
    strategy = run(broker, plan, perp(flat(100, 6)))
    assert strategy.broker.account.positions == {}


# Ambiguous bars


def bracket(strategy: Any) -> None:
    strategy.buy_bracket(size=10, exectype=0, stopprice=95, limitprice=110)


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        pytest.param((100, 110, 94, 100), [("buy", 1)], id="stop and target: two ways"),
        pytest.param((100, 109, 94, 100), [], id="only the stop"),
        pytest.param((100, 111, 96, 100), [], id="only the target"),
    ],
)
def test_a_bar_is_ambiguous_when_something_waits_on_both_sides(
    bar: Candle, expected: list[Any]
) -> None:
    bars = [*flat(100, 3), bar, *flat(100, 2)]
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=5)
    run(broker, {1: [bracket]}, perp(bars))
    assert len(broker.ambiguities) == len(expected)
    for found in broker.ambiguities:
        assert (found.above, found.below) == ("sell limit 110", "sell stop 95")
        assert found.stake == 10 * (110 - 95)
        assert f"{found.time:%H:%M} {found.symbol}" == "03:00 X"


def test_an_entry_above_and_its_liquidation_below_are_ambiguous() -> None:
    # Entered at 101, dead at 101 * (1 - 0.1 + 0.005) = 91.405.
    bars = [*flat(100, 2), (100, 102, 85, 101), *flat(101, 2)]
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=10)
    plan = {2: [lambda s: s.buy(size=10, price=101, exectype=bt.Order.Stop)]}
    run(broker, plan, perp(bars))
    (found,) = broker.ambiguities
    assert (found.above, found.below) == ("buy stop 101", "liquidation 91.405")
    assert found.stake == pytest.approx(10 * (101 - 91.405))


def test_detail_leaves_nothing_ambiguous() -> None:
    bars = [*flat(100, 3), (100, 110, 94, 100), *flat(100, 2)]
    detail = frame(
        [*flat(100, 12), *minutes(100, 110, 94, 100), *flat(100, 8)], "15min"
    )
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=5)
    run(broker, {1: [bracket]}, perp(bars, detail=detail))
    assert broker.ambiguities == []


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        pytest.param(90, ["liquidation 90.5"], id="mark reached it: nobody knows when"),
        pytest.param(91, [], id="mark did not reach it"),
    ],
)
def test_a_coarse_mark_candle_that_reached_a_liquidation_is_ambiguous(
    low: float, expected: list[str]
) -> None:
    # Hours stay at 95 and above; mark candles of four hours say more.
    bars = [*flat(100, 5), (100, 100, 95, 100), *flat(100, 6)]
    marks: list[Candle] = [*flat(100, 1), (100, 100, low, 100), *flat(100, 1)]
    broker = bt_margin.IsolatedBroker(cash=1_000, leverage=10)
    feed = perp(bars, mark=frame(marks, "4h"))
    run(broker, {1: [lambda s: s.buy(size=10)]}, feed)
    assert broker.liquidations == []
    assert [found.above for found in broker.ambiguities] == expected
    for found in broker.ambiguities:
        assert f"{found.time:%H:%M}" == "04:00"
        assert found.below == "mark candle to 90, missed by the bars"
        assert found.stake == pytest.approx(95)
