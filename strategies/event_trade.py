"""EventTrade: a fixed loss on the direction that an event takes."""

from datetime import UTC, datetime, timedelta
from math import copysign
from typing import Any

import backtrader as bt


class EventTrade(bt.Strategy):
    """Stands on both sides of an event and follows the side it breaks to.

    Idea: stop orders above and below the price, one cancels the other; a protective
    stop that costs `risk` of the account; out after `hold` bars. Once per data.

    Market: scheduled news, listings, unlocks: a calm price that then leaves at once.

    Risk: a jump over the protective stop, which works from the bar after the entry.

    Isolated: a jump costs the margin of the trade at most, which no stop can promise.
    Cross: a jump takes what it takes, and trades on one event fail together.
    """

    params = (
        ("event", None),  # datetime or ISO text, UTC; None: the first exceptional bar
        ("lead", 5),  # minutes before the event at which to stand ready; >= one bar
        ("event_atr", 5.0),  # range of an exceptional bar, in ATR
        ("period", 60),  # bars of the ATR
        ("entry_atr", 1.5),  # distance of the entries from the close, in ATR
        ("stop_atr", 3.0),  # distance of the protective stop, in ATR
        ("hold", 120),  # bars from the start to the time exit
        ("risk", 0.01),  # loss at the protective stop as a share of the account
        ("margin_fraction", 0.25),  # most margin of a trade, as a share of the account
        ("leverage", 10.0),  # notional / margin of a trade
    )

    def __init__(self) -> None:
        self.atr = {d: bt.ind.ATR(d, period=self.p.period) for d in self.datas}
        self.live: dict[Any, dict[int, Any]] = {data: {} for data in self.datas}
        self.end: dict[Any, int] = {}
        self.distance: dict[Any, float] = {}
        event = self.p.event
        self.event = datetime.fromisoformat(event) if isinstance(event, str) else event
        if self.event and self.event.tzinfo:  # Backtrader's times are naive UTC
            self.event = self.event.astimezone(UTC).replace(tzinfo=None)

    def next(self) -> None:
        """Waits for each data's event; leaves in time, or when unprotected."""
        for data in self.datas:
            if data not in self.end:
                if self.atr[data][0] > 0 and self._is_event(data):
                    self._straddle(data)
                continue
            held = self.getposition(data).size
            if len(data) >= self.end[data] or (held and not self.live[data]):
                self._cancel(data)
                self._track(self.close(data))
                self.end[data] = len(data) + 1  # again, were the close refused

    def _is_event(self, data: Any) -> bool:
        if self.event is None:
            usual = self.atr[data][-1]
            return bool(data.high[0] - data.low[0] > self.p.event_atr * usual)
        lead = timedelta(minutes=self.p.lead)
        return bool(self.event - lead <= data.datetime.datetime(0) <= self.event)

    def _straddle(self, data: Any) -> None:
        close, value = data.close[0], max(self.broker.getvalue(), 0.0)
        self.end[data] = len(data) + self.p.hold
        self.distance[data] = self.p.stop_atr * self.atr[data][0]
        most = self.p.margin_fraction * self.p.leverage * value / close
        size = min(self.p.risk * value / self.distance[data], most)
        away = self.p.entry_atr * self.atr[data][0]
        kind = {"data": data, "size": size, "exectype": bt.Order.Stop, "entry": True}
        up = self.buy(price=close + away, **kind)
        self._track(up, self.sell(price=close - away, oco=up, **kind))

    def _track(self, *orders: Any) -> None:
        for order in filter(None, orders):
            self.live[order.data][order.ref] = order

    def _cancel(self, data: Any) -> None:
        for order in list(self.live[data].values()):
            self.cancel(order)

    def notify_order(self, order: Any) -> None:
        """Protects a filled entry; after a liquidation withdraws its own orders.

        Args:
            order: this strategy's, or one that the broker sent to liquidate.
        """
        if order.info.get("liquidation"):
            self._cancel(order.data)
        elif not order.alive() and self.live[order.data].pop(order.ref, None):
            held = self.getposition(order.data).size  # 0: liquidated in its first bar
            if order.info.get("entry") and order.executed.size and held:
                price = order.executed.price - copysign(self.distance[order.data], held)
                send = self.sell if held > 0 else self.buy
                stop = send(order.data, abs(held), price, exectype=bt.Order.Stop)
                self._track(stop)
