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
    series: Mapping[str, "array[float]"], start: float, every: str | None
) -> pd.Series:
    """Returns of the fund's share price, which deposits do not move.

    Args:
        series: with ``time`` and ``fund_value``.
        start: share price before the first bar.
        every: pandas' word for the period, such as ``"D"``; ``None``: each bar.
    """
    prices = frame_of(series)["fund_value"]
    if every is not None:
        prices = prices.resample(every).last().ffill()
    before = prices.shift(fill_value=start)
    lives = before > _WORTHLESS
    returns = (prices / before.where(lives, 1.0) - 1).where(lives, 0.0)
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
