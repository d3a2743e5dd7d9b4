"""``generic``: the textbook perpetual, no venue's own rules.

One tier, maintenance on entry notional, settlement at the bankruptcy price, so that

    long liquidation price = entry * (1 - 1 / leverage + maintenance margin rate)
    65,000 * (1 - 0.10 + 0.005) = 58,825

The rates are round numbers near those of large venues; an assumption.
"""

from bt_margin.core.contract import Basis
from bt_margin.core.tiers import TierTable

from .rules import ContractKind, Controls
from .venue import Venue

__all__ = ["GENERIC"]

GENERIC = Venue(
    name="generic",
    tiers=TierTable.flat(0.005, max_leverage=125),
    maintenance_basis=Basis.ENTRY,
    maker_fee_rate=0.0002,
    taker_fee_rate=0.0005,
    kinds=tuple(ContractKind),
    controls=Controls(auto_margin=True, mode_with_orders=True),
    sources=("textbook",),
    unverified=("the rates are round numbers near those of large venues",),
)
