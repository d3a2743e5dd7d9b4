"""Part profile: where the time of our runs goes, by whose code it is."""

import cProfile
import pstats
from dataclasses import replace
from typing import Any

from . import markets
from .end_to_end import job_of
from .plan import Plan
from .report import Column
from .runs import OURS, run

SHOWN = ("Crossing", "Scalper", "Pairs, 5 symbols", "Resting, 50 limits")
TEXT = (
    "Where the time of isolated runs goes: share of each, from file to result."
    "\n   Under cProfile, which makes many small calls look dearer than they are."
)
# Parts of a file's path, and whose code it is; the first that fits.
OWNERS = (
    ("tests/benchmarks", "strategy"),
    ("bt_margin/core", "margin model"),
    ("bt_margin/broker", "broker"),
    ("bt_margin/accelerate", "loop"),
    ("backtrader", "Backtrader"),
    ("pandas", "pandas, numpy"),
    ("numpy", "pandas, numpy"),
    ("pyarrow", "pandas, numpy"),
)
REST = "Python"
NAMES = [*dict.fromkeys(name for _, name in OWNERS), REST]
COLUMNS = (
    Column("strategy", width=18),
    Column("bars", ",d", 7),
    Column("orders per 1,000 bars", ".1f"),
    *(Column(name, ".1%") for name in NAMES),
)


def owner(file: str) -> str:
    """Whose code a file is."""
    return next((name for part, name in OWNERS if part in file), REST)


def measure(plan: Plan) -> None:
    """Profile one run of each strategy."""
    plan.report.part("profile", TEXT)
    bars = plan.bars_of(50_000, 5_000)
    plan.report.table("Shares of the time", COLUMNS)
    for name in SHOWN:
        plan.step("profile")(name)
        job = job_of(plan, name, bars)
        run(replace(job, files=markets.write(plan.folder, 1_000, len(job.files))), WAY)
        profiler = cProfile.Profile()
        found = profiler.runcall(run, job, WAY)
        shares = _shares(pstats.Stats(profiler))
        count = markets.bars_of(job.files)
        figures = [shares.get(one, 0.0) for one in NAMES]
        plan.report.row(name, count, 2_000 * found.trades / count, *figures)


WAY = OURS["isolated"]


def _shares(stats: Any) -> dict[str, float]:
    """The share of the time by whose code it was spent in."""
    shares: dict[str, float] = {}
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        name = owner(file)
        shares[name] = shares.get(name, 0.0) + own
    total = sum(shares.values())
    return {name: seconds / total for name, seconds in shares.items()}
