"""Export: a comparison as plain JSON values."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bt_margin.core.ledger import LedgerEntry

from .run import Run

if TYPE_CHECKING:
    from .compare import Comparison

__all__ = ["as_json"]


def as_json(comparison: "Comparison") -> dict[str, Any]:
    """Everything a comparison knows. Amounts: + received, - paid, settle currency.

    ``ledger_balances`` of a run are its wallets' balances; ``ledger_sums`` are added
    up again from the entries, and ``ledger_sums_equal_balances`` says whether they
    agree. Stock accounting has no ledger.
    """
    return {
        "strategy": comparison.strategy,
        "strategy_params": _plain(dict(comparison.strategy_params)),
        "market": comparison.market,
        "symbols": list(comparison.symbols),
        "first_bar": comparison.span[0].isoformat(),
        "last_bar": comparison.span[1].isoformat(),
        "venue": comparison.venue,
        "cash": comparison.cash,
        "broker_params": _plain(dict(comparison.broker_params)),
        "explanation": comparison.explain(),
        "runs": [_run(one) for one in comparison.runs],
    }


def _run(one: Run) -> dict[str, Any]:
    sums = _sums(one.ledger)
    return {
        "mode": one.mode,
        "leverage": one.leverage,
        "figures": _plain(asdict(one.figures)),
        "ledger_balances": _plain(dict(one.balances)),
        "ledger_sums": sums,
        "ledger_sums_equal_balances": sums == dict(one.balances),
        "liquidations": _plain([asdict(event) for event in one.liquidations]),
        "fundings": _plain([asdict(event) for event in one.fundings]),
        "refusals": _plain([asdict(refusal) for refusal in one.refusals]),
        "executions": _plain([asdict(fill) for fill in one.executions]),
        "ledger": _plain([asdict(entry) for entry in one.ledger]),
        "equity": {
            "time": [time.isoformat() for time in one.equity.index],
            "balance": _plain(one.equity.tolist()),
        },
    }


def _sums(ledger: Iterable[LedgerEntry]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for entry in ledger:
        sums[entry.wallet] += entry.amount
    return dict(sums)


def _plain(value: Any) -> Any:
    """``value`` in JSON's types; infinity and NaN, which JSON lacks, as ``None``."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or type(value) in (bool, int, str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
