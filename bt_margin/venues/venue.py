"""What a venue page holds, and the registry of pages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import ParameterError, UnknownNameError
from bt_margin.core.number import Number
from bt_margin.core.policy import LiquidationPolicy
from bt_margin.core.wallet import FundingSource, MarginMode

from .rules import (
    ContractKind,
    Controls,
    OrderMarginRule,
    PositionMode,
    Revision,
    Tiers,
)

__all__ = [
    "Venue",
    "base_coin",
    "get_venue",
    "quote_coin",
    "register_venue",
    "venue_names",
]

_QUOTES = ("", "USD", "USDC", "USDT")


@dataclass(frozen=True, slots=True)
class Venue:
    """The rules of one venue.

    Attributes:
        name: ccxt id, or ``generic``.
        maintenance_basis: price of the notional that maintenance is taken on.
        maker_fee_rate: share of notional for a fill that rested in the book.
        taker_fee_rate: share of notional for every other fill.
        kinds: the contracts it lists; the first is what a symbol is taken for.
        margin_modes: those it offers.
        position_modes: those it offers.
        tiers: for every symbol without a table of its own; ``None``: there is none,
            and such a symbol needs one given.
        tables: tiers by base coin.
        inverse_tables: the same for inverse contracts, in coin; where a venue lists
            nothing else they stand in ``tables``.
        tables_as_of: the day on which the tables held.
        closing_fee_rate: fee counted in maintenance, as a share of notional at mark.
        reserved_fee_rate: fee of a close at bankruptcy, counted in initial and
            maintenance margin alike.
        cross_margin_basis: price of the notional that cross positions lock.
        isolated_margin_basis: the same for isolated positions.
        order_margin: what resting orders lock.
        controls: what a trader may change meanwhile.
        funding_source: who pays the funding of an isolated position first.
        funding_hours: hours from stamp to stamp, for display: stamps come as data.
        first_funding_hour: of the day, UTC, for display.
        liquidation: what the venue does below maintenance.
        rounding: how the venue rounds, in words; its display only.
        revisions: rules that held earlier, the latest first.
        sources: where the rules were read.
        unverified: points that no official page confirmed, or that are simplified.
    """

    name: str
    maintenance_basis: Basis
    maker_fee_rate: Number
    taker_fee_rate: Number
    kinds: tuple[ContractKind, ...] = (ContractKind.LINEAR,)
    margin_modes: tuple[MarginMode, ...] = tuple(MarginMode)
    position_modes: tuple[PositionMode, ...] = tuple(PositionMode)
    tiers: Tiers | None = None
    tables: Mapping[str, Tiers] = field(default_factory=dict)
    inverse_tables: Mapping[str, Tiers] = field(default_factory=dict)
    tables_as_of: date | None = None
    closing_fee_rate: Number = 0
    reserved_fee_rate: Number = 0
    cross_margin_basis: Basis = Basis.MARK
    isolated_margin_basis: Basis = Basis.ENTRY
    order_margin: OrderMarginRule = field(default_factory=OrderMarginRule)
    controls: Controls = field(default_factory=Controls)
    funding_source: FundingSource = FundingSource.POSITION
    funding_hours: int = 8
    first_funding_hour: int = 0
    liquidation: LiquidationPolicy = field(default_factory=LiquidationPolicy)
    rounding: str = "none"
    revisions: tuple[Revision, ...] = ()
    sources: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tiers is None and not self.tables:
            raise ParameterError(f"{self.name}.tiers", None, "give tiers or tables")
        days = [revision.before for revision in self.revisions]
        if days != sorted(days, reverse=True):
            fix = "list the latest first"
            raise ParameterError(f"{self.name}.revisions", days, fix)

    @property
    def is_inverse(self) -> bool:
        """Whether its contracts are inverse unless told otherwise."""
        return self.kinds[0] is ContractKind.INVERSE

    @property
    def max_leverage(self) -> Number:
        """The highest leverage of any symbol."""
        return max(table.max_leverage for table in self.all_tables())

    def all_tables(self) -> list[Tiers]:
        """Every tier table of the page."""
        tables = [*self.tables.values(), *self.inverse_tables.values()]
        return [*tables, *([self.tiers] if self.tiers else [])]

    def at(self, day: date) -> "Venue":
        """The page as it held on a day (UTC)."""
        past = self
        for revision in self.revisions:
            if day < revision.before:
                past = replace(past, **revision.changes)
        return past

    def days_of_change(self) -> Iterator[date]:
        """The days on which a rule changed, the earliest first."""
        yield from sorted({revision.before for revision in self.revisions})

    def tiers_of(self, symbol: str, *, inverse: bool | None = None) -> Tiers:
        """The tiers of a symbol such as ``BTCUSDT`` or ``BTC/USDT:USDT``.

        Args:
            symbol: as a feed names it.
            inverse: settled in the coin; ``None``: as the venue's contracts are.

        Raises:
            UnknownNameError: the venue's page has no table for it.
        """
        base, tables = base_coin(symbol), self.tables
        if inverse and not self.is_inverse:
            tables = self.inverse_tables
        if base in tables:
            return tables[base]
        if self.tiers is None:
            known = tuple(sorted(tables))
            raise UnknownNameError(f"coin of {self.name} (or give tiers)", base, known)
        return self.tiers

    def settle_coin(self, symbol: str, *, inverse: bool) -> str | None:
        """The currency in which a symbol's profit is paid, as far as its name shows.

        Args:
            symbol: as a feed names it.
            inverse: settled in its base coin.

        Returns:
            ``None``: the name shows none.
        """
        base = base_coin(symbol)
        if not inverse:
            return quote_coin(symbol)
        is_known = base in self.tables or base in self.inverse_tables
        return base if is_known or quote_coin(symbol) else None

    def require_one_coin(self, symbols: Mapping[str, bool]) -> None:
        """Refuse symbols that settle in different currencies: one wallet holds one.

        Args:
            symbols: of one account; whether each is inverse.

        Raises:
            ParameterError: naming two of them.
        """
        named: dict[str, str] = {}
        for symbol, inverse in symbols.items():
            coin = self.settle_coin(symbol, inverse=inverse)
            if coin is not None:
                named.setdefault(coin, symbol)
        if len(named) > 1:
            (coin, one), (other_coin, other), *_ = named.items()
            seen = f"{coin} for {one}, {other_coin} for {other}"
            fix = "give each settle currency a broker of its own"
            raise ParameterError("settle currency", seen, fix)

    def contract(self, symbol: str, tiers: Tiers, **terms: Any) -> Contract:
        """A contract under the venue's margin rules.

        Args:
            symbol: as a feed names it.
            tiers: the venue's, or others.
            terms: further fields of `Contract`.

        Raises:
            ParameterError: the venue lists no such contracts.
        """
        inverse = terms.setdefault("inverse", self.is_inverse)
        kind = ContractKind.INVERSE if inverse else ContractKind.LINEAR
        if kind not in self.kinds:
            listed = " and ".join(self.kinds)
            fix = f"{self.name} lists {listed} contracts only: give {not inverse}"
            raise ParameterError("inverse", inverse, fix)
        return Contract(
            symbol,
            tiers,
            maintenance_basis=self.maintenance_basis,
            closing_fee_rate=self.closing_fee_rate,
            reserved_fee_rate=self.reserved_fee_rate,
            **terms,
        )

    def require(self, mode: str) -> None:
        """Refuse a margin mode that the venue does not offer.

        Raises:
            ParameterError: naming the modes there are.
        """
        if mode not in self.margin_modes:
            fix = f"{self.name} offers {' and '.join(self.margin_modes)} margin only"
            raise ParameterError("margin_mode", mode, fix)


def base_coin(symbol: str) -> str:
    """``BTC`` of ``BTCUSDT``, ``BTC/USDT:USDT``, ``BTC-USDT-SWAP`` or ``BTC``."""
    return _pair(symbol)[0]


def quote_coin(symbol: str) -> str | None:
    """``USDT`` of ``BTCUSDT`` or ``BTC/USDT:USDT``; ``None``: the name shows none."""
    return _pair(symbol)[1] or None


def _pair(symbol: str) -> tuple[str, str]:
    """Base and quote coin; without a quote in the name that is empty."""
    # A second feed of one name is told apart by "#" and its number.
    pair = symbol.upper().partition(":")[0].partition("#")[0].removesuffix("-SWAP")
    pair = pair.replace("/", "").replace("-", "").replace("_", "")
    found = (quote for quote in _QUOTES if pair.endswith(quote) and pair != quote)
    quote = max(found, key=len, default="")
    return pair[: len(pair) - len(quote)], quote


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
