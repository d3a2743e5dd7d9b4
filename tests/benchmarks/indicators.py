"""Part ``indicators``: Backtrader's ``once`` phase per bar, stock and as arrays."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import backtrader as bt
import backtrader.indicators as ind
import numpy as np

from bt_margin.accelerate.indicators import array_once

from .measuring import Outcome, interleaved, ratios, seconds
from .plan import Plan
from .report import Column

Build = Callable[[Any], Any]

NAMES = ("open", "high", "low", "close", "volume")


def usual(strategy: Any) -> Any:
    """What many strategies look at."""
    fast, slow = ind.SMA(strategy.data, period=10), ind.SMA(strategy.data, period=30)
    return [ind.CrossOver(fast, slow), ind.RSI(strategy.data)]


BUILDS: dict[str, Build] = {
    "SMA + SMA + CrossOver + RSI": usual,
    "SMA(30)": lambda s: ind.SMA(s.data, period=30),
    "SMA(200)": lambda s: ind.SMA(s.data, period=200),
    "EMA(30)": lambda s: ind.EMA(s.data, period=30),
    "SMMA(30)": lambda s: ind.SMMA(s.data, period=30),
    "WMA(30)": lambda s: ind.WMA(s.data, period=30),
    "HMA(30)": lambda s: ind.HMA(s.data, period=30),
    "DEMA(30)": lambda s: ind.DEMA(s.data, period=30),
    "TEMA(30)": lambda s: ind.TEMA(s.data, period=30),
    "KAMA(30)": lambda s: ind.KAMA(s.data, period=30),
    "ZLEMA(30)": lambda s: ind.ZLEMA(s.data, period=30),
    "ZLIndicator(30)": lambda s: ind.ZLIndicator(s.data, period=30),
    "RSI": lambda s: ind.RSI(s.data),
    "MACDHisto": lambda s: ind.MACDHisto(s.data),
    "BollingerBands": lambda s: ind.BollingerBands(s.data),
    "StdDev": lambda s: ind.StdDev(s.data),
    "MeanDev": lambda s: ind.MeanDev(s.data),
    "ATR": lambda s: ind.ATR(s.data),
    "Stochastic": lambda s: ind.Stochastic(s.data),
    "DirectionalMovement": lambda s: ind.DM(s.data),
    "CrossOver": lambda s: ind.CrossOver(s.data.close, s.data.open),
    "Highest(20)": lambda s: ind.Highest(s.data, period=20),
    "SumN(20)": lambda s: ind.SumN(s.data, period=20),
    "AroonUpDown": lambda s: ind.AroonUpDown(s.data),
    "ROC": lambda s: ind.ROC(s.data),
    "Momentum": lambda s: ind.Momentum(s.data),
    "PctChange": lambda s: ind.PctChange(s.data),
    "CCI": lambda s: ind.CCI(s.data),
    "WilliamsR": lambda s: ind.WilliamsR(s.data),
    "PercentRank(50)": lambda s: ind.PercentRank(s.data),
    "Ichimoku": lambda s: ind.Ichimoku(s.data),
    "ParabolicSAR": lambda s: ind.ParabolicSAR(s.data),
    "LaguerreRSI": lambda s: ind.LaguerreRSI(s.data),
    "close > open and volume": lambda s: bt.And(
        s.data.close > s.data.open, s.data.volume
    ),
}


TEXT = (
    "Stock's indicators, computed bar by bar and as arrays: the ``once`` phase alone."
    "\n   Processor time, the two run in turn; the medians, and that of the ratios."
)
COLUMNS = (
    Column("indicator", width=28),
    Column("stock, us per bar", ".2f"),
    Column("arrays, us per bar", ".3f"),
    Column("times faster", ".1f"),
)


class Walk(bt.feed.DataBase):
    """Bars of a random walk, written into the lines in one piece."""

    params = (("bars", 0),)

    def preload(self) -> None:
        """Fill the lines."""
        rng, bars = np.random.default_rng(1), self.p.bars
        close = np.round(50_000 * np.exp(np.cumsum(rng.normal(size=bars) * 5e-4)), 2)
        opened = np.concatenate([close[:1], close[:-1]])
        spread = np.round(rng.random((2, bars)) * 20, 2) + 0.01
        columns = {
            "open": opened,
            "high": np.maximum(opened, close) + spread[0],
            "low": np.minimum(opened, close) - spread[1],
            "close": close,
            "volume": rng.integers(1, 500, bars).astype(float),
            "datetime": 738_000 + np.arange(bars) / 1440,
            "openinterest": np.zeros(bars),
        }
        for name, values in columns.items():
            getattr(self.lines, name).array.frombytes(values.tobytes())
        self.home()


class Building(bt.Strategy):
    """Builds the indicators that are asked for."""

    params = (("build", None),)

    def __init__(self) -> None:
        self.built = self.p.build(self)


def once(build: Build, bars: int, *, fast: bool) -> Outcome:
    """One ``once`` phase."""
    took = []

    def only_once(strategies: list[Any]) -> None:
        with array_once(strategies if fast else []):
            start = process_time()
            strategies[0]._once()
            took.append(process_time() - start)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Walk(bars=bars))
    cerebro.addstrategy(Building, build=build)
    cerebro._runonce = only_once
    cerebro.run()
    return Outcome(took[0], 0, 0.0)


def measure(plan: Plan) -> None:
    """Print a row per indicator."""
    bars, rounds = plan.bars_of(50_000, 5_000), plan.rounds_of(5, 2)
    plan.report.part("indicators", TEXT)
    plan.report.table(f"{bars:,} bars, {rounds} rounds", COLUMNS)
    for name, build in BUILDS.items():
        runs = {
            "stock": partial(once, build, bars, fast=False),
            "arrays": partial(once, build, bars, fast=True),
        }
        found = interleaved(runs, rounds, plan.step(f"indicators, {name}"))
        paired = ratios(found["stock"], found["arrays"])
        per_bar = [seconds(found[way]) / bars * 1e6 for way in runs]
        times = {way: [one.seconds for one in found[way]] for way in runs}
        plan.report.row(name, *per_bar, median(paired), seconds=times, ratios=paired)
