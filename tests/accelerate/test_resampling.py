"""A resampled feed computed as arrays shows what Backtrader's resampler shows.

Every case is run twice, with ``accelerate`` and without, where Cerebro loads and
resamples bar by bar: nothing may differ, neither the bars nor what came of them.
"""

import logging
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from bt_margin import MarginBroker, PerpData
from bt_margin.accelerate import preloading

MINUTES, SECONDS, DAYS = bt.TimeFrame.Minutes, bt.TimeFrame.Seconds, bt.TimeFrame.Days
Add = Callable[[Any], None]


def by(compression: int, timeframe: int = MINUTES, **options: Any) -> dict[str, Any]:
    """How to resample."""
    return {"timeframe": timeframe, "compression": compression, **options}


QUARTERS, HOURS = by(15), by(60)


def market(
    count: int, every: Any = "1min", start: Any = "2024-01-01 22:03", seed: int = 1
) -> pd.DataFrame:
    """A random walk."""
    chance = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(chance.normal(0, 0.002, count))), 2)
    opened = np.append(100.0, close[:-1])
    prices = {
        "open": opened,
        "high": np.maximum(opened, close) + np.round(chance.random(count) * 0.2, 2),
        "low": np.minimum(opened, close) - np.round(chance.random(count) * 0.2, 2),
        "close": close,
        "volume": chance.random(count) * 10,
    }
    return pd.DataFrame(prices, index=pd.date_range(start, periods=count, freq=every))


WHOLE = market(260)
HOLES = WHOLE[
    (np.arange(260) * 7 % 19 > 2)
    & ~((np.arange(260) > 100) & (WHOLE.index < "2024-01-02 00:20"))
]


class Trader(bt.Strategy):
    """Writes down every bar that it sees, and trades on them."""

    timers = False

    def __init__(self) -> None:
        self.means = [bt.ind.SMA(data, period=2) for data in self.datas]
        self.cross = bt.ind.CrossOver(self.data.close, self.means[0])
        self.heard: list[Any] = []

    def start(self) -> None:
        if self.timers:
            self.add_timer(when=time(10, 0))
            step = timedelta(hours=3)
            self.add_timer(when=bt.timer.SESSION_START, repeat=step, cheat=True)

    def notify_timer(self, timer: Any, when: Any, *_: Any, **__: Any) -> None:
        self.heard.append(("timer", len(self), str(when)))

    def notify_order(self, order: Any) -> None:
        done = order.executed
        self.heard.append((len(self), order.status, done.price, done.size, done.dt))

    def notify_liquidation(self, event: Any) -> None:
        self.heard.append(repr(event))

    def notify_funding(self, event: Any) -> None:
        self.heard.append(repr(event))

    def prenext(self) -> None:
        self.look()

    def next(self) -> None:
        self.look()
        first, last = self.data, self.datas[-1]
        if self.cross[0] > 0:
            self.buy(self.datas[len(self) % len(self.datas)], size=2)
        elif self.cross[0] < 0:
            self.close(first)
        if len(self) % 7 == 0:
            limit = {"exectype": bt.Order.Limit, "price": last.close[0] * 0.999}
            self.buy(last, size=20, **limit)
        if len(self) % 40 == 0:
            self.close(last)

    def look(self) -> None:
        bars = [
            (
                len(d),
                repr(d.datetime[0]),
                d.close[0],
                repr(getattr(d, "tick_close", None)),
            )
            for d in self.datas
            if len(d)
        ]
        means = [repr(mean[0]) for mean in self.means if len(mean)]
        self.heard.append((len(self), repr(self.datetime[0]), bars, means))


class Clockwork(Trader):
    timers = True


# Runs


def run(
    pictures: Any,
    add: Add,
    *,
    accelerate: bool,
    kind: Any = Trader,
    mode: str = "isolated",
    **options: Any,
) -> tuple[Any, int]:
    """A picture of a run, and how often the leaner loop ran."""
    cerebro = bt.Cerebro(**options)
    make = MarginBroker if accelerate else pictures.Plain
    cerebro.setbroker(make(margin_mode=mode, cash=1_000, leverage=10))
    add(cerebro)
    cerebro.addstrategy(kind)
    for name in ("TradeAnalyzer", "DrawDown"):
        cerebro.addanalyzer(getattr(bt.analyzers, name))
    with pictures.counted() as use:
        try:
            cerebro.run()
        except ValueError as error:  # Backtrader's, of feeds that end before others
            return {"error": repr(error)}, use.count
    return pictures.picture(cerebro), use.count


def check(pictures: Any, add: Add, **options: Any) -> bool:
    """Whether the leaner loop ran; nothing may differ."""
    fast, uses = run(pictures, add, accelerate=True, **options)
    slow, none = run(pictures, add, accelerate=False, **options)
    assert none == 0
    assert pictures.differences(fast, slow) == []
    return bool(uses)


def bars_of(frame: pd.DataFrame, how: dict[str, Any], **settings: Any) -> list[Any]:
    """Time, open, high, low, close and volume of the bars of a resampled feed."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(MarginBroker(cash=1_000))
    cerebro.resampledata(PerpData(dataname=frame, **settings), **how)
    cerebro.run()
    (data,) = cerebro.datas
    names = ("open", "high", "low", "close", "volume")
    columns = [getattr(data.lines, name).array for name in names]
    times = [f"{bt.num2date(x):%d %H:%M:%S}" for x in data.lines.datetime.array]
    return [*zip(times, *columns, strict=True)]


# Bars by hand


def steps(*times: str) -> pd.DataFrame:
    """Candle i opens at i, between i - 0.5 and i + 1, closes at i + 0.5, trades i."""
    index = pd.DatetimeIndex([f"2024-01-{one}" for one in times])
    number = np.arange(1.0, len(times) + 1)
    prices = {"open": number, "high": number + 1, "low": number - 0.5}
    return pd.DataFrame({**prices, "close": number + 0.5, "volume": number}, index)


def minute_range(first: int, last: int) -> list[str]:
    return [f"01 00:{minute:02}" for minute in range(first, last + 1)]


HAND = {
    # Candles 1 to 15: from 1 to 15.5, high 15 + 1, low 1 - 0.5; trades 15 * 16 / 2.
    "the candles up to a boundary are a bar": (
        minute_range(1, 15),
        QUARTERS,
        [("01 00:15:00", 1, 16, 0.5, 15.5, 120)],
    ),
    "a candle on the boundary closes its bar, if it is the first one too": (
        minute_range(0, 3),
        by(3),
        [("01 00:00:00", 1, 2, 0.5, 1.5, 1), ("01 00:03:00", 2, 5, 1.5, 4.5, 9)],
    ),
    "what the end cuts short has the time of the boundary that it did not reach": (
        minute_range(1, 2),
        by(5),
        [("01 00:05:00", 1, 3, 0.5, 2.5, 3)],
    ),
    "a bar without a candle on its boundary ends there all the same": (
        ["01 00:01", "01 00:04", "01 00:07", "01 00:10"],
        by(5),
        [("01 00:05:00", 1, 3, 0.5, 2.5, 3), ("01 00:10:00", 3, 5, 2.5, 4.5, 7)],
    ),
    "a bar without the right edge has the time of the left one, unless it is over": (
        ["01 00:06", "01 00:07", "01 00:12"],
        by(5, rightedge=False),
        # 00:05 would be before its last candle; the end does not ask.
        [("01 00:07:00", 1, 3, 0.5, 2.5, 3), ("01 00:10:00", 3, 4, 2.5, 3.5, 3)],
    ),
    "a bar that is not adjusted has the time of its last candle": (
        ["01 00:01", "01 00:04", "01 00:07"],
        by(5, adjbartime=False),
        [("01 00:04:00", 1, 3, 0.5, 2.5, 3), ("01 00:07:00", 3, 4, 2.5, 3.5, 3)],
    ),
    "an offset of the boundary moves it": (
        minute_range(1, 4),
        by(5, boundoff=2),
        # 00:03 + 2 is 5; the last bar: (4 + 2) // 5 + 1 is 2, 2 * 5 is 00:10.
        [("01 00:03:00", 1, 4, 0.5, 3.5, 6), ("01 00:10:00", 4, 5, 3.5, 4.5, 4)],
    ),
    "a minute ends with the candle of its last second or with a later one": (
        ["01 00:00:20", "01 00:00:40", "01 00:01:00", "01 00:01:20", "01 00:03:10"],
        by(1),
        [
            ("01 00:01:00", 1, 4, 0.5, 3.5, 6),
            ("01 00:02:00", 4, 5, 3.5, 4.5, 4),
            ("01 00:04:00", 5, 6, 4.5, 5.5, 5),
        ],
    ),
    # date2num has ten microseconds of a day, and num2date cuts what is below one.
    "a day ends with its session": (
        ["01 08:00", "01 16:00", "02 08:00", "02 16:00", "03 08:00", "03 09:00"],
        by(1, DAYS),
        [
            ("01 23:59:59", 1, 3, 0.5, 2.5, 3),
            ("02 23:59:59", 3, 5, 2.5, 4.5, 7),
            ("03 23:59:59", 5, 7, 4.5, 6.5, 11),
        ],
    ),
    "a week has the time of its last candle": (
        # The 7th of January 2024 is a Sunday.
        ["06 12:00", "07 12:00", "08 12:00", "09 12:00"],
        by(1, bt.TimeFrame.Weeks),
        [("07 12:00:00", 1, 3, 0.5, 2.5, 3), ("09 12:00:00", 3, 5, 2.5, 4.5, 7)],
    ),
}


@pytest.mark.parametrize("name", HAND)
def test_bars_by_hand(pictures: Any, name: str) -> None:
    times, how, expected = HAND[name]
    with pictures.counted() as use:
        assert bars_of(steps(*times), how) == expected
    assert use.count == 1


# Feeds


def perp(frame: pd.DataFrame = WHOLE, **settings: Any) -> Any:
    return PerpData(dataname=frame, **settings)


def only(frame: pd.DataFrame = WHOLE, how: Any = QUARTERS, **settings: Any) -> Add:
    """The resampled feed alone."""
    return lambda cerebro: cerebro.resampledata(perp(frame, **settings), **how)


def beside(frame: pd.DataFrame = WHOLE, *hows: Any, **settings: Any) -> Add:
    """A feed, and resampled clones of it."""

    def add(cerebro: Any) -> None:
        feed = perp(frame, **settings)
        cerebro.adddata(feed, name="fast")
        for how in hows or (QUARTERS,):
            cerebro.resampledata(feed, name=f"{how}", **how)

    return add


def together(*adds: Add) -> Add:
    def add(cerebro: Any) -> None:
        for one in adds:
            one(cerebro)

    return add


def plain(frame: pd.DataFrame) -> Add:
    return lambda cerebro: cerebro.adddata(perp(frame))


OTHER = market(260, seed=2)
LONG = market(400, "1h", seed=3)
QUICK = market(400, "5s", "2024-01-01 00:00:05", seed=4)
DAILY = market(60, "1D", "2024-01-01", seed=5)
FUNDED = {
    "funding": 0.001,
    "funding_interval": "1h",
    "mark": OTHER.drop(columns="volume"),
}

SAME: dict[str, Add] = {
    "a resampled feed alone": only(),
    "a resampled feed alone, with holes": only(HOLES),
    "a clone": beside(),
    "a clone, with holes": beside(HOLES),
    "several compressions": beside(WHOLE, by(5), QUARTERS, HOURS),
    "several compressions, with holes": beside(HOLES, by(5), QUARTERS, HOURS),
    "several symbols": together(beside(), beside(OTHER)),
    "several symbols alone": together(only(), only(OTHER), only(HOLES, HOURS)),
    "several symbols, with holes": together(
        beside(HOLES), beside(OTHER[OTHER.index.isin(HOLES.index)])
    ),
    "a symbol that begins later": together(beside(), plain(OTHER[130:])),
    "a symbol that ends earlier": together(beside(WHOLE), beside(OTHER[:130])),
    "a resampled symbol beside another": together(plain(WHOLE), only(OTHER)),
    "a resampled symbol that ends earlier": together(plain(WHOLE), only(OTHER[:130])),
    "coarser candles beside": together(
        beside(), plain(market(6, "1h", "2024-01-01 23:00"))
    ),
    "days": beside(LONG, by(1, DAYS)),
    "three days": beside(LONG, by(3, DAYS)),
    "days of holes": beside(LONG[np.arange(400) % 24 % 9 > 2], by(1, DAYS)),
    "days of days": only(DAILY, by(5, DAYS)),
    "weeks": beside(LONG, by(1, bt.TimeFrame.Weeks)),
    "weeks of days": only(DAILY, by(1, bt.TimeFrame.Weeks)),
    "months": beside(DAILY, by(1, bt.TimeFrame.Months)),
    "years": only(market(900, "1D", "2023-05-01"), by(1, bt.TimeFrame.Years)),
    "minutes of seconds": beside(QUICK, by(1)),
    "seconds": beside(QUICK, by(30, SECONDS)),
    "a compression that does not divide the day": beside(WHOLE, by(7)),
    "not on the boundary": beside(WHOLE, by(15, bar2edge=False)),
    "not on the boundary, with holes": only(HOLES, by(15, bar2edge=False)),
    "times that are not adjusted": beside(HOLES, by(15, adjbartime=False)),
    "times of the left edge": beside(HOLES, by(15, rightedge=False)),
    "an offset of the boundary": beside(WHOLE, by(15, boundoff=4)),
    "late candles dropped": beside(HOLES, by(15, takelate=False)),
    "a session that ends in the evening": beside(
        LONG, by(1, DAYS), sessionend=time(17)
    ),
    "a session that ends in a bar": beside(WHOLE, by(60), sessionend=time(23, 7)),
    "from a date to a date": beside(
        WHOLE,
        by(15),
        fromdate=datetime(2024, 1, 1, 22, 50),
        todate=datetime(2024, 1, 2, 2),
    ),
    "mark and funding": only(WHOLE, by(15), **FUNDED),
    "mark and funding of a clone": beside(WHOLE, by(15), **FUNDED),
    "finer candles": only(WHOLE, by(15), detail=market(1_560, "10s")),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "in cross mode": {"mode": "cross"},
    "in stock accounting": {"mode": "off"},
    "with timers": {"kind": Clockwork},
    "cheating on open": {"cheat_on_open": True},
    "without observers": {"stdstats": False},
    "with a writer": {"writer": True},
}


@pytest.mark.parametrize("name", SAME)
def test_the_run_is_the_same(pictures: Any, name: str) -> None:
    assert check(pictures, SAME[name])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_run_is_the_same_with_options(
    pictures: Any, name: str, capsys: Any
) -> None:
    for add in (SAME["a clone, with holes"], SAME["several symbols alone"]):
        assert check(pictures, add, **OPTIONS[name])


def test_the_runs_compared_pay_funding(
    pictures: Any,
) -> None:
    found, _ = run(pictures, SAME["mark and funding of a clone"], accelerate=True)
    assert len(found["ledger"]) > 20
    assert found["fundings"] != "[]"


# Bar by bar


class Coupled(Trader):
    """Compares feeds of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.above = self.datas[0].close > self.datas[-1].close


class Spread(Trader):
    """Has a line of its own that an indicator fills."""

    lines: Any = ("spread",)

    def __init__(self) -> None:
        super().__init__()
        self.lines.spread = self.data.high - self.data.low

    def look(self) -> None:
        super().look()
        self.heard.append(repr(self.lines.spread[0]))


class Counter(bt.Indicator):
    """How often it was asked."""

    lines: Any = ("count",)

    def __init__(self) -> None:
        self.asked = 0

    def next(self) -> None:
        self.asked += 1
        self.lines.count[0] = self.asked


def using(indicator: Any, place: int = -1) -> type[Trader]:
    """A trader that has an indicator, and writes down what it shows."""

    class User(Trader):
        def __init__(self) -> None:
            super().__init__()
            self.one = indicator(self.datas[place])

        def look(self) -> None:
            super().look()
            if len(self.one):
                self.heard.append([repr(line[0]) for line in self.one.lines])

    return User


def filtered(cerebro: Any) -> None:
    feed = perp()
    feed.addfilter(bt.filters.SessionFilter)
    cerebro.resampledata(feed, **QUARTERS)


def of_a_clone(cerebro: Any) -> None:
    feed = perp()
    cerebro.adddata(feed)
    clone = cerebro.resampledata(feed, **by(5))
    cerebro.resampledata(clone, **QUARTERS)


def replayed(cerebro: Any) -> None:
    cerebro.replaydata(perp(), **QUARTERS)


def _calendar() -> Any:
    return bt.TradingCalendar(open=time(0), close=time(23, 59))


def foreign(cerebro: Any) -> None:
    cerebro.resampledata(
        bt.feeds.PandasData(dataname=WHOLE, timeframe=MINUTES), **by(15)
    )


LATE = together(beside(WHOLE), beside(OTHER[102:], by(5)))
SLOW: dict[str, tuple[Add, dict[str, Any], str]] = {
    "clocks compared": (
        beside(market(60, start="2024-01-01")),
        {"kind": Coupled},
        "reads several clocks",
    ),
    "a line of the strategy": (beside(), {"kind": Spread}, "line of its strategy"),
    "an indicator that counts": (beside(), {"kind": using(Counter)}, "may count"),
    "Laguerre": (beside(), {"kind": using(bt.ind.LaguerreRSI)}, "may count"),
    "Ichimoku": (only(how=by(2)), {"kind": using(bt.ind.Ichimoku)}, "other values"),
    "too few bars": (beside(), {"kind": using(bt.ind.SMA)}, "needs more bars"),
    "Heikin-Ashi": (only(), {"kind": using(bt.ind.HeikinAshi)}, ""),
    "a filter besides": (filtered, {}, "other filters"),
    "a clone of a clone": (of_a_clone, {}, "not the finer one"),
    "a feed of others": (foreign, {}, "is no PerpData"),
    "a replayed feed": (replayed, {}, "bars are replayed"),
    "bar by bar": (beside(), {"runonce": False}, "did not ask"),
    "not preloaded": (beside(), {"preload": False}, "did not ask"),
    "exactbars": (beside(), {"exactbars": -1}, "did not ask"),
    "in the old order": (beside(), {"oldsync": True}, "did not ask"),
    "ahead": (beside(), {"lookahead": 2}, "looks ahead"),
    "a calendar": (only(calendar=_calendar()), {}, "has a time zone or a calendar"),
    "a clone that waits for another feed": (LATE, {}, "held back"),
    "a bar that comes when the others have ended": (
        together(plain(WHOLE[:100]), only(OTHER)),
        {},
        "goes on when the others have ended",
    ),
    "single candles of a session": (
        beside(market(9, "25h"), by(2, DAYS)),
        {},
        "single candle",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_it_is_resampled_bar_by_bar_where_arrays_would_differ(
    pictures: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    add, options, why = SLOW[name]
    with caplog.at_level(logging.DEBUG, logger="bt_margin"):
        assert not check(pictures, add, **options)
    assert why in caplog.text


# Many cases


OPTION_CHOICES: dict[str, tuple[Any, ...]] = {
    "bar2edge": (True, False),
    "adjbartime": (True, False),
    "rightedge": (True, False),
    "boundoff": (0, 0, 1, 4),
    "takelate": (True, False),
    "sessionend": (True, False),
}


class Draw:
    """A case drawn by a number."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        draw = self._chance.choice
        self._step = pd.Timedelta(
            draw(("1min",) * 6 + ("5s", "90s", "7min", "4h", "1D"))
        )
        begin = pd.Timestamp("2024-01-01") + self._step * self._chance.randrange(3_000)
        self._begin = begin + pd.Timedelta(seconds=draw((0, 0, 0, 13)))
        self._count = self._chance.randrange(60, 300)
        self._gaps, self._hole = draw((0, 0, 0.02, 0.3)), draw((0, 0, 30, 500))
        self._has_own_gaps = self._chance.random() < 0.2
        self.mode = draw(("isolated", "cross", "off"))
        self.kind = draw((Trader, Trader, Trader, Clockwork))
        self._add: list[Add] = []
        for number in range(draw((1, 1, 1, 2, 3))):
            self._draw_symbol(number)

    def _draw_symbol(self, number: int) -> None:
        draw = self._chance.choice
        frame = self._frame(number)
        hows = [self._how(), self._how()][: draw((1, 1, 2))]
        shape = draw((only, beside, beside, plain)) if number else draw((only, beside))
        if shape is plain:
            self._add.append(plain(frame))
        elif shape is only:
            self._add.append(only(frame, hows[0], **self._cut()))
        else:
            self._add.append(beside(frame, *hows, **self._cut()))

    def _frame(self, number: int) -> pd.DataFrame:
        chance = self._chance if self._has_own_gaps else random.Random(self._count)
        frame = market(self._count, self._step, self._begin, seed=number + 7)
        kept = frame[[chance.random() >= self._gaps for _ in range(self._count)]]
        if self._hole:
            first = self._begin + self._step * chance.randrange(self._count)
            last = first + self._step * self._hole * chance.random()
            kept = kept[(kept.index < first) | (kept.index > last)]
        if number and self._chance.random() < 0.4:
            cut = self._chance.randrange(1, self._count // 2)
            kept = kept[cut:] if self._chance.random() < 0.5 else kept[:-cut]
        return kept if len(kept) > 4 else frame

    def _how(self) -> dict[str, Any]:
        draw, seconds = self._chance.choice, int(self._step.total_seconds())
        unit = draw((MINUTES,) * 6 + (DAYS, DAYS, *range(bt.TimeFrame.Weeks, 9)))
        if unit == MINUTES:
            unit = SECONDS if seconds < 60 and draw((True, False)) else unit
            length = -(-seconds // 60) if unit == MINUTES else seconds
            how = by(length * draw((1, 2, 3, 5, 7, 15, 15, 45, 60)), unit)
        else:
            how = by(draw((1, 1, 2, 3)), unit)
        if self._chance.random() < 0.4:
            how |= {name: draw(of) for name, of in OPTION_CHOICES.items()}
        return how

    def _cut(self) -> dict[str, Any]:
        draw, count = self._chance, self._count
        found: dict[str, Any] = {}
        if draw.random() < 0.3:
            begin = self._begin + self._step * draw.randrange(count // 3)
            found["fromdate"] = begin.to_pydatetime()
        if draw.random() < 0.3:
            end = self._begin + self._step * (count - draw.randrange(count // 3))
            found["todate"] = end.to_pydatetime()
        if draw.random() < 0.3:
            middle = (self._begin + self._step * (count // 2)).time()
            found["sessionend"] = draw.choice((time(17), time(23, 59, 59), middle))
        return found

    def __call__(self, cerebro: Any) -> None:
        for add in self._add:
            add(cerebro)


def check_draws(pictures: Any, seeds: range) -> int:
    """How many of some drawn cases ran in the leaner loop."""
    found = 0
    for seed in seeds:
        draw = Draw(seed)
        try:
            found += check(pictures, draw, mode=draw.mode, kind=draw.kind)
        except AssertionError as error:
            raise AssertionError(f"case {seed}") from error
    return found


def test_drawn_cases_are_the_same(pictures: Any) -> None:
    assert check_draws(pictures, range(40)) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_drawn_cases_are_the_same(pictures: Any, part: int) -> None:
    seeds = range(1_000 + 100 * part, 1_100 + 100 * part)
    assert check_draws(pictures, seeds) >= 20


# Faults


@pytest.mark.parametrize("line", ["close", "high", "datetime"])
def test_a_wrong_value_of_a_resampled_bar_shows(
    pictures: Any, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    stock = vars(preloading)["resample"]

    def fault(*args: Any, **words: Any) -> Any:
        found = stock(*args, **words)
        found.columns[line][9] -= 1e-9
        return found

    monkeypatch.setattr(preloading, "resample", fault)
    fast, uses = run(pictures, beside(), accelerate=True)
    slow, _ = run(pictures, beside(), accelerate=False)
    assert uses == 1
    assert "feeds" in pictures.differences(fast, slow)


def test_a_bar_that_comes_a_round_late_shows(
    pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = vars(preloading)["resample"]

    def fault(*args: Any, **words: Any) -> Any:
        found = stock(*args, **words)
        found.made[3] += 1
        return found

    monkeypatch.setattr(preloading, "resample", fault)
    fast, uses = run(pictures, beside(), accelerate=True)
    slow, _ = run(pictures, beside(), accelerate=False)
    assert uses == 1
    assert pictures.differences(fast, slow)


# Runs of one Cerebro


def prepared(broker: Any) -> Any:
    cerebro = bt.Cerebro()
    cerebro.setbroker(broker)
    beside()(cerebro)
    cerebro.addstrategy(Trader)
    return cerebro


def test_the_run_after_it_is_backtraders(pictures: Any) -> None:
    """With a stock broker: preloading is off again, and the feeds are unused."""
    cerebro = prepared(MarginBroker(cash=1_000))
    cerebro.run()
    assert cerebro._doreplay
    assert not cerebro._dopreload
    assert not {"_runonce", "_runnext"} & {*vars(cerebro)}
    assert not any("preload" in vars(data) for data in cerebro.datas)
    heard = []
    for one in (cerebro, prepared(bt.brokers.BackBroker())):
        one.setbroker(bt.brokers.BackBroker())
        with pictures.counted() as use:
            heard.append(one.run()[0].heard)
        assert use.count == 0
    assert heard[0] == heard[1]


def test_every_run_begins_afresh(pictures: Any) -> None:
    cerebro = prepared(MarginBroker(cash=1_000))
    with pictures.counted() as use:
        first, second = cerebro.run()[0].heard, cerebro.run()[0].heard
    assert use.count == 2
    assert first == second


def test_what_a_resampler_remembers_of_a_slow_run_is_left_to_it(pictures: Any) -> None:
    """Backtrader's keeps the end of the last session: the next run is another one."""
    heard = []
    for accelerate in (True, False):
        cerebro = prepared(MarginBroker(cash=1_000, accelerate=False))
        cerebro.run()
        cerebro.setbroker(MarginBroker(cash=1_000, accelerate=accelerate))
        with pictures.counted() as use:
            heard.append(cerebro.run()[0].heard)
        assert use.count == 0
    assert heard[0] == heard[1]


class Failing(Trader):
    def next(self) -> None:
        raise RuntimeError("it fails")


def test_a_run_that_fails_leaves_nothing_to_the_next_one(pictures: Any) -> None:
    # One instrument would be left to the feeds: a broker that was not stopped.
    cerebro = prepared(MarginBroker(cash=1_000, same_instrument=False))
    cerebro.strats[0] = [(Failing, (), {})]
    with pytest.raises(RuntimeError):
        cerebro.run()
    cerebro.strats[0] = [(Trader, (), {})]
    cerebro.setbroker(bt.brokers.BackBroker())
    stock = prepared(bt.brokers.BackBroker())
    assert cerebro.run()[0].heard == stock.run()[0].heard


class Periods(Trader):
    params: Any = (("period", 3),)

    def __init__(self) -> None:
        super().__init__()
        self.long = bt.ind.SMA(self.datas[-1], period=self.p.period)

    def next(self) -> None:
        if self.long[0] > self.data.close[0]:
            self.buy(size=1)
        else:
            self.close()


def optimized(accelerate: bool, periods: list[int], cpus: int) -> list[Any]:
    """Returns of a run for each period."""
    cerebro = prepared(MarginBroker(cash=1_000, accelerate=accelerate))
    cerebro.strats.clear()
    cerebro.optstrategy(Periods, period=periods)
    cerebro.addanalyzer(bt.analyzers.TimeReturn)
    found = []
    for (one,) in cerebro.run(maxcpus=cpus):
        found.append([*one.analyzers[0].get_analysis().values()])
    return found


def single_runs(periods: list[int]) -> list[Any]:
    return [optimized(False, [period], 1)[0] for period in periods]


def test_an_optimization_finds_what_single_runs_find(pictures: Any) -> None:
    with pictures.counted() as use:
        assert optimized(True, [2, 5, 9], 1) == single_runs([2, 5, 9])
    assert use.count == 3


IN_PROCESSES = """
import importlib.util, pickle, sys

spec = importlib.util.spec_from_file_location("resampling", sys.argv[1])
module = sys.modules["resampling"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
if __name__ == "__main__":
    assert module.optimized(True, [2, 5, 9], 2) == module.single_runs([2, 5, 9])
    cerebro = module.prepared(module.MarginBroker(cash=1_000))
    copy = pickle.loads(pickle.dumps(cerebro))
    assert cerebro.run()[0].heard == copy.run()[0].heard
    pickle.dumps(cerebro.datas)
"""


def test_feeds_go_to_other_processes(tmp_path: Path) -> None:
    """In a process of its own: other tests have made classes of the same names."""
    script = tmp_path / "optimize.py"
    script.write_text(IN_PROCESSES)
    command = [sys.executable, str(script), __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
