"""Margin by volatility: the liquidation price lies so many true ranges away."""

from typing import Any

from bt_margin.broker.refusal import positive_number
from bt_margin.broker.volatility import average_true_range
from bt_margin.core.errors import BalanceError, ControlError

from .fixed_fraction import FixedFraction

__all__ = ["VolatilityMargin"]

_HALVINGS = 50


class VolatilityMargin(FixedFraction):
    """Positions whose liquidation price is at least ``ranges`` true ranges away.

    With isolated margin the distance hangs on the leverage, so the sizer sets it,
    from ``leverage_setting`` down to 1, and the size follows from the margin. With
    cross margin, or when it adds to a position, the size is brought down. Without
    enough bars, or with no leverage of 1 or more that keeps the distance, nothing is
    traded. With stock accounting there is no liquidation price: a fixed fraction.

    Params:
        fraction: of wallets and unrealized PnL, as margin.
        ranges: average true ranges between the last price and the liquidation price.
        period: bars of the average.
    """

    params: Any = (("fraction", 0.02), ("ranges", 3.0), ("period", 14))

    def __init__(self) -> None:
        super().__init__()
        positive_number("ranges", self.p.ranges)
        positive_number("period", self.p.period)
        self._most: dict[Any, float] = {}

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The quantity whose liquidation price keeps its distance."""
        if not self.has_margin:
            return super().quantity(data, is_buy=is_buy)
        true_range = average_true_range(data, self.p.period)
        if true_range is None:
            return 0.0
        least = self.p.ranges * true_range / float(self.broker.mark(data))
        is_open = bool(self.broker.getposition(data).size)
        if is_open or self.broker.margin_mode_of(data) == "cross":
            return self._sized(data, least, is_buy=is_buy)
        if self._isolated(data, least, is_buy=is_buy):
            return super().quantity(data, is_buy=is_buy)
        return 0.0

    def _isolated(self, data: Any, least: float, *, is_buy: bool) -> bool:
        """Set the highest leverage that keeps the distance; False: there is none."""
        most = self._most.setdefault(data, self.leverage(data))
        low, high = 1.0, most
        for leverage in (most, 1.0):
            self._set(data, leverage)
            if self._keeps(data, super().quantity(data, is_buy=is_buy), least, is_buy):
                break
        else:
            return False
        if leverage == most:
            return True
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            self._set(data, middle)
            wanted = super().quantity(data, is_buy=is_buy)
            keeps = self._keeps(data, wanted, least, is_buy)
            low, high = (middle, high) if keeps else (low, middle)
        self._set(data, low)
        return True

    def _set(self, data: Any, leverage: float) -> None:
        """Set a leverage where the venue allows it now."""
        try:
            self.broker.set_leverage(data, leverage)
        except (BalanceError, ControlError):
            return

    def _sized(self, data: Any, least: float, *, is_buy: bool) -> float:
        """The largest quantity of the fraction that keeps the distance."""
        wanted = super().quantity(data, is_buy=is_buy)
        wanted = min(wanted, float(self.broker.max_size(data, is_buy=is_buy)))
        if self._keeps(data, wanted, least, is_buy):
            return wanted
        low, high = 0.0, wanted
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            keeps = self._keeps(data, middle, least, is_buy)
            low, high = (middle, high) if keeps else (low, middle)
        return low

    def _keeps(self, data: Any, quantity: float, least: float, is_buy: bool) -> bool:
        """Whether a fill of the quantity leaves the liquidation price far enough."""
        if not quantity:
            return True
        preview = self.broker.what_if(data, quantity if is_buy else -quantity)
        distance = preview.distance
        return preview.refusal is None and (distance is None or abs(distance) >= least)
