"""Part D: how time and memory grow, ours in isolated mode with marks and funding."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from . import markets
from .measuring import interleaved
from .plan import Plan
from .report import Column
from .runs import write_beside

ROOT = Path(__file__).parents[2]
WARM = 500  # bars of the run before the measured one
TEXT = (
    "Growth: isolated, marks of an hour, funding every 8 h; from file to result."
    "\n   Processor time, each run in a fresh process, after a short run to warm up."
    "\n   x first: time per bar as a multiple of the first row's, paired by round."
)
COLUMNS = (
    Column("us per bar", ".2f"),
    Column("x first", ".3f"),
    Column("trades", ",d", 7),
    Column("peak MiB", ".0f"),
)
MEMORY = (
    Column("run", width=10),
    Column("bars", ",d", 9),
    Column("peak MiB", ".0f"),
    Column("before, MiB", ".0f"),
    Column("x stock", ".2f"),
    Column("x stock, net", ".2f"),
)


@dataclass(frozen=True)
class Point:
    """One run: a strategy by name, over files of so many bars and symbols."""

    trader: str
    bars: int
    symbols: int = 1
    params: tuple[tuple[str, int], ...] = ()
    way: str = "isolated"


@dataclass(frozen=True)
class Measured:
    """What a run in a fresh process took.

    Attributes:
        seconds: of processor time.
        trades: that it opened.
        peak: most memory that the process ever held, MiB.
        before: most memory that it held before the run, MiB.
    """

    seconds: float
    trades: int
    peak: float
    before: float


def measure(plan: Plan) -> None:
    """Measure the series, and the memory against stock's."""
    plan.report.part("D", TEXT)
    bars, rounds = plan.bars_of(50_000, 10_000), plan.rounds_of(3)
    quick = plan.quick
    many = (bars, 4 * bars) if quick else (bars, 4 * bars, 20 * bars)
    title = "Bars; target: within 10 %"
    found = _series(
        plan, title, "bars", {n: Point("Crossing", n) for n in many}, rounds
    )
    each = max(bars // 10, 1_000)
    counts = (1, 5) if quick else (1, 5, 20, 50)
    title = f"Symbols, {each:,} bars each; target: within 15 %"
    points = {n: Point("Basket", each, n) for n in counts}
    _series(plan, title, "symbols", points, rounds)
    less = max(bars // 2, 1_000)
    orders = (0, 50) if quick else (0, 10, 50, 200)
    title = f"Market orders per 1,000 bars, {less:,} bars"
    points = {n: Point("Churning", less, params=(("orders", n),)) for n in orders}
    _series(plan, title, "orders", points, rounds)
    limits = (0, 10) if quick else (0, 10, 50, 200)
    title = f"Limits that rest all along, {less // 2:,} bars"
    points = {n: Point("Resting", less // 2, params=(("limits", n),)) for n in limits}
    _series(plan, title, "limits", points, rounds)
    _memory(plan, many[-1], found[many[-1]])


def _series(
    plan: Plan, title: str, name: str, points: Mapping[int, Point], rounds: int
) -> dict[int, list[Measured]]:
    """A table of points, all of them run in every round."""
    runs = {f"{n:,} {name}": partial(run, plan, p) for n, p in points.items()}
    measured = interleaved(runs, rounds, plan.step("D"))
    found = dict(zip(points, measured.values(), strict=True))
    columns = [Column(name, ",d", 9), *COLUMNS]
    plan.report.table(f"{title}, {rounds} round{'s' * (rounds > 1)}", columns)
    first = _per_bar(points[min(points)], found[min(points)])
    for number, point in points.items():
        times = _per_bar(point, found[number])
        paired = [mine / other for mine, other in zip(times, first, strict=True)]
        peak = median(one.peak for one in found[number])
        trades = found[number][0].trades
        figures = (median(times), median(paired), trades, peak)
        raw = [asdict(one) for one in found[number]]
        plan.report.row(number, *figures, runs=raw, ratios=paired)
    return found


def _per_bar(point: Point, found: Sequence[Measured]) -> list[float]:
    """Microseconds per bar and symbol."""
    return [one.seconds / (point.bars * point.symbols) * 1e6 for one in found]


def _memory(plan: Plan, bars: int, ours: Sequence[Measured]) -> None:
    """Peak memory of the longest run against stock's over the same bars."""
    plan.step("D")(f"memory of stock over {bars:,} bars")
    stock = run(plan, Point("Crossing", bars, way="stock"))
    title = "Memory; before: what the process held without the run; target: 1.5 x"
    plan.report.table(title, MEMORY)
    for name, found in (("stock", stock), ("isolated", ours[0])):
        net = (found.peak - found.before) / (stock.peak - stock.before)
        figures = (found.peak, found.before, found.peak / stock.peak, net)
        plan.report.row(name, bars, *figures)


def run(plan: Plan, point: Point) -> Measured:
    """Run a point in a fresh process.

    Raises:
        RuntimeError: with what the process said on stderr, if it failed.
    """
    task: dict[str, Any] = {**asdict(point), "params": dict(point.params)}
    for name, bars in (("files", point.bars), ("warm", WARM)):
        files = markets.write(plan.folder, bars, point.symbols)
        write_beside(files)
        task[name] = [str(file) for file in files]
    command = [sys.executable, "-m", "tests.benchmarks.fresh", json.dumps(task)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{point} failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout))
