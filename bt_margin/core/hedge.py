"""Hedge: the liquidation price that several positions of one symbol share.

With a long and a short of one symbol in one wallet, one mark moves both, and the
wallet can fail on either side: on the loss of the larger one, or, where the two are
nearly equal, on the maintenance that rises with the notional.
Source: Binance USD-M, liquidation price in hedge mode (cross).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from .contract import Basis
from .margin import liquidation_price
from .number import Number
from .position import Position

__all__ = ["shared_liquidation_price"]


def shared_liquidation_price(
    positions: Sequence[Position], budget: Number, marks: Callable[[str], Number]
) -> Number | None:
    """The mark nearest to the present one at which the wallet meets maintenance.

    Args:
        positions: of one symbol, at least one.
        budget: wallet balance, plus unrealized PnL and minus maintenance of the
            positions of other symbols.
        marks: mark by symbol, now; not asked for one position alone.

    Returns:
        A price above 0; ``None`` when no price is the boundary.
    """
    if len(positions) == 1:
        return _of_one(positions[0], budget)
    # In coin the surplus is a straight line over 1 / price, in quote over the price.
    inverse = positions[0].contract.inverse

    def turned(value: Number) -> Number:
        return 1 / value if inverse else value

    def surplus(at: Number, inside: Number) -> Number:
        mark, tier_mark = turned(at), turned(inside)
        return budget + sum(
            p.surplus_in_tier(mark, p.tier(tier_mark)) for p in positions
        )

    start = turned(marks(positions[0].contract.symbol))
    bends = sorted({turned(price) for p in positions for price in _bends(p)})
    below = [start, *reversed([at for at in bends if at < start]), 0]
    above = [start, *(at for at in bends if at > start), float("inf")]
    roots = [_first_root(line, surplus) for line in (below, above)]
    found = [root for root in roots if root]
    nearest = min(found, key=lambda root: abs(root - start), default=None)
    return None if nearest is None else turned(nearest)


def _of_one(position: Position, budget: Number) -> Number | None:
    """The closed form, which holds from every mark."""
    contract = position.contract
    return liquidation_price(
        position.size,
        position.entry_price,
        wallet_balance=budget,
        tiers=contract.tiers,
        basis=contract.maintenance_basis,
        closing_fee_rate=contract.closing_fee_rate,
        contract_size=contract.contract_size,
        inverse=contract.inverse,
        other_maintenance=position.reserved_fee,
    )


def _bends(position: Position) -> Iterable[Number]:
    """The marks at which a position passes from tier to tier."""
    contract, size = position.contract, position.size
    if contract.maintenance_basis is Basis.ENTRY:
        return []
    floors = [tier.min_notional for tier in contract.tiers_of(size)][1:]
    return [contract.price_of_notional(size, floor) for floor in floors]


def _first_root(
    points: Sequence[Number], surplus: Callable[[Number, Number], Number]
) -> Number | None:
    """Where the surplus first changes its sign on a line of straight pieces.

    Where given amounts make the requirement jump, that can be at a bend.
    """
    was_safe: bool | None = None
    for near, far in pairwise(points):
        # The last piece has no end: its line goes on as it starts.
        inside = near + 1 if far == float("inf") else (near + far) / 2
        if inside in (near, far):  # floats hold nothing between the two
            continue
        here = surplus(near, inside)
        if was_safe is not None and (here > 0) is not was_safe:
            return near
        was_safe = here > 0
        fall = (here - surplus(inside, inside)) / (inside - near)
        root = near + here / fall if fall else None
        if root is not None and min(near, far) <= root <= max(near, far):
            return root
    return None
