"""The peers' strategy under Backtrader's broker or ours."""

from pathlib import Path

from tests.benchmarks.runs import OURS, STOCK, Job, run
from tests.benchmarks.traders import Crossing

from .serving import FAST, SIZE, SLOW, Once

WAYS = {"stock": STOCK, **OURS}


def once_of(way: str) -> Once:
    """A run that goes a way."""

    def once(file: Path) -> tuple[int, float]:
        params = {"fast": FAST, "slow": SLOW, "size": SIZE}
        outcome = run(Job(Crossing, (file,), params), WAYS[way])
        return outcome.trades, outcome.value

    return once
