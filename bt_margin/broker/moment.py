"""The moment of a fill: when the path of the bar first reaches an order's price."""

from typing import Any

from backtrader import Order

from bt_margin.core.errors import InvariantError
from bt_margin.core.path import Polyline

from .instrument import Instrument
from .kinds import STOP_LIMITS, STOPS

__all__ = ["fill_share"]


def fill_share(order: Any, instrument: Instrument, *, was_triggered: bool) -> float:
    """The share of the bar at which ``order`` fills, before slippage.

    Market orders and orders that the open is already beyond fill at 0, Close at 1.

    Args:
        order: a Backtrader order that fills in this bar.
        instrument: its feed, at this bar.
        was_triggered: whether a stop-limit had been triggered before this bar.
    """
    path = instrument.last
    if path is None:
        raise InvariantError(f"{instrument.symbol} fills an order before its first bar")
    is_buy, kind, created = order.isbuy(), order.exectype, order.created
    if kind == Order.Close:
        return 1.0
    if kind == Order.Limit:
        return _reached(path, created.price, rising=not is_buy)
    if kind in STOPS:
        return _reached(path, created.price, rising=is_buy)
    if kind in STOP_LIMITS:
        limit = created.pricelimit
        if was_triggered:
            return _reached(path, limit, rising=not is_buy)
        trigger = _reached(path, created.price, rising=is_buy)
        return _reached(path, limit, rising=not is_buy, start=trigger)
    return 0.0


def _reached(
    path: Polyline, level: float, *, rising: bool, start: float = 0.0
) -> float:
    """The first share from ``start`` on at which price is at or beyond ``level``.

    A level that the path never reaches counts at the end of the bar.
    """
    here = path.price_at(start)
    if (here >= level) if rising else (here <= level):
        return start
    touch = path.first_touch(level, start)
    return 1.0 if touch is None else touch
