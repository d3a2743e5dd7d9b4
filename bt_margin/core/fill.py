"""Fills: what a trade books, and the margin it locks or releases."""

from datetime import datetime

from .account import Account
from .contract import Contract
from .ledger import LedgerEntryKind
from .margin import initial_margin
from .number import Number
from .position import Position, PositionChange
from .wallet import GapLoss, MarginMode, Wallet

__all__ = ["apply_fill"]


def apply_fill(
    account: Account,
    contract: Contract,
    quantity: Number,
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
        quantity: signed, + buy, in contracts.
        price: fill price.
        leverage: the symbol's setting, for the part that opens.
        mode: the symbol's margin mode, for a position that opens.
        time: UTC.
        fee: cash flow of the whole fill, - paid; a flip splits it by size.
        ref: reference of the order.

    Returns:
        What was closed and opened, and the realized PnL.

    Raises:
        BalanceError: the shared wallet cannot pay an isolated margin.
    """
    symbol = contract.symbol
    change = account.split_fill(symbol, quantity, price)
    closing_fee = fee * (change.closed / (change.closed + change.opened))
    if change.closed:
        _close(account, symbol, change, closing_fee, time, ref)
    if change.opened:
        wallet = account.wallet_for(symbol, mode)
        margin = initial_margin(contract.notional(change.opened, price), leverage)
        account.transfer(
            account.shared, wallet, margin, time=time, symbol=symbol, ref=ref
        )
        opening_fee = fee - closing_fee
        kind = LedgerEntryKind.FEE
        account.ledger.record(time, kind, account.shared.name, symbol, opening_fee, ref)
        held = account.positions.get(symbol)
        opened = Position(contract, change.opened, price, leverage)
        account.put(held.increased(opened) if held else opened, wallet)
    return change


def _close(
    account: Account,
    symbol: str,
    change: PositionChange,
    fee: Number,
    time: datetime | None,
    ref: str,
) -> None:
    """Book PnL and fee to the position's wallet and release its share."""
    position, wallet = account.positions[symbol], account.wallet_of(symbol)
    kept = position.reduced(change.closed)
    balance_kept = account.balance(wallet) * (kept.size / position.size if kept else 0)
    pnl, kind = change.realized_pnl, LedgerEntryKind
    account.book(kind.REALIZED_PNL, pnl, time=time, symbol=symbol, ref=ref)
    account.book(kind.FEE, fee, time=time, symbol=symbol, ref=ref)
    _cover_shortfall(account, symbol, wallet, time, ref)
    released = max(0, account.balance(wallet) - balance_kept)
    account.transfer(
        wallet, account.shared, released, time=time, symbol=symbol, ref=ref
    )
    if kept:
        account.put(kept, wallet)
    else:
        account.remove(symbol)


def _cover_shortfall(
    account: Account, symbol: str, wallet: Wallet, time: datetime | None, ref: str
) -> None:
    """Bring a wallet that no other position shares back to 0.

    That the fund pays the gap of an ordinary order is an assumption (`GapLoss`).
    """
    if account.balance(wallet) >= 0 or len(account.positions_in(wallet)) > 1:
        return
    if account.gap_loss is GapLoss.TRADER:
        have = max(0, account.balance(account.shared))
        paid = min(-account.balance(wallet), have)
        account.transfer(
            account.shared, wallet, paid, time=time, symbol=symbol, ref=ref
        )
    kind = LedgerEntryKind.INSURANCE
    account.book(kind, -account.balance(wallet), time=time, symbol=symbol, ref=ref)
