"""Every example strategy on real crashes: the bridge adds up to what is there.

What stands beside the analyzer is looked at in the same runs: the observers show its
series.
"""

import importlib.util
import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import observers
from bt_margin.analyzers import Margin
from bt_margin.core.wallet import SHARED

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
CASH = 10_000.0

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared markets are not beside this checkout"
)

# Folder, symbols, the hours around the crash, and the weeks around them.
MARKETS = {
    "March 2020 by the hour": (
        *("binance_usdm_1h_2019_2026", ("BTCUSDT", "ETHUSDT")),
        *(("2020-03-05", "2020-03-20"), ("2020-02-15", "2020-05-01")),
    ),
    "October 2025 by five minutes": (
        *("binance_usdm_5m_2025_2026", ("SOLUSDT", "PIPPINUSDT")),
        *(("2025-10-10 12:00", "2025-10-11 12:00"), ("2025-10-06", "2025-10-14")),
    ),
    "LAYER in May 2025 by the minute": (
        *("binance_usdm_1m_layer_2025_05", ("BTCUSDT", "LAYERUSDT")),
        *(("2025-05-05 10:00", "2025-05-05 16:00"), ("2025-05-05", "2025-05-08")),
    ),
}
MODES = ("isolated", "cross")

# Class, leverage, and parameters with which it trades within a few hundred bars.
STRATEGIES: dict[str, tuple[str, float, dict[str, Any]]] = {
    "breakout": ("Breakout", 25, {"period": 20, "margin_fraction": 0.1}),
    "event_trade": ("EventTrade", 20, {"period": 20, "risk": 0.5, "hold": 30}),
    "grid": ("Grid", 20, {"levels": 4}),
    "lottery_ticket": ("LotteryTicket", 50, {"every": 40, "look_back": 10}),
    "pair_trade": ("PairTrade", 20, {"period": 60, "entry_z": 2.0, "stop": 0.5}),
    "scalper": ("Scalper", 20, {"period": 20, "entry_atr": 2.0}),
    "top_up": ("TopUp", 20, {"period": 30, "margin_fraction": 0.2}),
    "trend": ("Trend", 3, {"fast": 10, "slow": 40, "atr_period": 20, "risk": 0.05}),
}


@cache
def load(file: str) -> Any:
    path = ROOT / "strategies" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"bridged_{file}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return getattr(module, STRATEGIES[file][0])


@cache
def market(name: str, *, is_long: bool = False) -> Any:
    folder, symbols, short, long = MARKETS[name]
    whole = bt_margin.load_market(DATA / folder, symbols=symbols)
    return whole.between(*(long if is_long else short))


class Values(bt.Analyzer):
    """The broker's value at each bar."""

    def start(self) -> None:
        self.values: list[float] = []

    def next(self) -> None:
        self.values.append(self.strategy.broker.getvalue())

    def prenext(self) -> None:
        self.next()


def prepared(market: Any, file: str, mode: str, **words: Any) -> bt.Cerebro:
    _, leverage, params = STRATEGIES[file]
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker
    words = {"cash": CASH, "leverage": leverage, "margin_mode": mode, **words}
    cerebro.setbroker(broker(**words))
    feed: Any = bt_margin.PerpData
    for symbol, data in market.items():
        frames = {"mark": data.mark, "funding": data.funding}
        cerebro.adddata(feed(dataname=data.trade, name=symbol, **frames))
    cerebro.addstrategy(load(file), leverage=leverage, **params)
    cerebro.addanalyzer(Margin, _name="margin")
    return cerebro


def check_bridge(verify: Callable[[Any, Any], None], cerebro: bt.Cerebro) -> None:
    """The bridge, the ledger and ``getvalue`` tell the same, to 1e-9 of the value."""
    cerebro.addanalyzer(Values, _name="values")
    (strategy,) = cerebro.run()
    broker, margin = strategy.broker, strategy.analyzers.margin
    verify(margin, broker)
    found = margin.get_analysis()
    bridge = found["bridge"]
    assert found["positions"], "no trade: the run proves nothing"

    def near(amount: float) -> Any:
        return pytest.approx(amount, rel=1e-9, abs=1e-9 * CASH)

    kinds = set(bridge) - {"end", "symbols"}
    assert sum(bridge[kind] for kind in kinds) == near(broker.getvalue())
    assert bridge["end"] == near(broker.getvalue())
    nets = sum(part["net"] for part in bridge["symbols"].values())
    assert CASH + bridge["deposit"] + nets == near(broker.getvalue())
    ledger = sum(float(entry.amount) for entry in broker.ledger)
    assert ledger + bridge["unrealized_pnl"] == near(broker.getvalue())
    assert bridge["funding"] == near(sum(e.payment for e in broker.fundings))
    assert strategy.analyzers.values.values[-1] == broker.getvalue()
    compounded = (1 + margin.returns(every=None)).prod()
    assert compounded == near(broker.getvalue() / CASH)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", list(STRATEGIES))
@pytest.mark.parametrize("name", list(MARKETS))
def test_the_bridge_adds_up_on_real_crashes(
    verify: Callable[[Any, Any], None], name: str, file: str, mode: str
) -> None:
    check_bridge(verify, prepared(market(name), file, mode))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("file", list(STRATEGIES))
@pytest.mark.parametrize("name", list(MARKETS))
def test_the_bridge_adds_up_on_real_weeks(
    verify: Callable[[Any, Any], None], name: str, file: str, mode: str
) -> None:
    check_bridge(verify, prepared(market(name, is_long=True), file, mode))


def test_every_example_is_here() -> None:
    files = sorted(path.stem for path in (ROOT / "strategies").glob("*.py"))
    assert files == sorted(STRATEGIES)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", list(MARKETS))
def test_a_refill_on_real_crashes_is_a_deposit_of_the_bridge(
    verify: Callable[[Any, Any], None], name: str, mode: str
) -> None:
    cerebro = prepared(market(name), "grid", mode, on_liquidation="refill")
    (strategy,) = cerebro.run()
    broker, margin = strategy.broker, strategy.analyzers.margin
    verify(margin, broker)
    found = margin.get_analysis()
    assert found["bridge"]["deposit"] == pytest.approx(sum(broker.refills))
    moments = {event.time for event in broker.liquidations}
    assert len(broker.refills) <= len(moments)
    if (name, mode) != ("LAYER in May 2025 by the minute", "cross"):
        assert broker.refills
    # What was put in is no return: the fund earned what is left without it.
    made = broker.getvalue() - CASH - sum(broker.refills)
    assert sum(part["net"] for part in found["bridge"]["symbols"].values()) == (
        pytest.approx(made)
    )
    if broker.ruins:
        assert (1 + margin.returns()).prod() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", list(MARKETS)[:2])
def test_a_run_stops_with_its_first_real_liquidation(name: str, mode: str) -> None:
    cerebro = prepared(market(name), "grid", mode, on_liquidation="stop")
    (strategy,) = cerebro.run()
    events = strategy.broker.liquidations
    last, length = strategy.datetime.datetime(0), strategy.datetime.datetime(-1)
    length = last - length
    moments = {event.time.replace(tzinfo=None) for event in events}
    assert moments
    assert all(last <= moment < last + length for moment in moments)


# The observers


def line(strategy: Any, kind: Any, name: str) -> list[float]:
    (observer,) = (one for one in strategy.getobservers() if type(one) is kind)
    return list(getattr(observer.lines, name).plot())


class Wallets(bt.Analyzer):
    """Balances at each bar, out of the entries of the ledger."""

    def start(self) -> None:
        self.shared: list[float] = []
        self.isolated: list[float] = []

    def next(self) -> None:
        shared = isolated = 0.0
        for entry in self.strategy.broker.ledger:
            if entry.wallet == SHARED:
                shared += entry.amount
            else:
                isolated += entry.amount
        self.shared.append(shared)
        self.isolated.append(isolated)

    def prenext(self) -> None:
        self.next()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("March 2020 by the hour", "grid", {}),
        ("March 2020 by the hour", "top_up", {}),
        ("October 2025 by five minutes", "grid", {"on_liquidation": "refill"}),
        ("October 2025 by five minutes", "pair_trade", {}),
        ("LAYER in May 2025 by the minute", "grid", {}),
    ],
)
def test_observers_show_the_series_of_the_analyzer(
    name: str, file: str, mode: str, words: dict[str, Any]
) -> None:
    cerebro = prepared(market(name), file, mode, **words)
    for kind in (observers.MarginRatio, observers.Wallets, observers.Funding):
        cerebro.addobserver(kind)
    for kind in (observers.LiquidationPrice, observers.Liquidations):
        cerebro.addobservermulti(kind)
    cerebro.addanalyzer(Wallets, _name="wallets")
    (strategy,) = cerebro.run()
    broker, margin = strategy.broker, strategy.analyzers.margin
    found = margin.get_analysis()
    series = found["series"]
    if (name, mode) != ("LAYER in May 2025 by the minute", "cross"):
        assert found["liquidations"]["count"]

    seen = line(strategy, observers.MarginRatio, "margin_ratio")
    ratios = [r if math.isfinite(r) else math.nan for r in series["margin_ratio"]]
    assert repr(seen) == repr(ratios)
    assert max(ratio for ratio in ratios if not math.isnan(ratio)) > 0

    # All wallets and what is unrealized, after the strategy's own acts of the bar.
    balance = line(strategy, observers.Wallets, "margin_balance")
    used, idle = series["used"], series["idle"]
    assert balance == pytest.approx(list(series["value"]), rel=1e-9)
    shared = line(strategy, observers.Wallets, "shared")
    isolated = line(strategy, observers.Wallets, "isolated")
    wallets = strategy.analyzers.wallets
    assert shared == pytest.approx(wallets.shared, rel=1e-9, abs=1e-6)
    held = [0.0 if math.isnan(one) else one for one in isolated]
    assert held == pytest.approx(wallets.isolated, rel=1e-9, abs=1e-6)
    if mode == "isolated":
        # Nothing unrealized counts in an isolated account's available balance.
        assert any(used)
        assert all(a <= b + 1e-6 for a, b in zip(idle, shared, strict=True))

    paid = line(strategy, observers.Funding, "funding")
    assert paid[-1] == pytest.approx(found["bridge"]["funding"], rel=1e-9, abs=1e-9)
    stamps = sorted(
        (event.time.timestamp() * 1000, event.payment) for event in broker.fundings
    )
    length = series["time"][1] - series["time"][0]
    for moment, value in zip(series["time"], paid, strict=True):
        so_far = sum(amount for stamp, amount in stamps if stamp < moment + length)
        assert value == pytest.approx(so_far, rel=1e-9, abs=1e-9)

    marked = sum(
        not math.isnan(value)
        for one in strategy.getobservers()
        if type(one) is observers.Liquidations
        for side in ("long", "short")
        for value in getattr(one.lines, side).plot()
    )
    # One mark for each bar, side and symbol.
    bars = {
        (event.symbol, event.size > 0, event.time.timestamp() * 1000 // length)
        for event in broker.liquidations
    }
    assert marked == len(bars)
