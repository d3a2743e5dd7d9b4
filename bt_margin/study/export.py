"""Export: a run as plain JSON values."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bt_margin.core.ledger import LedgerEntry

from .run import Run

__all__ = ["bound_as_json", "plain", "run_as_json"]


def run_as_json(one: Run) -> dict[str, Any]:
    """Everything a run left. Amounts: + received, - paid, settle currency.

    ``ledger_balances`` are the wallets' balances; ``ledger_sums`` are added up again
    from the entries, and ``ledger_sums_equal_balances`` says whether they agree.
    Stock accounting has no ledger.
    """
    sums = _sums(one.ledger)
    return {
        "venue": one.venue,
        "mode": one.mode,
        "leverage": one.leverage,
        "figures": plain(asdict(one.figures)),
        "ledger_balances": plain(dict(one.balances)),
        "ledger_sums": sums,
        "ledger_sums_equal_balances": sums == dict(one.balances),
        "liquidations": plain([asdict(event) for event in one.liquidations]),
        "fundings": plain([asdict(event) for event in one.fundings]),
        "refusals": plain([asdict(refusal) for refusal in one.refusals]),
        "ambiguous_bars": plain([asdict(bar) for bar in one.ambiguities]),
        "late_fills": one.late_fills,
        "executions": plain([asdict(fill) for fill in one.executions]),
        "ledger": plain([asdict(entry) for entry in one.ledger]),
        "equity": {
            "time": [time.isoformat() for time in one.equity.index],
            "balance": plain(one.equity.tolist()),
        },
    }


def bound_as_json(one: Run) -> dict[str, Any]:
    """What a run under another path came to."""
    return {
        "venue": one.venue,
        "mode": one.mode,
        "leverage": one.leverage,
        "bar_path": one.bar_path,
        "figures": plain(asdict(one.figures)),
        "liquidations": plain([asdict(event) for event in one.liquidations]),
    }


def _sums(ledger: Iterable[LedgerEntry]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for entry in ledger:
        sums[entry.wallet] += entry.amount
    return dict(sums)


def plain(value: Any) -> Any:
    """``value`` in JSON's types; infinity and NaN, which JSON lacks, as ``None``."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or type(value) in (bool, int, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
