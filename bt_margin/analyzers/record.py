"""The record of one position: when it was, what it cost, how near it came."""

from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from .bridge import KINDS, UNREALIZED

__all__ = ["Approach", "PositionRecord"]


class Approach(NamedTuple):
    """How near a mark came to a liquidation price.

    Attributes:
        distance: between the two, a share of the mark; 0: liquidated.
        distance_atr: the same in multiples of the ATR; ``None``: no range yet.
        time: UTC.
        mark_price: the mark.
        liquidation_price: as it was then; ``None`` where a liquidation had none.
    """

    distance: float
    distance_atr: float | None
    time: datetime
    mark_price: float
    liquidation_price: float | None


@dataclass(slots=True, eq=False)
class PositionRecord:
    """One position's life. Amounts: + received, - paid.

    Attributes:
        symbol: the position's.
        leg: ``"long"`` or ``"short"`` in hedge mode.
        key: of the account.
        side: ``"long"``, ``"short"``; ``""``: opened and closed within one bar by
            another strategy.
        opened: UTC.
        closed: UTC; ``None``: still open.
        ended_by: ``"order"``, ``"liquidation"``, ``"deleveraging"``; ``None``: open.
        amounts: sums of ledger entries by kind.
        closest: the closest approach to liquidation; ``None``: none was seen.
        was_liquidated: whether a part of it was.
    """

    symbol: str
    leg: str
    key: str
    side: str
    opened: datetime
    closed: datetime | None = None
    ended_by: str | None = None
    amounts: dict[str, float] = field(
        default_factory=lambda: {kind: 0.0 for kind in KINDS if kind != UNREALIZED}
    )
    closest: Approach | None = None
    was_liquidated: bool = False

    @property
    def distance(self) -> float:
        """The smallest distance so far; infinite: none seen."""
        return inf if self.closest is None else self.closest.distance

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "symbol": self.symbol,
            "leg": self.leg,
            "side": self.side,
            "opened": self.opened,
            "closed": self.closed,
            "ended_by": self.ended_by,
            **self.amounts,
            "closest": self.closest and self.closest._asdict(),
            "was_liquidated": self.was_liquidated,
        }
