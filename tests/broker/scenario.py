"""Scenarios: bars, a plan of orders, and what a strategy heard while they ran."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import backtrader as bt
import pandas as pd
import pytest

import bt_margin

Bar: TypeAlias = tuple[float, float, float, float]  # open, high, low, close
Act: TypeAlias = Callable[[Any], Any]
Plan: TypeAlias = Mapping[int, Sequence[Act]]

START = datetime(2024, 1, 1, tzinfo=UTC)
BROKERS = {
    "isolated": bt_margin.IsolatedBroker,
    "cross": bt_margin.CrossBroker,
}
BOTH = tuple(BROKERS)


def approx(value: Any) -> Any:
    """Equal but for float rounding: money is compared to the cent and beyond."""
    return pytest.approx(value, rel=1e-12, abs=1e-9)


def flat(price: float) -> Bar:
    """A bar in which nothing moves."""
    return (price, price, price, price)


def moment(**since_start: float) -> datetime:
    """A time after the first bar's open, e.g. ``moment(hours=2)``."""
    return START + timedelta(**since_start)


def candles(
    bars: Sequence[Bar], *, start: datetime = START, freq: str = "h"
) -> pd.DataFrame:
    """Candles as a trade frame; it serves as a mark frame, too."""
    index = pd.date_range(start, periods=len(bars), freq=freq, name="datetime")
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"], index=index)
    return frame.astype(float).assign(volume=1.0)


def stamps(rates: Mapping[datetime, float | tuple[float, float]]) -> pd.DataFrame:
    """Funding by time: a rate, or a rate and the mark price of the stamp."""
    rows = [
        rate if isinstance(rate, tuple) else (rate, float("nan"))
        for rate in rates.values()
    ]
    index = pd.DatetimeIndex(list(rates), name="datetime")
    return pd.DataFrame(rows, columns=["funding_rate", "mark_price"], index=index)


def perp(
    bars: Sequence[Bar],
    name: str = "A",
    *,
    freq: str = "h",
    start: datetime = START,
    **params: Any,
) -> Any:
    """A `PerpData` of these bars; ``mark=`` and ``funding=`` are frames."""
    frame = candles(bars, start=start, freq=freq)
    return bt_margin.PerpData(dataname=frame, name=name, **params)


def send(
    side: str,
    size: float,
    label: str = "",
    *,
    data: str = "A",
    oco: str | None = None,
    **order: Any,
) -> Act:
    """An act of the plan: ``"buy"`` or ``"sell"``, kept under a label.

    Other orders are named by their labels: ``oco="stop"``.
    """

    def act(strategy: Any) -> None:
        more = {} if oco is None else {"oco": strategy.sent[oco]}
        trade = getattr(strategy, side)
        feed = strategy.getdatabyname(data)
        strategy.sent[label or side] = trade(data=feed, size=size, **more, **order)

    return act


def close(label: str = "close", data: str = "A") -> Act:
    """An act of the plan: close the position of a feed."""

    def act(strategy: Any) -> None:
        strategy.sent[label] = strategy.close(data=strategy.getdatabyname(data))

    return act


def stop(side: str, size: float, price: float, label: str = "stop", **more: Any) -> Act:
    """An act of the plan: a stop order."""
    return send(side, size, label, price=price, exectype=bt.Order.Stop, **more)


def limit(
    side: str, size: float, price: float, label: str = "limit", **more: Any
) -> Act:
    """An act of the plan: a limit order."""
    return send(side, size, label, price=price, exectype=bt.Order.Limit, **more)


class Recorder(bt.Strategy):
    """Acts by plan (bar number from 0: acts) and writes down what it hears.

    Attributes:
        sent: orders by label; they show how each one ended.
        heard: (bar number, order reference, status name) of every notification.
        said: what an act asked for, by label: the answer, or the refusal.
        liquidation_orders: those that carry a liquidation event.
        deleveraging_orders: the same for deleveragings.
        trades: closed trades.
        opened: trade ids of the trades that opened.
        liquidations, fundings, deleveragings: events, with ``news``: (bar number,
            event).
        cash, value, sizes: by bar number, as seen in ``next``.
    """

    params: Any = (("plan", {}),)

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.heard: list[tuple[int, int, str]] = []
        self.said: dict[str, Any] = {}
        self.liquidation_orders: list[Any] = []
        self.deleveraging_orders: list[Any] = []
        self.trades: list[Any] = []
        self.opened: list[int] = []
        self.deleveragings: list[Any] = []
        self.liquidations: list[Any] = []
        self.fundings: list[Any] = []
        self.news: list[tuple[int, Any]] = []
        self.cash: list[float] = []
        self.value: list[float] = []
        self.sizes: list[dict[str, float]] = []

    def next(self) -> None:
        number = len(self.cash)
        self.cash.append(self.broker.getcash())
        self.value.append(self.broker.getvalue())
        self.sizes.append({d._name: self.getposition(d).size for d in self.datas})
        for act in self.p.plan.get(number, ()):
            act(self)

    def notify_order(self, order: Any) -> None:
        self.heard.append((len(self.cash), order.ref, order.getstatusname()))
        if order.info.get("liquidation"):
            self.liquidation_orders.append(order)
        if order.info.get("deleveraging"):
            self.deleveraging_orders.append(order)

    def notify_trade(self, trade: Any) -> None:
        if trade.justopened:
            self.opened.append(trade.tradeid)
        if trade.isclosed:
            self.trades.append(trade)

    def notify_liquidation(self, event: Any) -> None:
        self.liquidations.append(event)
        self.news.append((len(self.cash), event))

    def notify_funding(self, event: Any) -> None:
        self.fundings.append(event)
        self.news.append((len(self.cash), event))

    def notify_deleveraging(self, event: Any) -> None:
        self.deleveragings.append(event)
        self.news.append((len(self.cash), event))

    def trade_sizes(self) -> dict[int, float]:
        """Size of every trade that is open, by its id, over all feeds."""
        groups = [group for ids in self._trades.values() for group in ids.items()]
        return {key: group[-1].size for key, group in groups if group[-1].isopen}

    def statuses(self, label: str) -> list[str]:
        """Every status that was heard of an order."""
        ref = self.sent[label].ref
        return [status for _, other, status in self.heard if other == ref]


def run(feeds: Any, plan: Plan, broker: Any, **cerebro_params: Any) -> Any:
    """Run the plan on one feed or several, and give back the strategy.

    A list of bars is a feed named A.
    """
    if isinstance(feeds, list) and isinstance(feeds[0], tuple):
        feeds = perp(feeds)
    cerebro = bt.Cerebro(stdstats=False, **cerebro_params)
    cerebro.setbroker(broker)
    for feed in feeds if isinstance(feeds, list) else [feeds]:
        cerebro.adddata(feed)
    cerebro.addstrategy(Recorder, plan=plan)
    return cerebro.run()[0]


def status(order: Any) -> str:
    """How an order ended, in Backtrader's word."""
    return str(order.getstatusname())


def set_contract(broker: Any, name: str | None = "A", **params: Any) -> Any:
    """The broker, with a `PerpCommission` for a feed (``None``: for all)."""
    commission: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(commission(**params), name=name)
    return broker


def cancel(label: str) -> Act:
    """An act of the plan: cancel an order."""

    def act(strategy: Any) -> None:
        strategy.cancel(strategy.sent[label])

    return act


def ledger_total(broker: Any, kind: str) -> float:
    """Sum of the ledger's entries of a kind, by its value: "fee", "funding"..."""
    return float(sum(entry.amount for entry in broker.ledger if entry.kind == kind))


def ask(label: str, question: Act) -> Act:
    """An act of the plan: keep an answer, or the refusal, under a label."""

    def act(strategy: Any) -> None:
        try:
            strategy.said[label] = question(strategy)
        except bt_margin.MarginError as refusal:
            strategy.said[label] = refusal

    return act


def act_on(method: str, *words: Any, label: str = "", data: str = "A") -> Act:
    """An act of the plan: call a method of the broker for a feed."""

    def act(strategy: Any) -> Any:
        feed = strategy.getdatabyname(data)
        return getattr(strategy.broker, method)(feed, *words)

    return ask(label or method, act)


def close_leg(side: str, label: str = "close", data: str = "A", **order: Any) -> Act:
    """An act of the plan: close a leg of a feed."""

    def act(strategy: Any) -> None:
        feed = strategy.getdatabyname(data)
        close = strategy.broker.close_leg
        strategy.sent[label] = close(strategy, feed, side, **order)

    return act


def balances(broker: Any) -> dict[str, float]:
    """Balance of every wallet that holds something, from the ledger's entries."""
    found: dict[str, float] = {}
    for entry in broker.ledger:
        found[entry.wallet] = found.get(entry.wallet, 0.0) + float(entry.amount)
    return {name: amount for name, amount in found.items() if abs(amount) > 1e-9}


def bracket(side: str, size: float, **order: Any) -> Act:
    """An act of the plan: an entry, its stop and its target, under these labels.

    Words as ``buy_bracket`` takes them; the entry is a market order unless they say.
    """

    def act(strategy: Any) -> None:
        send_all = getattr(strategy, f"{side}_bracket")
        words = {"exectype": bt.Order.Market, **order}
        orders = send_all(size=size, **words)
        strategy.sent.update(zip(("entry", "stop", "target"), orders, strict=True))

    return act
