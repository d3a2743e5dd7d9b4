"""Tiers: how much margin a venue asks for, by notional.

A table is progressive: each tier's rate applies to the notional above its floor,
which the venue writes as ``notional * rate - amount`` with

    amount_n = amount_(n-1) + floor_n * (rate_n - rate_(n-1)),    amount_1 = 0

so that the requirement is continuous where tiers meet. Amounts that a venue gives
are taken as they are; those left ``None`` are computed.
Source of the recursion: Binance "Leverage and Margin of USD-M Futures".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .errors import TierError
from .number import Number

__all__ = ["NO_MAINTENANCE", "Tier", "TierTable"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One bracket of a tier table.

    Attributes:
        min_notional: lowest notional of the bracket, in the settle currency.
        max_notional: where the next bracket begins.
        maintenance_margin_rate: share of notional, a fraction (0.005 is 0.5 %).
        max_leverage: highest leverage allowed for a position of this notional.
        maintenance_amount: deduction from the requirement, in the settle
            currency; ``None``: computed so that the table is continuous.
    """

    min_notional: Number
    max_notional: Number
    maintenance_margin_rate: Number
    max_leverage: Number
    maintenance_amount: Number | None = None

    def maintenance_margin(self, notional: Number) -> Number:
        """Requirement for ``notional`` if this tier applies."""
        return notional * self.maintenance_margin_rate - (self.maintenance_amount or 0)


class TierTable:
    """The tiers of one contract, lowest notional first; a value.

    Args:
        tiers: brackets that follow each other from 0 without gap or overlap and
            whose rates do not fall.

    Raises:
        TierError: naming the bracket and what is wrong with it.
    """

    __slots__ = ("_floors", "_tiers")

    def __init__(self, tiers: Iterable[Tier]) -> None:
        self._tiers = _with_amounts(_validated(tuple(tiers)))
        self._floors = tuple(tier.min_notional for tier in self._tiers)

    @classmethod
    def flat(cls, rate: Number, max_leverage: Number) -> "TierTable":
        """One tier for every notional."""
        return cls([Tier(0, float("inf"), rate, max_leverage)])

    def __iter__(self) -> Iterator[Tier]:
        return iter(self._tiers)

    def __len__(self) -> int:
        return len(self._tiers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TierTable) and self._tiers == other._tiers

    def __hash__(self) -> int:
        return hash(self._tiers)

    def __repr__(self) -> str:
        return f"TierTable({list(self._tiers)!r})"

    @property
    def max_leverage(self) -> Number:
        """The highest leverage that any position may use."""
        return self._tiers[0].max_leverage

    def tier_of(self, notional: Number) -> Tier:
        """The tier of ``notional``: the last one whose floor it reaches.

        A hundred-billionth below a floor counts as on it: floats get no nearer to it
        by way of a price. Beyond the highest tier its rate goes on.
        """
        if len(self._tiers) == 1:
            return self._tiers[0]
        reached = notional + notional / 10**11
        return self._tiers[bisect_right(self._floors, reached) - 1]

    def at_size(self, units: Number) -> "TierTable":  # noqa: ARG002
        """The tiers of a position of ``units``: these, whatever its size."""
        return self

    def place(self, units: Number, notional: Number) -> int:  # noqa: ARG002
        """The place of the tier, from 0, that holds a position of ``notional``.

        Where two tiers meet it is the lower: a position brought down is in it.
        """
        least = notional - notional / 10**11
        return bisect_left(self._floors, least, lo=1) - 1

    def share_within(self, place: int, units: Number, notional: Number) -> Number:  # noqa: ARG002
        """The share of a position of ``notional`` that the tier at ``place`` holds.

        Where the requirement jumps at its ceiling, which belongs to the tier above,
        it holds a billionth less.
        """
        tier, above = self._tiers[place], self._tiers[place + 1 : place + 2]
        cap = tier.max_notional
        if above and above[0].maintenance_margin(cap) * 10**9 > (
            tier.maintenance_margin(cap) * (10**9 + 1)
        ):
            cap -= cap / 10**9
        return min(1, cap / notional)

    def bands(self) -> list[tuple[Tier, Number, Number]]:
        """Each tier with the notionals it holds for, the last one without end."""
        ceilings = (*self._floors[1:], float("inf"))
        return list(zip(self._tiers, self._floors, ceilings, strict=True))

    def largest_margin(self, low: Number, high: Number) -> Number:
        """The largest requirement between two notionals.

        It is at an end, or, where given amounts make it fall, below a floor.
        """
        if len(self._tiers) == 1:
            return self.maintenance_margin(high)
        return max(
            tier.maintenance_margin(end)
            for tier, floor, ceiling in self.bands()
            if floor <= high and ceiling >= low
            for end in (max(low, floor), min(high, ceiling))
        )

    def maintenance_margin(self, notional: Number) -> Number:
        """Requirement for ``notional`` (not negative), in the settle currency."""
        return self.tier_of(notional).maintenance_margin(notional)


def _validated(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """The tiers, if they make a table."""
    if not tiers:
        raise TierError("tiers", (), "give at least one Tier")
    expected_floor: Number = 0
    previous_rate: Number = 0
    for number, tier in enumerate(tiers, start=1):
        place = f"tiers[{number - 1}]"
        rate = tier.maintenance_margin_rate
        if tier.min_notional != expected_floor:
            word = "gap" if tier.min_notional > expected_floor else "overlap"
            fix = f"{word}: start min_notional at {expected_floor}"
            raise TierError(f"{place}.min_notional", tier.min_notional, fix)
        if not tier.max_notional > tier.min_notional:
            fix = f"give a max_notional above {tier.min_notional}"
            raise TierError(f"{place}.max_notional", tier.max_notional, fix)
        if not 0 <= rate < 1:
            fix = "give a fraction from 0 to 1 (0.005 is 0.5 %)"
            raise TierError(f"{place}.maintenance_margin_rate", rate, fix)
        if rate < previous_rate:
            fix = f"rates must not fall: give at least {previous_rate}"
            raise TierError(f"{place}.maintenance_margin_rate", rate, fix)
        if not tier.max_leverage > 0:
            fix = "give a leverage above 0"
            raise TierError(f"{place}.max_leverage", tier.max_leverage, fix)
        expected_floor, previous_rate = tier.max_notional, rate
    return tiers


def _with_amounts(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    """The tiers with every missing maintenance amount computed."""
    done: list[Tier] = []
    for tier in tiers:
        amount = tier.maintenance_amount
        if amount is None and not done:
            amount = 0
        elif amount is None:
            below = done[-1]
            step = tier.maintenance_margin_rate - below.maintenance_margin_rate
            amount = (below.maintenance_amount or 0) + tier.min_notional * step
        done.append(replace(tier, maintenance_amount=amount))
    return tuple(done)


# The requirement at whose liquidation price a position is bankrupt.
NO_MAINTENANCE = TierTable.flat(0, 1)
