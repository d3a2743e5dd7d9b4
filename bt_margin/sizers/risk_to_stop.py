"""The loss at the stop as a share of the account."""

from typing import Any

from bt_margin.broker.refusal import finite_number, positive_number
from bt_margin.core.errors import ParameterError

from .base import MarginSizer

__all__ = ["RiskToStop"]


class RiskToStop(MarginSizer):
    """Every position loses the same share of the balance at its stop, fees included.

    The stop is ``strategy.stop_price``, a price or a function of (data, is_buy), or
    it lies ``distance`` away from the last price. A gap over the stop loses more; with
    isolated margin a liquidation that comes before the stop loses less.

    Params:
        risk: share of wallets and unrealized PnL.
        distance: of the stop, a fraction of the price; ``None``: the strategy says.
    """

    params: Any = (("risk", 0.01), ("distance", None))

    def __init__(self) -> None:
        positive_number("risk", self.p.risk)
        if self.p.distance is not None:
            positive_number("distance", self.p.distance)

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The quantity whose loss from the last price to the stop is the risk."""
        price, side = float(data.close[0]), 1 if is_buy else -1
        stop = self._stop(data, price, is_buy=is_buy)
        if not stop > 0 or (price - stop) * side <= 0:
            word = "below" if is_buy else "above"
            fix = f"a stop lies {word} the price {price:g}"
            raise ParameterError("stop_price", stop, fix)
        loss = -self._pnl(data, side, price, stop) + self._fees(data, price, stop)
        return float(self.p.risk * self.broker.getvalue() / loss)

    def _stop(self, data: Any, price: float, *, is_buy: bool) -> float:
        if self.p.distance is not None:
            away = -self.p.distance if is_buy else self.p.distance
            return float(price * (1 + away))
        stop = getattr(self.strategy, "stop_price", None)
        if stop is None:
            fix = "set strategy.stop_price, or give the sizer distance="
            raise ParameterError("stop_price", stop, fix)
        price = stop(data, is_buy) if callable(stop) else stop
        return finite_number("stop_price", price)

    def _pnl(self, data: Any, side: int, price: float, stop: float) -> float:
        scheme = self.broker.getcommissioninfo(data)
        return float(scheme.profitandloss(side, price, stop))

    def _fees(self, data: Any, price: float, stop: float) -> float:
        """Of one contract, in and out as taker."""
        if self.has_margin:
            terms = self.broker.terms(data)
            fees = (terms.fee(1, at, is_maker=False) for at in (price, stop))
            return -float(sum(fees))
        scheme = self.broker.getcommissioninfo(data)
        return float(sum(scheme.getcommission(1, at) for at in (price, stop)))
