"""A fixed fraction of the account as margin."""

from typing import Any

from bt_margin.broker.refusal import positive_number

from .base import MarginSizer

__all__ = ["FixedFraction"]


class FixedFraction(MarginSizer):
    """Every position locks the same fraction of the account's balance.

    With isolated margin that is the most it can lose, fees apart.

    Params:
        fraction: of wallets and unrealized PnL, as initial margin: 0.01 to 0.05 is
            usual.
    """

    params: Any = (("fraction", 0.02),)

    def __init__(self) -> None:
        positive_number("fraction", self.p.fraction)

    def quantity(self, data: Any, *, is_buy: bool) -> float:  # noqa: ARG002
        """The quantity whose initial margin is the fraction."""
        margin = float(self.p.fraction * self.broker.getvalue())
        return margin * self.leverage(data) / self.notional_of_one(data)
