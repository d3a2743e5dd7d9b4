"""LotteryTicket: a small fixed margin at high leverage, lost or multiplied."""

from typing import Any

import backtrader as bt


class LotteryTicket(bt.Strategy):
    """Buys a ticket now and then: the margin is the stake, the liquidation the stop.

    Idea: every `every` bars, with the direction of the last `look_back` bars, put a
    small margin on a data at high leverage and wait for a move that pays the stake
    `payoff` times. No stop: an isolated position cannot lose more than its margin.

    Market: one with moves of several times 1 / leverage in either direction.

    Risk: the stake, nearly every time. Many small losses, a few large gains.

    Isolated: what the idea needs: the loss is the stake. Cross: there is no stake;
    the ticket draws on the whole account and is a large position without a stop.
    """

    params = (
        ("every", 360),  # bars from ticket to ticket on one data
        ("look_back", 60),  # bars that say the direction
        ("payoff", 3.0),  # gain at which to leave, as a multiple of the stake
        ("margin_fraction", 0.005),  # stake as a share of the account
        ("leverage", 50.0),  # notional / stake
    )

    def __init__(self) -> None:
        look_back = self.p.look_back
        self.move = {d: bt.ind.Momentum(d.close, period=look_back) for d in self.datas}
        self.bought_at = dict.fromkeys(self.datas, -self.p.every)
        self.live: dict[Any, Any] = {}  # the order under way, per data

    def next(self) -> None:
        """Cashes in tickets that have paid, and buys new ones."""
        for data in self.datas:
            if data in self.live:
                continue
            held = self.getposition(data)
            if not held.size:
                self._buy_ticket(data)
                continue
            stake = abs(held.size) * held.price / self.p.leverage
            if held.size * (data.close[0] - held.price) >= self.p.payoff * stake:
                self.live[data] = self.close(data)

    def _buy_ticket(self, data: Any) -> None:
        """Goes with the last move, when it is time."""
        move, value = self.move[data][0], self.broker.getvalue()
        if len(data) - self.bought_at[data] < self.p.every or not move or value <= 0:
            return
        notional = self.p.margin_fraction * self.p.leverage * value
        send = self.buy if move > 0 else self.sell
        self.live[data] = send(data=data, size=notional / data.close[0])
        self.bought_at[data] = len(data)

    def notify_order(self, order: Any) -> None:
        """Forgets finished orders.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        own = self.live.get(order.data)
        if own is not None and own.ref == order.ref and not order.alive():
            del self.live[order.data]
