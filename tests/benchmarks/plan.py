"""The plan of a run of the benchmarks: how much is measured, and where it goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .report import Report, progress


@dataclass(frozen=True)
class Plan:
    """What the command line asked for.

    Attributes:
        report: takes the results.
        folder: for the markets' files.
        venvs: of the peers.
        quick: whether the run is a short one.
        bars: in place of a part's own number; ``None``: its own.
        repeats: rounds in place of a part's own number; ``None``: its own.
    """

    report: Report
    folder: Path
    venvs: Path
    quick: bool = False
    bars: int | None = None
    repeats: int | None = None

    def bars_of(self, full: int, quick: int) -> int:
        """Bars of a part, of a full and of a quick run."""
        return self.bars or (quick if self.quick else full)

    def rounds_of(self, full: int, quick: int = 1) -> int:
        """Rounds of a part, of a full and of a quick run."""
        return self.repeats or (quick if self.quick else full)

    def step(self, what: str) -> Callable[[str], None]:
        """Says on stderr which run of something begins."""
        return lambda run: progress(f"{what}: {run}")
