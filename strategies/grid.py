"""Grid: resting limits below and above the price, each with its way back."""

from typing import Any

import backtrader as bt


class Grid(bt.Strategy):
    """Buys every step down and sells it one step up, within a band.

    Idea: around a centre price, `levels` limit buys rest `step` apart below it. A
    filled one is answered by a sell one step higher, and that by the buy again. When
    the price leaves the band upwards, the grid is set anew; downwards it waits.

    Market: one that swings inside a band. Below the band it holds all it bought.

    Risk: the whole grid bought, and the price going on down.

    Isolated: one position for the grid on one margin: its liquidation lies below the
    band or not, which leverage decides. Cross: the account carries it further down.
    All levels lock margin as they rest, so getcash() is less than it seems.
    """

    params = (
        ("levels", 8),  # limit buys below the centre
        ("step", 0.005),  # from level to level, a fraction of the centre
        ("margin_fraction", 0.3),  # margin of the whole grid, share of the account
        ("leverage", 5.0),  # notional / margin
    )

    def __init__(self) -> None:
        self.centre: dict[Any, float] = {}
        self.size: dict[Any, float] = {}
        self.level: dict[int, tuple[Any, int]] = {}  # order ref: data and level
        self.open: dict[Any, dict[int, Any]] = {data: {} for data in self.datas}
        self.over: set[Any] = set()  # liquidated: the grid is not set again

    def next(self) -> None:
        """Sets a grid where there is none, or where the price has left it upwards."""
        for data in self.datas:
            if data in self.over or self.broker.getvalue() <= 0:
                continue
            centre = self.centre.get(data)
            left = centre is not None and data.close[0] > centre * (1 + 2 * self.p.step)
            if centre is None or (left and not self.getposition(data).size):
                self._set(data)

    def _set(self, data: Any) -> None:
        """Withdraws what rests and sends the limit buys anew."""
        for order in list(self.open[data].values()):
            self.cancel(order)
        self.centre[data] = data.close[0]
        share = self.p.margin_fraction / len(self.datas) / self.p.levels
        notional = share * self.p.leverage * self.broker.getvalue()
        self.size[data] = notional / data.close[0]
        for level in range(1, self.p.levels + 1):
            self._send(data, level, is_buy=True)

    def _send(self, data: Any, level: int, *, is_buy: bool) -> None:
        """A limit at a level, or one step above it on the way back."""
        steps = level if is_buy else level - 1
        price = self.centre[data] * (1 - steps * self.p.step)
        send = self.buy if is_buy else self.sell
        order = send(
            data=data,
            size=self.size[data],
            price=price,
            exectype=bt.Order.Limit,
            reduce_only=not is_buy,
        )
        self.level[order.ref] = (data, level)
        self.open[data][order.ref] = order

    def notify_order(self, order: Any) -> None:
        """Answers a filled level with its way back; gives up when liquidated.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        data = order.data
        if order.info.get("liquidation"):
            self.over.add(data)
            for other in list(self.open[data].values()):
                self.cancel(other)
        elif not order.alive() and order.ref in self.level:
            del self.open[data][order.ref]
            if order.status == order.Completed and data not in self.over:
                self._send(data, self.level[order.ref][1], is_buy=not order.isbuy())
