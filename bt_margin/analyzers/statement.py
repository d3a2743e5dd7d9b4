"""The statement: the bridge as text, like a bank's, adding up as it is printed."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from .bridge import KINDS, UNREALIZED
from .rounding import round_table

__all__ = ["statement_of"]

_WORDS = {
    "deposit": "deposits",
    "realized_pnl": "price PnL",
    "fee": "fees",
    "liquidation_fee": "liquidation fees",
    UNREALIZED: "unrealized PnL",
}
_ACCOUNT = "(account)"  # the row of what belongs to no symbol


def statement_of(bridge: Mapping[str, Any], decimals: int = 2) -> str:
    """The bridge as two tables: line by line, and symbol by symbol.

    Every sum holds to the last digit shown. An amount that lies between two of them
    is shown as one of both; start and end balance are rounded as usual.

    Args:
        bridge: of `Margin.get_analysis`.
        decimals: digits after the point.
    """
    unit = 10**decimals
    symbols: Mapping[str, Any] = bridge["symbols"]
    kinds = ["deposit", *KINDS]
    rows = {symbol: {"deposit": 0.0, **symbols[symbol]} for symbol in symbols}
    if bridge["deposit"]:
        nothing = dict.fromkeys(kinds, 0.0)
        rows[""] = {**nothing, **rows.get("", {}), "deposit": bridge["deposit"]}
    kinds = [kind for kind in kinds if any(row[kind] for row in rows.values())]
    start, end = (round(Fraction(bridge[name]) * unit) for name in ("start", "end"))
    exact = [[Fraction(row[kind]) * unit for kind in kinds] for row in rows.values()]
    cells = round_table(exact, end - start) if kinds else []
    shown = _Amounts(decimals)
    totals = [sum(column) for column in zip(*cells, strict=True)]
    lines = _account_lines(kinds, totals, start, end, shown)
    if kinds:
        names = [symbol or _ACCOUNT for symbol in rows]
        lines += ["", *_symbol_lines(names, kinds, cells, totals, shown)]
    return "\n".join(lines)


class _Amounts:
    """Whole units as amounts."""

    def __init__(self, decimals: int) -> None:
        self._decimals = decimals

    def __call__(self, units: int) -> str:
        whole, rest = divmod(abs(units), 10**self._decimals)
        sign = "-" if units < 0 else ""
        point = f".{rest:0{self._decimals}d}" if self._decimals else ""
        return f"{sign}{whole:,}{point}"


def _account_lines(
    kinds: Sequence[str],
    totals: Sequence[int],
    start: int,
    end: int,
    shown: _Amounts,
) -> list[str]:
    balance = start
    rows = [("", "amount", "balance"), ("start balance", "", shown(start))]
    for kind, amount in zip(kinds, totals, strict=True):
        balance += amount
        rows.append((_words(kind), shown(amount), shown(balance)))
    rows.append(("end balance", "", shown(end)))
    return _table(rows)


def _symbol_lines(
    names: Sequence[str],
    kinds: Sequence[str],
    cells: Sequence[Sequence[int]],
    totals: Sequence[int],
    shown: _Amounts,
) -> list[str]:
    rows = [("symbol", *map(_words, kinds), "net")]
    for name, row in zip(names, cells, strict=True):
        rows.append((name, *map(shown, row), shown(sum(row))))
    rows.append(("total", *map(shown, totals), shown(sum(totals))))
    return _table(rows)


def _words(kind: str) -> str:
    return _WORDS.get(kind, kind.replace("_", " "))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(w.rjust(n) for w, n in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
