"""What resting orders lock is remembered; adding it up anew gives the same."""

import random
from typing import Any

import backtrader as bt
import pytest

import bt_margin

from .conftest import random_walk

KINDS = (bt.Order.Limit, bt.Order.Stop, bt.Order.StopLimit, bt.Order.StopTrail)


class Crowd(bt.Strategy):
    """Sends many resting orders, and compares the two ways at every bar."""

    params: Any = (("seed", 1),)

    def __init__(self) -> None:
        self.rng = random.Random(self.p.seed)
        self.known = 0

    def next(self) -> None:
        self.compare()
        for data in self.datas:
            if self.rng.random() < 0.3:
                self.send(data)
        if self.rng.random() < 0.05 and any(self.broker.pending):
            self.cancel(self.rng.choice(list(self.broker.pending)))
        if self.rng.random() < 0.05:
            self.close()

    def compare(self) -> None:
        desk = self.broker._desk
        first, again = desk.resting_margins(), desk.resting_margins()
        desk._claims.clear()
        assert first == again == desk._find()
        self.known += bool(first)

    def send(self, data: Any) -> None:
        rng, price = self.rng, data.close[0]
        kind = rng.choice(KINDS)
        is_buy = rng.random() < 0.5
        way = -1 if is_buy is (kind == bt.Order.Limit) else 1
        at = price * (1 + way * rng.choice([0.001, 0.01, 0.05]))
        words: dict[str, Any] = {"price": at, "exectype": kind}
        if kind == bt.Order.StopLimit:
            words["plimit"] = at * (1 + way * 0.002)
        if kind == bt.Order.StopTrail:
            words = {"trailpercent": 0.02, "exectype": kind}
        if rng.random() < 0.2:
            words["reduce_only"] = True
        if rng.random() < 0.2:
            words["oco"] = next(iter(self.broker.pending), None)
        (self.buy if is_buy else self.sell)(data=data, size=20 / price, **words)


@pytest.mark.parametrize("venue", ["generic", "binanceusdm", "bybit", "okx"])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_remembered_is_what_is_found(venue: str, mode: str, seed: int) -> None:
    cerebro = bt.Cerebro()
    broker: Any = bt_margin.MarginBroker(
        cash=10_000, leverage=10, venue=venue, margin_mode=mode
    )
    cerebro.setbroker(broker)
    for number, name in enumerate(("BTCUSDT", "ETHUSDT")):
        frame = random_walk(200, seed=seed + number)
        mark = frame[["open", "high", "low", "close"]] * 1.002
        feed: Any = bt_margin.PerpData(dataname=frame, mark=mark if number else None)
        cerebro.adddata(feed, name=name)
    cerebro.addstrategy(Crowd, seed=seed)
    assert cerebro.run()[0].known > 100
