"""Scalper: fades short stretches on every data, each trade inside a bracket."""

from typing import Any

import backtrader as bt


class Scalper(bt.Strategy):
    """Trades against a price that has run away from its average.

    Idea: a limit order at the close when the close is `entry_atr` average ranges
    (ATR) from its moving average, with a stop and a target `stop_atr` and
    `target_atr` away. At most one position per data, and one try per stretch.

    Market: minute candles that swing around an average. A trend is its enemy.

    Risk: a small loss per stop, many times, and the fee of every turn, which is paid
    on the notional and so grows with leverage.

    Isolated: each trade risks its own margin. Above a leverage of about
    1 / (stop distance + maintenance rate) the liquidation comes before the stop.
    Cross: a trade may draw on the whole account, so the stop is reached; but when all
    symbols fall together, their losses meet in one wallet.
    """

    params = (
        ("period", 30),  # bars of the average and of the ATR
        ("entry_atr", 4.0),  # distance from the average at which to enter, in ATR
        ("stop_atr", 4.0),  # distance of the stop from the entry, in ATR
        ("target_atr", 4.0),  # distance of the target from the entry, in ATR
        ("patience", 3),  # bars that an entry may rest before it is withdrawn
        ("margin_fraction", 0.05),  # margin of one trade as a share of the account
        ("leverage", 10.0),  # notional / margin of a trade
    )

    def __init__(self) -> None:
        period = self.p.period
        self.average = {
            data: bt.ind.EMA(data.close, period=period) for data in self.datas
        }
        self.atr = {data: bt.ind.ATR(data, period=period) for data in self.datas}
        self.live: dict[Any, dict[int, Any]] = {data: {} for data in self.datas}
        self.armed = set(self.datas)  # those that have been near their average
        self.entry: dict[Any, Any] = {}
        self.deadline: dict[Any, int] = {}

    def next(self) -> None:
        """Looks after each data on its own."""
        for data in self.datas:
            orders = self.live[data]
            if not orders:
                self._act(data)
            elif self.entry[data].ref in orders and len(data) >= self.deadline[data]:
                self.cancel(self.entry[data])

    def _act(self, data: Any) -> None:
        """Enters; or closes its position when that has lost its bracket."""
        if self.getposition(data).size:
            if data in self.entry:
                self._track(data, self.close(data))
            return
        close, atr = data.close[0], self.atr[data][0]
        size = self.p.margin_fraction * self.p.leverage * self.broker.getvalue() / close
        stretch = close - self.average[data][0]
        if abs(stretch) < atr:
            self.armed.add(data)
        far = abs(stretch) >= self.p.entry_atr * atr > 0
        if size <= 0 or not far or data not in self.armed:
            return
        self.armed.remove(data)
        side = -1 if stretch > 0 else 1
        send = self.buy_bracket if side > 0 else self.sell_bracket
        orders = send(
            data=data,
            size=size,
            price=close,
            stopprice=close - side * self.p.stop_atr * atr,
            limitprice=close + side * self.p.target_atr * atr,
        )
        self._track(data, *orders)
        self.entry[data] = orders[0]
        self.deadline[data] = len(data) + self.p.patience

    def _track(self, data: Any, *orders: Any) -> None:
        self.live[data].update((order.ref, order) for order in orders)

    def notify_order(self, order: Any) -> None:
        """Forgets finished orders; after a liquidation withdraws its own.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        own = self.live[order.data]
        if order.info.get("liquidation"):
            for other in list(own.values()):
                self.cancel(other)
        elif not order.alive():
            own.pop(order.ref, None)
