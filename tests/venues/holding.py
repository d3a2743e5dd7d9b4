"""One position under a venue's page: held, priced, liquidated."""

from datetime import UTC, datetime
from typing import Any

from bt_margin import Account, LiquidationEvent, Position
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import Venue

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def held(
    venue: Venue, symbol: str, size: float, entry: float, **words: Any
) -> tuple[Account, Position]:
    """An account with one position: in a cross wallet, or isolated.

    ``margin``: all that the wallet holds; without it an isolated position has what
    the venue moves to it at ``leverage``.
    """
    margin, leverage = words.pop("margin", None), words.pop("leverage", 1)
    tiers = words.pop("tiers", None)
    if tiers is None:
        tiers = venue.tiers_of(symbol, inverse=words.get("inverse"))
    contract = venue.contract(symbol, tiers, **words)
    position = Position(contract, size, entry, leverage)
    account = Account(
        margin or 100 * position.opening_margin,
        cross_margin_basis=venue.cross_margin_basis,
        isolated_margin_basis=venue.isolated_margin_basis,
    )
    mode = MarginMode.CROSS if margin else MarginMode.ISOLATED
    wallet = account.wallet_for(contract.key, mode)
    account.put(position, wallet)
    if not margin:
        account.transfer(account.shared, wallet, position.opening_margin)
    return account, position


def price_of(venue: Venue, symbol: str, size: float, entry: float, **words: Any) -> Any:
    account, position = held(venue, symbol, size, entry, **words)
    return account.liquidation_price(position.contract.key, lambda _: entry)


def liquidated(account: Account, position: Position, venue: Venue) -> LiquidationEvent:
    """The one event of a liquidation at the position's own price."""
    key = position.contract.key
    price = account.liquidation_price(key, lambda _: position.entry_price)
    assert price is not None
    wallet = account.wallet_of(key)
    [event] = Liquidator(venue.liquidation).liquidate(
        account, wallet, lambda _: price, time=NOON, cause=Cause.PRICE
    )
    return event
