"""Part C: the same market and strategy under other packages."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from . import markets
from .environments import PEERS, python_of
from .measuring import DisagreementError, Outcome, Outcomes, interleaved, ratios
from .measuring import seconds as median_seconds
from .plan import Plan
from .report import Column

ROOT = Path(__file__).parents[2]
NEAR = 0.05  # share by which the number of trades may differ
TEXT = (
    "Peers: SMA(60) and SMA(240) that cross, and RSI(14); always long or short, 1 unit,"
    "\n   fee 0.05 %, leverage 5 where there is one. From parquet file to result."
    "\n   Processor time, of all threads, each in a process of its own, after a run to"
    "\n   warm up (imports and compilation do not count). Rounds are interleaved."
)
COLUMNS = (
    Column("package", width=26),
    Column("ms", ".1f", 8),
    Column("us per bar", ".2f"),
    Column("times faster", ".2f"),
    Column("trades", ",d", 6),
    Column("value", ",.0f", 9),
    Column("note", width=4),
)
OWN = {
    "Backtrader": ("stock", "PandasData, BackBroker"),
    "bt_margin": ("ours", "isolated margin with liquidation, PerpData"),
}
NOT_HERE = (
    "Not here: freqtrade, whose backtests ask an exchange for its list of markets."
)


class Program:
    """A program of `peers`, which runs once for each request."""

    def __init__(self, process: Any, errors: Any) -> None:
        self._process, self._errors = process, errors
        self._read()  # it is ready

    def run(self) -> Outcome:
        """One run."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Outcome(**self._read())

    def _read(self) -> dict[str, Any]:
        """Its answer.

        Raises:
            RuntimeError: with its last words, if it has ended.
        """
        if line := self._process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines()
        raise RuntimeError(words[-1] if words else "it ended without a word")


@contextmanager
def program(python: str | Path, name: str, file: Path, rounds: int) -> Iterator[Any]:
    """A program that is ready, until this is closed."""
    command = [str(python), "-m", f"peers.{name}", str(file), str(rounds)]
    pipe = subprocess.PIPE
    # Not by way of `tests.benchmarks`: jesse brings packages of both names.
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    apart = {**os.environ, "PYTHONPATH": paths}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            cwd=file.parent,  # some leave files where they run
            env=apart,
            stdin=pipe,
            stdout=pipe,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield Program(process, errors)
        finally:
            process.kill()


def measure(plan: Plan) -> None:
    """Measure all packages that can be installed."""
    bars, rounds = plan.bars_of(50_000, 10_000), plan.rounds_of(5, 3)
    plan.report.part("C", TEXT)
    (file,) = markets.write(plan.folder, bars, 1)
    notes = {name: note for name, (_, note) in OWN.items()}
    with ExitStack() as stack:
        opened = partial(_opened, stack, file, rounds)
        runs = {n: opened(sys.executable, program) for n, (program, _) in OWN.items()}
        missing = {}
        for peer in PEERS:
            name = f"{peer.package} {peer.version}"
            plan.step("C")(f"{name}: environment and warm-up")
            reason = "not installed"
            try:
                python = python_of(peer, plan.venvs)
                reason = "did not run"
                runs[name] = opened(python, peer.program)
            except RuntimeError as error:
                missing[name] = f"{reason}: {error}"
            notes[name] = peer.note
        outcomes = interleaved(runs, rounds, plan.step("C"))
    plan.report.table(f"{bars:,} bars, {rounds} rounds", COLUMNS)
    _print(plan, outcomes, notes, bars)
    for name, reason in missing.items():
        plan.report.row(name, *[None] * 5, reason)
    plan.report.note(NOT_HERE)
    _demand_nearness(outcomes)


def _opened(
    stack: ExitStack, file: Path, rounds: int, python: str | Path, name: str
) -> Any:
    return stack.enter_context(program(python, name, file, rounds)).run


def _print(plan: Plan, outcomes: Outcomes, notes: Mapping[str, str], bars: int) -> None:
    for name, found in outcomes.items():
        paired = ratios(outcomes["Backtrader"], found)
        took = median_seconds(found)
        figures = (took * 1e3, took / bars * 1e6, median(paired))
        end = (found[0].trades, found[0].value, notes[name])
        times = [one.seconds for one in found]
        plan.report.row(name, *figures, *end, seconds=times, ratios=paired)


def _demand_nearness(outcomes: Outcomes) -> None:
    """See that every package did about the same.

    Raises:
        DisagreementError: naming the first that did not.
    """
    stock = outcomes["Backtrader"][0]
    for name, found in outcomes.items():
        for one in found:
            many = abs(one.trades - stock.trades) > max(1, NEAR * stock.trades)
            if many or not 0.5 < one.value / stock.value < 2:
                raise DisagreementError(f"C, {name}: {one} where stock has {stock}")
