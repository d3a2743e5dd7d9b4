"""Refusals: orders that the broker or the venue did not take, with the reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backtrader import Order

__all__ = ["Refusal"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order refused for margin, or rejected by the venue's rules.

    Attributes:
        time: of the bar, UTC.
        symbol: the feed's name.
        size: signed size that was ordered.
        reason: in a sentence.
        need: margin and fee that the order asked for; ``None``: not a matter of
            margin, or stock accounting, which does not say.
        have: available balance then.
    """

    time: datetime
    symbol: str
    size: float
    reason: str
    need: float | None = None
    have: float | None = None

    @classmethod
    def of(cls, order: Any, time: datetime) -> "Refusal | None":
        """The refusal that an order's news is about; ``None``: it is about none."""
        shortfall = order.info.get("shortfall")
        if order.status == Order.Margin:
            reason = str(shortfall or "not enough cash")
        elif order.status == Order.Rejected:
            reason = str(order.info.get("reason") or "rejected")
        else:
            return None
        need, have = (
            (float(shortfall.need), float(shortfall.have))
            if shortfall
            else (None, None)
        )
        size = float(order.created.size)
        return cls(time, order.data._name, size, reason, need, have)
