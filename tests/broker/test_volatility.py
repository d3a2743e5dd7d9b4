"""The average true range, looked back at and kept up, is one number."""

from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import guards, sizers
from bt_margin.broker.volatility import RollingTrueRange, average_true_range
from bt_margin.core.errors import ParameterError

from .conftest import candles

# True ranges from the second bar on: 12 - 10 = 2; the jump from 11 up to 15: 4;
# 14 down to 9: 5; 10 up to 13: 3.
BARS = [(10, 11, 9, 10), (10, 12, 10, 11), (14, 15, 14, 14), (10, 10, 9, 10)]
BARS += [(12, 13, 12, 13)]


class Both(bt.Strategy):
    """Writes down both answers at each bar."""

    def __init__(self) -> None:
        self.rolling = RollingTrueRange(2)
        self.answers: list[tuple[float | None, float]] = []

    def next(self) -> None:
        self.rolling.follow(self.data)
        back, mean = average_true_range(self.data, 2), self.rolling.mean
        self.answers.append((back, mean))
        whole = self.rolling.whole_mean
        assert (whole is None) is (back is None)
        assert whole in (None, mean)


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


def guarded(exactbars: int) -> Any:
    """What a guard did, and what became of the account."""
    sol = bt_margin.sample_market().between("2025-03-04 12:00", "2025-03-05")
    cerebro = bt.Cerebro(stdstats=False, exactbars=exactbars)
    cerebro.setbroker(bt_margin.IsolatedBroker(cash=10_000, leverage=50))
    data = sol["SOLUSDT"]
    cerebro.adddata(bt_margin.PerpData(dataname=data.trade, mark=data.mark))
    cerebro.addstrategy(bt.strategies.MA_CrossOver, fast=3, slow=8)
    cerebro.addsizer(sizers.FixedFraction)
    guards.attach(cerebro, guards.LiquidationDistance(ranges=4))
    broker = cerebro.run()[0].broker
    actions = [str(action) for action in broker.guard_actions]
    assert any("refused" in action for action in actions)
    return actions, broker.getvalue()


@pytest.mark.parametrize("exactbars", [1, -1, -2])
def test_a_guard_needs_no_bars_kept(exactbars: int) -> None:
    assert guarded(exactbars) == guarded(0)


def test_a_sizer_that_looks_back_needs_the_bars() -> None:
    data = bt_margin.sample_market().between("2025-03-04", "2025-03-05")["SOLUSDT"]
    cerebro = bt.Cerebro(stdstats=False, exactbars=1)
    cerebro.setbroker(bt_margin.IsolatedBroker(cash=10_000, leverage=50))
    cerebro.adddata(bt_margin.PerpData(dataname=data.trade))
    cerebro.addstrategy(bt.strategies.MA_CrossOver, fast=3, slow=8)
    cerebro.addsizer(sizers.VolatilityMargin)
    with pytest.raises(ParameterError, match="exactbars=-1 or 0"):
        cerebro.run()
