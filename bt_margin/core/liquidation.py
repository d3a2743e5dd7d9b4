"""Liquidation: what a venue does with a wallet that no longer meets maintenance."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .account import Account, Marks
from .errors import InvariantError
from .ledger import LedgerEntryKind
from .margin import MarginSummary
from .number import Number
from .position import Position
from .wallet import GapLoss, Wallet

__all__ = [
    "Cause",
    "LiquidationEvent",
    "LiquidationPolicy",
    "OrderScope",
    "Settlement",
    "bankruptcy_shares",
    "liquidate",
]


class Cause(StrEnum):
    """What took the wallet to its maintenance margin."""

    PRICE = "price"
    FUNDING = "funding"
    FEE = "fee"


class OrderScope(StrEnum):
    """Whose resting orders a liquidation cancels."""

    WALLET = "wallet"  # of every symbol whose margin the wallet holds
    SYMBOL = "symbol"  # of the liquidated symbols only


class Settlement(StrEnum):
    """At what price the venue closes a position."""

    BANKRUPTCY = "bankruptcy"  # the trader ends with nothing of that margin
    MARKET = "market"  # mark less slippage; what is left after the fee returns


@dataclass(frozen=True, slots=True)
class LiquidationPolicy:
    """A venue's way to liquidate, as values.

    Attributes:
        settlement: the price the trader gets.
        cancel: which resting orders are cancelled.
        fee_rate: share of the closed notional, never more than what is left; only
            with ``MARKET``.
        slippage: share of mark by which a market close is worse: an assumption.
        backstop: share of maintenance margin; with less left than that the venue
            takes all of it, also with ``MARKET``.
    """

    settlement: Settlement = Settlement.BANKRUPTCY
    cancel: OrderScope = OrderScope.WALLET
    fee_rate: Number = 0
    slippage: Number = 0
    backstop: Number = 0


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one position gets: price, and cash flows of fee and insurance."""

    fill_price: Number
    fee: Number
    insurance: Number


@dataclass(frozen=True, slots=True)
class LiquidationEvent:
    """One position liquidated. Amounts are cash flows: + received, - paid.

    Attributes:
        time: UTC.
        symbol: the position's symbol.
        size: signed size that was closed, all of it.
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


def liquidate(
    account: Account,
    wallet: Wallet,
    marks: Marks,
    *,
    time: datetime,
    cause: Cause,
    policy: LiquidationPolicy | None = None,
) -> list[LiquidationEvent]:
    """Close every position of the wallet as the policy says.

    At bankruptcy ``REALIZED_PNL`` is booked at mark and ``INSURANCE`` for the rest, so
    that the wallet ends at exactly 0. At market PnL is booked at the fill price, and
    what an isolated wallet has left goes back to the shared one. What a gap cost
    beyond an isolated wallet is paid by the fund, or first by the shared wallet where
    `GapLoss` says so.

    Raises:
        InvariantError: the wallet holds no position.
    """
    held = [(p, marks(p.contract.symbol)) for p in account.positions_in(wallet)]
    if not held:
        raise InvariantError(f"wallet {wallet.name!r} is liquidated without a position")
    before = account.summary(wallet, marks)
    balances = account.ledger.balances
    prices = [account.liquidation_price(p.contract.symbol, marks) for p, _ in held]
    parts = bankruptcy_shares(held, before.margin_balance)
    events = []
    for (position, mark), part, price in zip(held, parts, prices, strict=True):
        contract = position.contract
        share = part + _paid_by_trader(account, wallet, part, contract.symbol, time)
        outcome = _outcome(position, mark, share, policy or LiquidationPolicy())
        _book(account, wallet, position, mark, outcome, time)
        events.append(
            LiquidationEvent(
                time=time,
                symbol=contract.symbol,
                size=position.size,
                entry_price=position.entry_price,
                mark_price=mark,
                liquidation_price=price,
                fill_price=outcome.fill_price,
                margin_before=before,
                fee=outcome.fee,
                insurance=outcome.insurance,
                loss=position.unrealized_pnl(outcome.fill_price),
                cause=cause,
                wallet=wallet.name,
                balances=balances,
            )
        )
    return events


def _paid_by_trader(
    account: Account, wallet: Wallet, share: Number, symbol: str, time: datetime
) -> Number:
    """What the shared wallet pays of a shortfall (a negative ``share``)."""
    if account.gap_loss is not GapLoss.TRADER or wallet == account.shared or share >= 0:
        return 0
    paid = min(-share, max(0, account.balance(account.shared)))
    ref = "liquidation"
    account.transfer(account.shared, wallet, paid, time=time, symbol=symbol, ref=ref)
    return paid


def _outcome(
    position: Position, mark: Number, share: Number, policy: LiquidationPolicy
) -> _Outcome:
    """What a position gets whose part of the wallet's margin is ``share``."""
    contract, size = position.contract, position.size
    cost = position.notional(mark) * policy.slippage
    left = share - cost
    least = position.maintenance_margin(mark) * policy.backstop
    if policy.settlement is Settlement.BANKRUPTCY or left <= 0 or share < least:
        return _Outcome(contract.price_at_cost(size, mark, share), 0, -share)
    fill_price = contract.price_at_cost(size, mark, cost)
    fee = min(left, contract.notional(size, fill_price) * policy.fee_rate)
    return _Outcome(fill_price, -fee, 0)


def _book(
    account: Account,
    wallet: Wallet,
    position: Position,
    mark: Number,
    outcome: _Outcome,
    time: datetime,
) -> None:
    """Book one position's end; the last of a wallet at bankruptcy leaves no dust."""
    symbol, ref, kind = position.contract.symbol, "liquidation", LedgerEntryKind

    def book(kind: LedgerEntryKind, amount: Number) -> None:
        account.book(kind, amount, time=time, symbol=symbol, ref=ref)

    is_bankrupt = bool(outcome.insurance)
    price = mark if is_bankrupt else outcome.fill_price
    book(kind.REALIZED_PNL, position.unrealized_pnl(price))
    book(kind.LIQUIDATION_FEE, outcome.fee)
    is_last = len(account.positions_in(wallet)) == 1
    rest = account.balance(wallet)
    if is_bankrupt:
        book(kind.INSURANCE, -rest if is_last else outcome.insurance)
    elif is_last and rest < 0:
        book(kind.INSURANCE, -rest)
    elif wallet != account.shared:
        account.transfer(
            wallet, account.shared, rest, time=time, symbol=symbol, ref=ref
        )
    account.remove(symbol)
