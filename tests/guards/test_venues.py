"""Guards and sizers keep to the rules of every venue."""

from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import guards, sizers

MARKET = bt_margin.sample_market().select("BTCUSDT").between("2025-03-04", "2025-03-05")


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("venue", bt_margin.venue_names())
def test_a_run_under_all_of_them(venue: str, mode: str) -> None:
    page = bt_margin.get_venue(venue)
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker
    try:
        cerebro.setbroker(
            broker(cash=10_000, leverage=20, margin_mode=mode, venue=page)
        )
    except bt_margin.MarginError as error:
        pytest.skip(str(error))
    feed: Any = bt_margin.PerpData
    data = MARKET["BTCUSDT"]
    frames = {"mark": data.mark, "funding": data.funding}
    cerebro.adddata(feed(dataname=data.trade, name="BTCUSDT", **frames))
    cerebro.addstrategy(bt.strategies.MA_CrossOver, fast=15, slow=60)
    cerebro.addsizer(sizers.VolatilityMargin, fraction=0.2, ranges=60)
    watching: list[Any] = [
        guards.MarginCap(0.5),
        guards.LiquidationDistance(ranges=2),
        guards.ReduceBefore(at_ratio=0.3),
    ]
    if page.controls.adds_margin:
        watching.append(guards.TopUp(at_ratio=0.15, share=0.1))
    if page.controls.removal is not None:
        watching.append(guards.PullBack(at_ratio=0.1, to_ratio=0.2))
    guards.attach(cerebro, *watching)
    (strategy,) = cerebro.run()
    assert [order for order in strategy.broker.orders if order.executed.size]
