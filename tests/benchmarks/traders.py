"""The strategies of the benchmarks: Backtrader's own kind, with no word of margin."""

from typing import Any

import backtrader as bt


class Crossing(bt.Strategy):
    """Two averages that cross, and a strength index that confirms: long or short.

    Params:
        fast, slow: periods of the averages.
        strong: strength from which on it goes long; it goes short below 100 less that.
        share: of the account's value, in each position.
        size: of each position, in place of the share; 0: the share.
    """

    params: Any = (
        *(("fast", 10), ("slow", 30), ("strong", 67)),
        *(("share", 0.5), ("size", 0)),
    )

    def __init__(self) -> None:
        fast = bt.ind.SMA(period=self.p.fast)
        slow = bt.ind.SMA(period=self.p.slow)
        self.crossing = bt.ind.CrossOver(fast, slow)
        self.strength = bt.ind.RSI(period=14, safediv=True)

    def next(self) -> None:
        crossed = self.crossing[0]
        if not crossed:
            return
        strength, held = self.strength[0], self.position.size
        if crossed > 0 and strength > self.p.strong and held <= 0:
            self._turn(self.buy)
        elif crossed < 0 and strength < 100 - self.p.strong and held >= 0:
            self._turn(self.sell)

    def _turn(self, send: Any) -> None:
        """Close what is held and open the other side."""
        size = self.p.size
        size = size or self.p.share * self.broker.getvalue() / self.data.close[0]
        self.close()
        send(size=size)


class Slowly(Crossing):
    """The same on the bars of a slower feed, asked at each bar of the first."""

    def __init__(self) -> None:
        slow = self.datas[1]
        averages = (bt.ind.SMA(slow, period=p) for p in (self.p.fast, self.p.slow))
        self.crossing = bt.ind.CrossOver(*averages)
        self.strength = bt.ind.RSI(slow, period=14, safediv=True)
        self.seen = 0

    def next(self) -> None:
        if len(self.datas[1]) > self.seen:
            self.seen = len(self.datas[1])
            super().next()


class Scalper(bt.Strategy):
    """A long at each crossing, with a target and a stop beside it."""

    params: Any = (("fast", 20), ("slow", 60), ("reach", 0.006), ("share", 0.5))

    def __init__(self) -> None:
        fast = bt.ind.EMA(period=self.p.fast)
        slow = bt.ind.EMA(period=self.p.slow)
        self.crossing = bt.ind.CrossOver(fast, slow)
        self.live: list[Any] = []

    def notify_order(self, order: Any) -> None:
        if not order.alive():
            self.live = [one for one in self.live if one.ref != order.ref]

    def next(self) -> None:
        if self.live or self.position or self.crossing[0] <= 0:
            return
        price = self.data.close[0]
        self.live = self.buy_bracket(
            size=self.p.share * self.broker.getvalue() / price,
            exectype=bt.Order.Market,
            stopprice=price * (1 - self.p.reach),
            limitprice=price * (1 + self.p.reach),
        )


class Pairs(bt.Strategy):
    """Each feed against the first: the spread's distance from its own mean."""

    params: Any = (("period", 240), ("far", 2.0), ("share", 0.1))

    def __init__(self) -> None:
        self.far: dict[Any, Any] = {}
        for data in self.datas[1:]:
            ratio = data.close / self.data.close
            bands = bt.ind.BollingerBands(
                ratio, period=self.p.period, devfactor=self.p.far
            )
            self.far[data] = (ratio, bands)
        self.held: dict[Any, int] = dict.fromkeys(self.far, 0)

    def next(self) -> None:
        for data, (ratio, bands) in self.far.items():
            now, side = ratio[0], self.held[data]
            is_long, is_short = side > 0, side < 0
            if (is_long and now > bands.mid[0]) or (is_short and now < bands.mid[0]):
                self._move(data, -side)
                self.held[data] = 0
            elif not side and now > bands.top[0]:
                self._move(data, -1)
                self.held[data] = -1
            elif not side and now < bands.bot[0]:
                self._move(data, 1)
                self.held[data] = 1

    def _move(self, data: Any, side: int) -> None:
        """One step of a pair: so much of the feed, so much less of the first."""
        worth = self.p.share * self.broker.startingcash
        for one, way in ((data, side), (self.data, -side)):
            size = worth / one.close[0]
            if way > 0:
                self.buy(data=one, size=size)
            else:
                self.sell(data=one, size=size)


class Resting(bt.Strategy):
    """Crossing orders, and limits that rest far below the price all along."""

    params: Any = (("limits", 50), ("fast", 60), ("slow", 240), ("size", 0.001))

    def __init__(self) -> None:
        fast = bt.ind.SMA(period=self.p.fast)
        slow = bt.ind.SMA(period=self.p.slow)
        self.crossing = bt.ind.CrossOver(fast, slow)
        self.sent = False

    def next(self) -> None:
        if not self.sent:
            self.sent = True
            for number in range(self.p.limits):
                price = self.data.close[0] * (0.2 - 0.002 * number)
                self.buy(size=self.p.size, exectype=bt.Order.Limit, price=price)
        if self.crossing[0] > 0 and self.position.size <= 0:
            self.buy(size=0.1)
        elif self.crossing[0] < 0 and self.position.size > 0:
            self.close()


class Basket(bt.Strategy):
    """On every feed two averages that cross: long or out."""

    params: Any = (("fast", 60), ("slow", 240), ("share", 0.02))

    def __init__(self) -> None:
        self.crossings = {
            data: bt.ind.CrossOver(
                bt.ind.SMA(data, period=self.p.fast),
                bt.ind.SMA(data, period=self.p.slow),
            )
            for data in self.datas
        }

    def next(self) -> None:
        for data, crossing in self.crossings.items():
            if crossing[0] > 0:
                worth = self.p.share * self.broker.startingcash
                self.buy(data=data, size=worth / data.close[0])
            elif crossing[0] < 0:
                self.close(data=data)


class Churning(bt.Strategy):
    """So many market orders in every thousand bars: in and out in turn."""

    params: Any = (("orders", 10), ("share", 0.1))

    def next(self) -> None:
        bar, orders = len(self), self.p.orders
        if bar * orders // 1_000 == (bar - 1) * orders // 1_000:
            return
        if self.position:
            self.close()
            return
        self.buy(size=self.p.share * self.broker.startingcash / self.data.close[0])
