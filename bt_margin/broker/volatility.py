"""Volatility: the average true range, as a plain mean.

A true range is the distance between the highest and the lowest of high, low and the
close before (Wilder). Wilder smooths it; a plain mean does not depend on where the
data begins.
"""

from array import array
from typing import Any

from bt_margin.core.errors import ParameterError

__all__ = ["RollingTrueRange", "average_true_range"]


def _true_range(high: float, low: float, close_before: float | None) -> float:
    """The true range of a bar; of the first one high less low."""
    if close_before is None:
        return high - low
    return max(high, close_before) - min(low, close_before)


def average_true_range(data: Any, period: int) -> float | None:
    """The mean of the last ``period`` true ranges, price units, looking back.

    Args:
        data: a feed, at its bar of the moment.
        period: bars.

    Returns:
        ``None`` when the feed has not had ``period`` bars and one before.

    Raises:
        ParameterError: the feed keeps fewer bars (``exactbars=1``).
    """
    if len(data) <= period:
        return None
    close = data.close
    if close.mode == close.QBuffer and close.maxlen <= period:
        fix = (
            f"with exactbars=1 the feed keeps {close.maxlen} bars, and one more than"
            " the period is needed: give a shorter period, or exactbars=-1 or 0"
        )
        raise ParameterError("period", period, fix)
    total = 0.0
    for back in range(period):
        high, low = float(data.high[-back]), float(data.low[-back])
        total += _true_range(high, low, float(data.close[-back - 1]))
    return total / period


class RollingTrueRange:
    """The same mean, kept up bar by bar: for feeds that do not keep their bars.

    While there are fewer bars than asked for, it is that of those there are.

    Args:
        period: how many bars.
    """

    def __init__(self, period: int) -> None:
        self._ranges = array("d", [0.0]) * period
        self._sum = 0.0
        self._bars = 0
        self._close_before: float | None = None
        self._close = 0.0

    def follow(self, feed: Any) -> None:
        """Take a Backtrader feed's bar; one that is being replayed only grows."""
        bars = len(feed)
        if not bars:
            return
        place = bars % len(self._ranges)
        if bars != self._bars:
            if self._bars:
                self._close_before = self._close
            self._bars = bars
        self._close = float(feed.close[0])
        span = _true_range(float(feed.high[0]), float(feed.low[0]), self._close_before)
        self._sum += span - self._ranges[place]
        self._ranges[place] = span

    @property
    def mean(self) -> float:
        """The mean as it stands; 0 before the first bar."""
        bars = min(self._bars, len(self._ranges))
        return self._sum / bars if bars else 0.0

    @property
    def whole_mean(self) -> float | None:
        """The mean where there were enough bars, and one before; else ``None``."""
        return self.mean if self._bars > len(self._ranges) else None
