"""PairTrade: long one symbol, short another, until their ratio comes back."""

import math
from typing import Any

import backtrader as bt


class _LogRatio(bt.functions.MultiLogic):
    """The logarithm of one line over another; both need bars at the same times."""

    flogic = staticmethod(lambda prices: math.log(prices[0] / prices[1]))


class PairTrade(bt.Strategy):
    """Bets that two related symbols do not stay far apart.

    Idea: when the log-ratio of data0 to data1 is `entry_z` standard deviations from
    its mean, buy the cheap one and sell the dear one for the same notional. Out when
    it is back near the mean, or when the pair has lost `stop`.

    Market: two symbols that move together.

    Risk: the ratio goes away for good.

    Isolated: each leg has only its own margin. A move of both symbols liquidates the
    losing leg although the pair as a whole lost nothing, and the other leg stands
    unhedged until it is closed on the next bar. Cross: the gain of one leg carries
    the loss of the other, so the pair lives as long as the hedge holds.
    """

    params = (
        ("period", 240),  # bars of the ratio's mean and standard deviation
        ("entry_z", 2.5),  # z-score at which to enter
        ("exit_z", 0.5),  # z-score at which the ratio counts as back
        ("stop", 0.02),  # loss of the pair at which to leave, in notional of a leg
        ("margin_fraction", 0.1),  # margin of one leg as a share of the account
        ("leverage", 10.0),  # notional / margin of a leg
    )

    def __init__(self) -> None:
        if len(self.datas) < 2:
            raise ValueError("PairTrade needs two datas, the legs: add one more")
        self.legs = self.datas[:2]
        ratio = _LogRatio(*(leg.close for leg in self.legs))
        away = ratio - bt.ind.SMA(ratio, period=self.p.period)
        spread = bt.ind.StdDev(ratio, period=self.p.period)
        self.z_score = bt.DivByZero(away, spread, zero=0.0)
        self.live: set[int] = set()
        self.armed = True  # False after a stop, until the ratio has been back
        self.broken = False  # the broker liquidated a leg

    def next(self) -> None:
        """Enters or leaves when no order is under way."""
        z = self.z_score[0]
        self.armed = self.armed or abs(z) < self.p.exit_z
        if self.live:
            return
        sizes = [self.getposition(leg).size for leg in self.legs]
        if any(sizes):
            side = 1 if sizes[0] > 0 else -1
            broken = self.broken or not all(sizes)
            stopped = broken or self._loss() > self.p.stop
            if stopped or side * z > -self.p.exit_z:
                self._send(*(self.close(leg) for leg in self.legs))
                self.armed = not stopped
        elif self.armed and abs(z) > self.p.entry_z:
            self._enter(-1 if z > 0 else 1)
        self.broken = False

    def _enter(self, side: int) -> None:
        """Buys the first leg and sells the second; side -1: the reverse."""
        value = max(self.broker.getvalue(), 0.0)
        notional = self.p.margin_fraction * self.p.leverage * value
        sends = (self.buy, self.sell) if side > 0 else (self.sell, self.buy)
        pairs = zip(sends, self.legs, strict=True)
        self._send(*(send(leg, notional / leg.close[0]) for send, leg in pairs))

    def _loss(self) -> float:
        """Loss of the pair at the close, as a share of a leg's entry notional."""
        positions = [(leg.close[0], self.getposition(leg)) for leg in self.legs]
        pnl = sum(held.size * (close - held.price) for close, held in positions)
        first = positions[0][1]
        return float(-pnl / abs(first.size * first.price))

    def _send(self, *orders: Any) -> None:
        """Remembers what is under way; a missing leg has no order to close it."""
        self.live.update(order.ref for order in orders if order is not None)

    def notify_order(self, order: Any) -> None:
        """Forgets finished orders; notes a liquidated leg.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        if order.info.get("liquidation"):
            self.broken, self.armed = True, False
        elif not order.alive():
            self.live.discard(order.ref)
