"""Price: where a planned isolated position would be liquidated."""

from dataclasses import dataclass

from bt_margin.broker.refusal import positive_number
from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.margin import bankruptcy_price, liquidation_price
from bt_margin.core.position import Position
from bt_margin.venues import Tiers, Venue

__all__ = ["PlannedPosition", "plan_position"]


@dataclass(frozen=True, slots=True)
class PlannedPosition:
    """What a position would be, on a wallet of its own.

    Attributes:
        venue: whose rules.
        size: signed, in coins.
        entry_price: as planned.
        leverage: as planned.
        notional: at entry, quote.
        initial_margin: what it locks.
        maintenance_margin: requirement at the liquidation price (at entry, if there
            is none).
        liquidation_price: mark that liquidates it; ``None``: none does.
        bankruptcy_price: mark at which its margin is gone.
        formula: the liquidation price in symbols, with the numbers put in.
    """

    venue: str
    size: float
    entry_price: float
    leverage: float
    notional: float
    initial_margin: float
    maintenance_margin: float
    liquidation_price: float | None
    bankruptcy_price: float | None
    formula: str

    @property
    def distance(self) -> float | None:
        """Fall (-) or rise (+) to the liquidation price, a fraction of the entry."""
        if self.liquidation_price is None:
            return None
        return self.liquidation_price / self.entry_price - 1


def plan_position(
    venue: Venue,
    *,
    side: str,
    entry_price: float,
    leverage: float,
    notional: float | None = None,
    symbol: str = "BTCUSDT",
    tiers: Tiers | None = None,
) -> PlannedPosition:
    """The margins and prices of a planned linear position.

    Args:
        venue: whose rules hold.
        side: ``"long"`` or ``"short"``.
        entry_price: quote per coin.
        leverage: at most the tier's bound.
        notional: at entry, quote; ``None``: one coin.
        symbol: whose tiers, unless they are given.
        tiers: instead of the venue's.

    Raises:
        ParameterError: naming the parameter, its value and the fix.
        UnknownNameError: the venue has no tiers for the symbol.
    """
    if side not in ("long", "short"):
        raise ParameterError("side", side, 'give "long" or "short"')
    for name, value in (("entry", entry_price), ("leverage", leverage)):
        positive_number(name, value)
    worth = entry_price if notional is None else notional
    positive_number("notional", worth)
    table = tiers or venue.tiers_of(symbol)
    bound = table.at_size(worth / entry_price).tier_of(worth).max_leverage
    if leverage > bound:
        fix = f"{venue.name} allows at most {bound:g} for a notional of {worth:,.2f}"
        raise ParameterError("leverage", leverage, fix)
    size = worth / entry_price * (1 if side == "long" else -1)
    margin = worth / leverage
    price = liquidation_price(
        size,
        entry_price,
        wallet_balance=margin,
        tiers=table,
        basis=venue.maintenance_basis,
        closing_fee_rate=venue.closing_fee_rate,
    )
    contract = Contract(
        symbol,
        table,
        maintenance_basis=venue.maintenance_basis,
        closing_fee_rate=venue.closing_fee_rate,
    )
    position = Position(contract, size, entry_price, leverage)
    return PlannedPosition(
        venue=venue.name,
        size=size,
        entry_price=entry_price,
        leverage=leverage,
        notional=worth,
        initial_margin=margin,
        maintenance_margin=position.maintenance_margin(price or entry_price),
        liquidation_price=price,
        bankruptcy_price=bankruptcy_price(size, entry_price, wallet_balance=margin),
        formula=_formula(position, margin, price),
    )


def _formula(position: Position, margin: float, price: float | None) -> str:
    """The condition at the liquidation price, with the numbers put in."""
    if price is None:
        return "no price above 0 liquidates it"
    tier = position.tier(price)
    gain = position.unrealized_pnl(price)
    basis = position.contract.maintenance_basis
    return (
        f"margin {margin:,.2f} {gain:+,.2f} = {basis} notional x"
        f" {tier.maintenance_margin_rate:g} - {tier.maintenance_amount or 0:,.2f}"
        + (" + closing fee" if position.contract.closing_fee_rate else "")
        + f" = {position.maintenance_margin(price):,.2f}"
    )
