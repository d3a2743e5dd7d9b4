"""Series of a run: one value for each bar, kept as doubles."""

from array import array
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

__all__ = ["MARGIN_SERIES", "frame_of", "returns_of", "share_of_time"]

MARGIN_SERIES = ("margin_ratio", "effective_leverage", "used", "idle")

_WORTHLESS = 1e-90  # a fund that was wiped out: what comes in later starts a new one


def frame_of(series: Mapping[str, "array[float]"]) -> pd.DataFrame:
    """The series as columns, indexed by the bars' times, UTC."""
    index = pd.to_datetime(series["time"], unit="ms", utc=True).rename("time")
    columns = {name: values for name, values in series.items() if name != "time"}
    return pd.DataFrame(columns, index=index, dtype=float)


def returns_of(
    series: Mapping[str, "array[float]"],
    start: float,
    every: str | None,
    ruins: Iterable[int] = (),
) -> pd.Series:
    """Returns of the fund's share price, which deposits do not move.

    Args:
        series: with ``time`` and ``fund_value``.
        start: share price before the first bar, and of every new fund.
        every: pandas' word for the period, such as ``"D"``; ``None``: each bar.
        ruins: numbers of the bars in which a deposit began a new fund after ruin.
    """
    prices = frame_of(series)["fund_value"]
    lives = prices > _WORTHLESS
    lived = lives.shift(fill_value=True)
    before = prices.shift(fill_value=start).where(lived, start)
    returns = (prices / before - 1).where(lives | lived, 0.0)
    for bar in ruins:
        if lives.iloc[bar] and lived.iloc[bar]:  # lost and refilled within the bar
            returns.iloc[bar] = -1.0
    if every is not None:
        returns = (1 + returns).resample(every).prod() - 1
    return returns.rename("return")


def share_of_time(times: "array[float]", is_so: Iterable[Any]) -> float:
    """Share of the run in which something held, if each bar's end shows the next bar.

    Args:
        times: of the bars.
        is_so: for each bar, whether it held at its end.
    """
    lengths = [b - a for a, b in pairwise(times)]
    lengths += lengths[-1:] or [1.0]
    total = sum(lengths)
    held = sum(one for one, holds in zip(lengths, is_so, strict=False) if holds)
    return held / total if total else 0.0
