"""Funding: the payment between longs and shorts at the venue's stamps."""

from dataclasses import dataclass
from datetime import datetime

from .account import Account, Marks
from .ledger import LedgerEntryKind
from .number import Number
from .wallet import FundingSource

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
class FundingEvent:
    """One position at one stamp.

    Attributes:
        time: the stamp, UTC.
        symbol: the position's symbol.
        size: signed size held.
        mark_price: mark used.
        funding_rate: + longs pay.
        payment: cash flow into the wallet, + received.
        wallet: the wallet that holds the position's margin.
        from_shared: the part of the payment that the shared wallet got or gave in the
            place of that wallet.
        leg: ``"long"`` or ``"short"`` in hedge mode.
    """

    time: datetime
    symbol: str
    size: Number
    mark_price: Number
    funding_rate: Number
    payment: Number
    wallet: str
    from_shared: Number = 0
    leg: str = ""


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

    def settle(self, account: Account, marks: Marks) -> list[FundingEvent]:
        """Pay the stamp, for every position of the symbol.

        The mark is asked for only then: the feed may not have begun.
        """
        known = self.mark_price
        return [
            settle_funding(
                account,
                position.contract.key,
                self.funding_rate,
                marks(self.symbol) if known is None else known,
                time=self.time,
                available=account.available_balance(marks),
            )
            for position in account.positions_of(self.symbol)
        ]


def settle_funding(
    account: Account,
    key: str,
    funding_rate: Number,
    mark_price: Number,
    *,
    time: datetime,
    available: Number = 0,
) -> FundingEvent:
    """Book one stamp of a position, to the wallets that its venue says.

    Args:
        account: changed in place; holds the position.
        key: of the position that pays or receives.
        funding_rate: + longs pay, a fraction.
        mark_price: mark at the stamp.
        time: the stamp, UTC.
        available: what the shared wallet can give, where it pays first; what is
            received goes there too.
    """
    position, wallet = account.positions[key], account.wallet_of(key)
    contract = position.contract
    payment = funding_payment(
        position.size,
        mark_price,
        funding_rate,
        contract_size=contract.contract_size,
        inverse=contract.inverse,
    )
    from_shared: Number = 0
    if wallet.funding_source is FundingSource.AVAILABLE:
        from_shared = max(payment, -available)
    kind, symbol = LedgerEntryKind.FUNDING, contract.symbol
    for name, amount in (
        (account.shared.name, from_shared),
        (wallet.name, payment - from_shared),
    ):
        account.ledger.record(time, kind, name, symbol, amount, "funding")
    return FundingEvent(
        time=time,
        symbol=symbol,
        size=position.size,
        mark_price=mark_price,
        funding_rate=funding_rate,
        payment=payment,
        wallet=wallet.name,
        from_shared=from_shared,
        leg=contract.leg,
    )
