"""Wallets: which balance a position stands on, and by which rule."""

from dataclasses import dataclass
from enum import StrEnum

from .contract import Basis

__all__ = ["SHARED", "FundingSource", "GapLoss", "MarginMode", "Wallet"]

SHARED = "shared"


class MarginMode(StrEnum):
    """Who shares a wallet."""

    ISOLATED = "isolated"  # the position alone
    CROSS = "cross"  # all cross positions

    def wallet_name(self, key: str) -> str:
        """The wallet that holds the position ``key``, as the ledger writes it."""
        return _WALLET_NAMES[self].format(key=key)


_WALLET_NAMES = {MarginMode.ISOLATED: "isolated:{key}", MarginMode.CROSS: SHARED}


class FundingSource(StrEnum):
    """Which wallet pays the funding of a position first."""

    POSITION = "position"  # the one that holds its margin
    AVAILABLE = "available"  # the shared one as far as available, then the position's


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
        funding_source: who pays the funding of its positions first.
    """

    name: str
    margin_basis: Basis
    funding_source: FundingSource = FundingSource.POSITION

    def __hash__(self) -> int:
        return hash(self.name)
