"""The peers' strategy for Backtrader, and for a package with the same classes."""

from typing import Any

from .serving import FAST, HIGH, LOW, SIZE, SLOW, STRENGTH


def crossing_of(bt: Any) -> Any:
    """The strategy on the classes of a package: Backtrader's or its fork's."""

    class Crossing(bt.Strategy):
        """Always long or short."""

        def __init__(self) -> None:
            fast, slow = (bt.ind.SMA(period=period) for period in (FAST, SLOW))
            self.crossing = bt.ind.CrossOver(fast, slow)
            self.strength = bt.ind.RSI(period=STRENGTH, safediv=True)

        def next(self) -> None:
            crossed = self.crossing[0]
            if crossed > 0 and self.strength[0] < HIGH:
                self.close()
                self.buy(size=SIZE)
            elif crossed < 0 and self.strength[0] > LOW:
                self.close()
                self.sell(size=SIZE)

    return Crossing
