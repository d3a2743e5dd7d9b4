"""Charges: what wallets paid at one moment, since it may be what liquidates them."""

from .liquidation import Cause
from .number import Number
from .wallet import Wallet

__all__ = ["Charges"]


class Charges:
    """What each wallet paid at the moment reached, of the last kind of payment."""

    def __init__(self) -> None:
        self._paid: dict[Wallet, tuple[Cause, Number]] = {}

    @property
    def any(self) -> bool:
        """Whether a wallet paid."""
        return bool(self._paid)

    def clear(self) -> None:
        """Go on to another moment."""
        self._paid.clear()

    def note(self, wallet: Wallet, cause: Cause, amount: Number) -> None:
        """Count ``amount``, a cash flow; 0 is none."""
        if amount:
            before, paid = self._paid.get(wallet, (cause, 0))
            self._paid[wallet] = (cause, (paid if before is cause else 0) + amount)

    def cause(self, wallet: Wallet, surplus: Number) -> Cause:
        """Why a wallet with ``surplus`` (0 or less) fails.

        The price, unless it would stand without what it paid just now.
        """
        cause, amount = self._paid.get(wallet, (Cause.PRICE, 0))
        return cause if surplus - amount > 0 else Cause.PRICE
