"""Calm bars: what is left out of them shows nowhere.

A broker that sleeps, observers that owe their bars and feeds that move together, beside
Backtrader's own loop with a look at every bar: nothing may differ to the last bit.
"""

import random
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from bt_margin import MarginBroker, PerpData
from bt_margin.broker import lookout

from .conftest import Plain

BARS = 600  # of a minute
NAMES = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
Frames = list[dict[str, Any]]


def walk(seed: int, bars: int = BARS, *, step: float = 0.002) -> pd.DataFrame:
    """Minute candles of a random walk around 100."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, step, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    spread = 1 + rng.random((2, bars)) * step
    index = pd.date_range("2024-01-01", periods=bars, freq="1min", name="datetime")
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * spread[0],
            "low": np.minimum(opened, close) / spread[1],
            "close": close,
            "volume": 1.0,
        },
        index=index,
    )


def marks(frame: pd.DataFrame, every: str, premium: float = 1.0005) -> pd.DataFrame:
    """Mark candles on a grid, a little above the last price."""
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    found: pd.DataFrame = frame.resample(every).agg(rules) * premium
    return found


def half_minutes(frame: pd.DataFrame) -> pd.DataFrame:
    """Mark candles of half a minute: each minute's twice, the first up to its open."""
    prices = frame[["open", "high", "low", "close"]]
    first = prices.assign(close=prices["open"])
    later = prices.set_axis(prices.index + pd.Timedelta("30s"))
    return pd.concat([first, later]).sort_index()


STAMPS = pd.DataFrame(
    {"funding_rate": 0.0007},
    index=pd.date_range("2024-01-01", periods=6, freq="2h", name="datetime"),
)
FEEDS: dict[str, Callable[[], Frames]] = {
    "last is mark": lambda: [{"dataname": walk(1)}],
    "marks of each bar": lambda: [
        {"dataname": walk(2), "mark": marks(walk(2), "1min"), "funding": STAMPS}
    ],
    "marks of an hour": lambda: [
        {"dataname": walk(3), "mark": marks(walk(3), "1h"), "funding": STAMPS}
    ],
    "marks of half a minute": lambda: [
        {"dataname": walk(4), "mark": half_minutes(walk(4))}
    ],
    "marks that begin late and have a gap": lambda: [
        {
            "dataname": walk(5),
            "mark": marks(walk(5), "1min").iloc[50:].drop(walk(5).index[200:260]),
        }
    ],
    "finer candles inside": lambda: [
        {"dataname": five_minutes(walk(6)), "detail": walk(6)}
    ],
    "two symbols, side by side": lambda: [
        {"dataname": walk(7), "mark": marks(walk(7), "1h")},
        {"dataname": walk(8), "funding": STAMPS},
    ],
    "two symbols, one with gaps, one that begins late": lambda: [
        {"dataname": walk(9).iloc[np.arange(BARS) % 7 > 1]},
        {"dataname": walk(10).iloc[120:], "mark": marks(walk(10), "15min")},
    ],
    "three symbols, one ends early": lambda: [
        {"dataname": walk(11)},
        {"dataname": walk(12).iloc[:300]},
        {"dataname": five_minutes(walk(13))},
    ],
}


def five_minutes(frame: pd.DataFrame) -> pd.DataFrame:
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    found: pd.DataFrame = frame.resample("5min").agg({**rules, "volume": "sum"})
    return found


class Mixed(bt.Strategy):
    """Trades at random, with orders of most kinds, and mostly waits."""

    params: Any = (("seed", 1), ("share", 2.0), ("reads", False))

    def __init__(self) -> None:
        self.rng = random.Random(self.p.seed)
        self.heard: list[Any] = []
        self.average = bt.ind.SMA(self.data, period=5)

    def notify_order(self, order: Any) -> None:
        done = order.executed
        self.heard.append((len(self), order.status, done.price, done.size, done.dt))

    def notify_trade(self, trade: Any) -> None:
        self.heard.append((len(self), trade.status, repr(trade.pnlcomm)))

    def next(self) -> None:
        if self.p.reads:
            self.look()
        for data in self.datas:
            if len(data) and self.rng.random() < 0.03:
                self.trade(data)

    def look(self) -> None:
        """Ask broker and observers, now one and now another."""
        observer, ask = self.stats.broker, self.rng.random()
        if ask < 0.1 and len(observer) > 3:
            seen = (observer.value[0], observer.cash[-1], observer.value[-3])
            self.heard.append((len(observer), repr(seen)))
        elif ask < 0.15:
            self.heard.append(repr(list(observer.value.get(size=5))))
        elif ask < 0.2:
            money = (self.broker.getvalue(), self.broker.getcash())
            self.heard.append(repr((money, self.broker.fundvalue)))
        elif ask < 0.22:
            asked = self.broker.liquidation_price(self.data)
            self.heard.append((repr(asked), self.broker.time))

    def trade(self, data: Any) -> None:
        price, rng = data.close[0], self.rng
        size = self.p.share * self.broker.startingcash / price
        send, way = rng.choice([(self.buy, -1), (self.sell, 1)])
        what = rng.randrange(6)
        if self.getposition(data).size and what < 2:
            self.close(data)
        elif what == 2:
            words = {"exectype": bt.Order.Limit, "price": price * (1 + way * 0.004)}
            send(data=data, size=size, valid=rng.choice([None, 0.05]), **words)
        elif what == 3:
            words = {"exectype": bt.Order.Stop, "price": price * (1 - way * 0.004)}
            send(data=data, size=size, **words)
        elif what == 4:
            stop, limit = price * (1 + way * 0.006), price * (1 - way * 0.006)
            bracket = self.buy_bracket if way < 0 else self.sell_bracket
            bracket(
                data=data,
                size=size,
                exectype=bt.Order.Market,
                stopprice=stop,
                limitprice=limit,
            )
        elif what == 5:
            for order in list(self.broker.pending)[:1]:
                self.cancel(order)
        else:
            send(data=data, size=size)


def play(
    pictures: Any, frames: Frames, make: Any, *, params: Any, **words: Any
) -> tuple[Any, Any]:
    """A picture of a run, and its broker."""
    cerebro = bt.Cerebro(cheat_on_open=words.pop("cheat_on_open", False))
    broker = make(cash=1_000, **{"leverage": 20, **words})
    cerebro.setbroker(broker)
    for number, frame in enumerate(frames):
        cerebro.adddata(PerpData(**frame), name=NAMES[number])
    cerebro.addobserver(bt.observers.Value)
    cerebro.addobserver(bt.observers.Cash)
    cerebro.addstrategy(Mixed, **params)
    cerebro.run()
    return pictures.picture(cerebro), broker


def check(pictures: Any, feeds: str, *, params: Any = None, **words: Any) -> Any:
    """The broker of the accelerated run; nothing may differ."""
    frames, params = FEEDS[feeds](), params or {}
    fast, broker = play(pictures, frames, MarginBroker, params=params, **words)
    slow, _ = play(pictures, frames, Plain, params=params, **words)
    assert pictures.differences(fast, slow) == []
    return broker


@pytest.mark.parametrize("feeds", FEEDS)
@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("reads", [False, True], ids=["silent", "reads"])
def test_nothing_shows(pictures: Any, feeds: str, mode: str, reads: bool) -> None:
    params = {"reads": reads, "seed": len(feeds)}
    broker = check(pictures, feeds, params=params, margin_mode=mode)
    assert broker.calm.slept > BARS / 20
    assert len(broker.ledger) > 3


@pytest.mark.parametrize(
    "words",
    [
        {"venue": "binanceusdm", "leverage": 20},
        {"venue": "bybit", "leverage": 10},
        {"fill_order": "path"},
        {"bar_path": "worst"},
        {"order_margin": False},
        {"cheat_on_open": True},
        {"leverage": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_nothing_shows_under_other_rules(pictures: Any, words: Any, mode: str) -> None:
    params = {"reads": True, "seed": 3}
    names = "two symbols, side by side"
    if "venue" in words:
        names = "marks of an hour"
    check(pictures, names, params=params, margin_mode=mode, **words)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("feeds", FEEDS)
def test_nothing_shows_in_many_runs(pictures: Any, feeds: str, seed: int) -> None:
    mode = ("isolated", "cross")[seed % 2]
    params = {"reads": seed % 3 == 0, "seed": seed}
    words = {
        "leverage": (5, 20, 50)[seed % 3],
        "fill_order": ("queue", "path")[seed % 2],
    }
    check(pictures, feeds, params=params, margin_mode=mode, **words)


def test_a_bar_that_is_taken_for_calm_shows(
    pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, params = FEEDS["last is mark"](), {"seed": 2, "share": 20.0}
    slow, broker = play(pictures, frames, Plain, params=params, leverage=100)
    assert broker.liquidations
    monkeypatch.setattr(
        lookout, "stretch_outside", lambda highs, lows, first, last, *_: last
    )
    fast, _ = play(pictures, frames, MarginBroker, params=params, leverage=100)
    assert {"ledger", "liquidations"} <= {*pictures.differences(fast, slow)}


# What happens while the broker sleeps


class Planned(bt.Strategy):
    """Does what its plan says at a bar, and nothing else."""

    params: Any = (("plan", None),)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def notify_order(self, order: Any) -> None:
        self.heard.append((len(self), order.status, order.executed.price))

    def next(self) -> None:
        if len(self) in self.p.plan:
            self.p.plan[len(self)](self)


def planned(
    pictures: Any, make: Any, feeds: list[Any], plan: Any, **words: Any
) -> tuple[Any, Any]:
    """A picture of a run of a plan, and the Cerebro."""
    runs = {name: words.pop(name) for name in ("preload", "runonce") if name in words}
    cerebro = bt.Cerebro(**runs)
    cerebro.setbroker(make(cash=1_000, **{"leverage": 20, **words}))
    for number, feed in enumerate(feeds):
        cerebro.adddata(feed, name=NAMES[number])
    cerebro.addstrategy(Planned, plan=plan)
    cerebro.run()
    return pictures.picture(cerebro), cerebro


def flat(price: float = 100.0, bars: int = 200) -> pd.DataFrame:
    """Candles that move by a little around a price."""
    close = price + np.arange(bars) % 5 * 0.1
    index = pd.date_range("2024-01-01", periods=bars, freq="1min", name="datetime")
    candle = {"open": close, "high": close + 0.05, "low": close - 0.05, "close": close}
    return pd.DataFrame({**candle, "volume": 1.0}, index=index)


def twice(frame: pd.DataFrame) -> Any:
    """A stock feed in which every time comes twice."""
    index = frame.index[np.arange(len(frame)) // 2]
    return bt.feeds.PandasData(dataname=frame.set_axis(index), timeframe=4)


def buy(size: float, **words: Any) -> Callable[[Any], Any]:
    return lambda strategy: strategy.buy(size=size, **words)


LOW = {"exectype": bt.Order.Limit, "price": 80.0}


def first_order(strategy: Any) -> Any:
    return next(iter(strategy.broker.pending))


def scheme(**words: Any) -> Callable[[Any], None]:
    return lambda strategy: strategy.broker.setcommission(**words)


def gap(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.iloc[:30], frame.iloc[90:]])


STAMP = pd.DataFrame(
    {"funding_rate": 0.01}, index=pd.DatetimeIndex(["2024-01-01 01:00"])
)
CASES: dict[str, tuple[Callable[[], list[Any]], dict[int, Any], dict[str, Any]]] = {
    "interest begins while a short is held": (
        lambda: [PerpData(dataname=flat())],
        {3: lambda s: s.sell(size=5), 60: scheme(commission=0.0, interest=2.0)},
        {},
    ),
    "the leverage of a scheme falls while an order rests": (
        lambda: [PerpData(dataname=flat())],
        {3: buy(2, **LOW), 60: scheme(commission=0.0, leverage=2.0)},
        {},
    ),
    "an order that rests may only reduce from now on": (
        lambda: [PerpData(dataname=flat())],
        {3: buy(2, **LOW), 60: lambda s: first_order(s).addinfo(reduce_only=True)},
        {},
    ),
    "times come twice": (lambda: [twice(flat())], {3: buy(5)}, {}),
    "two feeds that are not preloaded, a stamp in a gap of one": (
        lambda: [
            PerpData(dataname=gap(flat()), funding=STAMP),
            PerpData(dataname=flat()),
        ],
        {3: buy(5)},
        {"preload": False, "runonce": False},
    ),
    "two feeds that are not preloaded, one ends": (
        lambda: [PerpData(dataname=flat().iloc[:50]), PerpData(dataname=flat())],
        {3: buy(5)},
        {"preload": False, "runonce": False},
    ),
    "a withdrawal after hours, under marks of an hour": (
        lambda: [PerpData(dataname=flat(), mark=marks(flat(), "1h"))],
        {3: buy(50), 130: lambda s: s.broker.add_cash(-700)},
        {"margin_mode": "cross"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_changes_while_the_broker_sleeps_is_heard(
    pictures: Any, name: str
) -> None:
    feeds, plan, words = CASES[name]
    fast, _ = planned(pictures, MarginBroker, feeds(), plan, **words)
    slow, _ = planned(pictures, Plain, feeds(), plan, **words)
    assert pictures.differences(fast, slow) == []


def test_two_feeds_of_one_symbol_show_one_mark(pictures: Any) -> None:
    def joined(make: Any) -> Any:
        broker = make(cash=1_000, leverage=20)
        cerebro = bt.Cerebro()
        cerebro.setbroker(broker)
        one, other = PerpData(dataname=flat()), PerpData(dataname=flat(101.0))
        cerebro.adddata(one, name="A")
        cerebro.adddata(other, name="B")
        broker.same_instrument(one, other)
        cerebro.addstrategy(Planned, plan={3: buy(5)})
        cerebro.run()
        return pictures.picture(cerebro)

    assert pictures.differences(joined(MarginBroker), joined(Plain)) == []


def test_a_run_that_stops_at_a_liquidation_stops_there(pictures: Any) -> None:
    fall = flat()
    fall.iloc[40:, :4] = 50.0
    words = {"on_liquidation": "stop"}
    fast, cerebro = planned(
        pictures, MarginBroker, [PerpData(dataname=fall)], {3: buy(50)}, **words
    )
    slow, _ = planned(pictures, Plain, [PerpData(dataname=fall)], {3: buy(50)}, **words)
    assert pictures.differences(fast, slow) == []
    assert len(cerebro.runstrats[0][0]) == 41


def test_a_run_that_is_over_can_be_asked_whatever_its_feed_does_next(
    pictures: Any,
) -> None:
    found = []
    for make in (MarginBroker, Plain):
        feed = PerpData(dataname=flat())
        _, first = planned(pictures, make, [feed], {3: buy(5)})
        second = bt.Cerebro()
        second.adddata(feed)
        second.addstrategy(Planned, plan={40: lambda s: s.cerebro.runstop()})
        second.run()
        broker = first.broker
        found.append((broker.margin_balance(), broker.time, broker.getvalue()))
    assert found[0] == found[1]


def test_an_order_changed_in_place_fills_as_it_does_in_backtrader() -> None:
    """At the next bar that is looked at: something else is sent in that bar."""

    def change(strategy: Any) -> None:
        first_order(strategy).created.price = 99.96
        strategy.sell(size=0.1)

    filled = []
    for make in (MarginBroker, bt.brokers.BackBroker):
        cerebro = bt.Cerebro()
        cerebro.setbroker(make(cash=1_000))
        cerebro.adddata(PerpData(dataname=flat()), name="A")
        cerebro.addstrategy(Planned, plan={3: buy(2, **LOW), 60: change})
        heard = cerebro.run()[0].heard
        filled.append([(bar, price) for bar, status, price in heard if status == 4])
    assert filled[0] == filled[1]
    assert len(filled[0]) == 2
