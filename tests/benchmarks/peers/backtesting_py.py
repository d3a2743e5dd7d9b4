"""The peers' strategy under backtesting.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import crossover

from .serving import CASH, FAST, FEE, HIGH, LEVERAGE, LOW, SIZE, SLOW, STRENGTH, serve


def mean(values: Any, period: int) -> Any:
    """Simple average."""
    return pd.Series(values).rolling(period).mean().to_numpy()


def strength(values: Any, period: int) -> Any:
    """Wilder's strength index."""
    moved = pd.Series(values).diff()
    ups = moved.clip(lower=0).ewm(alpha=1 / period, adjust=False).mean()
    downs = (-moved).clip(lower=0).ewm(alpha=1 / period, adjust=False).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return (100 - 100 / (1 + ups / downs)).to_numpy()


class Crossing(Strategy):
    """Always long or short."""

    def init(self) -> None:
        self.fast = self.I(mean, self.data.Close, FAST)
        self.slow = self.I(mean, self.data.Close, SLOW)
        self.strength = self.I(strength, self.data.Close, STRENGTH)

    def next(self) -> None:
        if crossover(self.fast, self.slow) and self.strength[-1] < HIGH:
            self.position.close()
            self.buy(size=SIZE)
        elif crossover(self.slow, self.fast) and self.strength[-1] > LOW:
            self.position.close()
            self.sell(size=SIZE)


def once(file: Path) -> tuple[int, float]:
    """A run; trades and value."""
    candles = pd.read_parquet(file).rename(columns=str.capitalize)
    terms = {"cash": CASH, "commission": FEE, "margin": 1 / LEVERAGE}
    found = Backtest(candles, Crossing, finalize_trades=True, **terms).run()
    return found["# Trades"], found["Equity Final [$]"]


if __name__ == "__main__":
    serve(once)
