"""PerpData shows the bars that Backtrader's own feed of a frame shows.

Its candles are loaded as columns where nothing looks at them one by one; here each
way of loading and of cutting a feed is compared with ``PandasData``, to the last bit.
"""

from array import array
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import product
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import PerpData

BARS = 100


class Zone(tzinfo):
    """Five hours ahead, as a zone of pytz is given to Backtrader."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=5)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "+5"

    def localize(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=self)


class EveryThird:
    """A filter that takes bars away."""

    def __init__(self, data: Any) -> None:
        self.count = 0

    def __call__(self, data: Any) -> bool:
        self.count += 1
        if self.count % 3:
            return False
        data.backwards()
        return True


class Doubling:
    """A filter that puts bars back, and one more at the end."""

    def __init__(self, data: Any) -> None:
        pass

    def __call__(self, data: Any) -> bool:
        return False

    def last(self, data: Any) -> int:
        data._save2stack()
        return 1


CUTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "from a bar on": {"fromdate": datetime(2024, 1, 2, 3)},
    "from between two bars": {"fromdate": datetime(2024, 1, 2, 3, 30)},
    "to a bar": {"todate": datetime(2024, 1, 3, 5)},
    "to a day": {"todate": date(2024, 1, 3)},
    "from and to": {
        "fromdate": datetime(2024, 1, 2, 0, 1),
        "todate": datetime(2024, 1, 2, 23, 59),
    },
    "from after the end": {"fromdate": datetime(2025, 1, 1)},
    "to before the start": {"todate": datetime(2023, 1, 1)},
    "from after to": {"fromdate": datetime(2024, 1, 3), "todate": datetime(2024, 1, 2)},
    "in a zone": {"tz": Zone()},
    "in a zone, from and to": {
        "tz": Zone(),
        "fromdate": datetime(2024, 1, 2),
        "todate": datetime(2024, 1, 3),
    },
    "out of a zone": {"tzinput": Zone()},
    "out of a zone, from": {"tzinput": Zone(), "fromdate": datetime(2024, 1, 2)},
    "filtered": {"filters": [EveryThird]},
    "filtered to the last": {"filters": [Doubling]},
    "session times": {"sessionstart": time(8), "sessionend": time(16)},
    "session times, filtered": {
        "sessionstart": time(8),
        "sessionend": time(16),
        "filters": [bt.filters.SessionFilter],
    },
}
MODES: dict[str, dict[str, Any]] = {
    "runonce": {},
    "bar by bar": {"runonce": False},
    "no preload": {"preload": False},
    "lookahead": {"lookahead": 3},
    "lookahead, bar by bar": {"lookahead": 3, "runonce": False},
    "exactbars 1": {"exactbars": 1},
    "exactbars -1": {"exactbars": -1},
    "exactbars -2": {"exactbars": -2},
}
WAYS: dict[str, Callable[[Any, Any], None]] = {}


def way(name: str) -> Callable[[Any], Any]:
    """Names a way to add a feed to Cerebro."""

    def keep(add: Any) -> Any:
        WAYS[name] = add
        return add

    return keep


HOURS = {"timeframe": bt.TimeFrame.Minutes, "compression": 240}


@way("plain")
def plain(cerebro: Any, feed: Any) -> None:
    cerebro.adddata(feed)


@way("resampled")
def resampled(cerebro: Any, feed: Any) -> None:
    cerebro.resampledata(feed, **HOURS)


@way("resampled beside")
def resampled_beside(cerebro: Any, feed: Any) -> None:
    cerebro.adddata(feed)
    cerebro.resampledata(feed, **HOURS)


@way("replayed")
def replayed(cerebro: Any, feed: Any) -> None:
    cerebro.replaydata(feed, **HOURS)


@way("with a clone")
def with_a_clone(cerebro: Any, feed: Any) -> None:
    cerebro.adddata(feed)
    cerebro.adddata(feed.clone())


NAMES = ("open", "high", "low", "close", "volume", "datetime")


class Reader(bt.Strategy):
    """Writes down every bar."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def next(self) -> None:
        for data in self.datas:
            if len(data):
                row = [float(getattr(data, name)[0]) for name in NAMES]
                self.seen.append((len(data), data.datetime.datetime(), *row))


def lines_of(data: Any) -> list[Any]:
    """Values, place and length of each line."""
    found = []
    for name in NAMES:
        line = getattr(data.lines, name)
        held = line.array
        raw = held.tobytes() if isinstance(held, array) else [*map(float, held)]
        found.append((name, raw, line.idx, line.lencount, line.extension))
    return found


def shown(feed: Any, add: Any, settings: dict[str, Any]) -> Any:
    """All that a run on a feed sees, and what it leaves."""
    cerebro = bt.Cerebro(**settings)
    add(cerebro, feed)
    cerebro.addstrategy(Reader)
    (strategy,) = cerebro.run()
    return strategy.seen, [lines_of(data) for data in cerebro.datas]


UNIT = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}


def frames(random_walk: Any) -> pd.DataFrame:
    frame: pd.DataFrame = random_walk(bars=BARS, seed=9)
    return frame


# Of the last bar Backtrader has kept nothing that a filter could put back.
IMPOSSIBLE = ("filtered to the last", "exactbars 1")
ROWS = [row for row in product(CUTS, MODES) if row != IMPOSSIBLE]


@pytest.mark.parametrize(("cut", "mode"), ROWS)
def test_it_shows_what_backtraders_feed_shows(
    random_walk: Any, cut: str, mode: str
) -> None:
    frame, settings = frames(random_walk), CUTS[cut]
    stock = bt.feeds.PandasData(dataname=frame, **UNIT, **settings)
    ours = PerpData(dataname=frame, **settings)
    assert shown(ours, plain, MODES[mode]) == shown(stock, plain, MODES[mode])


@pytest.mark.parametrize("name", [name for name in WAYS if name != "plain"])
@pytest.mark.parametrize("cut", ["whole", "from and to", "in a zone", "filtered"])
@pytest.mark.parametrize("mode", ["runonce", "no preload", "lookahead", "exactbars 1"])
def test_it_is_made_coarser_as_backtraders_feed_is(
    random_walk: Any, name: str, cut: str, mode: str
) -> None:
    frame, settings = frames(random_walk), CUTS[cut]
    stock = bt.feeds.PandasData(dataname=frame, **UNIT, **settings)
    ours = PerpData(dataname=frame, **settings)
    add = WAYS[name]
    assert shown(ours, add, MODES[mode]) == shown(stock, add, MODES[mode])


LOADED = [name for name in CUTS if "filtered" not in name and "out of" not in name]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("mode", ["runonce", "bar by bar"])
def test_candles_are_loaded_as_columns_where_nothing_looks_at_them(
    random_walk: Any, monkeypatch: pytest.MonkeyPatch, cut: str, mode: str
) -> None:
    """One by one, `load` is called for each candle."""
    calls: list[Any] = []
    stock = bt.DataBase.load

    def load(feed: Any) -> Any:
        calls.append(feed)
        return stock(feed)

    feed = PerpData(dataname=frames(random_walk), **CUTS[cut])
    monkeypatch.setattr(bt.feed.AbstractDataBase, "load", load)
    shown(feed, plain, MODES[mode])
    one_by_one = {*CUTS} - {*LOADED}
    # Bar by bar Cerebro asks once more, at the end.
    assert (len(calls) > 2) == (cut in one_by_one)


def test_a_feed_with_a_line_of_its_own_keeps_it(random_walk: Any) -> None:
    """Its `_load` is asked for each candle."""

    class Spread(PerpData):
        lines: Any = ("spread",)

        def _load(self) -> bool:
            if not super()._load():
                return False
            self.lines.spread[0] = self.lines.high[0] - self.lines.low[0]
            return True

    frame = frames(random_walk)
    feed = Spread(dataname=frame)
    shown(feed, plain, {})
    expected = (frame["high"] - frame["low"]).tolist()
    assert feed.lines.spread.array.tolist() == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_feed_can_be_shown_again(random_walk: Any, mode: str) -> None:
    feed = PerpData(dataname=frames(random_walk))
    first = shown(feed, plain, {})
    shown(feed, plain, MODES["bar by bar"])
    assert shown(feed, plain, {}) == first
