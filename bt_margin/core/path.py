"""Paths: how a price went inside a bar.

A bar is a line of waypoints over its elapsed share: 0 at the open, 1 at the close,
straight between. Four prices do not say which extreme came first, so the order is a
named assumption (`BarPath`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from enum import StrEnum

from .number import Number

__all__ = ["BEFORE_OPEN", "BarPath", "Polyline"]

_THIRDS = (0, 1 / 3, 2 / 3, 1)
BEFORE_OPEN = -1  # the share of the moment between the last close and this open


class BarPath(StrEnum):
    """Which extreme of a bar is taken to come first: an assumption."""

    ADAPTIVE = "adaptive"  # the one nearer the open; the low when they are as near
    LOW_FIRST = "low_first"
    HIGH_FIRST = "high_first"
    WORST = "worst"  # the one that hurts the position held; flat: as adaptive
    BEST = "best"  # the one that helps the position held; flat: as adaptive

    def low_comes_first(
        self,
        open_price: Number,
        high_price: Number,
        low_price: Number,
        size: Number = 0,
    ) -> bool:
        """Whether the low is reached before the high.

        Args:
            open_price: of the bar.
            high_price: of the bar.
            low_price: of the bar.
            size: signed size held when the bar opens.
        """
        if self in (BarPath.WORST, BarPath.BEST) and size:
            return (size > 0) is (self is BarPath.WORST)
        if self in (BarPath.LOW_FIRST, BarPath.HIGH_FIRST):
            return self is BarPath.LOW_FIRST
        return open_price - low_price <= high_price - open_price


class Polyline:
    """A price over the share of a bar elapsed; a value.

    Args:
        points: (share, price), shares rising from 0 to 1. Two points at one share
            are a jump: the price before it and after it.
    """

    __slots__ = ("prices", "shares")

    def __init__(self, points: Iterable[tuple[Number, Number]]) -> None:
        line = tuple(points)
        self.shares: tuple[Number, ...] = tuple(share for share, _ in line)
        self.prices: tuple[Number, ...] = tuple(price for _, price in line)

    @classmethod
    def from_candle(
        cls,
        open_price: Number,
        high_price: Number,
        low_price: Number,
        close_price: Number,
        *,
        low_first: bool,
    ) -> "Polyline":
        """Open, two extremes and close at equal distances in time."""
        first, second = (
            (low_price, high_price) if low_first else (high_price, low_price)
        )
        line = cls.__new__(cls)
        line.shares, line.prices = _THIRDS, (open_price, first, second, close_price)
        return line

    def price_at(self, share: Number) -> Number:
        """The price at ``share``, after a jump that happens there."""
        return self._between(bisect_right(self.shares, share) - 1, share)

    def price_before(self, share: Number) -> Number:
        """The price at ``share``, before a jump that happens there."""
        index = bisect_left(self.shares, share) - 1
        return self._between(index, share) if index >= 0 else self.prices[0]

    def _between(self, index: int, share: Number) -> Number:
        """Interpolated in the piece that starts at point ``index``."""
        if index >= len(self.shares) - 1:
            return self.prices[-1]
        start, end = self.shares[index], self.shares[index + 1]
        low, high = self.prices[index], self.prices[index + 1]
        if share >= end:
            return high
        return low + (high - low) * ((share - start) / (end - start))

    def first_touch(self, level: Number, start: Number = 0) -> Number | None:
        """The first share from ``start`` on that reaches or jumps over ``level``."""
        here, before = start, self.price_at(start)
        if before == level:
            return start
        first = bisect_right(self.shares, start)
        for end, after in zip(self.shares[first:], self.prices[first:], strict=True):
            if min(before, after) <= level <= max(before, after):
                return here + (end - here) * ((level - before) / (after - before))
            here, before = end, after
        return None

    def clamped(self, low: Number, high: Number) -> "Polyline":
        """The line held between ``low`` and ``high``, with a point where it bends."""
        if low <= min(self.prices) and max(self.prices) <= high:
            return self
        points: list[tuple[Number, Number]] = []
        for index, (share, price) in enumerate(
            zip(self.shares, self.prices, strict=True)
        ):
            if index:
                points += self._bends(index, low, high)
            points.append((share, min(max(price, low), high)))
        return Polyline(points)

    def _bends(
        self, index: int, low: Number, high: Number
    ) -> list[tuple[Number, Number]]:
        """Where the piece that ends at point ``index`` meets a bound."""
        before, after = self.prices[index - 1], self.prices[index]
        start, end = self.shares[index - 1], self.shares[index]
        return sorted(
            (start + (end - start) * ((bound - before) / (after - before)), bound)
            for bound in (low, high)
            if min(before, after) < bound < max(before, after)
        )
