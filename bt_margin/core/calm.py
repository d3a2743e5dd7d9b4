"""Calm: wallets that no mark of a bar can bring to their maintenance."""

from collections.abc import Callable
from operator import is_

from .account import Account
from .number import Number
from .position import Position

__all__ = ["Calm"]

Range = Callable[[str], tuple[Number, Number]]  # symbol -> lowest and highest mark


class Calm:
    """Which wallets a bar cannot harm; kept while they hold what they held."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Number, list[Position]]] = {}  # by name

    def clear(self) -> None:
        """Go on to another bar."""
        self._known.clear()

    def holds(self, account: Account, marks: Range) -> bool:
        """Whether every wallet is safe at its worst.

        The worst PnL in the range of marks, which is at one end of it, and the largest
        requirement together bound the surplus from below.
        """
        for wallet, held in account.wallets().items():
            balance = surplus = account.balance(wallet)
            known = self._known.get(wallet.name)
            if known is not None and known[0] == balance and _are_same(known[1], held):
                continue
            for position in held:
                ends = marks(position.contract.symbol)
                surplus += min(position.unrealized_pnl(mark) for mark in ends)
                surplus -= position.largest_maintenance(*ends)
            if surplus <= 0:
                return False
            self._known[wallet.name] = (balance, held)
        return True


def _are_same(some: list[Position], others: list[Position]) -> bool:
    """Whether two lists hold the very same positions."""
    return len(some) == len(others) and all(map(is_, some, others))
