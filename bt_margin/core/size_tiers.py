"""Size tiers: requirements that depend on how much is held, not on its worth.

The whole position has the rate of its tier, so the requirement steps up from tier to
tier (OKX "position tiers", Kraken margin schedules), or the rate rises with every
unit (Deribit: 1 % + 0.005 % for each coin). Price does not move a position between
such tiers: for a given size they are one flat `TierTable`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from .errors import TierError
from .number import Number
from .tiers import TierTable

__all__ = ["SizeTier", "SizeTiers"]


@dataclass(frozen=True, slots=True)
class SizeTier:
    """One tier by size.

    Attributes:
        max_units: largest position of the tier, itself included, in units: contracts
            times contract size, so coins (inverse: quote units).
        maintenance_margin_rate: share of notional, a fraction.
        max_leverage: highest leverage allowed.
        slope: rise of the initial and of the maintenance rate with each unit held.
    """

    max_units: Number
    maintenance_margin_rate: Number
    max_leverage: Number
    slope: Number = 0


class SizeTiers:
    """The size tiers of one contract, smallest first; a value.

    Args:
        tiers: each with a larger ``max_units`` and no lower rate than the one before.

    Raises:
        TierError: naming the tier and what is wrong with it.
    """

    __slots__ = ("_ceilings", "_tiers")

    def __init__(self, tiers: Iterable[SizeTier]) -> None:
        self._tiers = tuple(tiers)
        self._ceilings = tuple(tier.max_units for tier in self._tiers)
        if not self._tiers:
            raise TierError("tiers", (), "give at least one SizeTier")
        ceiling: Number = 0
        rate: Number = 0
        for number, tier in enumerate(self._tiers):
            place = f"tiers[{number}]"
            if not tier.max_units > ceiling:
                fix = f"give a number above {ceiling}"
                raise TierError(f"{place}.max_units", tier.max_units, fix)
            if not rate <= tier.maintenance_margin_rate < 1:
                fix = f"give a fraction of at least {rate} and below 1"
                name = f"{place}.maintenance_margin_rate"
                raise TierError(name, tier.maintenance_margin_rate, fix)
            if not tier.max_leverage > 0:
                fix = "give a leverage above 0"
                raise TierError(f"{place}.max_leverage", tier.max_leverage, fix)
            if not tier.slope >= 0:
                raise TierError(f"{place}.slope", tier.slope, "give 0 or more")
            ceiling, rate = tier.max_units, tier.maintenance_margin_rate

    def __iter__(self) -> Iterator[SizeTier]:
        return iter(self._tiers)

    def __len__(self) -> int:
        return len(self._tiers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SizeTiers) and self._tiers == other._tiers

    def __hash__(self) -> int:
        return hash(self._tiers)

    def __repr__(self) -> str:
        return f"SizeTiers({list(self._tiers)!r})"

    @property
    def max_leverage(self) -> Number:
        """The highest leverage that any position may use."""
        return self._tiers[0].max_leverage

    def place(self, units: Number, notional: Number = 0) -> int:  # noqa: ARG002
        """The place of the tier, from 0, that holds ``units``; beyond all: the last."""
        least = units - units / 10**11  # floats get no nearer to a ceiling
        return min(bisect_left(self._ceilings, least), len(self._tiers) - 1)

    def share_within(self, place: int, units: Number, notional: Number) -> Number:  # noqa: ARG002
        """The share of a position of ``units`` that the tier at ``place`` holds."""
        return min(1, self._ceilings[place] / units)

    def at_size(self, units: Number) -> TierTable:
        """The one flat tier that holds for a position of ``units``, at every price."""
        tier = self._tiers[self.place(units)]
        if not tier.slope:
            return _flat(tier.maintenance_margin_rate, tier.max_leverage)
        rise = tier.slope * units
        rate = min(tier.maintenance_margin_rate + rise, _ALMOST_ALL)
        return TierTable.flat(rate, 1 / (1 / tier.max_leverage + rise))


_ALMOST_ALL = (10**9 - 1) / 10**9  # of the notional; nobody can hold more than that
_flat = lru_cache(maxsize=256)(TierTable.flat)
