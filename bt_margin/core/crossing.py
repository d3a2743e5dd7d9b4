"""Crossing: when a wallet meets maintenance while marks move on straight lines.

With linear contracts the surplus is piecewise linear in time, and bends where a
position's notional meets a tier: between those points the crossing is solved, not
sampled. Inverse positions are curved; their pieces are bisected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .number import Number
from .position import Position

__all__ = ["Leg", "first_crossing"]

_BISECTIONS = 80  # halves a piece to below float resolution


@dataclass(frozen=True, slots=True)
class Leg:
    """A position whose mark moves on a straight line.

    Attributes:
        position: what is held.
        start: mark at the start.
        end: mark at the end.
    """

    position: Position
    start: Number
    end: Number

    def mark(self, part: Number) -> Number:
        """Mark at a part (0 to 1) of the line."""
        return self.start + (self.end - self.start) * part

    def bends(self) -> list[Number]:
        """The parts at which the notional at mark passes from tier to tier."""
        if self.start == self.end:
            return []
        contract, size = self.position.contract, self.position.size
        floors = [tier.min_notional for tier in contract.tiers][1:]
        prices = [contract.price_of_notional(size, floor) for floor in floors]
        parts = [(price - self.start) / (self.end - self.start) for price in prices]
        return [part for part in parts if 0 < part < 1]


def first_crossing(legs: Sequence[Leg], balance: Number) -> Number | None:
    """The first part of the line at which surplus is 0 or less.

    Args:
        legs: the positions that share a wallet.
        balance: the wallet's balance.

    Returns:
        0 to 1, or ``None`` when the wallet stays above maintenance.
    """

    def surplus(part: Number) -> Number:
        return balance + sum(leg.position.surplus(leg.mark(part)) for leg in legs)

    start: Number = 0
    above = surplus(start)
    if above <= 0:
        return start
    curved = any(leg.position.contract.inverse for leg in legs)
    for end in [*sorted(bend for leg in legs for bend in leg.bends()), 1]:
        after = surplus(end)
        if after <= 0 and curved:
            return _bisected(surplus, start, end)
        if after <= 0:
            return start + (end - start) * (above / (above - after))
        start, above = end, after
    return None


def _bisected(
    surplus: Callable[[Number], Number], start: Number, end: Number
) -> Number:
    """A part between ``start`` (above) and ``end`` (at or below) at which it is 0."""
    for _ in range(_BISECTIONS):
        middle = (start + end) / 2
        if surplus(middle) > 0:
            start = middle
        else:
            end = middle
    return end
