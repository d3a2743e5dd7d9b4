"""Tier tables from files: ccxt's ``fetch_leverage_tiers`` and Binance's brackets."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_margin.core.errors import DataError, MarginError, UnknownNameError
from bt_margin.core.tiers import Tier, TierTable

__all__ = ["load_tiers", "write_tiers"]

_FIX = "give ccxt's fetch_leverage_tiers or Binance's leverageBracket"


def load_tiers(source: str | Path | Any, symbol: str) -> TierTable:
    """The tiers of a symbol.

    Args:
        source: a JSON file, or its content: ccxt's mapping of unified symbols to
            tiers, or Binance's list of ``{"symbol", "brackets"}``.
        symbol: ``BTCUSDT`` or ``BTC/USDT:USDT``.

    Raises:
        DataError: the file is not of either shape.
        UnknownNameError: it has no such symbol.
    """
    where = str(source) if isinstance(source, str | Path) else "tiers"
    content = _read(Path(source)) if isinstance(source, str | Path) else source
    tables = _tables(content, where)
    key = _plain(symbol)
    if key not in tables:
        near = tuple(sorted(name for name in tables if name.startswith(key[:3])))
        raise UnknownNameError(f"symbol in {where}", symbol, near)
    try:
        return TierTable(_tier(row) for row in tables[key])
    except KeyError as error:
        raise DataError(where, f"{symbol} has a tier without {error}", _FIX) from error
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, MarginError):
            raise
        raise DataError(where, f"{symbol} has no tiers: {error}", _FIX) from error


def write_tiers(path: str | Path, tables: Mapping[str, TierTable]) -> None:
    """Write tiers in the shape of ccxt's ``fetch_leverage_tiers``.

    Args:
        path: of a JSON file, which `load_tiers` reads.
        tables: by symbol.

    Raises:
        DataError: the file cannot be written.
    """
    content = {
        symbol: [_row(place, tier) for place, tier in enumerate(table, start=1)]
        for symbol, table in tables.items()
    }
    try:
        Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")
    except OSError as error:
        raise DataError(str(path), "cannot be written", "give another file") from error


def _row(place: int, tier: Tier) -> dict[str, Any]:
    """A tier in ccxt's words; an end that there is not is null."""
    last = tier.max_notional == float("inf")
    return {
        "tier": place,
        "minNotional": tier.min_notional,
        "maxNotional": None if last else tier.max_notional,
        "maintenanceMarginRate": tier.maintenance_margin_rate,
        "maxLeverage": tier.max_leverage,
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), "cannot be read", "give a file there is") from error
    except ValueError as error:
        raise DataError(str(path), f"is not JSON: {error}", "fix the file") from error


def _tables(content: Any, where: str) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Rows by plain symbol."""
    if isinstance(content, Mapping):
        return {_plain(name): rows for name, rows in content.items()}
    if isinstance(content, list) and all(
        isinstance(entry, Mapping) and {"symbol", "brackets"} <= set(entry)
        for entry in content
    ):
        return {_plain(entry["symbol"]): entry["brackets"] for entry in content}
    raise DataError(where, "is no mapping of symbols and no list of brackets", _FIX)


def _plain(symbol: str) -> str:
    """``BTCUSDT`` of ``BTC/USDT:USDT``; a dated future keeps its date."""
    pair, _, settled = symbol.upper().partition(":")
    _, dash, expiry = settled.partition("-")
    return pair.replace("/", "") + dash + expiry


def _tier(row: Mapping[str, Any]) -> Tier:
    """A tier of either shape; the deduction follows from the floors."""
    if "notionalFloor" in row:
        words = ("notionalFloor", "notionalCap", "maintMarginRatio", "initialLeverage")
    else:
        words = ("minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage")
    floor, cap, rate, leverage = (row[word] for word in words)
    ceiling = float("inf") if cap is None else float(cap)
    return Tier(float(floor), ceiling, float(rate), float(leverage))
