"""Adjusting: margin added to and removed from an open isolated position."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .account import Account, Marks
from .contract import Basis
from .number import Number
from .wallet import Wallet

__all__ = [
    "AutoMargin",
    "RemovalRule",
    "max_addable",
    "max_removable",
    "move_margin",
    "replenish",
]


@dataclass(frozen=True, slots=True)
class RemovalRule:
    """What must stay on an isolated position when margin is removed.

    Attributes:
        keeps_initial: initial margin at mark, unrealized PnL counted.
        keeps_maintenance: maintenance margin, unrealized PnL not counted.
        kept_notional_share: this share of the notional at mark, PnL counted.
        only_added: all but what was added by hand.
    """

    keeps_initial: bool = True
    keeps_maintenance: bool = True
    kept_notional_share: Number = 0
    only_added: bool = False


@dataclass(frozen=True, slots=True)
class AutoMargin:
    """Margin that is added by itself when an isolated position would be liquidated.

    Attributes:
        initial_share: what is added each time, as a share of the initial margin at
            entry; less where less is available, and never to a leverage below 1.
    """

    initial_share: Number = 1


def max_addable(
    account: Account, key: str, marks: Marks, order_margin: Number = 0
) -> Number:
    """The most that the shared wallet can give to an isolated position.

    Source: Binance FAQ "How to Adjust Margin": cross wallet balance less the margin
    of orders and the maintenance of cross positions, and not more than available.

    Args:
        account: that holds the position.
        key: of the position.
        marks: mark by symbol.
        order_margin: what resting orders lock.
    """
    shared = account.shared
    if account.wallet_of(key) == shared:
        return 0
    required = account.summary(shared, marks).maintenance_margin
    free = account.balance(shared) - order_margin - required
    return max(0, min(free, account.available_balance(marks, order_margin)))


def max_removable(
    account: Account, key: str, marks: Marks, rule: RemovalRule
) -> Number:
    """The most that can be taken from an isolated position; 0 for a cross one.

    It stays above its maintenance margin whatever the rule, and a gain that is not
    realized yet cannot be taken.
    """
    position, wallet = account.positions[key], account.wallet_of(key)
    if wallet == account.shared:
        return 0
    balance, mark = account.balance(wallet), marks(position.contract.symbol)
    now = position.summary(mark, Basis.MARK)
    margin = balance + now.margin_balance
    # A billionth less: at exactly maintenance the venue liquidates.
    bounds = [balance, (margin - now.maintenance_margin) * (10**9 - 1) / 10**9]
    if rule.keeps_initial:
        bounds.append(margin - now.initial_margin)
    if rule.keeps_maintenance:
        bounds.append(balance - now.maintenance_margin)
    if rule.kept_notional_share:
        bounds.append(margin - position.notional(mark) * rule.kept_notional_share)
    if rule.only_added:
        bounds.append(balance - position.opening_margin)
    return max(0, min(bounds))


def move_margin(
    account: Account, key: str, amount: Number, *, time: datetime, ref: str
) -> None:
    """Move ``amount`` from the shared wallet to a position's (+), or back (-).

    Raises:
        BalanceError: the wallet that gives does not hold it.
    """
    source, target = account.shared, account.wallet_of(key)
    if amount < 0:
        source, target = target, source
    symbol = account.positions[key].contract.symbol
    account.transfer(source, target, abs(amount), time=time, symbol=symbol, ref=ref)


def replenish(
    account: Account,
    wallet: Wallet,
    marks: Marks,
    rules: Mapping[str, AutoMargin],
    time: datetime,
) -> bool:
    """Add margin by the rules of the wallet's positions until it is safe.

    Source: Bybit "Auto Margin Replenishment".

    Args:
        account: changed in place.
        wallet: that has met its maintenance margin.
        marks: mark by symbol.
        rules: by the key of a position; one without a rule gets nothing.
        time: UTC.

    Returns:
        Whether margin was added that brought the wallet above it.
    """
    for position in account.positions_in(wallet):
        key = position.contract.key
        rule = rules.get(key)
        while rule:
            wanted = position.opening_margin * rule.initial_share
            room = position.entry_notional - account.balance(wallet)
            amount = min(wanted, room, max_addable(account, key, marks))
            if amount <= 0:
                return False
            move_margin(account, key, amount, time=time, ref="auto margin")
            if account.summary(wallet, marks).surplus > 0:
                return True
    return False
