"""Margin by volatility: the liquidation price lies so many true ranges away."""

from typing import Any

from bt_margin.broker.refusal import positive_number
from bt_margin.broker.volatility import average_true_range
from bt_margin.core.errors import BalanceError, ControlError, ParameterError

from .fixed_fraction import FixedFraction

__all__ = ["VolatilityMargin"]

_HALVINGS = 50


class VolatilityMargin(FixedFraction):
    """Positions whose liquidation price is at least ``ranges`` true ranges away.

    With isolated margin the distance hangs on the leverage, so the sizer sets it,
    from the first ``leverage_setting`` down to 1, and the size follows from the margin.
    With cross margin, or when the symbol has a position or an order, the size is
    brought down. Without enough bars, or when neither keeps the distance, nothing is
    traded. With stock accounting there is no liquidation price: a fixed fraction.

    Params:
        fraction: of wallets and unrealized PnL, as initial margin.
        ranges: average true ranges between the mark and the liquidation price.
        period: bars of the average, a plain mean of true ranges.
    """

    params: Any = (("fraction", 0.02), ("ranges", 3.0), ("period", 14))

    def __init__(self) -> None:
        super().__init__()
        positive_number("ranges", self.p.ranges)
        if positive_number("period", self.p.period) != int(self.p.period):
            raise ParameterError("period", self.p.period, "give a whole number above 0")
        self._most: dict[Any, float] = {}

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The quantity whose liquidation price keeps its distance."""
        if not self.has_margin:
            return super().quantity(data, is_buy=is_buy)
        true_range = average_true_range(data, self.p.period)
        if true_range is None:
            return 0.0
        least = self.p.ranges * true_range / float(self.broker.mark(data))
        # Another leverage would move what is open, or what rests.
        if self._is_busy(data) or self.broker.margin_mode_of(data) == "cross":
            return self._sized(data, least, is_buy=is_buy)
        return self._levered(data, least, is_buy=is_buy)

    def _is_busy(self, data: Any) -> bool:
        """Whether the symbol has a position or an order."""
        broker = self.broker
        orders = [*broker.live_orders(), *broker.submitted]
        resting = any(broker.leader(o.data) is broker.leader(data) for o in orders)
        symbol = broker.terms(data).contract.symbol
        return resting or bool(broker.account.positions_of(symbol))

    def _levered(self, data: Any, least: float, *, is_buy: bool) -> float:
        """The quantity under the highest leverage that keeps the distance."""
        before = self.leverage(data)
        most = self._most.setdefault(data, before)
        if self._keeps_at(most, data, least, is_buy=is_buy):
            return self._wanted(data, is_buy=is_buy)
        if not self._keeps_at(1.0, data, least, is_buy=is_buy):
            self._set(data, before)
            return 0.0
        low, high = 1.0, most
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            keeps = self._keeps_at(middle, data, least, is_buy=is_buy)
            low, high = (middle, high) if keeps else (low, middle)
        self._set(data, low)
        return self._wanted(data, is_buy=is_buy)

    def _keeps_at(
        self, leverage: float, data: Any, least: float, *, is_buy: bool
    ) -> bool:
        """Set a leverage; whether the fraction keeps the distance under it."""
        self._set(data, leverage)
        wanted = self._wanted(data, is_buy=is_buy)
        return self._keeps(data, wanted, least, is_buy=is_buy)

    def _set(self, data: Any, leverage: float) -> None:
        """Set a leverage where the venue allows it now."""
        try:
            self.broker.set_leverage(data, leverage)
        except (BalanceError, ControlError, ParameterError):
            return

    def _wanted(self, data: Any, *, is_buy: bool) -> float:
        """The quantity of the fraction, as far as it can be paid."""
        wanted = super().quantity(data, is_buy=is_buy)
        return min(wanted, self.affordable(data, is_buy=is_buy))

    def _sized(self, data: Any, least: float, *, is_buy: bool) -> float:
        """The largest quantity of the fraction that keeps the distance."""
        wanted = self._wanted(data, is_buy=is_buy)
        if self._keeps(data, wanted, least, is_buy=is_buy):
            return wanted
        low, high = 0.0, wanted
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            keeps = self._keeps(data, middle, least, is_buy=is_buy)
            low, high = (middle, high) if keeps else (low, middle)
        return low

    def _keeps(self, data: Any, quantity: float, least: float, *, is_buy: bool) -> bool:
        """Whether a fill of the quantity leaves the liquidation price far enough."""
        if not quantity > 0:
            return True
        side, size = (1, quantity) if is_buy else (-1, -quantity)
        leg = self.leg(is_buy=is_buy)
        preview = self.broker.what_if(data, size, float(data.close[0]), side=leg)
        if preview.refusal is not None:
            return False
        return preview.distance is None or -preview.distance * side >= least
