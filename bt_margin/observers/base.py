"""What the observers share: whom they ask, and the clock of their lines."""

from math import nan
from typing import Any, ClassVar

import backtrader as bt

from bt_margin.broker import MarginBroker

__all__ = ["AccountObserver", "PriceObserver"]


class AccountObserver(bt.Observer):
    """An observer in a panel of its own, with a value at each step of the strategy.

    Its lines stay NaN under stock accounting: any broker but `MarginBroker`, and
    ``margin_mode="off"``.
    """

    _stclock = True

    plotinfo: ClassVar[Any] = {"plot": True, "subplot": True}

    def __init__(self) -> None:
        # Not in `start`: Backtrader does not call that of `addobservermulti`'s.
        super().__init__()
        broker = self._owner.broker
        has_margin = isinstance(broker, MarginBroker) and broker.p.margin_mode != "off"
        self._broker = broker if has_margin else None

    def next(self) -> None:
        """Look at the account at the end of a bar."""
        if self._broker is not None:
            self.observe(self._broker)

    def observe(self, broker: Any) -> None:
        """Set the lines from what the broker answers."""
        raise NotImplementedError

    def _plotlabel(self) -> list[str]:
        """The names of the feeds, where it does not look at all of them."""
        if len(self.datas) == len(self._owner.datas):
            return []
        return [data._name for data in self.datas if data._name]


class PriceObserver(AccountObserver):
    """An observer on the price panel of its feed, with a value at each of its bars.

    It looks at one feed: add it with ``addobservermulti`` where there are several.
    """

    _stclock = False

    plotinfo: ClassVar[Any] = {"subplot": False}

    def forward(self, value: float = nan, size: int = 1) -> None:
        """Go on with the feed.

        Backtrader's ``runonce`` moves every observer with the strategy, which would
        draw the values of a slower or shorter feed at other bars than theirs.
        """
        if size > 1 or len(self) < len(self.data):
            super().forward(value, size)

    def next(self) -> None:
        """Look at the account, once the feed has begun."""
        if len(self):
            super().next()

    def _plotlabel(self) -> list[str]:
        return []
