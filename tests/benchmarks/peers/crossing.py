"""The peers' strategy under Backtrader's broker or ours."""

from pathlib import Path

import backtrader as bt

from tests.benchmarks.runs import OURS, STOCK, Job, run

from .serving import FAST, HIGH, LOW, SIZE, SLOW, STRENGTH, Once

WAYS = {"stock": STOCK, **OURS}


class Crossing(bt.Strategy):
    """Always long or short."""

    def __init__(self) -> None:
        fast, slow = (bt.ind.SMA(period=period) for period in (FAST, SLOW))
        self.crossing = bt.ind.CrossOver(fast, slow)
        self.strength = bt.ind.RSI(period=STRENGTH, safediv=True)

    def next(self) -> None:
        crossed = self.crossing[0]
        if crossed > 0 and self.strength[0] < HIGH:
            self.close()
            self.buy(size=SIZE)
        elif crossed < 0 and self.strength[0] > LOW:
            self.close()
            self.sell(size=SIZE)


def once_of(way: str) -> Once:
    """A run that goes a way."""

    def once(file: Path) -> tuple[int, float]:
        outcome = run(Job(Crossing, (file,)), WAYS[way])
        return outcome.trades, outcome.value

    return once
