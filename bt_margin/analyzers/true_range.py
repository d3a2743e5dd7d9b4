"""True range: the mean over a number of bars, kept as a rolling sum."""

from array import array
from typing import Any

__all__ = ["TrueRange"]


class TrueRange:
    """Simple mean of the true range of a feed's last bars.

    While there are fewer bars than asked for, of those there are.

    Args:
        feed: a Backtrader feed.
        period: how many bars.
    """

    def __init__(self, feed: Any, period: int) -> None:
        self._feed = feed
        self._ranges = array("d", [0.0]) * period
        self._sum = 0.0
        self._bars = 0
        self._close_before: float | None = None
        self._close = 0.0

    def follow(self) -> None:
        """Take the feed's bar; one that is being replayed only grows."""
        feed = self._feed
        bars = len(feed)
        if not bars:
            return
        if bars != self._bars:
            if self._bars:
                self._close_before = self._close
            self._bars = bars
            place = bars % len(self._ranges)
            self._sum -= self._ranges[place]
            self._ranges[place] = 0.0
        self._close = float(feed.close[0])
        high, low = float(feed.high[0]), float(feed.low[0])
        if self._close_before is not None:
            high, low = max(high, self._close_before), min(low, self._close_before)
        place = bars % len(self._ranges)
        self._sum += high - low - self._ranges[place]
        self._ranges[place] = high - low

    @property
    def mean(self) -> float:
        """The mean as it stands; 0 before the first bar."""
        bars = min(self._bars, len(self._ranges))
        return self._sum / bars if bars else 0.0
