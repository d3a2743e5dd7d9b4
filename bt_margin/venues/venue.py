"""What a venue page holds, and the registry of pages."""

from dataclasses import dataclass, field

from bt_margin.core.contract import Basis
from bt_margin.core.errors import ParameterError, UnknownNameError
from bt_margin.core.liquidation import LiquidationPolicy
from bt_margin.core.number import Number
from bt_margin.core.tiers import TierTable

__all__ = ["Venue", "get_venue", "register_venue", "venue_names"]


@dataclass(frozen=True, slots=True)
class Venue:
    """The rules of one venue.

    Attributes:
        name: ccxt id, or ``generic``.
        tiers: for every symbol without a table of its own.
        maintenance_basis: price of the notional that maintenance is taken on.
        maker_fee_rate: share of notional for a fill that rested in the book.
        taker_fee_rate: share of notional for every other fill.
        closing_fee_rate: fee counted in maintenance, as a share of notional at mark.
        cross_margin_basis: price of the notional that cross positions lock.
        isolated_margin_basis: the same for isolated positions.
        liquidation: what the venue does below maintenance.
    """

    name: str
    tiers: TierTable
    maintenance_basis: Basis
    maker_fee_rate: Number
    taker_fee_rate: Number
    closing_fee_rate: Number = 0
    cross_margin_basis: Basis = Basis.MARK
    isolated_margin_basis: Basis = Basis.ENTRY
    liquidation: LiquidationPolicy = field(default_factory=LiquidationPolicy)


_venues: dict[str, Venue] = {}


def register_venue(venue: Venue) -> None:
    """Make a venue known by its name.

    Raises:
        ParameterError: another venue has the name.
    """
    if _venues.setdefault(venue.name, venue) != venue:
        raise ParameterError("venue.name", venue.name, "taken: choose another name")


def get_venue(name: str) -> Venue:
    """The venue of that name.

    Raises:
        UnknownNameError: listing the names there are.
    """
    try:
        return _venues[name]
    except KeyError:
        raise UnknownNameError("venue", name, venue_names()) from None


def venue_names() -> tuple[str, ...]:
    """The names of all venues, sorted."""
    return tuple(sorted(_venues))
