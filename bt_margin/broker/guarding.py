"""Guarding: where guards hook into a broker.

What guards there are is told in the room `bt_margin.guards`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

__all__ = ["Guard", "GuardAction"]


@dataclass(frozen=True, slots=True)
class GuardAction:
    """What a guard did.

    Attributes:
        time: UTC.
        guard: its name.
        symbol: the symbol it was about.
        what: what it did, with the numbers.
        why: the reason, with the numbers.
    """

    time: datetime
    guard: str
    symbol: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.time:%Y-%m-%d %H:%M} {self.symbol}: {self.what}; {self.why}"


class Guard(Protocol):
    """What a broker asks of a guard."""

    def start(self, broker: Any) -> None:
        """Begin a run: forget the one before."""

    def objection(self, broker: Any, order: Any) -> str | None:
        """Why an order must not be sent; ``None``: it may."""

    def act(self, broker: Any) -> None:
        """Look at the account at the end of a bar and change what is due."""
