"""Volatility: the average true range, of the bars a strategy has seen."""

from typing import Any

__all__ = ["average_true_range"]


def average_true_range(data: Any, period: int) -> float | None:
    """The plain mean of the last ``period`` true ranges, price units.

    A true range is the distance between the highest and the lowest of high, low and
    the close before (Wilder). Wilder smooths it; a plain mean does not depend on
    where the data begins.

    Args:
        data: a feed, at its bar of the moment.
        period: bars.

    Returns:
        ``None`` when the feed has not had ``period`` bars and one before.
    """
    if len(data) <= period:
        return None
    total = 0.0
    for ago in range(period):
        before = float(data.close[-ago - 1])
        high, low = float(data.high[-ago]), float(data.low[-ago])
        total += max(high, before) - min(low, before)
    return total / period
