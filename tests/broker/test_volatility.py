"""The average true range, looked back at and kept up, is one number."""

from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.broker.volatility import RollingTrueRange, average_true_range

from .conftest import candles

# True ranges from the second bar on: 12 - 10 = 2; the jump from 11 up to 15: 4;
# 14 down to 9: 5; 10 up to 13: 3.
BARS = [(10, 11, 9, 10), (10, 12, 10, 11), (14, 15, 14, 14), (10, 10, 9, 10)]
BARS += [(12, 13, 12, 13)]


class Both(bt.Strategy):
    """Writes down both answers at each bar."""

    def __init__(self) -> None:
        self.rolling = RollingTrueRange(self.data, 2)
        self.answers: list[tuple[float | None, float]] = []

    def next(self) -> None:
        self.rolling.follow()
        self.answers.append((average_true_range(self.data, 2), self.rolling.mean))


def test_by_hand_and_alike() -> None:
    cerebro = bt.Cerebro(stdstats=False)
    rows: list[Any] = [tuple(map(float, bar)) for bar in BARS]
    cerebro.adddata(bt_margin.PerpData(dataname=candles(rows)))
    cerebro.addstrategy(Both)
    answers = cerebro.run()[0].answers
    # The first range, 11 - 9, has no close before it.
    assert answers[0] == (None, 2)
    assert answers[1] == (None, (2 + 2) / 2)
    for answer, mean in zip(answers[2:], [3, 4.5, 4], strict=True):
        assert answer == pytest.approx((mean, mean))
