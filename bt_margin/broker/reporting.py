"""Reporting: what the walk did, told to orders, trades and strategies."""

from collections.abc import Iterable, Iterator
from typing import Any

import backtrader as bt

from bt_margin.core.contract import position_key
from bt_margin.core.deleveraging import DeleveragingEvent
from bt_margin.core.funding import FundingEvent
from bt_margin.core.liquidation import LiquidationEvent
from bt_margin.core.policy import OrderScope
from bt_margin.core.walk import Event
from bt_margin.core.wallet import SHARED, MarginMode

from .aftermath import MarginWarning
from .commission import TradeScheme
from .legs import Leg

__all__ = ["Reporter"]

_HOOKS = {
    FundingEvent: "notify_funding",
    LiquidationEvent: "notify_liquidation",
    DeleveragingEvent: "notify_deleveraging",
    MarginWarning: "notify_margin_warning",
}


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
                key = position_key(event.symbol, event.leg)
                broker.d_credit[key] -= event.payment
                continue
            if isinstance(event, LiquidationEvent):
                broker.liquidations.append(event)
                for order in self._cancelled_by(data, event):
                    broker.cancel(order)
            else:
                broker.deleveragings.append(event)
            self._end_protection(data, event)
            self._close_legs(data, event)

    def _cancelled_by(self, data: Any, event: LiquidationEvent) -> Iterator[Any]:
        """The live orders that go with a liquidation."""
        broker, scope = self._broker, self._broker.venue.liquidation.cancel
        feeds = {other for other in broker.feeds if broker.leader(other) is data}
        if event.wallet == SHARED and scope is not OrderScope.SYMBOL:
            modes = {other: broker.terms(other).mode for other in broker.feeds}
            feeds |= {other for other in modes if modes[other] is MarginMode.CROSS}
        for order in broker.live_orders():
            if order.data not in feeds or not order.alive():
                continue
            # The other leg of an isolated one stands on a wallet of its own.
            is_apart = event.leg and event.wallet != SHARED
            if is_apart and order.info.position_side != event.leg:
                continue
            if scope is not OrderScope.ADDING or self._adds(order, data, event):
                yield order

    def _adds(self, order: Any, data: Any, event: LiquidationEvent) -> bool:
        """Whether an order could add to a position as it was before the event."""
        broker = self._broker
        if broker.is_reducing(order):
            return False
        if broker.is_hedged:
            return True
        size = event.size + event.remaining
        if broker.leader(order.data) is not data or not event.size:
            size = broker.positions[order.data].size
        return not size or (size > 0) is bool(order.isbuy())

    def _end_protection(
        self, data: Any, event: LiquidationEvent | DeleveragingEvent
    ) -> None:
        """End what only closes a position that is gone; of a rest it closes no more.

        The children of a bracket stand behind the position that their entry opened:
        without it they would open another one.
        """
        broker = self._broker
        for order in broker.live_orders():
            is_meant = broker.leader(order.data) is data and (
                not event.leg or order.info.position_side == event.leg
            )
            if not is_meant or not order.alive():
                continue
            parent = order.parent
            if parent is not None and not parent.executed.size:
                continue  # it is about a position that is still to come
            has_entered = parent is None or not parent.alive()
            if parent is not None:
                order.addinfo(reduce_only=True)
            if not event.remaining and has_entered and broker.is_reducing(order):
                broker.cancel(order)

    def _close_legs(
        self, data: Any, event: LiquidationEvent | DeleveragingEvent
    ) -> None:
        """One completed order for each trade that holds part of the position."""
        broker = self._broker
        word, carried = "deleveraging", 0.0
        if isinstance(event, LiquidationEvent):
            word, carried = "liquidation", -event.fee
        key = position_key(event.symbol, event.leg)
        if broker.p.int2pnl:
            carried += broker.d_credit.pop(key, 0.0)
        share = event.size / (event.size + event.remaining)
        legs = broker.legs.take(key, share)
        total = sum(abs(leg.size) for _, _, leg in legs)
        broker.move_position(data, -event.size, event.fill_price)
        for owner, tradeid, leg in legs:
            side = bt.order.SellOrder if leg.size > 0 else bt.order.BuyOrder
            order = side(
                owner=owner,
                data=data,
                size=abs(leg.size),
                price=event.fill_price,
                tradeid=tradeid,
            )
            order.addinfo(**{word: event})
            if event.leg:
                order.addinfo(position_side=event.leg)
            order.submit(broker)
            order.accept(broker)
            broker.orders.append(order)
            self._complete(order, event, leg, carried * abs(leg.size) / total)

    def _complete(
        self,
        order: Any,
        event: LiquidationEvent | DeleveragingEvent,
        leg: Leg,
        commission: float,
    ) -> None:
        """Fill the order of a forced close whole, closing its part of a trade."""
        broker, size, price = self._broker, order.created.size, event.fill_price
        terms, position = broker.terms(order.data), broker.positions[order.data]
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
            position.size,
            position.price,
        )
        comminfo = terms.comminfo
        if terms.contract.inverse:
            comminfo = TradeScheme(comminfo, leg.entry_price, leg.entry_price)
        order.addcomminfo(comminfo)
        broker.notify(order)

    def tell(self, warnings: Iterable[MarginWarning] = ()) -> None:
        """Call the hooks that strategies define, once the bar is done."""
        news: list[Event | MarginWarning] = [*self._news, *warnings]
        self._news = []
        cerebro = self._broker.cerebro
        for event in news:
            cerebro._notify_store(event)
            for strategy in cerebro.runningstrats:
                strategy.notify_store(event)
                method = getattr(strategy, _HOOKS[type(event)], None)
                if method is not None:
                    method(event)
