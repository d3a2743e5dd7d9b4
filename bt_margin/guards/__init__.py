"""Guards: rules that stand between a strategy and its liquidation.

They work around an unchanged strategy::

    bt_margin.guards.attach(cerebro, guards.LiquidationDistance(ranges=2),
                            guards.TopUp(at_ratio=0.7))

Entry guards refuse orders that open or add: the order is Rejected, with the reason in
``order.info.reason``. What closes passes: a flip becomes reduce-only, closes, and ends
Canceled. Keepers change an open position at the end of a bar. What each did and why is
in ``broker.guard_actions`` and in the log ``bt_margin``. A guard of one's own has the
three methods of `bt_margin.broker.guarding.Guard`.
"""

from .attaching import attach
from .entries import (
    DailyLossCap,
    LiquidationDistance,
    MarginCap,
    MarginRatioCap,
    StopAfterLiquidation,
)
from .keepers import PullBack, ReduceBefore, TopUp

__all__ = [
    "DailyLossCap",
    "LiquidationDistance",
    "MarginCap",
    "MarginRatioCap",
    "PullBack",
    "ReduceBefore",
    "StopAfterLiquidation",
    "TopUp",
    "attach",
]
