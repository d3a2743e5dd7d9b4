"""Real months through the example strategies: the bridge adds up to what is there.

The markets are those of the broker's tests on real data.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.analyzers import Margin


def load_markets() -> Any:
    path = Path(__file__).parents[1] / "broker" / "test_real_data.py"
    spec = importlib.util.spec_from_file_location("analyzers_real_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


real = load_markets()
pytestmark = real.pytestmark


@pytest.mark.parametrize("mode", real.BOTH)
@pytest.mark.parametrize(
    "number", range(3), ids=[name for _, name, _ in real.STRATEGIES]
)
@pytest.mark.parametrize("market_name", list(real.MARKETS))
def test_the_bridge_adds_up_on_real_months(
    verify: Any, market_name: str, number: int, mode: str
) -> None:
    file, name, params = real.STRATEGIES[number]
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker(
        cash=real.CASH, leverage=real.LEVERAGE, margin_mode=mode
    )
    cerebro.setbroker(broker)
    feed: Any = bt_margin.PerpData
    for symbol, data in real.market(market_name).items():
        frames = {"mark": data.mark, "funding": data.funding}
        cerebro.adddata(feed(dataname=data.trade, name=symbol, **frames))
    cerebro.addstrategy(real.load(file, name), leverage=real.LEVERAGE, **params)
    cerebro.addanalyzer(Margin, _name="margin")
    margin = cerebro.run()[0].analyzers.margin
    verify(margin, broker)
    found = margin.get_analysis()
    assert found["positions"]
    paid = sum(event.payment for event in broker.fundings)
    assert found["bridge"]["funding"] == pytest.approx(paid, abs=1e-6)
    compounded = (1 + margin.returns(every=None)).prod()
    assert compounded == pytest.approx(broker.getvalue() / real.CASH, abs=1e-9)
