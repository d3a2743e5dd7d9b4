"""Bars that are slept through leave everything as it is.

Backtrader's own loop asks for cash and value at every bar, which wakes the broker. The
strategies here leave that out, as a leaner loop does, so that the broker does sleep.
"""

import random
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin.core.ledger import LedgerEntry

from .conftest import candles, random_walk

BOTH = pytest.mark.parametrize("mode", ["isolated", "cross"])


class Quiet(bt.Strategy):
    """Leaves cash and value alone unless orders or trades are to be told of."""

    params: Any = (("seed", 1), ("every", 17), ("asks", 0.0), ("share", 0.3))

    def __init__(self) -> None:
        self.rng = random.Random(self.p.seed)
        self.told: list[Any] = []
        self.asked: list[Any] = []

    def _notify(self, qorders: Any = (), qtrades: Any = ()) -> None:
        if self._orderspending or self._tradespending:
            super()._notify()

    def notify_order(self, order: Any) -> None:
        told = (order.status, order.executed.size, order.executed.price)
        self.told.append((len(self), *told))

    def notify_trade(self, trade: Any) -> None:
        self.told.append((len(self), trade.status, trade.pnl, trade.pnlcomm))

    def next(self) -> None:
        if self.rng.random() < self.p.asks:
            broker = self.broker
            self.asked.append(
                (
                    len(self),
                    broker.getvalue(),
                    broker.getcash(),
                    broker.fundvalue,
                    broker.time,
                    [broker.mark(data) for data in self.datas if len(data)],
                    [broker.liquidation_price(data) for data in self.datas],
                )
            )
        for data in self.datas:
            if self.rng.random() * self.p.every < 1 and len(data):
                self.trade(data)

    def trade(self, data: Any) -> None:
        if self.getposition(data).size and self.rng.random() < 0.6:
            self.close(data)
            return
        notional = self.p.share * 10_000 * self.broker.p.leverage
        kind = self.rng.choice([bt.Order.Market, bt.Order.Limit, bt.Order.Stop])
        price = data.close[0] * self.rng.choice([0.995, 1.005])
        send = self.rng.choice([self.buy, self.sell])
        words = {} if kind == bt.Order.Market else {"price": price, "exectype": kind}
        send(data=data, size=notional / data.close[0], **words)


def run(feeds: Any, mode: str, *, awake: bool, **params: Any) -> Any:
    words = {
        name: params.pop(name)
        for name in ("leverage", "accelerate", "fill_order")
        if name in params
    }
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker(
        cash=10_000.0, margin_mode=mode, **{"leverage": 10.0, **words}
    )
    cerebro.setbroker(broker)
    for name, frames in feeds.items():
        cerebro.adddata(bt_margin.PerpData(**frames), name=name)
    cerebro.addstrategy(Quiet, **params)
    if awake:
        stay_awake(broker)
    slept = count_sleep(broker)
    strategy = cerebro.run()[0]
    strategy.slept = slept
    return strategy


def stay_awake(broker: Any) -> None:
    """Let a broker look at every bar of its run."""
    start = broker.start

    def start_awake() -> None:
        start()
        broker.keep_awake()

    broker.start = start_awake


def count_sleep(broker: Any) -> list[int]:
    """How many bars were slept through, without being woken in them."""
    counts = [0]
    init = broker.init

    def counting() -> None:
        init()
        sleeps, wake = broker._watch.sleeps, broker._watch.wake

        def sleeps_and_counts() -> bool:
            found = bool(sleeps())
            counts[0] += found
            return found

        def wake_and_count() -> None:
            counts[0] -= broker._watch.is_asleep
            wake()

        broker._watch.sleeps, broker._watch.wake = sleeps_and_counts, wake_and_count

    broker.init = counting
    return counts


def plain(entry: LedgerEntry) -> tuple[Any, ...]:
    """An entry without its order's number, which goes on from run to run."""
    return (entry.time, entry.kind, entry.wallet, entry.symbol, entry.amount)


def outcome(strategy: Any) -> tuple[Any, ...]:
    broker = strategy.broker
    return (
        [plain(entry) for entry in broker.ledger],
        broker.liquidations,
        broker.fundings,
        strategy.told,
        strategy.asked,
        broker.getvalue(),
        broker.getcash(),
        broker.ambiguities,
    )


def market(seed: int, symbols: int, bars: int = 400) -> dict[str, dict[str, Any]]:
    """Hourly candles with mark and funding, one symbol with half of the bars."""
    feeds = {}
    for number in range(symbols):
        frame = random_walk(bars, seed=seed + number, step=0.004)
        if number == 1:
            frame = frame.iloc[::2]
        frame = frame.iloc[number * 5 :]
        stamps = pd.date_range("2024-01-01", periods=bars // 8, freq="8h")
        funding = pd.DataFrame({"funding_rate": 0.0005}, index=stamps)
        mark = frame[["open", "high", "low", "close"]] * 1.001
        feeds[f"S{number}"] = {
            "dataname": frame,
            "mark": (None, mark, mark.iloc[::4])[(seed + number) % 3],
            "funding": (None, funding)[(seed + number) % 2],
        }
    return feeds


@BOTH
@pytest.mark.parametrize("symbols", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_missed(mode: str, symbols: int, seed: int) -> None:
    feeds = market(seed, symbols)
    words: dict[str, Any] = {
        "seed": seed,
        "asks": (0.0, 0.1)[seed % 2],
        "leverage": (10.0, 40.0)[seed % 2],
    }
    words["fill_order"] = ("queue", "path")[seed % 2]
    words["accelerate"] = seed < 3
    asleep = run(feeds, mode, awake=False, **words)
    awake = run(feeds, mode, awake=True, **words)
    assert outcome(asleep) == outcome(awake)
    assert asleep.slept[0] > 20
    assert awake.slept[0] == 0


@BOTH
def test_a_liquidation_is_not_slept_through(mode: str) -> None:
    # 1,000 of 10,000 at 10x hold until 90.5; the fall begins after a calm stretch.
    prices = [100.0] * 30 + [100.0 - n for n in range(1, 20)] + [81.0] * 5
    frame = candles([(p, p, p, p) for p in prices])

    class Once(Quiet):
        def next(self) -> None:
            if len(self) == 2:
                self.buy(size=1_000 if self.broker.p.margin_mode == "cross" else 100)

    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker(cash=10_100.0, margin_mode=mode, leverage=10.0)
    slept = count_sleep(broker)
    cerebro.setbroker(broker)
    cerebro.adddata(bt_margin.PerpData(dataname=frame), name="BTC")
    cerebro.addstrategy(Once)
    cerebro.run()
    (event,) = broker.liquidations
    assert event.mark_price == pytest.approx(90.0, abs=1)
    assert slept[0] >= 25


@BOTH
def test_a_stamp_is_paid_by_who_holds_then(mode: str) -> None:
    # Held over 08:00 and 16:00 only: two payments of 1 % of 1,000.
    frame = candles([(100.0,) * 4] * 40)
    stamps = pd.date_range("2024-01-01", periods=5, freq="8h")
    funding = pd.DataFrame({"funding_rate": 0.01}, index=stamps)

    class Once(Quiet):
        def next(self) -> None:
            if len(self) == 3:
                self.buy(size=10)
            if len(self) == 20:
                self.close()

    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker(cash=1_000.0, margin_mode=mode, leverage=5.0)
    slept = count_sleep(broker)
    cerebro.setbroker(broker)
    cerebro.adddata(bt_margin.PerpData(dataname=frame, funding=funding), name="BTC")
    cerebro.addstrategy(Once)
    cerebro.run()
    paid = [(event.time.hour, event.payment) for event in broker.fundings]
    assert paid == [(8, pytest.approx(-10)), (16, pytest.approx(-10))]
    assert slept[0] >= 20


# What is done between bars, or by other clocks


class Plan(Quiet):
    """Does what its plan says at a bar."""

    params: Any = (("plan", None), ("early", None))

    def next_open(self) -> None:
        if self.p.early and len(self) in self.p.early:
            self.asked.append(self.broker.getvalue())
            self.p.early[len(self)](self)

    def next(self) -> None:
        if len(self) in self.p.plan:
            self.p.plan[len(self)](self)


def planned(
    frames: Any, mode: str, plan: Any, *, awake: bool, leverage: float, **words: Any
) -> Any:
    """A run of a plan; frames are those of the feeds, by name."""
    early = words.pop("early", None)
    cerebro = bt.Cerebro(stdstats=False, cheat_on_open=early is not None)
    broker: Any = bt_margin.MarginBroker(
        cash=10_000.0, margin_mode=mode, leverage=leverage
    )
    scheme: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(scheme(maker_fee_rate=0, taker_fee_rate=0))
    cerebro.setbroker(broker)
    for name, frame in frames.items():
        cerebro.adddata(bt_margin.PerpData(**frame), name=name)
    cerebro.addstrategy(Plan, plan=plan, early=early)
    if awake:
        stay_awake(broker)
    slept = count_sleep(broker)
    strategy = cerebro.run()[0]
    strategy.slept = slept
    return strategy


def buy(size: float) -> Any:
    return lambda s: s.buy(data=s.datas[0], size=size)


CALM_THEN_FALL = [100.0] * 12 + [100.0 - n for n in range(1, 25)] + [76.0] * 4


@pytest.mark.parametrize(
    ("mode", "leverage", "size", "act"),
    [
        pytest.param(
            *("cross", 50.0, 50, lambda s: s.broker.add_cash(-9_700)), id="withdraws"
        ),
        pytest.param(*("cross", 50.0, 50, lambda s: s.broker.setcash(300)), id="sets"),
        pytest.param(
            *("isolated", 3.0, 50, lambda s: s.broker.set_leverage(s.data, 50)),
            id="raises the leverage",
        ),
    ],
)
def test_what_a_strategy_takes_away_is_looked_at(
    mode: str, leverage: float, size: float, act: Any
) -> None:
    frames = {"BTC": {"dataname": candles([(p,) * 4 for p in CALM_THEN_FALL])}}
    plan = {2: buy(size), 7: act}
    asleep, awake = (
        planned(frames, mode, plan, awake=is_awake, leverage=leverage)
        for is_awake in (False, True)
    )
    assert len(awake.broker.liquidations) == 1
    assert outcome(asleep) == outcome(awake)
    assert asleep.slept[0] > 0


def test_removed_margin_is_looked_at() -> None:
    frames = {"BTC": {"dataname": candles([(p,) * 4 for p in CALM_THEN_FALL])}}
    plan = {
        2: buy(50),
        4: lambda s: s.broker.add_margin(s.data, 4_000),
        10: lambda s: s.broker.remove_margin(s.data, s.broker.max_removable(s.data)),
    }
    asleep, awake = (
        planned(frames, "isolated", plan, awake=is_awake, leverage=50.0)
        for is_awake in (False, True)
    )
    assert len(awake.broker.liquidations) == 1
    assert outcome(asleep) == outcome(awake)


@BOTH
def test_stamps_in_a_gap_of_the_held_feed_are_paid(mode: str) -> None:
    # A has no bars from 06:00 to 20:00, B has: 08:00 and 16:00 are due all the same.
    whole = candles([(100.0,) * 4] * 30)
    stamps = pd.date_range("2024-01-01", periods=4, freq="8h")
    funding = pd.DataFrame({"funding_rate": 0.01}, index=stamps)
    gap = pd.concat([whole.iloc[:6], whole.iloc[20:]])
    for frames in (
        {"A": {"dataname": gap, "funding": funding}, "B": {"dataname": whole}},
        {"A": {"dataname": gap, "funding": funding}},
    ):
        runs = [
            planned(frames, mode, {2: buy(10)}, awake=is_awake, leverage=5.0)
            for is_awake in (False, True)
        ]
        assert outcome(runs[0]) == outcome(runs[1])
        paid = [event.time.hour for event in runs[0].broker.fundings]
        assert paid[:2] == [8, 16]


@BOTH
def test_a_slow_feed_whose_times_are_closes_pays_its_stamps(mode: str) -> None:
    fast = candles([(100.0,) * 4] * 72)
    fast.index = fast.index + pd.Timedelta("1h")
    slow = candles([(100.0,) * 4] * 3, every="1D", start="2024-01-02")
    stamps = pd.date_range("2024-01-01", periods=9, freq="8h")
    funding = pd.DataFrame({"funding_rate": 0.001}, index=stamps)
    frames = {
        "A": {"dataname": slow, "funding": funding, "bar_time": "close"},
        "B": {"dataname": fast, "bar_time": "close"},
    }
    plan = {1: buy(10)}
    runs = [
        planned(frames, mode, plan, awake=is_awake, leverage=5.0)
        for is_awake in (False, True)
    ]
    assert outcome(runs[0]) == outcome(runs[1])


@BOTH
def test_cheating_on_open_sees_no_close_ahead(mode: str) -> None:
    prices = [100.0 + n * 0.3 for n in range(30)]
    frames = {"BTC": {"dataname": candles([(p,) * 4 for p in prices])}}
    early = {n: (lambda s: None) for n in range(2, 28)} | {9: buy(5)}
    runs = [
        planned(frames, mode, {}, awake=is_awake, leverage=5.0, early=dict(early))
        for is_awake in (False, True)
    ]
    assert outcome(runs[0]) == outcome(runs[1])
    assert runs[0].asked == runs[1].asked
