"""Legs: which strategy and trade hold which part of a feed's position.

Backtrader keeps one position for each feed, and trades for each strategy, feed and
trade id. A forced close needs one order for each of these, or trades stay open.
"""

from typing import Any

__all__ = ["Legs"]


class Legs:
    """Signed size held by (strategy, trade id), for each feed."""

    def __init__(self) -> None:
        self._sizes: dict[Any, dict[tuple[Any, int], float]] = {}

    def add(self, data: Any, order: Any, closed: float, opened: float) -> None:
        """Count an execution of ``order``, in the steps in which its trade does."""
        legs = self._sizes.setdefault(data, {})
        key = (order.owner, order.tradeid)
        size = legs.pop(key, 0.0) + closed
        size += opened
        if size:
            legs[key] = size

    def pop(self, data: Any) -> list[tuple[Any, int, float]]:
        """The legs of a feed, which it holds no more: strategy, trade id, size."""
        legs = self._sizes.pop(data, {})
        return [(owner, tradeid, size) for (owner, tradeid), size in legs.items()]
