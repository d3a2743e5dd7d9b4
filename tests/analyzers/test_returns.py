"""Returns: ours, Backtrader's analyzers on our broker, and the tear sheet."""

import importlib
from typing import Any

import backtrader as bt
import pytest

from bt_margin import CrossBroker, IsolatedBroker
from bt_margin.analyzers import Margin
from bt_margin.core.errors import MarginError


def run(tools: Any, broker: Any, deposit: float = 0.0) -> Any:
    """A long walk with some trades; on the 100th bar a deposit."""

    def script(strategy: Any, bar: int) -> None:
        tools.reversals(strategy, bar)
        if bar == 100 and deposit:
            strategy.broker.add_cash(deposit)

    def prepare(cerebro: Any) -> None:
        days = bt.TimeFrame.Days
        cerebro.addanalyzer(Margin, _name="margin")
        cerebro.addanalyzer(bt.analyzers.TimeReturn, _name="value", timeframe=days)
        cerebro.addanalyzer(
            bt.analyzers.TimeReturn, _name="fund", timeframe=days, fund=True
        )
        cerebro.addanalyzer(bt.analyzers.PyFolio, _name="pyfolio")

    ran = tools.record(broker, script, tools.random_walk(bars=300), prepare=prepare)
    return ran.strategy.analyzers


def compounded(returns: Any) -> float:
    total = 1.0
    for one in returns:
        total *= 1 + one
    return total


@pytest.mark.parametrize("maker", [IsolatedBroker, CrossBroker])
def test_returns_compound_to_end_over_start(tools: Any, maker: Any) -> None:
    broker = maker(cash=1_000, leverage=5)
    found = run(tools, broker)
    gain = pytest.approx(broker.getvalue() / 1_000, rel=1e-12)
    assert broker.getvalue() != 1_000
    assert compounded(found.value.get_analysis().values()) == gain
    assert compounded(found.fund.get_analysis().values()) == gain
    returns, positions, transactions, _ = found.pyfolio.get_pf_items()
    assert compounded(returns) == gain
    assert len(positions)
    assert len(transactions)
    assert compounded(found.margin.returns()) == gain
    assert compounded(found.margin.returns(every=None)) == gain


@pytest.mark.parametrize("maker", [IsolatedBroker, CrossBroker])
def test_our_days_are_those_of_stock_analyzers(tools: Any, maker: Any) -> None:
    found = run(tools, maker(cash=1_000, leverage=5))
    ours = found.margin.returns()
    stock = list(found.value.get_analysis().values())
    assert ours.tolist() == pytest.approx(stock, abs=1e-12)
    theirs, *_ = found.pyfolio.get_pf_items()
    assert list(ours.index) == list(theirs.index)


# Stock counts a deposit as a gain unless it is told to look at the fund's shares.
def test_a_deposit_is_no_return_of_the_fund(tools: Any) -> None:
    broker = CrossBroker(cash=1_000, leverage=5)
    found = run(tools, broker, deposit=4_000)
    end = broker.getvalue()
    assert compounded(found.value.get_analysis().values()) == pytest.approx(end / 1_000)
    of_fund = compounded(found.fund.get_analysis().values())
    assert of_fund == pytest.approx(broker.fundvalue / 100)
    assert of_fund < 2
    assert compounded(found.margin.returns()) == pytest.approx(of_fund)
    bridge = found.margin.get_analysis()["bridge"]
    assert bridge["deposit"] == 4_000
    assert bridge["end"] == pytest.approx(end)


def test_a_deposit_after_ruin_begins_a_new_fund(scenario: Any, analyse: Any) -> None:
    s = scenario
    bars = [s.flat(p) for p in (100, 100, 60, 60, 60, 60)]
    plan = {
        0: [s.send("buy", 99)],
        3: [lambda strategy: strategy.broker.add_cash(500)],
    }
    margin = analyse(s.perp(bars), plan, CrossBroker(cash=1_000, leverage=10))
    returns = margin.returns(every=None).tolist()
    assert returns[2] == pytest.approx(-1)
    assert returns[3:] == [0, 0, 0]


def test_without_quantstats_the_message_says_how_to_install_it(
    scenario: Any, analyse: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    margin = analyse(
        scenario.perp([scenario.flat(100)] * 3), {}, CrossBroker(cash=1_000)
    )
    monkeypatch.setattr("bt_margin.analyzers.tearsheet.import_module", missing)
    with pytest.raises(MarginError, match=r"pip install 'bt_margin\[tearsheet\]'"):
        margin.tearsheet(tmp_path / "sheet.html")


@pytest.mark.filterwarnings("ignore")
def test_quantstats_computes_the_same_compound_return(
    tools: Any, tmp_path: Any
) -> None:
    pytest.importorskip("quantstats", reason="the extra [tearsheet] is not installed")
    stats = importlib.import_module("quantstats.stats")
    broker = CrossBroker(cash=1_000, leverage=5)
    margin = run(tools, broker).margin
    total = stats.comp(margin.returns().tz_localize(None))
    assert total == pytest.approx(broker.getvalue() / 1_000 - 1)
    page = tmp_path / "sheet.html"
    margin.tearsheet(page)
    assert "<html" in page.read_text(encoding="utf-8").lower()
