"""Safety: ranges of marks in which no wallet can fail."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from bt_margin.core.number import Number
from bt_margin.core.position import Position
from bt_margin.core.wallet import Wallet

__all__ = ["SafeRange", "Safety"]

# How far marks may move from where they are, as shares of them: the first of these at
# which a wallet is safe. They are looked at from the widest on.
_MOVES = (0.3, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


class SafeRange(NamedTuple):
    """Where the mark of a symbol may be.

    Attributes:
        symbol: the symbol.
        least: the mark stays above it.
        most: the mark stays below it.
    """

    symbol: str
    least: float
    most: float

    def is_central(self, mark: float) -> bool:
        """Whether a mark is nearer the middle of the range than its ends."""
        return abs(mark - (self.least + self.most) / 2) < (self.most - self.least) / 4


class _Finding(NamedTuple):
    """What was found for a wallet, and for what it held then."""

    balance: Number
    held: list[Position]
    ranges: list[SafeRange]


class Safety:
    """Knows how far marks may move before one of the wallets can fail.

    Args:
        broker: the `MarginBroker` whose wallets these are.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._findings: dict[str, _Finding] = {}  # by the wallet's name

    def ranges(self) -> Iterator[SafeRange]:
        """The range of each position's mark: empty where its wallet is not safe."""
        for wallet, held in self._broker.account.wallets().items():
            known = self._findings.get(wallet.name)
            if known is None or not self._holds(known, wallet, held):
                known = self._find(wallet, held)
                self._findings[wallet.name] = known
            yield from known.ranges

    def _holds(self, known: _Finding, wallet: Wallet, held: list[Position]) -> bool:
        """Whether a finding is still true and still far from its ends."""
        if known.balance != self._broker.account.balance(wallet):
            return False
        if len(held) != len(known.held):
            return False
        mark = self._broker.mark_of_symbol
        return all(
            one is other for one, other in zip(held, known.held, strict=True)
        ) and all(one.is_central(mark(one.symbol)) for one in known.ranges)

    def _find(self, wallet: Wallet, held: list[Position]) -> _Finding:
        broker = self._broker
        balance, marks = broker.account.balance(wallet), broker.mark_of_symbol
        here = {p.contract.symbol: marks(p.contract.symbol) for p in held}
        move = _safe_move(balance, held, here)
        ranges = [
            SafeRange(symbol, mark * (1 - move), mark * (1 + move))
            for symbol, mark in here.items()
        ]
        return _Finding(balance, held, ranges)


def _safe_move(balance: Number, held: list[Position], marks: dict[str, float]) -> float:
    """The largest of the moves that a wallet survives in every direction; 0: none."""
    for move in _MOVES:
        surplus = balance
        for position in held:
            mark = marks[position.contract.symbol]
            ends = (mark * (1 - move), mark * (1 + move))
            surplus += min(position.unrealized_pnl(end) for end in ends)
            surplus -= position.largest_maintenance(*ends)
        if surplus > 0:
            return move
    return 0.0
