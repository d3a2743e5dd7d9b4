"""TopUp: buys dips, and pays to keep them alive."""

from typing import Any

import backtrader as bt


class TopUp(bt.Strategy):
    """Buys a dip and adds margin when its liquidation comes near.

    Idea: buy when the price is `dip` below its average; out at the average. Instead of
    a stop the position gets margin, where the broker can give it: half of its first
    margin each time the liquidation is nearer than `near`, at most `times` times.

    Market: one whose dips come back. A trend eats every top-up and then the position.

    Risk: the first margin and all that was added, which is more than it looks.

    Isolated: each dip is paid for step by step, and what was not added is safe.
    Cross: the whole account is behind the dip from the start, without being asked.
    """

    params = (
        ("period", 240),  # bars of the average
        ("dip", 0.02),  # distance below the average at which to buy, a fraction
        ("near", 0.02),  # distance of the liquidation that asks for margin
        ("times", 3),  # most top-ups of one position
        ("margin_fraction", 0.05),  # first margin as a share of the account
        ("leverage", 20.0),  # notional / first margin
    )

    def __init__(self) -> None:
        self.average = {
            data: bt.ind.EMA(data.close, period=self.p.period) for data in self.datas
        }
        self.added = dict.fromkeys(self.datas, 0)
        self.live: dict[Any, Any] = {}  # the order under way, per data
        self.armed = set(self.datas)  # those that have been at their average

    def next(self) -> None:
        """Looks after each data on its own."""
        for data in self.datas:
            close, average = data.close[0], self.average[data][0]
            if close >= average:
                self.armed.add(data)
            if data in self.live:
                continue
            if self.getposition(data).size:
                if close >= average:
                    self.live[data] = self.close(data)
                else:
                    self._keep_alive(data)
            elif data in self.armed and close <= average * (1 - self.p.dip):
                self._buy_dip(data)

    def _buy_dip(self, data: Any) -> None:
        notional = self.p.margin_fraction * self.p.leverage * self.broker.getvalue()
        if notional <= 0:
            return
        self.live[data] = self.buy(data=data, size=notional / data.close[0])
        self.armed.discard(data)
        self.added[data] = 0

    def _keep_alive(self, data: Any) -> None:
        """Adds margin, on a broker that keeps margin apart."""
        if getattr(self.broker.p, "margin_mode", "off") != "isolated":
            return
        price, held = self.broker.liquidation_price(data), self.getposition(data)
        if price is None or data.close[0] > price * (1 + self.p.near):
            return
        wanted = held.size * held.price / self.p.leverage / 2
        amount = min(wanted, self.broker.max_addable(data))
        if amount > 0 and self.added[data] < self.p.times:
            self.broker.add_margin(data, amount)
            self.added[data] += 1

    def notify_order(self, order: Any) -> None:
        """Forgets finished orders.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        own = self.live.get(order.data)
        if own is not None and own.ref == order.ref and not order.alive():
            del self.live[order.data]
