"""Margin: the value that flows, and the requirements as pure functions.

Legend: ``s`` +1 long, -1 short; ``q`` units of the position (contracts times
contract size); ``e`` entry price; ``p`` mark price; ``m`` and ``c`` rate and amount
of a tier; ``f`` closing fee rate; ``B`` what the position may lose before its
requirement: wallet balance, plus the unrealized PnL and minus the maintenance of
the other positions in the wallet.
"""

from dataclasses import dataclass

from .contract import Basis, Contract
from .errors import ParameterError
from .number import Number
from .size_tiers import SizeTiers
from .tiers import NO_MAINTENANCE, Tier, TierTable

__all__ = [
    "MarginSummary",
    "bankruptcy_price",
    "initial_margin",
    "liquidation_price",
    "maintenance_margin",
    "order_margin",
]


@dataclass(frozen=True, slots=True)
class MarginSummary:
    """Balance and requirements of a position, a wallet or an account; they add up.

    Attributes:
        margin_balance: wallet balance plus unrealized PnL, settle currency.
        initial_margin: what the positions lock.
        maintenance_margin: below or at this balance the venue liquidates.
    """

    margin_balance: Number = 0
    initial_margin: Number = 0
    maintenance_margin: Number = 0

    def __add__(self, other: "MarginSummary") -> "MarginSummary":
        return MarginSummary(
            self.margin_balance + other.margin_balance,
            self.initial_margin + other.initial_margin,
            self.maintenance_margin + other.maintenance_margin,
        )

    @property
    def surplus(self) -> Number:
        """What may be lost before liquidation: liquidatable at 0 or less."""
        return self.margin_balance - self.maintenance_margin

    @property
    def margin_ratio(self) -> Number:
        """Maintenance / balance, 1 at liquidation: for people, not for logic."""
        if self.margin_balance > 0:
            return self.maintenance_margin / self.margin_balance
        return float("inf") if self.maintenance_margin else 0


def maintenance_margin(notional: Number, tiers: TierTable) -> Number:
    """Maintenance requirement of an unsigned ``notional``."""
    return tiers.maintenance_margin(notional)


def initial_margin(notional: Number, leverage: Number) -> Number:
    """What a position of unsigned ``notional`` locks at ``leverage``.

    Raises:
        ParameterError: leverage is not above 0.
    """
    if not leverage > 0:
        raise ParameterError("leverage", leverage, "give a number above 0")
    return notional / leverage


def order_margin(
    position_notional: Number,
    buy_notional: Number,
    sell_notional: Number,
    open_loss: Number,
    leverage: Number,
) -> Number:
    """What resting orders of one symbol lock, in one-way netting.

    Orders lock only what they could add to the position's size on their worse
    side. Source: Binance USD-M "present notional" (max(|pos+bids|, |pos-asks|)).

    Args:
        position_notional: signed, at mark.
        buy_notional: sum of open remaining buys at their prices, unsigned.
        sell_notional: the same of sells, unsigned.
        open_loss: loss at once if the orders filled now, unsigned.
        leverage: the symbol's setting.
    """
    held = abs(position_notional)
    after = max(
        abs(position_notional + buy_notional), abs(position_notional - sell_notional)
    )
    return initial_margin(max(0, after - held), leverage) + open_loss


def liquidation_price(
    size: Number,
    entry_price: Number,
    *,
    wallet_balance: Number,
    tiers: TierTable | SizeTiers,
    basis: str = "mark",
    closing_fee_rate: Number = 0,
    contract_size: Number = 1,
    inverse: bool = False,
    other_maintenance: Number = 0,
    other_unrealized_pnl: Number = 0,
) -> Number | None:
    """The mark price at which margin balance equals maintenance margin.

    The tier is that of the notional at the liquidation price itself (basis entry:
    of the entry notional), not of the margin and not of the entry.

    Args:
        size: signed, + long, in contracts; not 0.
        entry_price: average entry, quote per base.
        wallet_balance: of the wallet that holds the position, settle currency.
        tiers: the contract's tiers, by notional or by size.
        basis: ``"mark"`` or ``"entry"``: which notional maintenance is taken on.
        closing_fee_rate: fee at mark that the venue counts in maintenance.
        contract_size: base coins per contract; inverse: quote units.
        inverse: settled in the base coin.
        other_maintenance: of the other positions in the wallet.
        other_unrealized_pnl: of the other positions in the wallet, signed.

    Returns:
        A price above 0; ``None`` when no price above 0 is the boundary: no price
        liquidates, or every price does.

    Raises:
        ParameterError: size 0, entry price not above 0, or an unknown basis.
    """
    if basis not in tuple(Basis):
        raise ParameterError("basis", basis, 'give "mark" or "entry"')
    if not size:
        raise ParameterError("size", size, "give a signed size other than 0")
    if not entry_price > 0:
        raise ParameterError("entry_price", entry_price, "give a price above 0")
    contract = Contract("", tiers, contract_size, inverse, Basis(basis))
    budget = wallet_balance + other_unrealized_pnl - other_maintenance
    table = contract.tiers_of(size)
    bands = table.bands()
    if contract.maintenance_basis is Basis.ENTRY:
        budget -= table.maintenance_margin(contract.notional(size, entry_price))
        bands = NO_MAINTENANCE.bands()
    elif (size > 0) is not inverse:
        # A falling price meets the tiers from the top where it lowers the notional.
        bands.reverse()
    for tier, floor, ceiling in bands:
        root = _root(size, entry_price, budget, contract, tier, closing_fee_rate)
        edges = [contract.price_of_notional(size, end) for end in (floor, ceiling)]
        price = _within(root, min(edges), max(edges), is_long=size > 0)
        if price is not None:
            return price
    return None


def _within(
    root: Number | None, low: Number, high: Number, *, is_long: bool
) -> Number | None:
    """The first liquidation price of a tier that holds from ``low`` to ``high``.

    Surplus falls monotonically in the direction of loss. A root before the tier
    means that all of it is beyond liquidation, as where given amounts make the
    requirement jump: the edge is the price. A root after it: none here.
    """
    if root is None or root <= 0:
        return None
    if is_long:
        return min(root, high) if root >= low else None
    return max(root, low) if root <= high else None


def _root(
    size: Number,
    entry_price: Number,
    budget: Number,
    contract: Contract,
    tier: Tier,
    fee_rate: Number,
) -> Number | None:
    """Where ``B + pnl(p) = maintenance(p)`` with one tier for every price.

    Linear:  B + s q (p - e) = q p (m + f) - c     p = (s q e - B - c) / (s q - q (m+f))
    Inverse: B + s q (1/e - 1/p) = q / p (m + f) - c
                                      p = (s q + q (m+f)) / (B + c + s q / e)
    """
    signed = size * contract.contract_size
    demand = abs(signed) * (tier.maintenance_margin_rate + fee_rate)
    budget += tier.maintenance_amount or 0
    if not contract.inverse:
        divisor = signed - demand
        return (signed * entry_price - budget) / divisor if divisor else None
    divisor = budget + signed / entry_price
    return (signed + demand) / divisor if divisor else None


def bankruptcy_price(
    size: Number,
    entry_price: Number,
    *,
    wallet_balance: Number,
    closing_fee_rate: Number = 0,
    contract_size: Number = 1,
    inverse: bool = False,
    other_unrealized_pnl: Number = 0,
) -> Number | None:
    """The mark price at which margin balance is 0; arguments as liquidation_price.

    Returns:
        A price above 0; ``None`` when no price above 0 is the boundary.
    """
    return liquidation_price(
        size,
        entry_price,
        wallet_balance=wallet_balance,
        tiers=NO_MAINTENANCE,
        closing_fee_rate=closing_fee_rate,
        contract_size=contract_size,
        inverse=inverse,
        other_unrealized_pnl=other_unrealized_pnl,
    )
