"""The table: orders x run modes x feeds x settings, each against stock Backtrader.

``off`` is stock to the last bit. Isolated and cross margin at leverage 1, with ample
cash, no funding and no margin on resting orders, are stock up to rounding: the same
orders, statuses, fills, commissions and trades, and the same value at every bar.

By default each pair of entries of two columns is met at least once; ``-m slow`` is
every combination but of run modes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import lru_cache
from itertools import combinations, cycle, product
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import CrossBroker, IsolatedBroker, MarginBroker

AMPLE = 1_000_000
FEE = 0.001
BARS = 73  # hours: four-hour bars end with them

Row = tuple[str, ...]
Adding = Callable[[Any], None]


# Columns

ORDERS = (
    "market orders",
    "orders at the session's close",
    "limit orders",
    "stop orders",
    "stop-limit orders",
    "trailing stops by amount",
    "trailing stops by percent",
    "trailing stop-limits",
    "brackets around a market entry",
    "brackets around a limit entry",
    "one order cancels the others",
    "orders that expire",
    "a soup of orders",
)

MODES: dict[str, dict[str, Any]] = {
    "runonce": {},
    "bar by bar": {"runonce": False},
    "no preload": {"preload": False},
    "exactbars 1": {"exactbars": 1},
    "exactbars 0": {"exactbars": 0, "runonce": False},
    "exactbars -1": {"exactbars": -1},
    "exactbars -2": {"exactbars": -2},
}


@dataclass(frozen=True)
class Feeds:
    """What is traded.

    Attributes:
        spans: bars of each feed that is added as it is: first and one past the last.
        coarse: how a coarser feed is made of the first one, if it is.
        beside: whether the first one is added too, and is the one that is traded.
    """

    spans: tuple[tuple[int, int], ...] = ((0, BARS),)
    coarse: str = ""
    beside: bool = False


FEEDS: dict[str, Feeds] = {
    "one feed": Feeds(),
    "a resampled feed": Feeds(coarse="resampledata"),
    "a resampled feed beside": Feeds(coarse="resampledata", beside=True),
    "a replayed feed": Feeds(coarse="replaydata"),
    "three feeds": Feeds(((0, BARS),) * 3),
    "a late start": Feeds(((0, BARS), (31, BARS))),
    "a late start of the first": Feeds(((17, BARS), (0, BARS))),
    "an early end": Feeds(((0, BARS), (0, 52))),
    "an early end of the first": Feeds(((0, 47), (0, BARS))),
}


@dataclass(frozen=True)
class Setting:
    """Everything else that can be set."""

    broker: Adding = lambda broker: None
    cerebro: dict[str, Any] = field(default_factory=dict)
    feed: dict[str, Any] = field(default_factory=dict)
    add: Adding = lambda cerebro: None
    trader: dict[str, Any] = field(default_factory=dict)


class Week(bt.TradingCalendar):
    """A late opening, a holiday, and a day that ends early.

    Backtrader searches for ever for the session of a bar after the usual close.
    """

    params = (
        ("open", time(9, 0)),
        ("close", time(23, 30)),
        ("holidays", [date(2024, 1, 2)]),
        ("earlydays", [(date(2024, 1, 3), time(9, 0), time(13, 0))]),
    )


class CostlyToHold(bt.CommInfoBase):
    """A user's own scheme, with interest on longs and shorts."""

    params = (
        ("commission", 0.02),
        ("interest", 0.30),
        ("interest_long", True),
        ("stocklike", True),
        ("commtype", bt.CommInfoBase.COMM_FIXED),
    )


HISTORY = (
    ("2024-01-01T20:00:00", 5, 91.5),
    (pd.Timestamp("2024-01-02 12:00").to_pydatetime(), -3, 92.5),
    ("2024-01-03", -4, 90.25),
)


def slippage(way: str, amount: float, **how: bool) -> Setting:
    return Setting(lambda broker: getattr(broker, f"set_slippage_{way}")(amount, **how))


def filler(make: Callable[[], Any]) -> Setting:
    return Setting(lambda broker: broker.set_filler(make()))


TIMERS = (
    {"when": time(10, 0)},
    {"when": bt.timer.SESSION_START, "offset": timedelta(hours=3)},
)

SETTINGS: dict[str, Setting] = {
    "nothing set": Setting(),
    "cheat on close": Setting(lambda broker: broker.set_coc(True)),
    "cheat on open": Setting(cerebro={"cheat_on_open": True}, trader={"on_open": True}),
    "cheat on open, sent after it": Setting(lambda broker: broker.set_coo(True)),
    "slippage in percent": slippage("perc", 0.004),
    "slippage in points": slippage("fixed", 0.35),
    "slippage at the open": slippage("perc", 0.01, slip_open=True),
    "slippage that must match": slippage("perc", 0.01, slip_match=False),
    "no slippage of limits": slippage("fixed", 0.5, slip_limit=False),
    "slippage out of the bar": slippage("fixed", 0.9, slip_out=True),
    "a filler of fixed size": filler(lambda: bt.fillers.FixedSize(size=4)),
    "a filler by volume": filler(lambda: bt.fillers.FixedBarPerc(perc=1.0)),
    "a filler by price": filler(lambda: bt.fillers.BarPointPerc(minmov=0.5, perc=10.0)),
    "fund mode": Setting(lambda broker: broker.set_fundmode(True, fundstartval=50)),
    "an order history": Setting(
        add=lambda cerebro: cerebro.add_order_history(HISTORY, notify=True)
    ),
    "a trading calendar": Setting(add=lambda cerebro: cerebro.addcalendar(Week())),
    "session times": Setting(
        feed={"sessionstart": time(8, 0), "sessionend": time(16, 0)}
    ),
    "timers": Setting(trader={"timers": TIMERS}),
    "cheating timers": Setting(
        cerebro={"cheat_on_open": True},
        trader={"timers": [{**settings, "cheat": True} for settings in TIMERS]},
    ),
    "a writer": Setting(
        add=lambda cerebro: cerebro.addwriter(bt.WriterStringIO, csv=True)
    ),
    "end of session at its bar": Setting(lambda broker: broker.set_eosbar(True)),
    "interest": Setting(lambda broker: broker.addcommissioninfo(CostlyToHold())),
}

# Backtrader looks for the bar of a feed that has ended where it has thrown it away.
IMPOSSIBLE = {
    ("exactbars 1", "an early end"),
    ("exactbars 1", "an early end of the first"),
}

COLUMNS: tuple[Row, ...] = (ORDERS, (*MODES,), (*FEEDS,), (*SETTINGS,))

BROKERS: dict[str, Callable[[], Any]] = {
    "off": lambda: MarginBroker(margin_mode="off", cash=AMPLE),
    "isolated": lambda: IsolatedBroker(cash=AMPLE, order_margin=False),
    "cross": lambda: CrossBroker(cash=AMPLE, order_margin=False),
}


# Rows


def is_possible(row: Iterable[str]) -> bool:
    return IMPOSSIBLE.isdisjoint(combinations(row, 2))


def pairwise(columns: tuple[Row, ...]) -> Iterator[Row]:
    """Rows that meet each pair of entries of two columns, in a few more than needed.

    Each row begins with a pair not met yet and takes from the other columns what
    meets the most.
    """
    missing = dict.fromkeys(
        pair
        for one, other in combinations(columns, 2)
        for pair in product(one, other)
        if pair not in IMPOSSIBLE
    )

    def met(row: Iterable[str]) -> int:
        pairs = [pair for pair in combinations(row, 2) if pair in missing]
        return len(pairs) if is_possible(row) else -1

    while missing:
        first = next(iter(missing))
        row = [next((e for e in first if e in entries), "") for entries in columns]
        for place, entries in enumerate(columns):
            if not row[place]:
                rows = [(*row[:place], e, *row[place + 1 :]) for e in entries]
                row = [*max(rows, key=met)]
        for pair in combinations(row, 2):
            missing.pop(pair, None)
        yield (*row,)


PAIRS = [*pairwise(COLUMNS)]


# Runs


@lru_cache(maxsize=1)
def market(tools: Any) -> list[pd.DataFrame]:
    """The candles of each feed."""
    return [tools.random_walk(bars=BARS, seed=seed) for seed in (1, 2, 3)]


def play(
    run: Any, tools: Any, broker: Any, row: Row, *, prepare: Iterable[Adding] = ()
) -> Any:
    """Run a row of the table under a broker.

    Args:
        run: `run` of the conformance tests.
        tools: the tools of the broker tests.
        broker: the broker.
        row: an entry of each column.
        prepare: what to add to Cerebro besides.
    """
    order, mode, feeds_name, setting_name = row
    feeds, setting = FEEDS[feeds_name], SETTINGS[setting_name]
    frames = market(tools)

    def feed(number: int) -> Any:
        first, end = feeds.spans[number]
        return tools.stock_feed(frames[number][first:end], **setting.feed)

    def add_feeds(cerebro: Any) -> None:
        if feeds.beside or not feeds.coarse:
            for number in range(len(feeds.spans)):
                cerebro.adddata(feed(number), name=f"data{number}")
        if feeds.coarse:
            hours = {"timeframe": bt.TimeFrame.Minutes, "compression": 240}
            made_of = cerebro.datas[0] if feeds.beside else feed(0)
            getattr(cerebro, feeds.coarse)(made_of, name="coarse", **hours)

    broker.setcommission(commission=FEE)
    setting.broker(broker)
    desk = Desk(tools.SCRIPTS[order], feeds)
    traded = {"script": desk.act, "at_timer": desk.act_at_timer}
    return run(
        broker,
        prepare=[add_feeds, setting.add, *prepare],
        trader={**traded, "traded": len(feeds.spans), **setting.trader},
        **{**MODES[mode], **setting.cerebro},
    )


@pytest.fixture(scope="module")
def outcome(run: Any, broker_tools: Any) -> Callable[[str, Row], Any]:
    """What a row of the table comes to with a broker, or with ``stock``."""

    def compute(broker_name: str, row: Row) -> Any:
        if broker_name == "stock":
            broker = bt.brokers.BackBroker(cash=AMPLE)
        else:
            broker = BROKERS[broker_name]()
        return play(run, broker_tools, broker, row)

    return lru_cache(maxsize=8)(compute)


class Desk:
    """Sends the orders of a script on each feed, while it lives.

    Stock matches orders with the last bar of a feed that has ended again and again,
    which is a deviation of its own: here none is left when a feed ends.
    """

    def __init__(self, script: Callable[[Any, int], None], feeds: Feeds) -> None:
        self._script = script
        self._lengths = [end - first for first, end in feeds.spans]
        self._ends = [end < BARS for _, end in feeds.spans]

    def act(self, s: Any) -> None:
        for number, data in self._open(s):
            memo = s.memo.setdefault(number, {"step": 0})
            memo["step"] += 1
            self._script(Seat(s, data, memo), memo["step"])

    def act_at_timer(self, s: Any) -> None:
        """Buy and sell by turns on the first feed that is open."""
        for _, data in self._open(s)[:1]:
            side = s.buy if len(s.heard) % 2 else s.sell
            side(data=data, size=2)

    def _open(self, s: Any) -> list[tuple[int, Any]]:
        """The feeds that have begun and do not end yet."""
        found = []
        for number, length in enumerate(self._lengths):
            data = s.datas[number]
            left = length - len(data) if self._ends[number] else length
            if left == 2:
                for order in s.broker.get_orders_open():
                    if order.data is data:
                        s.cancel(order)
            if len(data) and left > 2:
                found.append((number, data))
        return found


class Seat:
    """A strategy as a script sees it: it has one feed."""

    def __init__(self, strategy: Any, data: Any, memo: dict[str, Any]) -> None:
        self.data, self.datas, self.memo = data, [data], memo
        self.broker, self.cancel = strategy.broker, strategy.cancel
        self._strategy = strategy

    def __getattr__(self, name: str) -> Any:
        act = getattr(self._strategy, name)
        return lambda **settings: act(**{"data": self.data, **settings})


def check(outcome: Any, assert_same: Any, broker: str, row: Row) -> None:
    stock, ours = outcome("stock", row), outcome(broker, row)
    assert stock.bars
    if broker == "off":
        assert ours == stock
    else:
        assert_same(ours, stock)
        assert ours.broker.liquidations == []


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("row", PAIRS, ids=" - ".join)
def test_ours_does_what_stock_does(
    outcome: Any, assert_same: Any, broker: str, row: Row
) -> None:
    check(outcome, assert_same, broker, row)


@pytest.mark.slow
@pytest.mark.parametrize("feeds", FEEDS)
@pytest.mark.parametrize("order", ORDERS)
def test_ours_does_what_stock_does_in_every_combination(
    outcome: Any, assert_same: Any, order: str, feeds: str
) -> None:
    """Run modes take turns."""
    for setting, mode in zip(SETTINGS, cycle(MODES), strict=False):
        row = (order, mode, feeds, setting)
        for broker in BROKERS if is_possible(row) else ():
            check(outcome, assert_same, broker, row)


def test_every_pair_is_met() -> None:
    met = {pair for row in PAIRS for pair in combinations(row, 2)}
    for one, other in combinations(COLUMNS, 2):
        assert met >= {*product(one, other)} - IMPOSSIBLE
    assert met.isdisjoint(IMPOSSIBLE)


FILLS = {
    "market orders": {"Market"},
    "orders at the session's close": {"Close"},
    "limit orders": {"Limit"},
    "stop orders": {"Stop"},
    "stop-limit orders": {"StopLimit"},
    "trailing stops by amount": {"Market", "StopTrail"},
    "trailing stops by percent": {"Market", "StopTrail"},
    "trailing stop-limits": {"Market", "StopTrailLimit"},
    "brackets around a market entry": {"Market", "Limit", "Stop"},
    "brackets around a limit entry": {"Limit", "Stop"},
    "one order cancels the others": {"Limit", "Stop"},
    "orders that expire": {"Limit", "Stop"},
}


@pytest.mark.parametrize("order", FILLS)
def test_each_kind_of_order_fills(outcome: Any, order: str) -> None:
    stock = outcome("stock", (order, "runonce", "one feed", "nothing set"))
    assert stock.kinds >= FILLS[order]
    assert stock.trades


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("feeds", [name for name in FEEDS if FEEDS[name].coarse])
def test_a_coarse_bar_that_the_end_cuts_short_counts_too(
    run: Any, assert_same: Any, broker_tools: Any, broker: str, feeds: str
) -> None:
    """The last bar is made of two hours of four; the value is at its close."""
    frame = broker_tools.random_walk(bars=BARS + 2, seed=1)

    def add(cerebro: Any) -> None:
        feed = broker_tools.stock_feed(frame)
        if FEEDS[feeds].beside:
            cerebro.adddata(feed, name="fine")
        make = getattr(cerebro, FEEDS[feeds].coarse)
        make(feed, name="coarse", timeframe=bt.TimeFrame.Minutes, compression=240)

    def buy_once(s: Any) -> None:
        if len(s) == 10 and not s.memo.setdefault("bought", False):
            s.memo["bought"] = s.buy(size=10)

    runs = []
    for one in (bt.brokers.BackBroker(cash=AMPLE), BROKERS[broker]()):
        one.setcommission(commission=FEE)
        runs.append(run(one, prepare=[add], trader={"script": buy_once}))
    stock, ours = runs
    assert stock.trades
    assert_same(ours, stock)
