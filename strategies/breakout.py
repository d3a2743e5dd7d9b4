"""Breakout: buys strength with high leverage and takes margin back as it wins."""

from typing import Any

import backtrader as bt


class Breakout(bt.Strategy):
    """Goes with a price that leaves its range, with a near stop and a far target.

    Idea: a close beyond the highest high (lowest low) of `period` bars opens a bracket
    with its stop `stop_atr` and its target `target_atr` average ranges (ATR) away.
    While the trade is open its margin is managed, where the broker can do that: what a
    winner no longer needs goes back to the account.

    Market: quiet ranges that end in a move. Wicks through a level are its enemy.

    Risk: most tries fail; a stop is `stop_atr` average ranges of a large notional.

    Isolated: the margin of one try is all it can lose, and with high leverage the
    liquidation may come before the stop. Cross: no try is liquidated before its stop,
    and a wick that jumps over several stops takes from the whole account.
    """

    params = (
        ("period", 60),  # bars of the range
        ("stop_atr", 3.0),  # distance of the stop, in ATR
        ("target_atr", 12.0),  # distance of the target, in ATR
        ("margin_fraction", 0.02),  # margin of one try as a share of the account
        ("leverage", 25.0),  # notional / margin of a try
    )

    def __init__(self) -> None:
        period = self.p.period
        self.high = {d: bt.ind.Highest(d.high(-1), period=period) for d in self.datas}
        self.low = {d: bt.ind.Lowest(d.low(-1), period=period) for d in self.datas}
        self.atr = {data: bt.ind.ATR(data, period=period) for data in self.datas}
        self.live: dict[Any, dict[int, Any]] = {data: {} for data in self.datas}

    def next(self) -> None:
        """Looks after each data on its own."""
        for data in self.datas:
            held = self.getposition(data).size
            if held and not self.live[data]:
                self._track(data, self.close(data))  # it has lost its bracket
            elif held:
                self._manage(data)
            elif not self.live[data]:
                self._enter(data)

    def _enter(self, data: Any) -> None:
        close, atr = data.close[0], self.atr[data][0]
        side = (close > self.high[data][0]) - (close < self.low[data][0])
        value = self.broker.getvalue()
        if not side or atr <= 0 or value <= 0:
            return
        send = self.buy_bracket if side > 0 else self.sell_bracket
        orders = send(
            data=data,
            size=self.p.margin_fraction * self.p.leverage * value / close,
            exectype=bt.Order.Market,
            stopprice=close - side * self.p.stop_atr * atr,
            limitprice=close + side * self.p.target_atr * atr,
        )
        self._track(data, *orders)

    def _manage(self, data: Any) -> None:
        """Takes margin back from a winner, on a broker that keeps margin apart."""
        held = self.getposition(data)
        gain = (data.close[0] - held.price) * (1 if held.size > 0 else -1)
        is_apart = getattr(self.broker.p, "margin_mode", "off") == "isolated"
        if not is_apart or gain < self.p.stop_atr * self.atr[data][0]:
            return
        amount = self.broker.max_removable(data) / 2
        if amount > 0.001 * self.broker.getvalue():
            self.broker.remove_margin(data, amount)

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
