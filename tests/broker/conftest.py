"""Tools of the broker tests: markets, scripts of orders, and a recorder of runs.

A script is a function of a strategy and its bar number that sends orders. It runs
under any broker, and what a run did is compared row by row.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from backtrader import Order

Script = Callable[[Any, int], None]
Row = tuple[Any, ...]

PRICES = ("open", "high", "low", "close")


# Markets


def random_walk(
    bars: int = 200,
    seed: int = 1,
    start: float = 100.0,
    step: float = 0.012,
    every: str = "1h",
) -> pd.DataFrame:
    """Candles of a seeded random walk with gaps, rounded to two decimals."""
    rng = np.random.default_rng(seed)
    rows, last = [], start
    for _ in range(bars):
        gap = rng.choice([0.0, 0.002, 0.03], p=[0.5, 0.4, 0.1])
        opened = last * np.exp(gap * rng.normal())
        closed = opened * np.exp(step * rng.normal())
        up, down = np.exp(np.abs(step * rng.normal(size=2)) / 2)
        high, low = max(opened, closed) * up, min(opened, closed) / down
        prices = [round(float(p), 2) for p in (opened, high, low, closed)]
        rows.append((*prices, float(rng.integers(5, 500))))
        last = prices[-1]
    return candles(rows, every=every)


def candles(
    rows: Iterable[Sequence[float]], every: str = "1h", start: str = "2024-01-01"
) -> pd.DataFrame:
    """Candles from rows of open, high, low, close and, if given, volume."""
    full = [(*row, 1000.0)[:5] for row in rows]
    index = pd.date_range(start, periods=len(full), freq=every, name="datetime")
    return pd.DataFrame(full, index=index, columns=[*PRICES, "volume"], dtype=float)


def stock_feed(frame: pd.DataFrame, **params: Any) -> Any:
    """The candles as Backtrader's own feed, whose times are a bar's open."""
    length = frame.index[1] - frame.index[0]
    unit, compression = bt.TimeFrame.Minutes, int(length / timedelta(minutes=1))
    if length >= timedelta(days=1):
        unit, compression = bt.TimeFrame.Days, 1
    settings = {"timeframe": unit, "compression": compression, **params}
    return bt.feeds.PandasDirectData(dataname=frame, openinterest=-1, **settings)


# Recorded runs


class Scripted(bt.Strategy):
    """Runs a script once a bar."""

    params = (("script", None), ("on_open", False))

    def __init__(self) -> None:
        self.memo: dict[str, Any] = {}

    def next(self) -> None:
        if not self.p.on_open:
            self.p.script(self, len(self))

    def next_open(self) -> None:
        if self.p.on_open:
            self.p.script(self, len(self))


class Recorder(bt.Analyzer):
    """Writes down all that a strategy can see of its broker.

    References of orders and trades count up through a whole process, so they are
    replaced by the order of their first appearance.
    """

    def start(self) -> None:
        self.orders: list[Row] = []
        self.trades: list[Row] = []
        self.bars: list[Row] = []
        self.seen: list[Any] = []
        self._numbers: dict[tuple[str, int], int] = {}

    def _number(self, kind: str, ref: int) -> int:
        return self._numbers.setdefault((kind, ref), len(self._numbers))

    def _time(self) -> float:
        return float(self.strategy.datas[0].datetime[0])

    def notify_order(self, order: Any) -> None:
        self.seen.append(order)
        created, executed = order.created, order.executed
        self.orders.append(
            (
                self._time(),
                self._number("order", order.ref),
                order.data._name,
                order.getstatusname(),
                order.isbuy(),
                order.getordername(),
                created.size,
                created.price,
                created.pricelimit,
                created.dt,
                executed.size,
                executed.remsize,
                executed.price,
                executed.comm,
                executed.value,
                executed.pnl,
                executed.psize,
                executed.pprice,
                executed.dt,
                [
                    (
                        bit.dt,
                        bit.size,
                        bit.price,
                        bit.closed,
                        bit.closedvalue,
                        bit.closedcomm,
                        bit.opened,
                        bit.openedvalue,
                        bit.openedcomm,
                        bit.pnl,
                    )
                    for bit in executed.iterpending()
                ],
            )
        )

    def notify_trade(self, trade: Any) -> None:
        self.trades.append(
            (
                self._time(),
                self._number("trade", trade.ref),
                trade.data._name,
                trade.tradeid,
                trade.status_names[trade.status],
                trade.justopened,
                trade.isclosed,
                trade.size,
                trade.price,
                trade.value,
                trade.commission,
                trade.pnl,
                trade.pnlcomm,
                trade.barlen,
            )
        )

    def next(self) -> None:
        broker, datas = self.strategy.broker, self.strategy.datas
        positions = [broker.getposition(data) for data in datas]
        self.bars.append(
            (
                self._time(),
                broker.getvalue(),
                broker.getcash(),
                broker.get_value(mkt=True),
                broker.get_value(lever=True),
                broker.get_value(mkt=True, lever=True),
                broker.get_leverage(),
                broker.fundvalue,
                broker.fundshares,
                [broker.getvalue([data]) for data in datas],
                [broker.getvalue([data], lever=True) for data in datas],
                [(held.size, held.price) for held in positions],
            )
        )


@dataclass
class Run:
    """What a run did, and the objects it left."""

    orders: list[Row]
    trades: list[Row]
    bars: list[Row]
    seen: list[Any]
    strategy: Any
    broker: Any

    @property
    def values(self) -> list[float]:
        return [row[1] for row in self.bars]

    @property
    def cash(self) -> list[float]:
        return [row[2] for row in self.bars]

    @property
    def positions(self) -> list[float]:
        """Size held on the first feed at the end of each bar."""
        return [row[-1][0][0] for row in self.bars]

    def statuses(self, number: int) -> list[str]:
        """Statuses of the order that was sent as the ``number``-th, from 0."""
        refs = sorted({order.ref for order in self.seen})
        return [o.getstatusname() for o in self.seen if o.ref == refs[number]]

    def fills(self) -> list[tuple[float, float]]:
        """Size and price of every execution."""
        return [(bit[1], bit[2]) for row in self.orders for bit in row[-1]]


def record(
    broker: Any,
    script: Script,
    *frames: pd.DataFrame,
    feed: Callable[..., Any] = stock_feed,
    on_open: bool = False,
    prepare: Callable[[Any], None] | None = None,
    **settings: Any,
) -> Run:
    """Run a script under a broker; ``settings`` are Cerebro's."""
    cerebro = bt.Cerebro(**{"stdstats": False, **settings})
    cerebro.setbroker(broker)
    for number, frame in enumerate(frames):
        cerebro.adddata(feed(frame), name=f"data{number}")
    cerebro.addstrategy(Scripted, script=script, on_open=on_open)
    cerebro.addanalyzer(Recorder, _name="recorder")
    if prepare is not None:
        prepare(cerebro)
    strategy = cerebro.run()[0]
    seen = strategy.analyzers.recorder
    return Run(seen.orders, seen.trades, seen.bars, seen.seen, strategy, broker)


# Scripts


def _live(s: Any) -> list[Any]:
    """Orders of the script that the broker has accepted and not finished."""
    orders: list[Any] = s.memo.setdefault("sent", [])
    return [o for o in orders if o.status in (Order.Accepted, Order.Partial)]


def market_orders(s: Any, bar: int) -> None:
    if bar % 7 == 1:
        s.buy(size=10)
    elif bar % 7 == 4:
        s.sell(size=6)


def limit_orders(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 5 == 1:
        s.buy(size=7, exectype=Order.Limit, price=price * 0.99)
    elif bar % 5 == 3:
        s.sell(size=5, exectype=Order.Limit, price=price * 1.01)
    elif bar % 20 == 0:  # crosses on arrival
        s.sell(size=3, exectype=Order.Limit, price=price * 0.97)


def stop_orders(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 6 == 1:
        s.buy(size=7, exectype=Order.Stop, price=price * 1.01)
    elif bar % 6 == 4:
        s.sell(size=7, exectype=Order.Stop, price=price * 0.99)


def stop_limit_orders(s: Any, bar: int) -> None:
    price, kind = s.data.close[0], Order.StopLimit
    if bar % 6 == 1:
        s.buy(size=7, exectype=kind, price=price * 1.01, plimit=price * 1.005)
    elif bar % 6 == 3:
        s.buy(size=2, exectype=kind, price=price * 1.005, plimit=price * 1.02)
    elif bar % 6 == 4:
        s.sell(size=7, exectype=kind, price=price * 0.99, plimit=price * 0.995)


def trailing_by_amount(s: Any, bar: int) -> None:
    if bar % 10 == 1:
        s.buy(size=8)
        s.sell(size=8, exectype=Order.StopTrail, trailamount=2.0)
    elif bar % 10 == 6:
        s.sell(size=3)
        s.buy(size=3, exectype=Order.StopTrail, trailamount=1.5)


def trailing_by_percent(s: Any, bar: int) -> None:
    if bar % 10 == 1:
        s.buy(size=8)
        s.sell(size=8, exectype=Order.StopTrail, trailpercent=0.02)
    elif bar % 10 == 6:
        s.sell(size=3)
        s.buy(size=3, exectype=Order.StopTrail, trailpercent=0.015)


def trailing_stop_limits(s: Any, bar: int) -> None:
    price, kind = s.data.close[0], Order.StopTrailLimit
    if bar % 12 == 1:
        s.buy(size=8)
        s.sell(
            size=8,
            exectype=kind,
            price=price * 0.98,
            plimit=price * 0.97,
            trailamount=2.0,
        )
    elif bar % 12 == 7:
        s.buy(
            size=4,
            exectype=kind,
            price=price * 1.02,
            plimit=price * 1.03,
            trailpercent=0.02,
        )


def market_brackets(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 15 == 1:
        s.buy_bracket(
            size=9,
            exectype=Order.Market,
            stopprice=price * 0.98,
            limitprice=price * 1.02,
        )
    elif bar % 15 == 9:
        s.sell_bracket(
            size=4,
            exectype=Order.Market,
            stopprice=price * 1.015,
            limitprice=price * 0.985,
        )


def limit_brackets(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 15 == 1:
        s.memo["bracket"] = s.buy_bracket(
            size=9,
            price=price * 0.99,
            stopprice=price * 0.97,
            limitprice=price * 1.01,
        )
    elif bar % 15 == 8 and s.memo["bracket"][0].status == Order.Accepted:
        s.cancel(s.memo["bracket"][0])
    elif bar % 30 == 9:
        s.sell_bracket(
            size=4,
            price=price * 1.005,
            stopprice=price * 1.02,
            limitprice=price * 0.99,
            valid=timedelta(hours=6),
        )


def one_cancels_other(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 9 == 1:
        first = s.buy(size=5, exectype=Order.Limit, price=price * 0.985)
        s.buy(size=5, exectype=Order.Stop, price=price * 1.015, oco=first)
        s.sell(size=4, exectype=Order.Stop, price=price * 0.96, oco=first)
    elif bar % 9 == 6:
        s.close()


def closing(s: Any, bar: int) -> None:
    if bar % 8 == 1:
        s.buy(size=12)
    elif bar % 8 == 3:
        s.close(size=5)
    elif bar % 8 == 5:
        s.close()
    elif bar % 16 == 6:
        s.sell(size=3)


def target_percents(s: Any, bar: int) -> None:
    targets = (0.3, 0.5, 0.1, 0.0, -0.2, 0.25)
    if bar % 4 == 1:
        s.order_target_percent(target=targets[bar // 4 % len(targets)])


def target_values(s: Any, bar: int) -> None:
    targets = (2500, 4000, 900, 0, -1500, 3000)
    if bar % 4 == 1:
        s.order_target_value(target=targets[bar // 4 % len(targets)])


def target_sizes(s: Any, bar: int) -> None:
    targets = (10, 25, 5, 0, -8, 8)
    if bar % 4 == 1:
        s.order_target_size(target=targets[bar // 4 % len(targets)])


def reversals(s: Any, bar: int) -> None:
    if bar == 1:
        s.buy(size=8)
    elif bar % 6 == 1:
        s.sell(size=16) if s.position.size > 0 else s.buy(size=16)


def cancels(s: Any, bar: int) -> None:
    price = s.data.close[0]
    if bar % 6 == 1:
        below, above = price * 0.97, price * 1.03
        s.memo["sent"] = [
            s.buy(size=6, exectype=Order.Limit, price=below),
            s.sell(size=6, exectype=Order.Limit, price=above),
        ]
    elif bar % 6 == 4:
        for order in _live(s):
            s.cancel(order)


def expiring_orders(s: Any, bar: int) -> None:
    price, now = s.data.close[0], s.data.datetime.datetime()
    if bar % 10 == 1:
        hours = timedelta(hours=3)
        s.buy(size=4, exectype=Order.Limit, price=price * 0.98, valid=hours)
        s.sell(size=4, exectype=Order.Stop, price=price * 0.98, valid=now + hours)
    elif bar % 10 == 6:
        today = Order.DAY
        s.buy(size=4, exectype=Order.Limit, price=price * 0.99, valid=today)
        s.sell(size=4, exectype=Order.Limit, price=price * 1.01, valid=now.date())


def session_closes(s: Any, bar: int) -> None:
    if bar % 11 == 1:
        s.buy(size=6, exectype=Order.Close)
    elif bar % 11 == 5:
        s.sell(size=6, exectype=Order.Close)


def late_stops(s: Any, bar: int) -> None:
    """A stop that is sent once the entry is known to have filled."""
    entry = s.memo.get("entry")
    if bar % 12 == 1:
        price = s.data.close[0]
        s.memo["entry"] = s.buy(size=9, exectype=Order.Limit, price=price * 0.995)
    elif entry is not None and entry.status == Order.Completed:
        stop = entry.executed.price * 0.985
        s.sell(size=9, exectype=Order.Stop, price=stop)
        s.memo["entry"] = None


KINDS = (
    Order.Market,
    Order.Market,
    Order.Close,
    Order.Limit,
    Order.Limit,
    Order.Stop,
    Order.StopLimit,
    Order.StopTrail,
    Order.StopTrailLimit,
)


def soup(s: Any, bar: int, seed: int = 1, fractions: bool = False) -> None:
    """Anything, at random: it finds what the tidy scripts do not."""
    rng = s.memo.setdefault("rng", random.Random(seed))
    sent = s.memo.setdefault("sent", [])
    live, action = _live(s), rng.random()
    data = rng.choice(s.datas)
    size = rng.uniform(0.1, 9) if fractions else rng.randint(1, 9)
    if action < 0.35:
        return
    if action < 0.45 and live:
        s.cancel(rng.choice(live))
    elif action < 0.55:
        s.close(data=data)
    elif action < 0.62:
        s.order_target_percent(data=data, target=rng.uniform(-0.2, 0.3))
    elif action < 0.7:
        price = data.close[0]
        bracket = rng.choice((s.buy_bracket, s.sell_bracket))
        sign = 1 if bracket == s.buy_bracket else -1
        sent += bracket(
            data=data,
            size=size,
            exectype=rng.choice((Order.Market, Order.Limit)),
            price=price * (1 - sign * 0.004),
            stopprice=price * (1 - sign * rng.uniform(0.005, 0.03)),
            limitprice=price * (1 + sign * rng.uniform(0.005, 0.03)),
        )
    else:
        sent.append(_random_order(s, rng, data, size, live))


def _random_order(s: Any, rng: Any, data: Any, size: float, live: list[Any]) -> Any:
    kind, buys = rng.choice(KINDS), rng.random() < 0.55
    price = data.close[0] * rng.uniform(0.97, 1.03)
    settings: dict[str, Any] = {"exectype": kind}
    if kind not in (Order.Market, Order.Close):
        settings["price"] = price
        if rng.random() < 0.3:
            settings["valid"] = timedelta(hours=rng.randint(1, 12))
        if live and rng.random() < 0.2:
            settings["oco"] = rng.choice(live)
    if kind in (Order.StopLimit, Order.StopTrailLimit):
        settings["plimit"] = price * rng.uniform(0.99, 1.01)
    if kind in (Order.StopTrail, Order.StopTrailLimit):
        way = rng.choice(("trailamount", "trailpercent"))
        settings[way] = 1.5 if way == "trailamount" else 0.015
    return (s.buy if buys else s.sell)(data=data, size=size, **settings)


def other_soup(s: Any, bar: int) -> None:
    soup(s, bar, seed=2)


def too_big_orders(s: Any, bar: int) -> None:
    """Orders beyond the cash, alone and in company, and shorts without cash."""
    price = s.data.close[0]
    if bar % 9 == 1:
        s.buy(size=500)
        s.buy(size=5)
    elif bar % 9 == 3:
        s.buy(size=70, exectype=Order.Limit, price=price * 0.99)
    elif bar % 9 == 4:
        s.buy(size=70, exectype=Order.Limit, price=price * 0.985)
    elif bar % 9 == 6:
        s.sell(size=150)
    elif bar % 9 == 8:
        s.close()


def fractions(s: Any, bar: int) -> None:
    soup(s, bar, seed=3, fractions=True)


def quirks(s: Any, bar: int) -> None:
    """What stock does and a margin broker does otherwise."""
    price = s.data.close[0]
    if bar % 10 == 1:
        s.cancel(s.buy(size=2))
    elif bar % 10 == 2:
        s.sell(size=1, reduce_only=True)
        s.sell(size=30, exectype=Order.Limit, price=price, reduce_only=True)
    elif bar % 10 in (4, 5, 6):
        size = {4: 0.1, 5: 0.2, 6: -0.3}[bar % 10]
        s.buy(size=size) if size > 0 else s.sell(size=-size)
    elif bar % 10 == 7:
        s.buy(size=3, exectype=Order.Limit, price=price * 0.99, valid=0)
    elif bar % 10 == 9:
        s.close()


SCRIPTS: dict[str, Script] = {
    "market orders": market_orders,
    "limit orders": limit_orders,
    "stop orders": stop_orders,
    "stop-limit orders": stop_limit_orders,
    "trailing stops by amount": trailing_by_amount,
    "trailing stops by percent": trailing_by_percent,
    "trailing stop-limits": trailing_stop_limits,
    "brackets around a market entry": market_brackets,
    "brackets around a limit entry": limit_brackets,
    "one order cancels the others": one_cancels_other,
    "close() in part and in full": closing,
    "target percents": target_percents,
    "target values": target_values,
    "target sizes": target_sizes,
    "reversals": reversals,
    "cancelled orders": cancels,
    "orders that expire": expiring_orders,
    "orders at the session's close": session_closes,
    "a stop once the entry has filled": late_stops,
    "a soup of orders": soup,
    "another soup of orders": other_soup,
}
WILD_SCRIPTS: dict[str, Script] = {
    "orders too big for the cash": too_big_orders,
    "a soup of fractional orders": fractions,
    "quirks of stock": quirks,
}


# Fixtures


@pytest.fixture(scope="session", name="record")
def _record() -> Callable[..., Run]:
    """`record`: run a script under a broker and write down what it did."""
    return record


@pytest.fixture(scope="session", name="candles")
def _candles() -> Callable[..., pd.DataFrame]:
    """`candles`: a market from rows of prices."""
    return candles


@pytest.fixture(scope="session", name="stock_feed")
def _stock_feed() -> Callable[..., Any]:
    """`stock_feed`: candles as Backtrader's own feed."""
    return stock_feed


@pytest.fixture(scope="session", name="random_walk")
def _random_walk() -> Callable[..., pd.DataFrame]:
    """`random_walk`: a seeded market."""
    return random_walk


@pytest.fixture(scope="session")
def walk() -> pd.DataFrame:
    """The market of most runs."""
    return random_walk(bars=150)


@pytest.fixture(params=[*SCRIPTS.values()], ids=[*SCRIPTS])
def tame_script(request: pytest.FixtureRequest) -> Any:
    """A script whose orders are small: no margin rule binds with ample cash."""
    return request.param


@pytest.fixture(
    params=[*SCRIPTS.values(), *WILD_SCRIPTS.values()], ids=[*SCRIPTS, *WILD_SCRIPTS]
)
def any_script(request: pytest.FixtureRequest) -> Any:
    """A script."""
    return request.param


@pytest.fixture(params=[soup, too_big_orders], ids=["a soup", "orders too big"])
def rough_script(request: pytest.FixtureRequest) -> Any:
    """A script that meets many rules at once."""
    return request.param


@pytest.fixture(scope="session", name="soup")
def _soup() -> Script:
    """Random orders."""
    return soup
