"""Liquidations: marks on the price, where the venue closed a position."""

from typing import Any, ClassVar

from .base import PriceObserver

__all__ = ["Liquidations"]


class Liquidations(PriceObserver):
    """The mark price at which a position of the feed was liquidated.

    A line for longs and one for shorts; of several in one bar the last. What the
    trader got is ``event.fill_price``, which `BuySell` shows.
    """

    lines: Any = ("long", "short")

    plotinfo: ClassVar[Any] = {"plotname": "Liquidations", "plotlinelabels": True}
    plotlines: ClassVar[Any] = {
        side: {
            "_name": f"{side} liquidated",
            "marker": "X",
            "markersize": 11.0,
            "color": color,
            "markeredgecolor": "black",
            "ls": "",
            "_plotvalue": False,
            "_plotvaluetag": False,
        }
        for side, color in (("long", "magenta"), ("short", "blueviolet"))
    }

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0
        self._length = 0

    def observe(self, broker: Any) -> None:
        """Mark the liquidations since the last look.

        A slower clone shows them in the bar that holds them, once it is complete.
        """
        is_new, self._length = len(self) > self._length, len(self)
        if not is_new and broker.leader(self.data) is not self.data:
            return
        symbol = broker.instrument(self.data).symbol
        news = broker.liquidations[self._seen :]
        self._seen += len(news)
        for event in news:
            if event.symbol == symbol:
                line = self.lines.long if event.size > 0 else self.lines.short
                line[0] = float(event.mark_price)
