"""Part A: what our broker costs per bar in a calm market, feed and loop being equal."""

from functools import partial
from statistics import median
from time import process_time
from typing import Any

import backtrader as bt

from . import markets
from .measuring import (
    Outcome,
    Outcomes,
    demand_agreement,
    interleaved,
    interval,
    ratios,
    seconds,
)
from .plan import Plan
from .report import Column
from .runs import Job, Way, cerebro_of, started

CALM = 0.0001  # volatility of a minute: a day is 0.4 %
SHARE = 0.1  # of the cash, in each position
WARM = 500  # bars of the runs before the measured ones
BROKERS: tuple[Any, ...] = ("stock", "off", "isolated", "cross")
LOOPS: dict[Any, int] = {"stock": 1, "ours": 4}  # and how many times the bars
COLUMNS = (
    Column("market", width=20),
    Column("loop", width=5),
    Column("broker", width=8),
    Column("bars", ",d", 7),
    Column("us per bar", ".2f"),
    Column("x stock", ".3f"),
    Column("low", ".3f", 6),
    Column("high", ".3f", 6),
)
TEXT = (
    "The broker alone: time per bar as a multiple of BackBroker's, all with PerpData."
    "\n   Processor time from the strategy's start() to its stop(), which is the loop."
    "\n   Low and high: bootstrapped 95 % interval of the median of the paired ratios."
    "\n   Our loop runs over more bars, as it takes less time.  Target: at most 1.02 x."
)


class Idle(bt.Strategy):
    """Does nothing, and measures the time from its start to its stop."""

    trades = 0

    def start(self) -> None:
        self.began = process_time()

    def stop(self) -> None:
        self.took = process_time() - self.began


class Holding(Idle):
    """Buys a little of each feed at the first bar, and holds it."""

    def nextstart(self) -> None:
        for data in self.datas:
            worth = SHARE * self.broker.startingcash
            self.buy(data=data, size=worth / data.close[0])
        self.next()

    def notify_trade(self, trade: Any) -> None:
        self.trades += trade.justopened


def run(job: Job, way: Way) -> Outcome:
    """The bars of one run."""
    cerebro = cerebro_of(job, way)
    cerebro.addstrategy(job.trader)
    strategy = started(cerebro, way)
    return Outcome(strategy.took, strategy.trades, cerebro.broker.getvalue())


def measure(plan: Plan) -> None:
    """Measure one symbol and five, flat and holding, in both loops."""
    report, bars = plan.report, plan.bars_of(20_000, 5_000)
    rounds = plan.rounds_of(11, 3)
    report.part("A", TEXT)
    report.table(f"{rounds} rounds; bars over all feeds together", COLUMNS)
    warm = Job(Holding, markets.write(plan.folder, WARM, 1, volatility=CALM))
    for loop in LOOPS:
        for broker in BROKERS:
            run(warm, Way(broker=broker, loop=loop))
    for symbols in (1, 5):
        for trader in (Idle, Holding):
            for loop, times in LOOPS.items():
                each = bars * times // symbols
                files = markets.write(plan.folder, each, symbols, volatility=CALM)
                _measure(plan, Job(trader, files), loop, rounds)


def _measure(plan: Plan, job: Job, loop: Any, rounds: int) -> None:
    """The rows of one market and loop."""
    count = len(job.files)
    market = f"{count} symbol{'s' * (count > 1)}, {job.trader.__name__.lower()}"
    where = f"A, {market}, {loop} loop"
    runs = {
        broker: partial(run, job, Way(broker=broker, loop=loop)) for broker in BROKERS
    }
    outcomes = interleaved(runs, rounds, plan.step(where))
    demand_agreement(outcomes, values=True, where=where)
    _print(plan, (market, loop), outcomes, markets.bars_of(job.files))


def _print(plan: Plan, names: tuple[str, str], outcomes: Outcomes, bars: int) -> None:
    for broker, found in outcomes.items():
        paired = ratios(found, outcomes["stock"])
        per_bar = seconds(found) / bars * 1e6
        times = [one.seconds for one in found]
        figures = (bars, per_bar, median(paired), *interval(paired))
        plan.report.row(*names, broker, *figures, seconds=times, ratios=paired)
