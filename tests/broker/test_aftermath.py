"""After a bar: warnings of a margin ratio, and what follows a liquidation.

A long of 10 at 100 with 10x stands on 100 and is liquidated at 100 - (100 - 5) / 10 =
90.5; there are no fees.
"""

from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.errors import ParameterError
from bt_margin.core.ledger import LedgerEntryKind

from .conftest import candles


class Long(bt.Strategy):
    """Buys 10 whenever it is flat."""

    def __init__(self) -> None:
        self.warnings: list[Any] = []
        self.bars = 0

    def notify_margin_warning(self, event: Any) -> None:
        self.warnings.append((self.bars, event))

    def next(self) -> None:
        self.bars += 1
        if not self.position:
            self.buy(size=10)


def run(prices: list[float], cash: float = 1_000.0, **params: Any) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.IsolatedBroker(cash=cash, leverage=10.0, **params)
    scheme: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(scheme(maker_fee_rate=0, taker_fee_rate=0))
    cerebro.setbroker(broker)
    cerebro.adddata(
        bt_margin.PerpData(dataname=candles([(p,) * 4 for p in prices])), name="BTC"
    )
    cerebro.addstrategy(Long)
    cerebro.addanalyzer(bt.analyzers.TimeReturn, timeframe=bt.TimeFrame.NoTimeFrame)
    return cerebro.run()[0]


def test_a_ratio_that_rises_to_the_threshold_is_told_once_each_time() -> None:
    # 100 + 10 (p - 100) of margin against 5: the ratio is 0.5 at 91, so at 91 and
    # again at 90.9, after 92 (5 / 20 = 0.25) had let it fall.
    prices = [100, 100, 92, 91, 90.9, 92, 90.9, 92]
    strategy = run(prices, warning_ratio=0.5)
    assert [bars for bars, _ in strategy.warnings] == [3, 6]
    event = strategy.warnings[0][1]
    assert (event.wallet, event.symbols) == ("isolated:BTC", ("BTC",))
    assert event.margin.margin_balance == pytest.approx(10)
    assert event.margin.maintenance_margin == pytest.approx(5)
    assert event.threshold == 0.5


def test_the_run_goes_on_after_a_liquidation_unless_told_otherwise() -> None:
    strategy = run([100, 100, 80, 80, 80])
    assert strategy.bars == 5
    assert strategy.broker.getvalue() == pytest.approx(900)


def test_the_run_stops_with_the_bar_of_the_liquidation() -> None:
    strategy = run([100, 100, 80, 80, 80], on_liquidation="stop")
    assert strategy.bars == 3
    assert len(strategy.broker.liquidations) == 1


def test_a_refill_is_a_deposit_to_the_starting_cash_and_no_profit() -> None:
    # Bought at 100, liquidated at 80 for 100; bought at 80 (8,000 / 10 = 80 locked),
    # liquidated at 60 for 80.
    strategy = run([100, 100, 80, 80, 60, 60], on_liquidation="refill")
    broker = strategy.broker
    assert broker.refills == pytest.approx([100, 80])
    deposits = [e for e in broker.ledger if e.kind is LedgerEntryKind.DEPOSIT]
    assert [e.amount for e in deposits] == pytest.approx([1_000, 100, 80])
    assert broker.getvalue() == pytest.approx(1_000)


def test_a_wrong_word_is_refused_with_those_there_are() -> None:
    with pytest.raises(ParameterError, match="continue, stop, refill"):
        bt_margin.IsolatedBroker(on_liquidation="pray")
