"""Reporting: what the walk did, told to orders, trades and strategies."""

from collections.abc import Iterable, Iterator
from typing import Any

import backtrader as bt

from bt_margin.core.funding import FundingEvent
from bt_margin.core.liquidation import LiquidationEvent, OrderScope
from bt_margin.core.walk import Event
from bt_margin.core.wallet import SHARED, MarginMode

__all__ = ["Reporter"]


class Reporter:
    """Brings the events of a bar to Backtrader.

    Args:
        broker: the `MarginBroker` whose events these are.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._news: list[Event] = []

    def publish(self, events: Iterable[Event]) -> None:
        """Bring events to the broker's lists, its orders and its positions."""
        broker = self._broker
        for event in events:
            data = broker.data_of_symbol(event.symbol)
            self._news.append(event)
            if isinstance(event, FundingEvent):
                broker.fundings.append(event)
                # Carried into the commission of the next close, as interest is.
                broker.d_credit[data] -= event.payment
            else:
                broker.liquidations.append(event)
                for order in self._cancelled_by(data, event):
                    broker.cancel(order)
                self._close_legs(data, event)

    def _cancelled_by(self, data: Any, event: LiquidationEvent) -> Iterator[Any]:
        """The live orders that go with a liquidated wallet."""
        broker = self._broker
        scope = {other for other in broker.feeds if broker.leader(other) is data}
        whole_wallet = broker.venue.liquidation.cancel is OrderScope.WALLET
        if event.wallet == SHARED and whole_wallet:
            modes = {other: broker.terms(other).mode for other in broker.feeds}
            scope |= {other for other in modes if modes[other] is MarginMode.CROSS}
        for order in broker.live_orders():
            if order.data in scope and order.alive():
                yield order

    def _close_legs(self, data: Any, event: LiquidationEvent) -> None:
        """One completed order for each trade that holds part of the position."""
        broker = self._broker
        carried = -event.fee
        if broker.p.int2pnl:
            carried += broker.d_credit.pop(data, 0.0)
        legs = broker.legs.pop(data)
        total = sum(abs(size) for _, _, size in legs)
        broker.move_position(data, -event.size, event.fill_price)
        for owner, tradeid, size in legs:
            side = bt.order.SellOrder if size > 0 else bt.order.BuyOrder
            order = side(
                owner=owner,
                data=data,
                size=abs(size),
                price=event.fill_price,
                tradeid=tradeid,
            )
            order.addinfo(liquidation=event)
            order.submit(broker)
            order.accept(broker)
            broker.orders.append(order)
            self._complete(order, event, carried * abs(size) / total)

    def _complete(self, order: Any, event: LiquidationEvent, commission: float) -> None:
        """Fill a liquidation order whole, closing its trade."""
        broker, size, price = self._broker, order.created.size, event.fill_price
        terms = broker.terms(order.data)
        pnl = terms.contract.pnl(-size, event.entry_price, price)
        value = terms.comminfo.getvaluesize(-size, event.entry_price)
        nothing_opened = (0, 0.0, 0.0)
        order.execute(
            order.data.datetime[0],
            size,
            price,
            size,
            value,
            commission,
            *nothing_opened,
            terms.comminfo.margin,
            float(pnl),
            0,
            0.0,
        )
        order.addcomminfo(terms.comminfo)
        broker.notify(order)

    def tell(self) -> None:
        """Call the hooks that strategies define, once the bar is done."""
        news, self._news = self._news, []
        cerebro = self._broker.cerebro
        for event in news:
            is_funding = isinstance(event, FundingEvent)
            hook = "notify_funding" if is_funding else "notify_liquidation"
            cerebro._notify_store(event)
            for strategy in cerebro.runningstrats:
                strategy.notify_store(event)
                method = getattr(strategy, hook, None)
                if method is not None:
                    method(event)
