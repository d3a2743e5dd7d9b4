"""Bounds: how much of a result hangs on the path inside the bars."""

from collections.abc import Iterable, Iterator

import pandas as pd

from bt_margin.core.path import BarPath

from .figures import Figures
from .run import RUN_KEYS, Run

__all__ = ["BOUND_PATHS", "ambiguous_bars", "spread"]

BOUND_PATHS = (
    BarPath.LOW_FIRST.value,
    BarPath.HIGH_FIRST.value,
    BarPath.WORST.value,
    BarPath.BEST.value,
)


def spread(runs: Iterable[Run], bounds: Iterable[Run]) -> pd.DataFrame:
    """Each figure of a run with its lowest and highest value over the paths.

    Args:
        runs: under the path that was asked for.
        bounds: the same settings under each of `BOUND_PATHS`.

    Returns:
        One row for each venue, leverage, mode and figure: ``result, lowest, highest``.
    """
    others = list(bounds)
    rows = [
        (*run.key, name, *_range(name, run, others))
        for run in runs
        if any(other.key == run.key for other in others)
        for name in Figures.names()
    ]
    index = [*RUN_KEYS, "figure"]
    frame = pd.DataFrame(rows, columns=[*index, "result", "lowest", "highest"])
    return frame.set_index(index)


def _range(name: str, run: Run, others: list[Run]) -> tuple[float, float, float]:
    result = getattr(run.figures, name)
    values = [getattr(o.figures, name) for o in others if o.key == run.key]
    return result, min(values), max(values)


def ambiguous_bars(runs: Iterable[Run]) -> pd.DataFrame:
    """The bars that could have gone two ways: what waited above and below the open.

    Returns:
        One row for each: venue, leverage, mode, time, symbol, above, below, and the
        money at stake between the two outcomes.
    """
    columns = [*RUN_KEYS, "time", "symbol", "above", "below", "stake"]
    return pd.DataFrame(list(_rows(runs)), columns=columns)


def _rows(runs: Iterable[Run]) -> Iterator[tuple[object, ...]]:
    for run in runs:
        for bar in run.ambiguities:
            words = (bar.time, bar.symbol, bar.above, bar.below, bar.stake)
            yield (*run.key, *words)
