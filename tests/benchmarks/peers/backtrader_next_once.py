"""The peers' strategy under backtrader-next, with its own fast feed and loop."""

from pathlib import Path
from typing import Any

import backtrader_next as bt
import pandas as pd

from .rule import crossing_of
from .serving import CASH, FEE, LEVERAGE, serve

Crossing = crossing_of(bt)


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
