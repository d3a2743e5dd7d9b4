"""The peers' strategy under backtrader-next, with its own fast feed and loop."""

from pathlib import Path
from typing import Any

import backtrader_next as bt
import pandas as pd

from .serving import CASH, FAST, FEE, HIGH, LEVERAGE, LOW, SIZE, SLOW, STRENGTH, serve


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


def once(file: Path) -> tuple[int, float]:
    """A run; trades and value."""
    cerebro: Any = bt.Cerebro(stdstats=False)
    feed = {"timeframe": bt.TimeFrame.Minutes, "compression": 1}
    cerebro.adddata(bt.feeds.PandasData(dataframe=pd.read_parquet(file), **feed))
    cerebro.addstrategy(Crossing)
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.broker.setcash(CASH)
    cerebro.broker.setcommission(commission=FEE, leverage=LEVERAGE)
    strategy = cerebro.run()[0]
    trades = strategy.analyzers.trades.get_analysis()
    return trades.total.total, cerebro.broker.getvalue()


if __name__ == "__main__":
    serve(once)
