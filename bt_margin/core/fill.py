"""Fills: what a trade books, and the margin it locks or releases."""

from datetime import datetime

from .account import Account
from .contract import Contract
from .errors import ParameterError
from .ledger import LedgerEntryKind
from .number import Number
from .position import Position, PositionChange
from .wallet import GapLoss, MarginMode

__all__ = ["apply_fill"]


def apply_fill(
    account: Account,
    contract: Contract,
    size: Number,
    price: Number,
    *,
    leverage: Number,
    mode: MarginMode,
    time: datetime | None = None,
    fee: Number = 0,
    ref: str = "",
) -> PositionChange:
    """Book a fill: a flip is a close, then an open.

    Opening locks ``entry notional / leverage`` in the position's wallet; the shared
    wallet pays the fee. Closing the share q books PnL and fee to the position's
    wallet, then releases them with q of what the wallet held before.

    Args:
        account: changed in place.
        contract: what is traded.
        size: signed, + buy, in contracts.
        price: fill price.
        leverage: the symbol's setting, for the part that opens.
        mode: the symbol's margin mode, for a position that opens.
        time: UTC.
        fee: cash flow of the whole fill, - paid; a flip splits it by size.
        ref: reference of the order.

    Returns:
        What was closed and opened, and the realized PnL.

    Raises:
        BalanceError: the shared wallet cannot pay an isolated margin; nothing is
            booked then.
        ParameterError: a size of 0.
    """
    if not size:
        raise ParameterError("size", size, "give a signed size other than 0")
    change = account.split_fill(contract.key, size, price)
    if change.closed and change.opened:  # find out first whether both parts can be
        _book(account.fork(), contract, change, price, leverage, mode, time, fee, ref)
    _book(account, contract, change, price, leverage, mode, time, fee, ref)
    return change


def _book(
    account: Account,
    contract: Contract,
    change: PositionChange,
    price: Number,
    leverage: Number,
    mode: MarginMode,
    time: datetime | None,
    fee: Number,
    ref: str,
) -> None:
    """Book both parts of a fill."""
    key, symbol = contract.key, contract.symbol
    closing_fee = fee * (change.closed / (change.closed + change.opened))
    if change.closed:
        _close(account, key, change, price, closing_fee, time, ref)
    if change.opened:
        opened = Position(contract, change.opened, price, leverage)
        wallet, shared = account.wallet_for(key, mode), account.shared
        margin, kind = opened.opening_margin, LedgerEntryKind.FEE
        account.transfer(shared, wallet, margin, time=time, symbol=symbol, ref=ref)
        account.ledger.record(time, kind, shared.name, symbol, fee - closing_fee, ref)
        held = account.positions.get(key)
        account.put(held.increased(opened) if held else opened, wallet)


def _close(
    account: Account,
    key: str,
    change: PositionChange,
    price: Number,
    fee: Number,
    time: datetime | None,
    ref: str,
) -> None:
    """Book PnL and fee to the position's wallet and release its share."""
    position, wallet = account.positions[key], account.wallet_of(key)
    kept = position.reduced(change.closed)
    balance_kept = account.balance(wallet) * (kept.size / position.size if kept else 0)
    pnl, kind = change.realized_pnl, LedgerEntryKind
    account.book(kind.REALIZED_PNL, pnl, time=time, key=key, ref=ref)
    account.book(kind.FEE, fee, time=time, key=key, ref=ref)
    cushion = max(0, kept.unrealized_pnl(price)) if kept else 0
    _cover_shortfall(account, key, cushion, time, ref)
    balance = account.balance(wallet)
    released = max(0, min(balance, balance - balance_kept))
    symbol = position.contract.symbol
    account.transfer(
        wallet, account.shared, released, time=time, symbol=symbol, ref=ref
    )
    if kept:
        account.put(kept, wallet)
    else:
        account.remove(key)


def _cover_shortfall(
    account: Account, key: str, cushion: Number, time: datetime | None, ref: str
) -> None:
    """Pay what a closing fill lost beyond a wallet that no other position shares.

    Unrealized gains of what is left of the position (``cushion``) come first. That
    the fund pays the rest of an ordinary order is an assumption (`GapLoss`).
    """
    wallet = account.wallet_of(key)
    shortfall = -account.balance(wallet) - cushion
    if shortfall <= 0 or len(account.positions_in(wallet)) > 1:
        return
    if account.gap_loss is GapLoss.TRADER:
        paid = min(shortfall, max(0, account.balance(account.shared)))
        symbol = account.positions[key].contract.symbol
        account.transfer(
            account.shared, wallet, paid, time=time, symbol=symbol, ref=ref
        )
    shortfall = -account.balance(wallet) - cushion
    kind = LedgerEntryKind.INSURANCE
    account.book(kind, shortfall, time=time, key=key, ref=ref)
