"""Trend: follows a slow trend with little leverage and a trailing stop."""

from typing import Any

import backtrader as bt


class Trend(bt.Strategy):
    """Rides a trend from the crossing of two averages until its stop.

    Idea: when the fast average crosses the slow one, go with it, with a stop
    `stop_atr` average ranges (ATR) away that trails the best close since. Out at the
    stop or at the opposite crossing. At most one position per data.

    Market: one that goes somewhere for days. Sideways it pays for many false starts.

    Risk: `risk` of the account per trade, more when a bar jumps over the stop.

    Isolated: at 2x to 5x the liquidation lies far beyond the stop, so the modes hardly
    differ; the margin of other symbols is safe from a jump. Cross: idle balance is
    behind every position, which a stop makes unnecessary.
    """

    params = (
        ("fast", 120),  # bars of the fast average
        ("slow", 480),  # bars of the slow average
        ("atr_period", 60),  # bars of the ATR
        ("stop_atr", 8.0),  # distance of the stop, in ATR
        ("risk", 0.01),  # loss at the first stop as a share of the account
        ("margin_fraction", 0.2),  # most margin of one trade, as a share
        ("leverage", 3.0),  # notional / margin of a trade
    )

    def __init__(self) -> None:
        self.cross = {
            data: bt.ind.CrossOver(
                bt.ind.EMA(data.close, period=self.p.fast),
                bt.ind.EMA(data.close, period=self.p.slow),
            )
            for data in self.datas
        }
        self.atr = {
            data: bt.ind.ATR(data, period=self.p.atr_period) for data in self.datas
        }
        self.stop_at: dict[Any, float] = {}  # where the stop stands, per open trade
        self.live: dict[Any, Any] = {}  # the order under way, per data

    def next(self) -> None:
        """Looks after each data on its own."""
        for data in self.datas:
            if data in self.live:
                continue
            if self.getposition(data).size:
                self._hold(data)
            elif self.cross[data][0]:
                self._enter(data, 1 if self.cross[data][0] > 0 else -1)

    def _enter(self, data: Any, side: int) -> None:
        close, distance = data.close[0], self.p.stop_atr * self.atr[data][0]
        value = self.broker.getvalue()
        if distance <= 0 or value <= 0:
            return
        by_risk = self.p.risk * value / distance
        by_margin = self.p.margin_fraction * self.p.leverage * value / close
        send = self.buy if side > 0 else self.sell
        self.live[data] = send(data=data, size=min(by_risk, by_margin))
        self.stop_at[data] = close - side * distance

    def _hold(self, data: Any) -> None:
        """Trails the stop; leaves beyond it or at the opposite crossing."""
        side = 1 if self.getposition(data).size > 0 else -1
        close, distance = data.close[0], self.p.stop_atr * self.atr[data][0]
        trailed = close - side * distance
        stop = max(self.stop_at[data] * side, trailed * side) * side
        self.stop_at[data] = stop
        if (close - stop) * side <= 0 or self.cross[data][0] * side < 0:
            self.live[data] = self.close(data)

    def notify_order(self, order: Any) -> None:
        """Forgets finished orders.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        own = self.live.get(order.data)
        if own is not None and own.ref == order.ref and not order.alive():
            del self.live[order.data]
