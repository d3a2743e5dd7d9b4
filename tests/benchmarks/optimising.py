"""Part E: ``optstrategy`` in two processes, against Backtrader as it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.reduction import ForkingPickler
from statistics import median
from time import perf_counter
from typing import Any

import backtrader as bt

from . import markets
from .measuring import EQUAL, DisagreementError, interleaved, ratios
from .measuring import seconds as median_seconds
from .plan import Plan
from .report import Column
from .runs import OURS, STOCK, Job, Way, cerebro_of
from .traders import Crossing

FAST, SLOW = (20, 40, 60, 80), (120, 160, 200, 240)
PROCESSES = 2
COLUMNS = (
    Column("broker", width=8),
    Column("seconds", ".2f"),
    Column("times faster", ".2f"),
    Column("bytes per task", ",d"),
    Column("x stock's bytes", ".3f"),
)
TEXT = (
    f"optstrategy over {len(FAST) * len(SLOW)} cells, maxcpus={PROCESSES}."
    "\n   Wall-clock time, since the work is in child processes; files to results."
    "\n   Bytes: all that was pickled for the processes, per cell."
    "\n   Targets: 10 times faster, and at most half of stock's bytes."
)


class Ending(bt.Analyzer):
    """What the account is worth at the end."""

    def stop(self) -> None:
        self.rets["value"] = self.strategy.broker.getvalue()


@dataclass(frozen=True)
class Search:
    """One optimisation.

    Attributes:
        seconds: wall-clock.
        size: bytes pickled in this process for the others.
        ends: trades and value of each cell.
    """

    seconds: float
    size: int
    ends: list[tuple[int, float]]


@contextmanager
def counted() -> Iterator[list[int]]:
    """The sizes of what is pickled for other processes while this is open.

    A pool sends every task through `ForkingPickler`.
    """
    sizes: list[int] = []
    dumps = ForkingPickler.dumps

    def counting(thing: Any, protocol: int | None = None) -> Any:
        found = dumps(thing, protocol)
        sizes.append(len(found))
        return found

    ForkingPickler.dumps = staticmethod(counting)  # type: ignore[assignment,method-assign]
    try:
        yield sizes
    finally:
        ForkingPickler.dumps = dumps  # type: ignore[method-assign]


def search(job: Job, way: Way) -> Search:
    """An optimisation, from the parquet file to the results."""
    began = perf_counter()
    cerebro = cerebro_of(job, way, maxcpus=PROCESSES)
    cerebro.optstrategy(job.trader, fast=FAST, slow=SLOW)
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(Ending, _name="ending")
    with counted() as sizes:
        cells = cerebro.run()
    took = perf_counter() - began
    return Search(took, sum(sizes), [_end(cell[0].analyzers) for cell in cells])


def _end(analyzers: Any) -> tuple[int, float]:
    trades = analyzers.trades.get_analysis().total.total
    return int(trades), float(analyzers.ending.get_analysis()["value"])


def measure(plan: Plan) -> None:
    """Measure stock and ours in turn."""
    bars, rounds = plan.bars_of(20_000, 3_000), plan.rounds_of(3)
    plan.report.part("E", TEXT)
    files = markets.write(plan.folder, bars, 1)
    job, ways = Job(Crossing, files), {"stock": STOCK, **OURS}
    runs = {name: partial(search, job, way) for name, way in ways.items()}
    found = interleaved(runs, rounds, plan.step("E"))
    _demand_agreement(found)
    plan.report.table(f"{bars:,} bars, {rounds} rounds", COLUMNS)
    for name, searches in found.items():
        _print(plan, name, searches, found["stock"])


def _demand_agreement(found: dict[str, list[Search]]) -> None:
    """See that every cell ended alike."""
    first = found["stock"][0].ends
    for name, searches in found.items():
        for one in searches:
            for (trades, value), (others, worth) in zip(first, one.ends, strict=True):
                if trades != others or abs(value - worth) > EQUAL * abs(value):
                    what = f"{others} trades, {worth} for {trades} trades, {value}"
                    raise DisagreementError(f"E, {name}: {what}")


def _print(plan: Plan, name: str, mine: list[Search], stock: list[Search]) -> None:
    paired = ratios(stock, mine)
    cells = len(mine[0].ends)
    plan.report.row(
        name,
        median_seconds(mine),
        median(paired),
        mine[0].size // cells,
        mine[0].size / stock[0].size,
        seconds=[one.seconds for one in mine],
        ratios=paired,
    )
