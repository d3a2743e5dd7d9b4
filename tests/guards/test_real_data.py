"""Real months: guards and sizers around unchanged strategies."""

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import guards, sizers

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
LEVERAGE = 50

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared markets are not beside this checkout"
)

MARKETS = {
    "March 2020 by the hour": (
        *("binance_usdm_1h_2019_2026", ("BTCUSDT", "ETHUSDT")),
        *("2020-03-05", "2020-03-20"),
    ),
    "October 10 and 11, 2025, by five minutes": (
        *("binance_usdm_5m_2025_2026", ("BTCUSDT", "SOLUSDT")),
        *("2025-10-10", "2025-10-12"),
    ),
}
GUARDS: dict[str, Callable[[], Any]] = {
    "liquidation distance": lambda: guards.LiquidationDistance(ranges=1),
    "margin cap": lambda: guards.MarginCap(0.05),
    "margin ratio cap": lambda: guards.MarginRatioCap(0.02),
    "daily loss cap": lambda: guards.DailyLossCap(0.02),
    "stop after liquidation": guards.StopAfterLiquidation,
    "top up": lambda: guards.TopUp(at_ratio=0.4),
    "pull back": lambda: guards.PullBack(at_ratio=0.2, to_ratio=0.3),
    "reduce before": lambda: guards.ReduceBefore(at_ratio=0.4),
}
SIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "fixed fraction": (sizers.FixedFraction, {"fraction": 0.05}),
    "risk to stop": (sizers.RiskToStop, {"risk": 0.02, "distance": 0.01}),
    "Kelly": (sizers.Kelly, {"min_trades": 3, "fraction": 0.05}),
    "margin by volatility": (sizers.VolatilityMargin, {"ranges": 2.0}),
}


@cache
def market(name: str) -> Any:
    folder, symbols, start, end = MARKETS[name]
    return bt_margin.load_market(DATA / folder, symbols=symbols).between(start, end)


@cache
def scalper() -> Any:
    path = ROOT / "strategies" / "scalper.py"
    spec = importlib.util.spec_from_file_location("guarded_scalper", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return module.Scalper


class Audit(bt.Analyzer):
    """Checks the account at every bar."""

    def next(self) -> None:
        broker = self.strategy.broker
        sums: dict[str, float] = {}
        for entry in broker.ledger:
            sums[entry.wallet] = sums.get(entry.wallet, 0.0) + entry.amount
        for wallet, balance in sums.items():
            kind, _, symbol = wallet.partition(":")
            if kind == "isolated":
                held = symbol in broker.account.positions
                assert abs(balance) < 1e-6 or held
        assert broker.getcash() >= 0


def run(name: str, mode: str, strategy: Any, *watching: Any, **words: Any) -> Any:
    sizer = words.pop("sizer", None)
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker
    cerebro.setbroker(broker(cash=10_000.0, leverage=LEVERAGE, margin_mode=mode))
    feed: Any = bt_margin.PerpData
    for symbol, data in market(name).items():
        frames = {"mark": data.mark, "funding": data.funding}
        cerebro.adddata(feed(dataname=data.trade, name=symbol, **frames))
    cerebro.addstrategy(strategy, **words)
    if sizer:
        cerebro.addsizer(sizer[0], **sizer[1])
    cerebro.addanalyzer(Audit)
    guards.attach(cerebro, *watching)
    return cerebro.run()[0]


def scalp(name: str, mode: str, *watching: Any) -> Any:
    words = {
        "period": 20,
        "entry_atr": 1.5,
        "stop_atr": 3.0,
        "margin_fraction": 0.3,
        "leverage": LEVERAGE,
    }
    return run(name, mode, scalper(), *watching, **words)


@pytest.fixture(params=list(MARKETS))
def market_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["isolated", "cross"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", list(GUARDS))
def test_each_guard_watches_over_an_unchanged_strategy(
    market_name: str, mode: str, kind: str
) -> None:
    guard = GUARDS[kind]()
    broker = scalp(market_name, mode, guard).broker
    names = {action.guard for action in broker.guard_actions}
    assert names <= {type(guard).__name__}
    # By the hour a position at 50 times is gone before a bar ends with it in danger.
    rare = ("margin ratio cap", "top up", "reduce before")
    is_fine = kind != "margin ratio cap" and "minutes" in market_name
    if kind == "margin cap" or (mode == "isolated" and (is_fine or kind not in rare)):
        assert names, "nothing to guard against: the run proves nothing"


@pytest.mark.parametrize("kind", list(SIZERS))
def test_each_sizer_sizes_backtraders_own_strategy(
    market_name: str, mode: str, kind: str
) -> None:
    words = {"fast": 5, "slow": 15, "sizer": SIZERS[kind]}
    strategy = run(market_name, mode, bt.strategies.MA_CrossOver, **words)
    fills = [
        order
        for order in strategy.broker.orders
        if order.executed.size and order.isbuy()
    ]
    if kind != "Kelly":
        assert fills


def test_with_guards_there_are_no_more_liquidations(
    market_name: str, mode: str
) -> None:
    bare = scalp(market_name, mode)
    watching = [guards.LiquidationDistance(ranges=1), guards.MarginCap(0.05)]
    guarded = scalp(market_name, mode, *watching)
    assert len(guarded.broker.liquidations) <= len(bare.broker.liquidations)
    if mode == "isolated":
        # A stop nearer than the liquidation comes first, but for gaps.
        assert len(guarded.broker.liquidations) == 0
        assert len(bare.broker.liquidations) > 0
