"""The ledger: every movement of money, in order.

A balance is nothing but the sum of its wallet's entries, added in the order in which
they were made; it is never set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .number import Number

__all__ = ["Ledger", "LedgerEntry", "LedgerEntryKind"]


class LedgerEntryKind(StrEnum):
    """What an entry is for."""

    DEPOSIT = "deposit"  # from (+) or to (-) outside the account
    TRANSFER = "transfer"  # between two wallets: two entries that cancel
    REALIZED_PNL = "realized_pnl"  # price gain or loss of a closed size
    FEE = "fee"  # trading fee
    FUNDING = "funding"  # funding stamp
    LIQUIDATION_FEE = "liquidation_fee"  # the venue's charge for a liquidation
    INSURANCE = "insurance"  # the fund keeps a remainder (-) or pays a gap (+)
    INTEREST = "interest"  # interest of the commission scheme


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One movement.

    Attributes:
        time: UTC; ``None`` for the opening deposit.
        kind: what it is for.
        wallet: the wallet whose balance it changes.
        symbol: the symbol it belongs to, if any.
        amount: + into the wallet, - out of it, settle currency.
        ref: reference of the order, or what else caused it.
    """

    time: datetime | None
    kind: LedgerEntryKind
    wallet: str
    symbol: str | None
    amount: Number
    ref: str = ""


class Ledger:
    """Append-only list of entries; iterates over them."""

    __slots__ = ("_balances", "_entries")

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._balances: dict[str, Number] = {}

    def record(
        self,
        time: datetime | None,
        kind: LedgerEntryKind,
        wallet: str,
        symbol: str | None,
        amount: Number,
        ref: str = "",
    ) -> None:
        """Append an entry; an amount of 0 moves nothing and leaves none."""
        if amount:
            entry = LedgerEntry(time, kind, wallet, symbol, amount, ref)
            self._entries.append(entry)
            self._balances[wallet] = self._balances.get(wallet, 0) + amount

    def balance(self, wallet: str) -> Number:
        """Sum of the wallet's entries."""
        return self._balances.get(wallet, 0)

    @property
    def balances(self) -> dict[str, Number]:
        """Balance of every wallet that ever had an entry."""
        return dict(self._balances)

    def total(self, *kinds: LedgerEntryKind, symbol: str | None = None) -> Number:
        """Sum of the entries of these kinds (all: none given), of one symbol or all."""
        return sum(
            entry.amount
            for entry in self._entries
            if (not kinds or entry.kind in kinds)
            and (symbol is None or entry.symbol == symbol)
        )

    def fork(self) -> "Ledger":
        """A ledger with these balances and no entries: for asking what would be."""
        fork = Ledger()
        fork._balances = dict(self._balances)
        return fork

    def __iter__(self) -> Iterator[LedgerEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
