"""What a venue page holds, and the registry of pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from bt_margin.core.contract import Basis
from bt_margin.core.errors import ParameterError, UnknownNameError
from bt_margin.core.liquidation import LiquidationPolicy
from bt_margin.core.number import Number
from bt_margin.core.tiers import TierTable

__all__ = ["Venue", "base_coin", "get_venue", "register_venue", "venue_names"]


_QUOTES = ("", "USD", "USDC", "USDT")


@dataclass(frozen=True, slots=True)
class Venue:
    """The rules of one venue.

    Attributes:
        name: ccxt id, or ``generic``.
        maintenance_basis: price of the notional that maintenance is taken on.
        maker_fee_rate: share of notional for a fill that rested in the book.
        taker_fee_rate: share of notional for every other fill.
        tiers: for every symbol without a table of its own; ``None``: there is none,
            and such a symbol needs one given.
        tables: tiers by base coin.
        tables_as_of: the day on which the tables held.
        closing_fee_rate: fee counted in maintenance, as a share of notional at mark.
        cross_margin_basis: price of the notional that cross positions lock.
        isolated_margin_basis: the same for isolated positions.
        liquidation: what the venue does below maintenance.
        sources: where the rules were read.
        unverified: points that no official page confirmed, or that are simplified.
    """

    name: str
    maintenance_basis: Basis
    maker_fee_rate: Number
    taker_fee_rate: Number
    tiers: TierTable | None = None
    tables: Mapping[str, TierTable] = field(default_factory=dict)
    tables_as_of: date | None = None
    closing_fee_rate: Number = 0
    cross_margin_basis: Basis = Basis.MARK
    isolated_margin_basis: Basis = Basis.ENTRY
    liquidation: LiquidationPolicy = field(default_factory=LiquidationPolicy)
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tiers is None and not self.tables:
            raise ParameterError(f"{self.name}.tiers", None, "give tiers or tables")

    @property
    def max_leverage(self) -> Number:
        """The highest leverage of any symbol."""
        return max(table.max_leverage for table in self.all_tables())

    def all_tables(self) -> list[TierTable]:
        """Every tier table of the page."""
        return [*self.tables.values(), *([self.tiers] if self.tiers else [])]

    def tiers_of(self, symbol: str) -> TierTable:
        """The tiers of a symbol such as ``BTCUSDT`` or ``BTC/USDT:USDT``.

        Raises:
            UnknownNameError: the venue's page has no table for it.
        """
        base = base_coin(symbol)
        if base in self.tables:
            return self.tables[base]
        if self.tiers is None:
            known = tuple(sorted(self.tables))
            raise UnknownNameError(f"coin of {self.name} (or give tiers)", base, known)
        return self.tiers


def base_coin(symbol: str) -> str:
    """``BTC`` of ``BTCUSDT``, ``BTC/USDT:USDT`` or ``BTC``."""
    pair = symbol.upper().partition(":")[0].replace("/", "").replace("-", "")
    found = (quote for quote in _QUOTES if pair.endswith(quote) and pair != quote)
    quote = max(found, key=len, default="")
    return pair[: len(pair) - len(quote)]


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
