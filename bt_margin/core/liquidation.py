"""Liquidation: what happened to a position, and how a wallet's margin is shared."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .margin import MarginSummary
from .number import Number
from .position import Position

__all__ = ["Cause", "LiquidationEvent", "bankruptcy_shares"]


class Cause(StrEnum):
    """What took the wallet to its maintenance margin."""

    PRICE = "price"
    FUNDING = "funding"
    FEE = "fee"


@dataclass(frozen=True, slots=True)
class LiquidationEvent:
    """One position liquidated. Amounts are cash flows: + received, - paid.

    Attributes:
        time: UTC.
        symbol: the position's symbol.
        size: signed size that was closed.
        entry_price: its average entry.
        mark_price: mark at that moment.
        liquidation_price: mark at which the wallet met maintenance with the other
            marks as they were; ``None`` where no price of this symbol does. It lies
            before ``mark_price`` when the price jumped over it.
        fill_price: the price the trader got.
        margin_before: balance and requirements of the wallet just before.
        fee: the venue's liquidation fee.
        insurance: what the fund took of the remainder (-) or paid (+).
        loss: price loss at ``fill_price`` since the entry.
        cause: what took the wallet there.
        wallet: the wallet that held the margin.
        balances: every wallet's balance just before.
        remaining: signed size that stays open; 0 where all was closed.
        leg: ``"long"`` or ``"short"`` in hedge mode.
    """

    time: datetime
    symbol: str
    size: Number
    entry_price: Number
    mark_price: Number
    liquidation_price: Number | None
    fill_price: Number
    margin_before: MarginSummary
    fee: Number
    insurance: Number
    loss: Number
    cause: Cause
    wallet: str
    balances: dict[str, Number]
    remaining: Number = 0
    leg: str = ""


def bankruptcy_shares(
    positions: Iterable[tuple[Position, Number]], margin_balance: Number
) -> list[Number]:
    """How a wallet's remaining margin balance is split over its positions.

    Pro rata to maintenance margin (dYdX v4 `GetBankruptcyPriceInQuoteQuantums`);
    pro rata to notional where no position asks for maintenance.

    Args:
        positions: each with its mark price.
        margin_balance: signed; negative beyond bankruptcy.
    """
    held = list(positions)
    weights = [position.maintenance_margin(mark) for position, mark in held]
    if not sum(weights):
        weights = [position.notional(mark) for position, mark in held]
    total = sum(weights)
    return [margin_balance * weight / total for weight in weights]
