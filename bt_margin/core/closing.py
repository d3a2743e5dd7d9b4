"""Closing: what a forced close gives, and how it is booked."""

from dataclasses import dataclass, replace
from datetime import datetime

from .account import Account
from .ledger import LedgerEntryKind
from .number import Number
from .policy import LiquidationPolicy, Settlement
from .position import Position
from .wallet import GapLoss, Wallet

__all__ = ["Closing", "Outcome", "close"]

_REF = "liquidation"


@dataclass(frozen=True, slots=True)
class Closing:
    """A position that is to be closed, whole or in part.

    Attributes:
        position: as it stands.
        mark: of its symbol.
        price: its liquidation price, if there is one.
        share: its part of the wallet's margin balance.
        remaining: signed size that stays open.
        settlement: the price of what is closed.
    """

    position: Position
    mark: Number
    price: Number | None
    share: Number
    remaining: Number
    settlement: Settlement

    @property
    def closed(self) -> Position:
        """What is closed, as a position."""
        if not self.remaining:
            return self.position
        return replace(self.position, size=self.position.size - self.remaining)

    @property
    def closed_share(self) -> Number:
        """The part of the margin that goes with what is closed."""
        return self.share * (1 - self.remaining / self.position.size)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a closing gives.

    Attributes:
        fill_price: what the trader gets.
        fee: cash flow, - paid.
        insurance: cash flow, - kept by the fund.
        is_bankrupt: whether it was settled at the bankruptcy price.
    """

    fill_price: Number
    fee: Number
    insurance: Number
    is_bankrupt: bool


def close(
    account: Account,
    wallet: Wallet,
    closing: Closing,
    policy: LiquidationPolicy,
    time: datetime,
    *,
    takes_all: bool,
) -> Outcome:
    """Book a closing on the account, and what it gave.

    With ``takes_all`` those closed with it so far were bankrupt: if it is too, and the
    last of the wallet, the fund takes exactly what is left, float dust included.
    """
    paid = _paid_by_trader(account, wallet, closing, time)
    outcome = _outcome(closing, closing.closed_share + paid, policy)
    _book(account, wallet, closing, outcome, time, takes_all and outcome.is_bankrupt)
    return outcome


def _paid_by_trader(
    account: Account, wallet: Wallet, closing: Closing, time: datetime
) -> Number:
    """What the shared wallet pays of a shortfall (a negative share)."""
    share, shared = closing.closed_share, account.shared
    if account.gap_loss is not GapLoss.TRADER or wallet == shared or share >= 0:
        return 0
    paid = min(-share, max(0, account.balance(shared)))
    symbol = closing.position.contract.symbol
    account.transfer(shared, wallet, paid, time=time, symbol=symbol, ref=_REF)
    return paid


def _outcome(closing: Closing, share: Number, policy: LiquidationPolicy) -> Outcome:
    """What is got for a closing whose part of the margin is ``share``."""
    closed, mark = closing.closed, closing.mark
    contract, size = closed.contract, closed.size
    cost = closed.notional(mark) * (policy.slippage + _spread(closing, policy))
    left = share - cost
    if closing.settlement is Settlement.BANKRUPTCY or left <= 0:
        fee = max(0, min(share, closed.reserved_fee))
        rest = share - fee
        return Outcome(contract.price_at_cost(size, mark, rest), -fee, -rest, True)
    fill_price = contract.price_at_cost(size, mark, cost)
    fee = min(left, contract.notional(size, fill_price) * policy.fee_rate)
    return Outcome(fill_price, -fee, 0, False)


def _spread(closing: Closing, policy: LiquidationPolicy) -> Number:
    """Share of mark by which the price of a market close is worse.

    Source: dYdX v4 "fillable price": oracle * (1 -+ spread * maintenance rate *
    (1 - margin balance / maintenance margin)); that it is better for neither side is
    a reading of the one formula that the page prints.
    """
    if not policy.spread_rate:
        return 0
    position, mark = closing.position, closing.mark
    required = position.maintenance_margin(mark)
    lost = 1 - closing.share / required if required else 0
    rate = position.tier(mark).maintenance_margin_rate
    return policy.spread_rate * rate * max(0, lost)


def _book(
    account: Account,
    wallet: Wallet,
    closing: Closing,
    outcome: Outcome,
    time: datetime,
    takes_all: bool,
) -> None:
    """Book a closing; what an isolated wallet has left goes back at its end."""
    position, kind = closing.position, LedgerEntryKind
    key, symbol = position.contract.key, position.contract.symbol

    def book(kind: LedgerEntryKind, amount: Number) -> None:
        account.book(kind, amount, time=time, key=key, ref=_REF)

    price = closing.mark if outcome.is_bankrupt else outcome.fill_price
    book(kind.REALIZED_PNL, closing.closed.unrealized_pnl(price))
    book(kind.LIQUIDATION_FEE, outcome.fee)
    insurance, held = outcome.insurance, account.balance(wallet)
    is_last = not closing.remaining and len(account.positions_in(wallet)) == 1
    if is_last and (takes_all or held + insurance < 0):
        insurance = -held
    book(kind.INSURANCE, insurance)
    if closing.remaining:
        account.put(replace(position, size=closing.remaining), wallet)
        return
    rest, shared = account.balance(wallet), account.shared
    if wallet != shared:
        account.transfer(wallet, shared, rest, time=time, symbol=symbol, ref=_REF)
    account.remove(key)
