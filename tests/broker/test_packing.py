"""A feed that travels to another process arrives as it left, in little room.

What Cerebro does with it there is in ``test_optstrategy``. The names of feeds and
strategies are found in no other test: of two classes of one name and base Backtrader
can pickle the later one only.
"""

import pickle
from array import array
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from bt_margin import MarginBroker, PerpData

BARS = 200


class SpreadFeed(PerpData):
    """A feed with a line of its own, read off the frame."""

    lines: Any = ("spread",)

    def _load(self) -> bool:
        row = self._row
        if not super()._load():
            return False
        candle = self.p.dataname.iloc[row]
        self.lines.spread[0] = candle["high"] - candle["low"]
        return True


class EveryThird:
    """A filter that takes bars away."""

    def __init__(self, data: Any) -> None:
        pass

    def __call__(self, data: Any) -> bool:
        if data.datetime.datetime().hour % 3:
            return False
        data.backwards()
        return True


class RoundTrips(bt.Strategy):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def notify_order(self, order: Any) -> None:
        executed = order.executed
        self.seen.append((order.status, executed.size, executed.price))

    def next(self) -> None:
        if len(self) % 40 == 2:
            self.buy(size=30)
        elif len(self) % 40 == 30:
            self.close()
        self.seen.append((self.broker.getvalue(), self.broker.getcash()))
        self.seen.append([line[0] for line in self.data.lines])


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


def irregular(frame: pd.DataFrame) -> pd.DataFrame:
    """With a gap, and a step that is no whole number of milliseconds."""
    late = np.where(np.arange(len(frame)) > 50, 7_200_000_123, 0)
    return frame.set_index(frame.index + pd.to_timedelta(late, unit="us"))


def finer(frame: pd.DataFrame) -> pd.DataFrame:
    """Four candles for each, within its range."""
    return frame.resample("15min").ffill()


def stamps(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"funding_rate": 0.0003}, index=frame.index[::8])


FEEDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "regular": lambda f: PerpData(dataname=f),
    "a single candle": lambda f: PerpData(dataname=f.iloc[:1]),
    "irregular": lambda f: PerpData(dataname=irregular(f)),
    "always the same volume": lambda f: PerpData(dataname=f.assign(volume=3.0)),
    "volumes of -0 and 0": lambda f: PerpData(
        dataname=f.assign(volume=[-0.0, *[0.0] * (len(f) - 1)])
    ),
    "cut": lambda f: PerpData(
        dataname=f, fromdate=datetime(2024, 1, 3, 5), todate=datetime(2024, 1, 7)
    ),
    "cut away": lambda f: PerpData(dataname=f, fromdate=datetime(2025, 1, 1)),
    "out of a zone": lambda f: PerpData(dataname=f, tzinput=Zone()),
    "filtered": lambda f: PerpData(dataname=f, filters=[EveryThird]),
    "with mark": lambda f: PerpData(dataname=f, mark=f * 1.001),
    "with all": lambda f: PerpData(
        dataname=f, mark=f * 0.999, funding=stamps(f), detail=finer(f)
    ),
    "with a line of its own": lambda f: SpreadFeed(dataname=f),
}
LOOKAHEADS = {"no lookahead": 0, "lookahead": 3}


def candles(bars: int = BARS) -> pd.DataFrame:
    """Hourly candles of a random walk."""
    rng = np.random.default_rng(5)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, bars)))
    opens = np.concatenate(([100.0], closes[:-1]))
    return pd.DataFrame(
        {
            "open": opens,
            "high": np.maximum(opens, closes) * 1.002,
            "low": np.minimum(opens, closes) * 0.998,
            "close": closes,
            "volume": rng.uniform(1, 50, bars),
        },
        index=pd.date_range("2024-01-01", periods=bars, freq="1h"),
    )


def loaded(feed: Any, lookahead: int = 0) -> Any:
    """The feed, loaded as Cerebro loads it for an optimisation."""
    if not hasattr(feed, "_env"):
        bt.Cerebro().adddata(feed, name="X")
    feed.reset()
    feed.extend(size=lookahead)
    feed._start()
    feed.preload()
    return feed


def there(thing: Any) -> Any:
    """A thing that was sent to another process, as it is there."""
    return pickle.loads(pickle.dumps(thing))


def lines_of(feed: Any) -> list[Any]:
    """All there is to know of each line."""
    return [
        (
            *(type(line.array), line.array.tobytes(), line.idx, line.lencount),
            *(line.extension, line.mode, line.bindings, line._owner is feed),
        )
        for line in feed.lines
    ]


def outcome(feed: Any, **settings: Any) -> Any:
    """What a run on the feed does."""
    broker = MarginBroker(margin_mode="isolated", leverage=10, cash=1_000)
    cerebro = bt.Cerebro(stdstats=False, **settings)
    cerebro.setbroker(broker)
    cerebro.adddata(feed, name="X")
    cerebro.addstrategy(RoundTrips)
    (strategy,) = cerebro.run()
    return strategy.seen, [(e.time, e.kind, e.amount) for e in broker.ledger]


every_feed = pytest.mark.parametrize("make", [*FEEDS.values()], ids=[*FEEDS])


@every_feed
@pytest.mark.parametrize("lookahead", [*LOOKAHEADS.values()], ids=[*LOOKAHEADS])
def test_a_feed_that_was_not_loaded_is_loaded_there_as_it_would_be_here(
    make: Any, lookahead: int
) -> None:
    here = make(candles())
    sent = there(here)
    assert lines_of(loaded(sent, lookahead)) == lines_of(loaded(here, lookahead))


@every_feed
@pytest.mark.parametrize("lookahead", [*LOOKAHEADS.values()], ids=[*LOOKAHEADS])
def test_a_loaded_feed_has_the_same_lines_there_and_here_as_before(
    make: Any, lookahead: int
) -> None:
    here = loaded(make(candles()), lookahead)
    before = lines_of(loaded(make(candles()), lookahead))
    for _ in range(2):
        sent = there(here)
        assert lines_of(sent) == before
        assert lines_of(there(sent)) == before
    values = [line.array.tobytes() for line in here.lines]
    assert values == [value for _, value, *_ in before]
    assert lines_of(loaded(here, lookahead)) == before


@every_feed
def test_a_run_there_does_what_a_run_here_does(make: Any) -> None:
    expected = outcome(make(candles()))
    assert outcome(there(make(candles()))) == expected
    assert outcome(there(loaded(make(candles())))) == expected
    has_run = make(candles())
    assert outcome(has_run, lookahead=2) == outcome(there(has_run), lookahead=2)
    assert outcome(has_run) == expected


@every_feed
def test_bar_by_bar_as_well(make: Any) -> None:
    expected = outcome(make(candles()), runonce=False)
    assert outcome(there(make(candles())), runonce=False) == expected
    assert outcome(there(make(candles())), preload=False) == expected


def test_frames_stay_here() -> None:
    frame = candles()
    feed = PerpData(dataname=frame, mark=frame, funding=0.0001, name="X")
    sent = there(feed)
    for name in ("dataname", "mark"):
        assert getattr(feed.p, name) is frame
        assert getattr(sent.p, name) is None
    assert feed._dataname is frame
    assert sent._dataname is None
    assert sent.params is sent.p
    assert (sent.p.funding, sent.p.name) == (0.0001, "X")


def test_a_class_of_ones_own_takes_its_frames_along() -> None:
    """Its code may read them at any time."""
    frame = candles()
    sent = there(loaded(SpreadFeed(dataname=frame, mark=frame)))
    assert sent.p.dataname.equals(frame)
    assert sent._dataname is sent.p.dataname
    assert sent.p.mark.equals(frame)


def test_what_was_written_into_a_loaded_line_travels() -> None:
    feed = loaded(PerpData(dataname=candles()), lookahead=2)
    there(feed)
    for place in (3, BARS, BARS + 1):
        feed.lines.close.array[place] = 1.5
    feed.lines.high.array.append(2.5)
    feed.lines.low.array.pop(0)
    sent = there(feed)
    for mine, line in zip(feed.lines, sent.lines, strict=True):
        assert line.array.tobytes() == mine.array.tobytes()
        assert type(line.array) is array


@pytest.mark.parametrize("comes_first", ["the line", "the feed"])
def test_a_line_sent_along_is_the_line_of_the_feed(comes_first: str) -> None:
    """So it is with a line among the parameters of a strategy."""
    feed = loaded(PerpData(dataname=candles()))
    if comes_first == "the line":
        line, sent = there((feed.lines.close, feed))
    else:
        sent, line = there((feed, feed.lines.close))
    assert line is sent.lines.close
    assert lines_of(sent) == lines_of(loaded(PerpData(dataname=candles())))


@pytest.mark.parametrize("name", ["regular", "cut"])
def test_a_task_holds_five_numbers_a_bar(name: str) -> None:
    bars = 5_000
    feed = FEEDS[name](candles(bars))
    for _ in range(2):  # not loaded, then loaded
        for _ in range(2):
            assert len(pickle.dumps(feed)) < 42 * bars
        loaded(feed)


def test_what_never_changes_takes_no_room() -> None:
    bars = 5_000
    feed = loaded(PerpData(dataname=candles(bars).assign(volume=0.0)))
    assert len(pickle.dumps(feed)) < 34 * bars


def test_irregular_times_are_one_number_more() -> None:
    bars = 5_000
    feed = loaded(PerpData(dataname=irregular(candles(bars))))
    assert len(pickle.dumps(feed)) < 50 * bars


def test_a_task_takes_less_than_half_the_room_of_backtraders() -> None:
    frame, sizes = candles(5_000), []
    broker = MarginBroker(margin_mode="isolated", cash=1_000)
    for feed, account in (
        (PerpData(dataname=frame, name="X"), broker),
        (bt.feeds.PandasData(dataname=frame, name="X"), bt.brokers.BackBroker()),
    ):
        cerebro = bt.Cerebro()
        cerebro.setbroker(account)
        cerebro.adddata(feed, name="X")
        loaded(feed)
        sizes.append(len(pickle.dumps(cerebro)))
    ours, stock = sizes
    assert ours < stock / 2
