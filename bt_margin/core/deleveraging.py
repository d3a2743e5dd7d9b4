"""Deleveraging: a venue that closes winners when its fund cannot pay for losers."""

from dataclasses import dataclass
from datetime import datetime

from .account import Account, Marks
from .errors import ParameterError
from .fill import apply_fill
from .number import Number
from .position import Position

__all__ = ["DeleveragingEvent", "DeleveragingStamp"]


@dataclass(frozen=True, slots=True)
class DeleveragingEvent:
    """A position that was closed, or a share of it, to balance another's loss.

    Attributes:
        time: UTC.
        symbol: the position's symbol.
        size: signed size that was closed.
        entry_price: its average entry.
        fill_price: the price of the close.
        pnl: realized, + gain, settle currency.
        wallet: the wallet that held the margin.
        remaining: signed size that stays open; 0 where all was closed.
        leg: ``"long"`` or ``"short"`` in hedge mode.
    """

    time: datetime
    symbol: str
    size: Number
    entry_price: Number
    fill_price: Number
    pnl: Number
    wallet: str
    remaining: Number = 0
    leg: str = ""


@dataclass(frozen=True, slots=True)
class DeleveragingStamp:
    """A deleveraging that falls into the bar; no fee is charged.

    Attributes:
        share: of the bar elapsed; ``BEFORE_OPEN``: in the gap before the bar.
        time: UTC.
        symbol: whose positions are closed, where they gain.
        closed_share: of the position, above 0 and up to 1.
        price: of the close; ``None``: mark.
    """

    share: Number
    time: datetime
    symbol: str
    closed_share: Number
    price: Number | None = None

    def __post_init__(self) -> None:
        if not 0 < self.closed_share <= 1:
            fix = "give a share above 0 and up to 1"
            raise ParameterError("closed_share", self.closed_share, fix)

    def settle(self, account: Account, marks: Marks) -> list[DeleveragingEvent]:
        """Close the share of every position of the symbol that gains."""
        held = account.positions_of(self.symbol)
        if not held:  # the feed may not have begun: it has no mark then
            return []
        price = marks(self.symbol) if self.price is None else self.price
        return [
            self._close(account, position, price)
            for position in held
            if position.unrealized_pnl(price) > 0
        ]

    def _close(
        self, account: Account, position: Position, price: Number
    ) -> DeleveragingEvent:
        """Close the share of one position."""
        contract, size = position.contract, position.size
        wallet = account.wallet_of(contract.key)
        kept = contract.snapped_quantity(abs(size) * (1 - self.closed_share))
        remaining = kept if size > 0 else -kept
        change = apply_fill(
            account,
            contract,
            remaining - size,
            price,
            leverage=position.leverage,
            mode=account.mode_of(contract.key),
            time=self.time,
            ref="deleveraging",
        )
        return DeleveragingEvent(
            time=self.time,
            symbol=self.symbol,
            size=size - remaining,
            entry_price=position.entry_price,
            fill_price=price,
            pnl=change.realized_pnl,
            wallet=wallet.name,
            remaining=remaining,
            leg=contract.leg,
        )
