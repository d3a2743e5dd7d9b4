"""The leaner loop calls what Backtrader's calls, in its order, with its values."""

import gc
import logging
import pickle
import threading
from collections.abc import Callable
from datetime import time, timedelta
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from backtrader.linebuffer import LineBuffer

import bt_margin
from bt_margin import MarginBroker, PerpData
from bt_margin.accelerate import install, remove
from bt_margin.core.errors import ParameterError

Adding = Callable[[Any], Any]


class Listener(bt.Strategy):
    """Writes down each call, and what could be seen by then."""

    params: Any = (("size", 3),)

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.average = bt.ind.SMA(period=7)
        self.crossing = bt.ind.CrossOver(self.data.close, self.average)
        self.delayed = self.data.close - self.data.close(-2)

    def _hear(self, what: str, *more: Any) -> None:
        feeds = [
            (len(d), d.datetime[0], d.close[0], d.tick_close, d.tick_last)
            for d in self.datas
            if len(d)
        ]
        ours = (len(self), len(self.average), len(self.delayed))
        cash = (self.broker.getvalue(), self.broker.getcash())
        self.heard.append((what, ours, feeds, cash, self._minperstatus >= 0, *more))

    def prenext(self) -> None:
        self._hear("prenext")

    def nextstart(self) -> None:
        self._hear("nextstart")
        self.next()

    def next(self) -> None:
        self._hear("next", self.average[0], self.delayed[0], self.crossing[0])
        when = self.datetime.datetime()
        self.heard.append((when, self.data.datetime.date(), self.data.datetime.time()))
        if self.crossing[0] > 0:
            self.buy(size=self.p.size)
        elif self.crossing[0] < 0:
            price = self.data.close[0] * 1.005
            self.sell(size=self.p.size, exectype=bt.Order.Limit, price=price)
        if len(self) % 25 == 0:
            self.close()

    def notify_order(self, order: Any) -> None:
        self._hear("order", order.status, order.executed.price)

    def notify_trade(self, trade: Any) -> None:
        self._hear("trade", trade.status, trade.pnlcomm, len(trade.history))

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        self._hear("timer", when)


class OnOpen(Listener):
    def next_open(self) -> None:
        self._hear("next open")
        if len(self) % 9 == 4:
            self.buy(size=1)

    def nextstart_open(self) -> None:
        self._hear("nextstart open")

    def prenext_open(self) -> None:
        self._hear("prenext open")


class Told(Listener):
    """Listens to cash and fund too."""

    def notify_cashvalue(self, cash: float, value: float) -> None:
        self._hear("cashvalue", cash, value)

    def notify_fund(self, *amounts: float) -> None:
        self._hear("fund", *amounts)


class ToldOnInstance(Listener):
    """Replaces a method of its own object."""

    def start(self) -> None:
        self.notify_fund = lambda *amounts: self._hear("fund", *amounts)


class OwnNotify(Listener):
    def _notify(self, *args: Any, **kwargs: Any) -> None:
        self._hear("_notify")
        super()._notify(*args, **kwargs)


class OwnLines(Listener):
    """Has lines: one that an indicator feeds, one it writes, one that is bound."""

    lines: Any = ("average_too", "written", "copied")

    def __init__(self) -> None:
        super().__init__()
        self.lines.average_too = bt.ind.EMA(period=5)
        self.lines.datetime.addbinding(self.lines.copied)

    def next(self) -> None:
        super().next()
        self.lines.written[0] = self.lines.written[-1] if len(self) % 3 else len(self)


class Slow(bt.Indicator):
    """Moves in its own way."""

    lines: Any = ("slow",)

    def next(self) -> None:
        self.lines.slow[0] = len(self)

    def advance(self, size: int = 1) -> None:
        if len(self) < len(self._clock) - 3:
            self.lines.advance(size)


class Short(bt.Indicator):
    """Says that it is shorter than it is."""

    lines: Any = ("short",)

    def next(self) -> None:
        self.lines.short[0] = self.data[0]

    def __len__(self) -> int:
        return max(int(super().__len__()) - 1, 0)


class OwnIndicators(Listener):
    def __init__(self) -> None:
        super().__init__()
        self.slow, self.short = Slow(self.data), Short(self.data)
        self.chain = bt.ind.SMA(bt.ind.EMA(self.slow, period=3), period=4)

    def next(self) -> None:
        super().next()
        found = (len(self.slow), len(self.short), len(self.chain), self.chain[0])
        self.heard.append(found)


def value_of(line: Any) -> Any:
    """The value of a line, where Backtrader has computed one."""
    try:
        return line[0]
    except IndexError:
        return None


class Clocks(Listener):
    """Indicators on every feed, and on feeds of two lengths at once."""

    def __init__(self) -> None:
        super().__init__()
        self.each = [bt.ind.SMA(data.high, period=4) for data in self.datas]
        self.chains = [bt.ind.Highest(one, period=3) for one in self.each]
        if len(self.datas) > 1:
            self.coupled = self.datas[1].close() - self.data.close
            self.whole = self.datas[1](-1)

    def next(self) -> None:
        super().next()
        self.heard += [(len(one), value_of(one)) for one in (*self.each, *self.chains)]
        if len(self.datas) > 1:
            found = (value_of(self.coupled), value_of(self.whole))
            self.heard.append((len(self.coupled), *found))


class MadeLater(Listener):
    """Makes indicators while it runs, as `close(-1)` does."""

    def next(self) -> None:
        super().next()
        if len(self) % 40 == 0:
            self.heard.append(len(self.data.close(-1)))


class Skipping(Listener):
    """Moves its feed on by hand."""

    def next(self) -> None:
        super().next()
        if len(self) % 50 == 30:
            self.data.advance()


class Stopping(Listener):
    """Stops the run, from where ``at`` says."""

    params: Any = (("at", "next"),)

    def _stop_at(self, what: str) -> None:
        if what == self.p.at and len(self) > 60:
            self.cerebro.runstop()

    def next(self) -> None:
        super().next()
        self._stop_at("next")

    def next_open(self) -> None:
        self._hear("next open")
        self._stop_at("open")

    def notify_order(self, order: Any) -> None:
        super().notify_order(order)
        self._stop_at("order")

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        super().notify_timer(timer, when)
        self._stop_at("timer")


class Nesting(Listener):
    """Runs a Cerebro of its own inside its turn."""

    def next(self) -> None:
        super().next()
        if len(self) in (20, 90):
            inner = bt.Cerebro()
            frame = self.data.p.dataname.iloc[: len(self)]
            inner.adddata(bt.feeds.PandasData(dataname=frame))
            inner.addstrategy(Listener)
            self.heard.append(inner.run()[0].heard)


class Signal(bt.Indicator):
    lines: Any = ("signal",)

    def __init__(self) -> None:
        self.lines.signal = self.data.close - bt.ind.SMA(period=9)


class Follower(bt.SignalStrategy):
    """A user's signal strategy with a turn of its own."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.signal_add(bt.SIGNAL_LONGSHORT, Signal())

    def next(self) -> None:
        self.heard.append((len(self), self.position.size, self.broker.getvalue()))


class Child(bt.Analyzer):
    """An analyzer with children of its own and of Backtrader's."""

    def __init__(self) -> None:
        self.inner = bt.analyzers.DrawDown()
        self.returns = bt.analyzers.TimeReturn(timeframe=bt.TimeFrame.Weeks)
        self.bars: list[Any] = []

    def notify_fund(self, *amounts: float) -> None:
        self.bars.append(amounts)

    def prenext(self) -> None:
        self.bars.append("prenext")

    def nextstart(self) -> None:
        self.bars.append("nextstart")

    def next(self) -> None:
        self.bars.append((len(self), self.inner.rets.drawdown))


class OwnTelling(bt.Analyzer):
    """Takes over the inner methods."""

    def __init__(self) -> None:
        self.bars: list[Any] = []

    def _notify_fund(self, *amounts: float) -> None:
        self.bars.append(("fund", amounts))

    def _next(self) -> None:
        self.bars.append(("next", len(self.strategy)))


class Hourly(bt.analyzers.TimeReturn):
    """Periods of its own."""

    def _get_dt_cmpkey(self, dt: Any) -> Any:
        key = dt.replace(minute=0)
        return key, key


class Gap(bt.Observer):
    """An observer with analyzers of its own, that starts late and writes rarely."""

    lines: Any = ("gap",)

    def __init__(self) -> None:
        kind, unit = bt.analyzers.TimeReturn, bt.TimeFrame.Months
        self.returns = self._owner._addanalyzer_slave(kind, timeframe=unit)

    def prenext(self) -> None:
        pass

    def next(self) -> None:
        if len(self) % 4 == 0:
            self.lines.gap[0] = len(self.returns.rets)


class Louder(bt.observers.Broker):
    """Backtrader's, with a turn of its own."""

    def next(self) -> None:
        super().next()
        self.lines.cash[0] *= 2


# Cases: what is added to a Cerebro, and what is run


def feeds(*cuts: slice, every: tuple[str, ...] = ()) -> Callable[[Any, Any], None]:
    """Adds feeds: parts of the market, and the market in coarser candles."""

    def add(cerebro: Any, walk: pd.DataFrame) -> None:
        frames = [walk[cut] for cut in cuts]
        how = {"open": "first", "high": "max", "low": "min", "close": "last"}
        for length in every:
            coarse = walk.resample(length).agg({**how, "volume": "sum"})
            frames.append(coarse)
        for number, frame in enumerate(frames):
            cerebro.adddata(minutes(frame), name=f"d{number}")

    return add


def minutes(frame: pd.DataFrame, **settings: Any) -> Any:
    length = int((frame.index[1] - frame.index[0]) / timedelta(minutes=1))
    unit = {"timeframe": bt.TimeFrame.Minutes, "compression": length}
    return bt.feeds.PandasData(dataname=frame, **unit, **settings)


WHOLE = slice(None)
ONE = feeds(WHOLE)
FEEDS = {
    "one": ONE,
    "two": feeds(WHOLE, WHOLE),
    "five": feeds(*[WHOLE] * 5),
    "late and early": feeds(WHOLE, slice(37, None), slice(0, 120)),
    "first late": feeds(slice(50, None), WHOLE),
    "with holes": feeds(slice(None, None, 2), slice(None, None, 3), slice(5, 200, 7)),
    "coarser beside": feeds(WHOLE, every=("4h", "1D")),
    "coarser first": feeds(every=("1D", "2h")),
}

TIMERS: tuple[dict[str, Any], ...] = (
    {"when": time(10, 0)},
    {"when": bt.timer.SESSION_START, "repeat": timedelta(hours=5), "cheat": True},
)


def add_timers(cerebro: Any) -> None:
    for settings in TIMERS:
        cerebro.add_timer(strats=True, **settings)


def add_analyzers(cerebro: Any) -> None:
    for kind in (Child, OwnTelling, Hourly):
        cerebro.addanalyzer(kind)
    for frame in ("Minutes", "Days", "Weeks", "Months", "Years", "NoTimeFrame"):
        unit = getattr(bt.TimeFrame, frame)
        cerebro.addanalyzer(bt.analyzers.TimeReturn, timeframe=unit, _name=frame)
        cerebro.addanalyzer(bt.analyzers.TimeDrawDown, timeframe=unit, _name=f"d{unit}")
    cerebro.addanalyzer(bt.analyzers.TimeReturn, compression=5, _name="five")


def add_observers(cerebro: Any) -> None:
    for kind in (Gap, Louder):
        cerebro.addobserver(kind)
    cerebro.addobservermulti(Gap)


def add_history(cerebro: Any) -> None:
    history = [["2024-01-02T05:00:00", 5, 91.5], ["2024-01-04T06:00:00", -5, 92.5]]
    cerebro.add_order_history(history, notify=True)


def fund_mode(cerebro: Any) -> None:
    cerebro.broker.set_fundmode(True, fundstartval=50)


def add_writer(cerebro: Any) -> None:
    cerebro.addwriter(bt.WriterStringIO, csv=True)


def nothing(cerebro: Any) -> None:
    pass


LISTEN: Any = ((Listener, {}),)

# Feeds, strategies, what is added, and Cerebro's settings.
Case = tuple[Any, Any, Adding, dict[str, Any]]


def case(
    strategies: Any = LISTEN, feeds: Any = ONE, add: Adding = nothing, **settings: Any
) -> Case:
    kinds = strategies if isinstance(strategies, tuple) else ((strategies, {}),)
    return feeds, kinds, add, settings


SOME = FEEDS["late and early"]
CASES: dict[str, Case] = {
    **{f"feeds: {name}": case(feeds=feeds) for name, feeds in FEEDS.items()},
    **{f"clocks: {name}": case(Clocks, feeds) for name, feeds in FEEDS.items()},
    "no observers": case(stdstats=False),
    "no observers, several feeds": case(feeds=SOME, stdstats=False),
    "old observers": case(oldbuysell=True, oldtrades=True, feeds=SOME),
    "timers": case(add=add_timers),
    "timers, several feeds": case(OnOpen, SOME, add_timers, cheat_on_open=True),
    "cheat on open": case(OnOpen, cheat_on_open=True),
    "cheat on open, not the broker": case(OnOpen, cheat_on_open=True, broker_coo=False),
    "quick notifications": case(quicknotify=True),
    "quick notifications of cash": case(Told, quicknotify=True),
    "a writer": case(add=add_writer, feeds=SOME),
    "several strategies": case(((Listener, {}), (Told, {"size": 2}), (OnOpen, {}))),
    "several strategies and a writer": case(
        ((Listener, {}), (Told, {"size": 2})), SOME, add_writer
    ),
    "a signal": case((), add=lambda c: c.add_signal(bt.SIGNAL_LONG, Signal)),
    "a signal strategy": case(Follower),
    "a signal strategy, quick": case(Follower, quicknotify=True),
    "cash and fund": case(Told),
    "cash and fund, by an object": case(ToldOnInstance),
    "own _notify": case(OwnNotify),
    "own lines": case(OwnLines),
    "own indicators": case(OwnIndicators),
    "indicators made later": case(MadeLater),
    "bars skipped by hand": case(Skipping),
    "bars skipped by hand of two feeds": case(Skipping, FEEDS["two"]),
    "lookahead": case(lookahead=3, feeds=SOME),
    "trade history": case(tradehistory=True),
    "order history": case(add=add_history),
    "fund mode": case(add=fund_mode),
    "own analyzers": case(add=add_analyzers, feeds=SOME),
    "own observers": case(add=add_observers, feeds=SOME),
    "own observers of an own strategy": case(OwnLines, add=add_observers),
    "another zone": case(add=add_analyzers, tz=bt.utils.date.UTC),
    "a Cerebro inside": case(Nesting),
    "a cache of objects": case(Clocks, FEEDS["two"], objcache=True),
    **{
        f"stopped at {at}": case(
            ((Stopping, {"at": at}), (Listener, {})),
            SOME,
            add_timers,
            cheat_on_open=at == "open",
        )
        for at in ("next", "order", "timer", "open")
    },
    "stopped at a timer that does not cheat": case(
        ((Stopping, {"at": "timer"}),),
        add=lambda c: c.add_timer(when=time(10, 0), strats=True),
    ),
}


def builder(one: Case, walk: pd.DataFrame) -> Callable[[], Any]:
    """What makes the Cerebro of a case."""
    add_feeds, strategies, add, settings = one

    def build() -> Any:
        cerebro = bt.Cerebro(**settings)
        cerebro.broker.setcommission(commission=0.001)
        add_feeds(cerebro, walk)
        for kind, parameters in strategies:
            cerebro.addstrategy(kind, **parameters)
        add(cerebro)
        return cerebro

    return build


@pytest.mark.parametrize("one", [*CASES.values()], ids=[*CASES])
def test_the_loop_does_what_backtraders_does(
    pictures: Any, walk: pd.DataFrame, one: Case
) -> None:
    slow, fast = pictures.compare(builder(one, walk))
    assert pictures.differences(slow, fast) == []


@pytest.mark.parametrize("name", FEEDS)
@pytest.mark.parametrize("fund", [False, True], ids=["value", "fund"])
def test_everything_of_backtraders_that_looks_on_sees_the_same(
    pictures: Any, walk: pd.DataFrame, name: str, fund: bool
) -> None:
    def add(cerebro: Any) -> None:
        pictures.add_lookers(cerebro)
        if fund:
            fund_mode(cerebro)

    one = case(Told, FEEDS[name], add)
    slow, fast = pictures.compare(builder(one, walk))
    assert pictures.differences(slow, fast) == []
    assert slow["analyzers 0"]


def test_the_cases_trade(pictures: Any, walk: pd.DataFrame) -> None:
    """Or they would show nothing."""
    cerebro = builder(CASES["feeds: one"], walk)()
    heard = cerebro.run()[0].heard
    assert {"prenext", "nextstart", "next", "order", "trade"} <= {e[0] for e in heard}


# Where Backtrader's loop has to run


class OwnStep(Listener):
    def _oncepost(self, dt: float) -> None:
        self._hear("oncepost")
        super()._oncepost(dt)


class OwnAdvance(bt.feeds.PandasData):
    def advance(self, *args: Any, **kwargs: Any) -> None:
        super().advance(*args, **kwargs)


class OwnLoop(bt.Cerebro):
    def _runonce(self, runstrats: Any) -> None:
        super()._runonce(runstrats)


def own_feed(cerebro: Any, walk: pd.DataFrame) -> None:
    cerebro.adddata(OwnAdvance(dataname=walk))


def clone(cerebro: Any, walk: pd.DataFrame) -> None:
    cerebro.adddata(minutes(walk))
    cerebro.adddata(cerebro.datas[0].clone())


def twice(cerebro: Any, walk: pd.DataFrame) -> None:
    feed = minutes(walk)
    cerebro.adddata(feed)
    cerebro.adddata(feed)


def coarse(way: str) -> Any:
    def add(cerebro: Any, walk: pd.DataFrame) -> None:
        unit = {"timeframe": bt.TimeFrame.Minutes, "compression": 240}
        getattr(cerebro, way)(minutes(walk), **unit)

    return add


STOCK_LOOP: dict[str, tuple[Case, str]] = {
    "old sync": (case(oldsync=True), "did not ask"),
    "exactbars 1": (case(exactbars=1), "did not ask"),
    "exactbars -1": (case(exactbars=-1), "did not ask"),
    "no preload": (case(preload=False), "did not ask"),
    "bar by bar": (case(runonce=False), "did not ask"),
    "resampled": (case(feeds=coarse("resampledata")), "did not ask"),
    "replayed": (case(feeds=coarse("replaydata")), "did not ask"),
    "own step": (case(OwnStep), "OwnStep._oncepost is not"),
    "own feed": (case(feeds=own_feed), "OwnAdvance.advance is not"),
    "a clone": (case(feeds=clone), "DataClone.advance is not"),
    "one feed twice": (case(feeds=twice), "added twice"),
}


@pytest.mark.parametrize("name", STOCK_LOOP)
def test_backtraders_loop_runs_where_it_has_to(
    pictures: Any, walk: pd.DataFrame, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, why = STOCK_LOOP[name]
    build = builder(one, walk)
    with caplog.at_level(logging.DEBUG, logger="bt_margin"):
        slow, fast = pictures.compare(build, uses_loop=False)
        assert pictures.differences(slow, fast) == []
        cerebro = build()
        cerebro.setbroker(MarginBroker(margin_mode="off"))
        cerebro.run()
    assert why in caplog.text
    assert "_runonce" not in vars(cerebro)


def test_a_cerebro_with_a_loop_of_its_own_keeps_it(
    walk: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    cerebro = OwnLoop()
    with caplog.at_level(logging.DEBUG, logger="bt_margin"):
        install(cerebro)
    assert "OwnLoop has its own" in caplog.text
    assert "_runonce" not in vars(cerebro)

    def mine(strategies: Any) -> None: ...

    cerebro = bt.Cerebro()
    cerebro._runonce = mine
    install(cerebro)
    remove(cerebro)
    assert cerebro._runonce is mine


# Coming and going


def margin_cerebro(
    walk: pd.DataFrame, strategy: Any = Listener, **settings: Any
) -> Any:
    cerebro = bt.Cerebro()
    cerebro.setbroker(MarginBroker(**settings))
    cerebro.adddata(PerpData(dataname=walk), name="X")
    cerebro.addstrategy(strategy)
    return cerebro


@pytest.mark.parametrize("mode", ["off", "isolated", "cross"])
@pytest.mark.parametrize("accelerate", [True, False])
def test_the_broker_brings_the_loop_and_takes_it_away(
    pictures: Any, walk: pd.DataFrame, mode: str, accelerate: bool
) -> None:
    cerebro = margin_cerebro(walk, margin_mode=mode, accelerate=accelerate)
    for _ in range(2):
        with pictures.counted() as use:
            cerebro.run()
        assert use.count == accelerate
        assert "_runonce" not in vars(cerebro)


class Failing(Listener):
    def next(self) -> None:
        super().next()
        if len(self) == 50:
            raise ArithmeticError("a strategy of a user")


class FailsToStart(bt.Strategy):
    def start(self) -> None:
        raise ArithmeticError("before the first bar")


def test_a_strategy_that_raises_leaves_nothing_behind(
    pictures: Any, walk: pd.DataFrame
) -> None:
    cerebro = margin_cerebro(walk, Failing)
    cerebro.addanalyzer(bt.analyzers.PyFolio)
    with pytest.raises(ArithmeticError):
        cerebro.run()
    assert "_runonce" not in vars(cerebro)
    pickle.dumps([line for data in cerebro.datas for line in data.lines])
    for line in (cerebro.datas[0].lines.datetime,):
        assert "datetime" not in vars(line)
    (strategy,) = cerebro.runningstrats
    analyzer = strategy.analyzers[0]
    for one in (analyzer, *analyzer._children):
        assert not {"next", "_dt_over"} & vars(one).keys()


def test_a_run_that_fails_before_its_first_bar_disturbs_no_later_one(
    pictures: Any, walk: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    cerebro = margin_cerebro(walk, FailsToStart)
    with pytest.raises(ArithmeticError):
        cerebro.run()
    assert "_runonce" in vars(cerebro)  # nobody was told that the run is over
    pickle.loads(pickle.dumps(vars(cerebro)["_runonce"]._cerebro.broker))
    cerebro.strats.clear()
    cerebro.addstrategy(bt.Strategy)
    cerebro.setbroker(bt.brokers.BackBroker())
    with caplog.at_level(logging.DEBUG, logger="bt_margin"), pictures.counted() as use:
        cerebro.run()
    assert use.count == 0
    assert "for another broker" in caplog.text
    cerebro.setbroker(MarginBroker(accelerate=False))
    with pictures.counted() as use:
        cerebro.run()
    assert use.count == 0


def test_a_loop_left_behind_pickles(walk: pd.DataFrame) -> None:
    cerebro = bt.Cerebro()
    cerebro.adddata(PerpData(dataname=walk), name="X")
    cerebro.addstrategy(bt.Strategy)
    install(cerebro)
    again = pickle.loads(pickle.dumps(cerebro))
    assert again._runonce._cerebro is again
    assert len(again.run()[0]) == len(walk)
    assert "_runonce" not in vars(again)


@pytest.mark.parametrize("value", ["yes", None, 1.5])
def test_accelerate_is_true_or_false(value: Any) -> None:
    broker: Any = MarginBroker
    with pytest.raises(ParameterError, match="accelerate"):
        broker(accelerate=value)


def test_an_optimisation_in_this_process_uses_it_each_time(
    pictures: Any, walk: pd.DataFrame
) -> None:
    cerebro = bt.Cerebro(maxcpus=1, optreturn=False)
    cerebro.setbroker(MarginBroker(cash=100_000))
    cerebro.adddata(PerpData(dataname=walk), name="X")
    cerebro.optstrategy(Listener, size=(1, 2, 3))
    with pictures.counted() as use:
        runs = cerebro.run()
    assert use.count == 3
    assert len({repr(run[0].heard) for run in runs}) == 3


def test_classes_stay_as_they_are(walk: pd.DataFrame) -> None:
    kinds: tuple[Any, ...] = (bt.Cerebro, bt.Strategy, LineBuffer, bt.Analyzer)
    kinds += (
        bt.observers.BuySell,
        bt.analyzers.DrawDown,
        bt.TimeFrameAnalyzerBase,
        bt.brokers.BackBroker,
    )
    before = [dict(vars(kind)) for kind in kinds]

    class Looking(Listener):
        def next(self) -> None:
            super().next()
            assert [dict(vars(kind)) for kind in kinds] == before

    margin_cerebro(walk[:40], Looking).run()
    assert [dict(vars(kind)) for kind in kinds] == before


def test_two_threads_do_not_meet(pictures: Any, walk: pd.DataFrame) -> None:
    found: dict[bool, Any] = {}

    def run(accelerate: bool) -> None:
        cerebro = margin_cerebro(walk, accelerate=accelerate, cash=100_000)
        cerebro.run()
        found[accelerate] = pictures.picture(cerebro)

    threads = [threading.Thread(target=run, args=(way,)) for way in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures.differences(found[True], found[False]) == []


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_a_run_inside_a_run_has_its_own_loop(
    pictures: Any, walk: pd.DataFrame, outer: bool, inner: bool
) -> None:
    found: list[Any] = []

    class Outer(bt.Strategy):
        def next(self) -> None:
            if len(self) in (30, 200):
                cerebro = margin_cerebro(walk, accelerate=inner, cash=100_000)
                cerebro.run()
                found.append(pictures.picture(cerebro))

    with pictures.counted() as use:
        margin_cerebro(walk, Outer, accelerate=outer).run()
    assert use.count == outer + 2 * inner
    cerebro = margin_cerebro(walk, accelerate=False, cash=100_000)
    cerebro.run()
    for picture in found:
        assert pictures.differences(picture, pictures.picture(cerebro)) == []


def test_the_loop_keeps_no_run_alive(walk: pd.DataFrame) -> None:
    margin_cerebro(walk).run()
    gc.collect()
    alive = [one for one in gc.get_objects() if type(one).__name__ == "StrategyTurn"]
    assert alive == []


def test_the_package_does_not_offer_it() -> None:
    """It is the broker's business: users have `accelerate`."""
    assert "install" not in bt_margin.__all__
