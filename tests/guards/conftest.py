"""Tools of the guard tests: a market of rows, a script, and what guards did."""

from collections.abc import Callable, Sequence
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin import guards

Script = Callable[[Any, int], None]


def candles(
    rows: Sequence[Any], every: str = "1h", start: str = "2024-01-01"
) -> pd.DataFrame:
    """Candles of open, high, low, close, or flat at one price."""
    index = pd.date_range(start, periods=len(rows), freq=every, name="datetime")
    full = [row if isinstance(row, tuple) else (row,) * 4 for row in rows]
    columns = ["open", "high", "low", "close"]
    frame = pd.DataFrame(full, index=index, columns=columns, dtype=float)
    return frame.assign(volume=1000.0)


class Scripted(bt.Strategy):
    """Sends what a script says at each bar, and keeps what it is told."""

    params: Any = (("script", None),)

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.told: list[tuple[int, str]] = []
        self.trades: list[Any] = []

    def notify_order(self, order: Any) -> None:
        self.told.append((order.ref, order.getstatusname()))

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.trades.append(trade)

    def next(self) -> None:
        self.p.script(self, len(self))

    def prenext(self) -> None:
        self.next()

    def statuses(self, order: Any) -> list[str]:
        return [status for ref, status in self.told if ref == order.ref]


def cerebro_of(
    script: Script,
    rows: Sequence[Any],
    *watching: Any,
    others: Sequence[Any] = (),
    every: str = "1h",
    start: str = "2024-01-01",
    **words: Any,
) -> Any:
    """A Cerebro around a script: no fees, 10,000 and 10x unless told otherwise."""
    cerebro = bt.Cerebro(stdstats=False)
    settings = {"cash": 10_000.0, "leverage": 10.0, **words}
    broker: Any = bt_margin.MarginBroker(**settings)
    scheme: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(scheme(maker_fee_rate=0, taker_fee_rate=0))
    cerebro.setbroker(broker)
    for name, column in zip(("BTC", "ETH"), (rows, *others), strict=False):
        frame = column
        if not isinstance(frame, pd.DataFrame):
            frame = candles(column, every, start)
        cerebro.adddata(bt_margin.PerpData(dataname=frame), name=name)
    cerebro.addstrategy(Scripted, script=script)
    guards.attach(cerebro, *watching)
    return cerebro


def run(script: Script, rows: Sequence[Any], *watching: Any, **words: Any) -> Any:
    """The strategy after a run under guards."""
    return cerebro_of(script, rows, *watching, **words).run()[0]


def actions(strategy: Any) -> list[tuple[str, str, str]]:
    """Guard, what it did and why, of a run."""
    return [(a.guard, a.what, a.why) for a in strategy.broker.guard_actions]


# Fixtures


@pytest.fixture(scope="session", name="run")
def _run() -> Callable[..., Any]:
    """`run`: the strategy after a run under guards."""
    return run


@pytest.fixture(scope="session", name="cerebro_of")
def _cerebro_of() -> Callable[..., Any]:
    """`cerebro_of`: the same, before it is run."""
    return cerebro_of


@pytest.fixture(scope="session", name="actions")
def _actions() -> Callable[..., Any]:
    """`actions`: what guards did in a run."""
    return actions


@pytest.fixture(scope="session", name="candles")
def _candles() -> Callable[..., pd.DataFrame]:
    """`candles`: a market from rows of prices."""
    return candles
