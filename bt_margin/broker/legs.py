"""Legs: which strategy and trade hold which part of a position.

Backtrader keeps one position for each feed, and trades for each strategy, feed and
trade id. A forced close needs one order for each of these, or trades stay open.
"""

from typing import Any

__all__ = ["Legs"]


class Legs:
    """Signed size held by (strategy, trade id), for each position by its key."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[tuple[Any, int], float]] = {}

    def add(self, key: str, order: Any, closed: float, opened: float) -> None:
        """Count an execution of ``order``, in the steps in which its trade does."""
        legs = self._sizes.setdefault(key, {})
        holder = (order.owner, order.tradeid)
        size = legs.pop(holder, 0.0) + closed
        size += opened
        if size:
            legs[holder] = size

    def take(self, key: str, share: float) -> list[tuple[Any, int, float]]:
        """A share (up to 1: all) of each leg, which is held no more.

        Returns:
            Strategy, trade id and signed size of each.
        """
        legs = self._sizes.pop(key, {})
        if share < 1:
            rest = {holder: size * (1 - share) for holder, size in legs.items()}
            self._sizes[key] = rest
            legs = {holder: size - rest[holder] for holder, size in legs.items()}
        return [(owner, tradeid, size) for (owner, tradeid), size in legs.items()]

    def held(self, key: str) -> list[tuple[Any, int, float]]:
        """The legs of a position: strategy, trade id and signed size."""
        legs = self._sizes.get(key, {})
        return [(owner, tradeid, size) for (owner, tradeid), size in legs.items()]
