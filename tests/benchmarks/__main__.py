"""The benchmarks' program: ``python -m tests.benchmarks --help``."""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from . import (
    broker_only,
    end_to_end,
    growth,
    indicators,
    optimising,
    peers_too,
    profile_part,
)
from .machine import facts
from .plan import Plan
from .report import Report, progress

PARTS: dict[str, Callable[[Plan], None]] = {
    "A": broker_only.measure,
    "B": end_to_end.measure,
    "C": peers_too.measure,
    "D": growth.measure,
    "E": optimising.measure,
    "indicators": indicators.measure,
    "profile": profile_part.measure,
}
FULL = "ABCDE"
QUICK = "ABDE"  # without the peers, which are to be installed first
TEXT = """How fast strategies run with bt_margin's broker, as ratios to Backtrader's.

  A  the broker alone, per bar in a calm market
  B  from a parquet file to the result
  C  other packages, each in a virtual environment of its own
  D  growth with bars, symbols and orders; memory
  E  optstrategy
  indicators  stock's indicators as arrays (not among the default parts)
  profile     where the time of our runs goes (not among the default parts)
"""
EXAMPLES = """examples, from the project's root:
  python -m tests.benchmarks --quick
  python -m tests.benchmarks --parts B,D --json measured.json
  python -m tests.benchmarks --parts C --venvs ~/peers --repeats 3

A quick run takes three minutes at most and leaves out the peers. A full one takes
about 45 minutes on a machine on which Backtrader runs at 10,000 bars a second, and
downloads the peers unless --venvs has them.
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a part failed."""
    asked = _parser().parse_args(words)
    report, failed = Report(), False
    with tempfile.TemporaryDirectory(prefix="benchmarks") as folder:
        venvs = asked.venvs or Path(folder) / "venvs"
        sizes = {name: getattr(asked, name) for name in ("quick", "bars", "repeats")}
        plan = Plan(report, Path(folder), venvs, **sizes)
        report.head(facts())
        for part in asked.parts or (QUICK if asked.quick else FULL):
            failed |= not _done(plan, part)
            if asked.json:
                report.save(asked.json)
    return int(failed)


def _done(plan: Plan, part: str) -> bool:
    """Run a part; False: it failed, and the next ones may still go on."""
    began = perf_counter()
    try:
        PARTS[part](plan)
        plan.report.note(f"Part {part} took {perf_counter() - began:,.0f} s.")
    except Exception as error:
        traceback.print_exc()
        plan.report.failed(f"{type(error).__name__}: {error}")
        return False
    finally:
        progress("")
    return True


def _parts(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in PARTS:
            known = ", ".join(PARTS)
            raise argparse.ArgumentTypeError(f"no part {name!r}: there are {known}")
    return names


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--parts", type=_parts, metavar="A,B", help="these parts only")
    add("--quick", action="store_true", help="fewer bars and rounds, no peers")
    add("--bars", type=_count, help="bars of every part, in place of its own number")
    add("--repeats", type=_count, help="rounds, in place of each part's own number")
    add("--json", type=Path, metavar="FILE", help="keep everything measured")
    add("--venvs", type=Path, metavar="DIR", help="keep the peers' environments here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
