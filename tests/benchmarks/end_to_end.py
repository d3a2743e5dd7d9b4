"""Part B: from a parquet file to the result, against Backtrader as it comes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import backtrader as bt

from . import markets
from .measuring import Outcomes, demand_agreement, interleaved, ratios, seconds
from .plan import Plan
from .report import Column
from .runs import OURS, STOCK, Job, Way, run, write_beside
from .traders import Crossing, Pairs, Resting, Scalper, Slowly

TEXT = (
    "From parquet files to a TradeAnalyzer's result: read, feeds, run."
    "\n   Processor time. Bars are one-minute bars, over all feeds together."
    "\n   isolated, cross: how many times faster than Backtrader with PandasData."
)
LEFT_OUT = (
    "Left out to bound the time: observers and pairs beyond 50,000 or 200,000 bars,"
    " resting limits beyond 50,000."
)
ANALYZERS = tuple(
    getattr(bt.analyzers, name)
    for name in ("DrawDown", "TimeReturn", "Returns", "SharpeRatio", "PyFolio")
)
SLOW = {"fast": 5, "slow": 20, "strong": 55}
RESAMPLED: dict[str, Any] = {"params": SLOW, "compression": 15}
JOBS: dict[str, tuple[int, Job]] = {
    "Crossing": (1, Job(Crossing)),
    "Scalper": (1, Job(Scalper)),
    "Pairs, 5 symbols": (5, Job(Pairs)),
    "Crossing, resampled to 15 m": (1, Job(Crossing, **RESAMPLED)),
    "Crossing, 1 m and 15 m": (1, Job(Slowly, **RESAMPLED, keeps_fast=True)),
    "Crossing, marks and funding": (1, Job(Crossing, carries=True)),
    "Resting, 50 limits": (1, Job(Resting)),
}
COLUMNS = (
    Column("strategy", width=27),
    Column("observers", width=9),
    Column("bars", ",d", 9),
    Column("rounds", "d"),
    Column("trades", ",d", 6),
    Column("stock us per bar", ".1f"),
    Column("isolated", ".2f"),
    Column("cross", ".2f", 8),
)
UNACCELERATED = {
    mode: Way(feed="pandas", broker=way.broker, loop="stock")
    for mode, way in OURS.items()
}
STEPS = {
    "stock": STOCK,
    "+ PerpData": Way("perp", "stock", "stock"),
    "+ loop": Way("perp", "stock", "ours"),
    "+ our broker": Way("perp", "isolated", "ours"),
}
ABLATION: dict[str, Job] = {
    "without observers": Job(Crossing),
    "with observers": Job(Crossing, stdstats=True),
    "and five more analyzers": Job(Crossing, stdstats=True, analyzers=ANALYZERS),
}


@dataclass(frozen=True)
class Cell:
    """A row of the grid."""

    name: str
    bars: int
    rounds: int
    stdstats: bool = False


def grid(plan: Plan) -> list[Cell]:
    """The rows to measure."""
    base, rounds = plan.bars_of(50_000, 5_000), plan.rounds_of(5, 2)
    small = [Cell(name, base, rounds) for name in JOBS if name != "Resting, 50 limits"]
    looked_at = ("Crossing", "Scalper", "Pairs, 5 symbols", list(JOBS)[3])
    few = plan.rounds_of(3)
    small += [Cell(name, base, few, stdstats=True) for name in looked_at]
    small.append(Cell("Resting, 50 limits", base, plan.rounds_of(1)))
    if plan.quick or plan.bars:
        return small
    once = plan.rounds_of(1)
    middle = [Cell(name, 200_000, once) for name in looked_at]
    large = [Cell(name, 1_000_000, once) for name in ("Crossing", "Scalper")]
    return small + middle + large


def measure(plan: Plan) -> None:
    """Measure the grid, what each piece saves, and the broker without acceleration."""
    plan.report.part("B", TEXT)
    warm = job_of(plan, "Crossing", 1_000)
    for way in (*STEPS.values(), *UNACCELERATED.values()):
        run(warm, way)
    plan.report.table("Times faster than stock", COLUMNS)
    for cell in grid(plan):
        _measure_cell(plan, cell)
    if not (plan.quick or plan.bars):
        plan.report.note(LEFT_OUT)
    _measure_ablation(plan)
    _measure_unaccelerated(plan)


def job_of(plan: Plan, name: str, bars: int) -> Job:
    """A job of `JOBS` over that many bars, its files written."""
    symbols, job = JOBS[name]
    files = markets.write(plan.folder, bars // symbols, symbols)
    if job.carries:
        write_beside(files)
    return replace(job, files=files)


def _compared(
    plan: Plan, where: str, job: Job, ways: Mapping[str, Way], rounds: int
) -> Outcomes:
    """Outcomes of a job by way; with funding or not they have to agree in trades."""
    runs = {name: partial(run, job, way) for name, way in ways.items()}
    outcomes = interleaved(runs, rounds, plan.step(f"B, {where}"))
    # Stock pays no funding: its value is another one.
    demand_agreement(outcomes, values=not job.carries, where=where)
    return outcomes


def _measure_cell(plan: Plan, cell: Cell) -> None:
    job = replace(job_of(plan, cell.name, cell.bars), stdstats=cell.stdstats)
    where = f"{cell.name}, {cell.bars:,} bars"
    ways = {"stock": STOCK, **OURS}
    found = _compared(plan, where, job, ways, cell.rounds)
    paired = {name: ratios(found["stock"], found[name]) for name in OURS}
    bars = markets.bars_of(job.files)
    plan.report.row(
        cell.name,
        "on" if cell.stdstats else "off",
        bars,
        cell.rounds,
        found["stock"][0].trades,
        seconds(found["stock"]) / bars * 1e6,
        *(median(paired[name]) for name in OURS),
        seconds=_seconds(found),
        ratios=paired,
    )


def _seconds(found: Outcomes) -> dict[str, list[float]]:
    return {name: [one.seconds for one in of] for name, of in found.items()}


def _measure_ablation(plan: Plan) -> None:
    """What feed, loop and broker save one after the other."""
    bars, rounds = plan.bars_of(50_000, 5_000), plan.rounds_of(3, 2)
    files = markets.write(plan.folder, bars, 1)
    columns = [Column("Crossing", width=27)]
    columns += [Column(name, ".2f", 10) for name in STEPS]
    title = f"What each piece adds: times faster than stock, {bars:,} bars,"
    plan.report.table(f"{title} {rounds} rounds", columns)
    for name, job in ABLATION.items():
        found = _compared(plan, name, replace(job, files=files), STEPS, rounds)
        paired = {step: ratios(found["stock"], found[step]) for step in STEPS}
        figures = [median(paired[step]) for step in STEPS]
        plan.report.row(name, *figures, seconds=_seconds(found), ratios=paired)


def _measure_unaccelerated(plan: Plan) -> None:
    """Our broker with stock's feed and loop, as a multiple of stock's time."""
    bars, rounds = plan.bars_of(50_000, 5_000), plan.rounds_of(5, 2)
    columns = [Column("strategy", width=27)]
    columns += [Column(name, ".3f", 8) for name in UNACCELERATED]
    title = f"accelerate=False with PandasData: x stock's time, {bars:,} bars,"
    plan.report.table(f"{title} {rounds} rounds; target: at most 1.03", columns)
    for name in ("Crossing", "Scalper"):
        ways = {"stock": STOCK, **UNACCELERATED}
        found = _compared(plan, name, job_of(plan, name, bars), ways, rounds)
        paired = {mode: ratios(found[mode], found["stock"]) for mode in UNACCELERATED}
        figures = [median(paired[mode]) for mode in UNACCELERATED]
        plan.report.row(name, *figures, seconds=_seconds(found), ratios=paired)
