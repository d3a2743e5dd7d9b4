"""Crossing: when a wallet meets maintenance while marks move on straight lines.

With linear contracts the surplus is piecewise linear in time, and bends (or, where
given amounts make the requirement jump, jumps) only where a position's notional
meets a tier: between those points the crossing is solved, not sampled. Positions in
inverse contracts are curved, but each one's surplus still falls and rises with its
own mark, which bounds the sum from below: their pieces are halved until the bound
or the width decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .number import Number
from .position import Position

__all__ = ["Leg", "first_crossing"]

_HALVINGS = 60  # of a piece: to below float resolution
_NARROW = 10  # halvings below which a dip between two safe ends is taken for none


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
        floors = [tier.min_notional for tier in contract.tiers_of(size)][1:]
        prices = [contract.price_of_notional(size, floor) for floor in floors]
        parts = [(price - self.start) / (self.end - self.start) for price in prices]
        return [part for part in parts if 0 < part < 1]

    def surplus(self, part: Number, inside: Number) -> Number:
        """What it adds to the surplus at ``part``, in the tier that holds ``inside``.

        Args:
            part: where on the line.
            inside: a part of the same piece, between two bends: at a bend itself
                either side's tier can be meant.
        """
        tier = self.position.tier(self.mark(inside))
        return self.position.surplus_in_tier(self.mark(part), tier)


def first_crossing(legs: Sequence[Leg], balance: Number) -> Number | None:
    """The first part of the line at which surplus is 0 or less.

    Args:
        legs: the positions that share a wallet.
        balance: the wallet's balance.

    Returns:
        0 to 1, or ``None`` when the wallet stays above maintenance.
    """
    if balance + sum(leg.position.surplus(leg.start) for leg in legs) <= 0:
        return 0
    curved = any(leg.position.contract.inverse for leg in legs)
    bends = sorted({bend for leg in legs for bend in leg.bends()})
    solve = _halved if curved else _solved
    for start, end in pairwise([0, *bends, 1]):
        part = solve(legs, balance, start, end)
        if part is not None:
            return part
    return None


def _solved(
    legs: Sequence[Leg], balance: Number, start: Number, end: Number
) -> Number | None:
    """The crossing of a straight piece."""
    inside = (start + end) / 2
    above = balance + sum(leg.surplus(start, inside) for leg in legs)
    after = balance + sum(leg.surplus(end, inside) for leg in legs)
    if above <= 0:
        return start
    if after > 0:
        return None
    return start + (end - start) * (above / (above - after))


def _halved(
    legs: Sequence[Leg],
    balance: Number,
    start: Number,
    end: Number,
    halvings: int = _HALVINGS,
) -> Number | None:
    """The crossing of a curved piece between two bends."""
    inside = (start + end) / 2
    ends = [(leg.surplus(start, inside), leg.surplus(end, inside)) for leg in legs]
    if balance + sum(min(pair) for pair in ends) > 0:
        return None
    if balance + sum(first for first, _ in ends) <= 0:
        return start
    ends_above = balance + sum(last for _, last in ends) > 0
    if not halvings or (ends_above and halvings < _HALVINGS - _NARROW):
        return None if ends_above else end
    left = _halved(legs, balance, start, inside, halvings - 1)
    if left is not None:
        return left
    return _halved(legs, balance, inside, end, halvings - 1)
