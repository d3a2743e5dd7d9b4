"""Events as plain values, and what cross margin took from winners."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from bt_margin.core.liquidation import LiquidationEvent
from bt_margin.core.wallet import SHARED

__all__ = ["contagion_of", "plain"]


def plain(value: Any) -> Any:
    """``value`` in types of the standard library; records become dictionaries."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, str | datetime):
        return str(value) if isinstance(value, str) else value
    return float(value)


def contagion_of(
    events: Iterable[LiquidationEvent], broker: Any
) -> list[dict[str, Any]]:
    """The liquidations of winners that went with a losing position of their wallet.

    Args:
        events: the liquidations of a run.
        broker: the margin broker, for the contracts.

    Returns:
        For each the ``event``, its ``unrealized_pnl`` at mark just before (+), what it
        ``lost`` of that by fill price and fee (-), and the symbols of the ``losers``.
    """
    found = list(events)
    gains = [_gain(event, broker) for event in found]
    taken = []
    for event, gain in zip(found, gains, strict=True):
        if event.wallet != SHARED or gain <= 0:
            continue
        losers = {
            other.symbol
            for other, loss in zip(found, gains, strict=True)
            if other.wallet == SHARED and other.time == event.time and loss < 0
        }
        if losers:
            lost = float(event.loss) + float(event.fee) - gain
            taken.append(
                {
                    "event": plain(event),
                    "unrealized_pnl": gain,
                    "lost": lost,
                    "losers": sorted(losers),
                }
            )
    return taken


def _gain(event: LiquidationEvent, broker: Any) -> float:
    """Unrealized PnL of what was closed, at mark just before."""
    contract = broker.terms(broker.data_of_symbol(event.symbol)).contract
    return float(contract.pnl(event.size, event.entry_price, event.mark_price))
