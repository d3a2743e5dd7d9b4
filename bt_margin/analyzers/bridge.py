"""The bridge: from the start balance to the end balance, out of the ledger.

Every line is a sum of ledger entries, but the last: what is unrealized, from the
positions still open. Trades are not asked.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from math import fsum
from typing import Any

from bt_margin.core.account import Account, Marks
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind

__all__ = ["KINDS", "UNREALIZED", "bridge_of", "sums_by_kind"]

UNREALIZED = "unrealized_pnl"
_INSIDE = (LedgerEntryKind.TRANSFER, LedgerEntryKind.DEPOSIT)

# What changes a balance, by name; a transfer only moves it.
KINDS = (*(kind.value for kind in LedgerEntryKind if kind not in _INSIDE), UNREALIZED)


def sums_by_kind(ledger: Iterable[LedgerEntry]) -> dict[LedgerEntryKind, float]:
    """Sum of the entries of every kind there is."""
    amounts: dict[LedgerEntryKind, list[float]] = {kind: [] for kind in LedgerEntryKind}
    for entry in ledger:
        amounts[entry.kind].append(float(entry.amount))
    return {kind: fsum(found) for kind, found in amounts.items()}


def bridge_of(account: Account, marks: Marks) -> dict[str, Any]:
    """The bridge of an account as it stands. Amounts: + received, - paid.

    Returns:
        ``start`` (the opening deposit), ``deposit`` (what came in or went out later),
        one line for each of `KINDS`, and ``end``: start and all lines together are
        the end. ``symbols`` has for each symbol its part of every line, and ``net``.
    """
    entries = list(account.ledger)
    start = float(entries[0].amount)
    parts: dict[str, dict[str, list[float]]] = {}
    later = chain(
        ((e.symbol, e.kind.value, e.amount) for e in entries[1:]),
        _unrealized(account, marks),
    )
    for symbol, kind, amount in later:
        part = parts.setdefault(symbol or "", {kind: [] for kind in KINDS})
        part.setdefault(kind, []).append(float(amount))
    deposits = parts.get("", {}).pop(LedgerEntryKind.DEPOSIT.value, [])
    lines = {
        kind: fsum(chain.from_iterable(part[kind] for part in parts.values()))
        for kind in KINDS
    }
    return {
        "start": start,
        "deposit": fsum(deposits),
        **lines,
        "end": float(account.wallet_balance + account.unrealized_pnl(marks)),
        "symbols": {
            symbol: _line(part)
            for symbol, part in sorted(parts.items())
            if symbol or any(part.values())
        },
    }


def _unrealized(account: Account, marks: Marks) -> Iterable[tuple[str, str, Any]]:
    for position in account.positions.values():
        symbol = position.contract.symbol
        yield symbol, UNREALIZED, position.unrealized_pnl(marks(symbol))


def _line(part: Mapping[str, list[float]]) -> dict[str, float]:
    """What one symbol adds to every line, and in all."""
    amounts = {kind: fsum(part[kind]) for kind in KINDS}
    net = fsum(chain.from_iterable(part[kind] for kind in KINDS))
    return {**amounts, "net": net}
