"""Volatility: the average true range, of the bars a strategy has seen."""

from typing import Any

__all__ = ["average_true_range"]


def average_true_range(data: Any, period: int, ago: int = 0) -> float | None:
    """The plain mean of the last ``period`` true ranges, price units.

    A true range is the distance between the highest and the lowest of high, low and
    the close before (Wilder). Wilder smooths it; a plain mean does not depend on
    where the data begins.

    Args:
        data: a feed, at its bar of the moment.
        period: bars.
        ago: bars back to the last one that counts.

    Returns:
        ``None`` when the feed has not had ``period`` bars and one before.
    """
    if len(data) <= period + ago:
        return None
    total = 0.0
    for back in range(ago, ago + period):
        before = float(data.close[-back - 1])
        high, low = float(data.high[-back]), float(data.low[-back])
        total += max(high, before) - min(low, before)
    return total / period
