"""Wallets: which balance a position stands on, and by which rule."""

from dataclasses import dataclass
from enum import StrEnum

from .contract import Basis

__all__ = ["SHARED", "GapLoss", "MarginMode", "Wallet"]

SHARED = "shared"


class MarginMode(StrEnum):
    """Who shares a wallet."""

    ISOLATED = "isolated"  # the position alone
    CROSS = "cross"  # all cross positions

    def wallet_name(self, symbol: str) -> str:
        """The wallet that holds a position of ``symbol``, as the ledger writes it."""
        return _WALLET_NAMES[self].format(symbol=symbol)


_WALLET_NAMES = {MarginMode.ISOLATED: "isolated:{symbol}", MarginMode.CROSS: SHARED}


class GapLoss(StrEnum):
    """Who pays when a closing order loses more than an isolated wallet holds."""

    INSURANCE = "insurance"  # the fund: an assumption, venues differ
    TRADER = "trader"  # the shared wallet as far as it goes, then the fund


@dataclass(frozen=True, slots=True)
class Wallet:
    """A balance that positions share, and the venue's rule for it.

    Attributes:
        name: as the ledger writes it.
        margin_basis: price of the notional that its positions' margin is taken on.
    """

    name: str
    margin_basis: Basis
