"""Funding: the payment between longs and shorts at the venue's stamps."""

from dataclasses import dataclass
from datetime import datetime

from .account import Account
from .ledger import LedgerEntryKind
from .number import Number

__all__ = ["FundingEvent", "FundingStamp", "funding_payment", "settle_funding"]


def funding_payment(
    size: Number,
    mark_price: Number,
    funding_rate: Number,
    *,
    contract_size: Number = 1,
    inverse: bool = False,
) -> Number:
    """Cash flow of one stamp: + received, - paid, in the settle currency.

    Args:
        size: signed size held at the stamp, in contracts.
        mark_price: mark at the stamp.
        funding_rate: of this interval, a fraction; +: longs pay shorts.
        contract_size: base coins per contract; inverse: quote units.
        inverse: settled in the base coin.
    """
    units = size * contract_size
    notional = units / mark_price if inverse else units * mark_price
    return -notional * funding_rate


@dataclass(frozen=True, slots=True)
class FundingStamp:
    """A settlement that falls into the bar.

    Attributes:
        share: of the bar elapsed; ``BEFORE_OPEN``: in the gap before the bar.
        time: UTC.
        symbol: whose position pays.
        funding_rate: + longs pay, a fraction.
        mark_price: mark at the stamp if known; ``None``: the path's.
    """

    share: Number
    time: datetime
    symbol: str
    funding_rate: Number
    mark_price: Number | None = None


@dataclass(frozen=True, slots=True)
class FundingEvent:
    """One position at one stamp.

    Attributes:
        time: the stamp, UTC.
        symbol: the position's symbol.
        size: signed size held.
        mark_price: mark used.
        funding_rate: + longs pay.
        payment: cash flow into the wallet, + received.
        wallet: the wallet it went to or came from.
    """

    time: datetime
    symbol: str
    size: Number
    mark_price: Number
    funding_rate: Number
    payment: Number
    wallet: str


def settle_funding(
    account: Account,
    symbol: str,
    funding_rate: Number,
    mark_price: Number,
    *,
    time: datetime,
) -> FundingEvent:
    """Book one stamp of the symbol's position to the wallet that holds it.

    Args:
        account: changed in place; holds a position of the symbol.
        symbol: whose position pays or receives.
        funding_rate: + longs pay, a fraction.
        mark_price: mark at the stamp.
        time: the stamp, UTC.
    """
    position = account.positions[symbol]
    contract = position.contract
    payment = funding_payment(
        position.size,
        mark_price,
        funding_rate,
        contract_size=contract.contract_size,
        inverse=contract.inverse,
    )
    kind = LedgerEntryKind.FUNDING
    account.book(kind, payment, time=time, symbol=symbol, ref="funding")
    wallet = account.wallet_of(symbol).name
    return FundingEvent(
        time, symbol, position.size, mark_price, funding_rate, payment, wallet
    )
