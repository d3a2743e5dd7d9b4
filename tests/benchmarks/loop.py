"""What the loop and the feed save, as ratios of CPU time.

``python tests/benchmarks/loop.py [--bars 20000] [--repeats 5]``: every variant runs
once in each round, in one process, so that a machine that slows down slows all of
them; a ratio is the median over the rounds of the first variant's time by its own.
The broker is Backtrader's throughout: nothing here is due to another broker.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from bt_margin import PerpData
from bt_margin.accelerate import install

Feed = Callable[[pd.DataFrame], Any]


class Crossing(bt.Strategy):
    """Two averages that cross, and a strength index: some hundred trades."""

    def __init__(self) -> None:
        fast, slow = bt.ind.SMA(period=60), bt.ind.SMA(period=240)
        self.crossing = bt.ind.CrossOver(fast, slow)
        self.strength = bt.ind.RSI(period=14, safediv=True)

    def next(self) -> None:
        if self.crossing[0] > 0 and self.strength[0] < 90:
            self.close()
            self.buy(size=1)
        elif self.crossing[0] < 0:
            self.close()
            self.sell(size=1)


@dataclass(frozen=True)
class Variant:
    """How to run: the feed, the loop, and what looks on."""

    feed: Feed
    loop: bool
    stdstats: bool
    analyzers: tuple[Any, ...] = ()


def stock_feed(frame: pd.DataFrame) -> Any:
    return bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes)


def our_feed(frame: pd.DataFrame) -> Any:
    return PerpData(dataname=frame)


ANALYZERS = tuple(
    getattr(bt.analyzers, name)
    for name in (
        *("TradeAnalyzer", "DrawDown", "TimeReturn", "Returns", "SharpeRatio"),
        "PyFolio",
    )
)


def variants(stdstats: bool, analyzers: tuple[Any, ...]) -> dict[str, Variant]:
    looks: dict[str, Any] = {"stdstats": stdstats, "analyzers": analyzers}
    return {
        "Backtrader": Variant(stock_feed, loop=False, **looks),
        "+ PerpData": Variant(our_feed, loop=False, **looks),
        "+ loop": Variant(our_feed, loop=True, **looks),
    }


GROUPS: dict[str, dict[str, Variant]] = {
    "without observers": variants(False, ()),
    "with observers": variants(True, ()),
    "with observers and six analyzers": variants(True, ANALYZERS),
}


def market(bars: int) -> pd.DataFrame:
    """Minute candles of a seeded random walk."""
    rng = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.0007, bars)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    index = pd.date_range("2024-01-01", periods=bars, freq="1min", name="datetime")
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * 1.0003,
            "low": np.minimum(opened, close) * 0.9997,
            "close": close,
            "volume": rng.uniform(1, 50, bars),
        },
        index=index,
    )


def timed(variant: Variant, frame: pd.DataFrame) -> tuple[float, float]:
    """CPU seconds of a run, feed included, and the value that it ends with."""
    began = time.process_time()
    cerebro = bt.Cerebro(stdstats=variant.stdstats)
    cerebro.adddata(variant.feed(frame), name="X")
    cerebro.addstrategy(Crossing)
    cerebro.broker.setcash(1_000_000)
    cerebro.broker.setcommission(commission=0.0005)
    for analyzer in variant.analyzers:
        cerebro.addanalyzer(analyzer)
    if variant.loop:
        install(cerebro)
    cerebro.run()
    return time.process_time() - began, cerebro.broker.getvalue()


def measure(group: dict[str, Variant], frame: pd.DataFrame, repeats: int) -> None:
    """Print a line for each variant of a group."""
    times: dict[str, list[float]] = {name: [] for name in group}
    values = set()
    for _ in range(repeats):
        for name, variant in group.items():
            seconds, value = timed(variant, frame)
            times[name].append(seconds)
            values.add(value)
    assert len(values) == 1, f"the runs ended with {values}"
    first = next(iter(times.values()))
    for name, found in times.items():
        ratio = median(a / b for a, b in zip(first, found, strict=True))
        per_bar = median(found) / len(frame) * 1e6
        print(f"  {name:12} {per_bar:7.1f} us per bar   x{ratio:.2f}")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--bars", type=int, default=20_000)
    words.add_argument("--repeats", type=int, default=5)
    asked = words.parse_args()
    frame = market(asked.bars)
    print(f"{asked.bars} minute bars, medians of {asked.repeats} rounds")
    for name, group in GROUPS.items():
        print(name)
        measure(group, frame, asked.repeats)


if __name__ == "__main__":
    main()
