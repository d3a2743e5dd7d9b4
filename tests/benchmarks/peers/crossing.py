"""The peers' strategy under Backtrader's broker or ours."""

from pathlib import Path

import backtrader as bt

from tests.benchmarks.runs import OURS, STOCK, Job, run

from .rule import crossing_of
from .serving import Once

WAYS = {"stock": STOCK, **OURS}


Crossing = crossing_of(bt)


def once_of(way: str) -> Once:
    """A run that goes a way."""

    def once(file: Path) -> tuple[int, float]:
        outcome = run(Job(Crossing, (file,)), WAYS[way])
        return outcome.trades, outcome.value

    return once
