"""A run in the leaner loop is the run in Backtrader's loop, to the last bit.

Every kind of order, run mode, feed and setting of the table of conformance, and every
strategy of the repository; and faults planted into the loop, which must show.
"""

import importlib.util
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import MarginBroker, PerpData
from bt_margin.accelerate import install, turns, watching
from bt_margin.broker import watch

from .conftest import Plain

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "strategies").glob("*.py"))
ALL = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
MODES = ("off", "isolated", "cross")
REAL = ROOT.parent / "shared" / "data"


def load(path: Path) -> Any:
    """A module by its path: the table's rows are needed to collect the tests."""
    name = f"accelerate_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


TABLE = load(ROOT / "tests" / "conformance" / "test_table.py")
RUNONCE = [*TABLE.pairwise((TABLE.ORDERS, ("runonce",), TABLE.FEEDS, TABLE.SETTINGS))]


def make_broker(name: str, *, accelerate: bool) -> Any:
    """A broker of the table, or Backtrader's; this one gets its loop by `install`."""
    if name == "stock":
        return bt.brokers.BackBroker(cash=TABLE.AMPLE)
    words = {"margin_mode": name, "cash": TABLE.AMPLE, "order_margin": False}
    return MarginBroker(**words) if accelerate else Plain(**words)


def play(tools: tuple[Any, Any, Any], broker: str, row: Any, accelerate: bool) -> Any:
    """A picture of a row of the table, and whether the leaner loop ran."""
    pictures, conformance, broker_tools = tools
    kept: list[Any] = []

    def keep(cerebro: Any) -> None:
        kept.append(cerebro)
        for name in ("Broker", "Trades", "DrawDown", "Value"):
            cerebro.addobserver(getattr(bt.observers, name))
        cerebro.addobservermulti(bt.observers.BuySell)
        for name in ("TradeAnalyzer", "DrawDown", "TimeReturn", "PyFolio"):
            cerebro.addanalyzer(getattr(bt.analyzers, name))
        if broker == "stock" and accelerate:
            install(cerebro)

    with pictures.counted() as use:
        found = TABLE.play(
            conformance.run,
            broker_tools,
            make_broker(broker, accelerate=accelerate),
            row,
            prepare=[keep],
        )
    return {**pictures.picture(kept[0]), "run": found}, use.count


@pytest.fixture(scope="session")
def tools(pictures: Any, conformance: Any, broker_tools: Any) -> Any:
    return pictures, conformance, broker_tools


def check_row(tools: Any, broker: str, row: Any) -> bool:
    """Whether the leaner loop ran; the pictures must be the same."""
    fast, uses = play(tools, broker, row, accelerate=True)
    slow, none = play(tools, broker, row, accelerate=False)
    assert none == 0
    assert tools[0].differences(fast, slow) == []
    return bool(uses)


BY_TURNS = [*zip(TABLE.PAIRS[::3], cycle(("stock", *MODES)), strict=False)]


@pytest.mark.parametrize(("row", "broker"), BY_TURNS, ids=str)
def test_each_row_of_the_table_is_the_same(tools: Any, row: Any, broker: str) -> None:
    order, mode, feeds, setting = row
    is_loop = mode == "runonce" and not TABLE.FEEDS[feeds].coarse
    assert check_row(tools, broker, row) == is_loop, (order, setting)


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["stock", *MODES])
@pytest.mark.parametrize("row", [*TABLE.PAIRS, *RUNONCE], ids=" - ".join)
def test_every_row_of_the_table_is_the_same(tools: Any, row: Any, broker: str) -> None:
    check_row(tools, broker, row)


# Strategies


def load_strategy(path: Path) -> Any:
    module = load(path)
    return next(
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, bt.Strategy)
    )


Frames = dict[str, tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame | None]]


def sample(names: tuple[str, ...], days: slice) -> Frames:
    """Trade, mark and funding of the bundled sample."""

    def frame(name: str, what: str) -> pd.DataFrame:
        file = ROOT / "data" / f"{name}_{what}.parquet"
        return pd.read_parquet(file).set_index("datetime").loc[days]

    return {
        name: (frame(name, "1m_trade"), frame(name, "1m_mark"), frame(name, "funding"))
        for name in names
    }


def trade(
    pictures: Any, strategy: Any, frames: Frames, mode: str, accelerate: bool
) -> tuple[Any, int]:
    """A picture of a strategy's run on a market."""
    cerebro = bt.Cerebro()
    words = {"margin_mode": mode, "cash": 10_000, "leverage": 20}
    broker: Any = MarginBroker(**words) if accelerate else Plain(**words)
    if mode == "off":
        broker.setcommission(commission=0.0005, leverage=20)
    cerebro.setbroker(broker)
    for name, (candles, mark, funding) in frames.items():
        feed: Any = PerpData(dataname=candles, mark=mark, funding=funding, name=name)
        cerebro.adddata(feed, name=name)
    cerebro.addstrategy(strategy)
    for kind in ("TradeAnalyzer", "DrawDown", "TimeReturn", "PyFolio"):
        cerebro.addanalyzer(getattr(bt.analyzers, kind))
    with pictures.counted() as use:
        cerebro.run()
    return pictures.picture(cerebro), use.count


def check_strategy(pictures: Any, path: Path, frames: Frames, mode: str) -> Any:
    strategy = load_strategy(path)
    fast, uses = trade(pictures, strategy, frames, mode, accelerate=True)
    slow, none = trade(pictures, strategy, frames, mode, accelerate=False)
    assert (uses, none) == (1, 0)
    assert pictures.differences(fast, slow) == []
    return fast


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_each_strategy_does_the_same(pictures: Any, path: Path, mode: str) -> None:
    frames = sample(ALL[:2], slice("2025-03-04 09", "2025-03-04 17"))
    check_strategy(pictures, path, frames, mode)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("mode", MODES)
def test_each_strategy_does_the_same_on_the_whole_sample(
    pictures: Any, path: Path, mode: str
) -> None:
    fast = check_strategy(pictures, path, sample(ALL, slice(None)), mode)
    assert any(fast[f"analyzers {0}"])


def real_frames(folder: Path, most: int) -> Frames:
    """The first candles of up to three symbols of a real set."""
    found: Frames = {}
    for file in sorted(folder.rglob("*_trade.*"))[:3]:
        read: Callable[..., pd.DataFrame] = (
            pd.read_csv if ".csv" in file.name else pd.read_parquet
        )
        frame = read(file)
        times = frame["datetime"]
        unit: Any = "ms" if pd.api.types.is_numeric_dtype(times) else None
        frame.index = pd.DatetimeIndex(pd.to_datetime(times, unit=unit))
        frame = frame.drop(columns="datetime")[:most]
        found[file.name.split("_")[0]] = (frame, None, None)
    return found


REAL_SETS = sorted(REAL.glob("binance*")) if REAL.is_dir() else []


@pytest.mark.slow
@pytest.mark.parametrize("folder", REAL_SETS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_strategy_does_the_same_on_real_candles(
    pictures: Any, path: Path, folder: Path
) -> None:
    frames = real_frames(folder, 3_000)
    if not frames:
        pytest.skip(f"{folder.name} holds no candles of trades")
    if path.stem == "pair_trade" and len(frames) < 2:
        pytest.skip(f"{folder.name} holds one symbol")
    for mode in ("isolated", "cross"):
        check_strategy(pictures, path, frames, mode)


# Faults


FALL = 60  # the bar that liquidates


class Holder(bt.Strategy):
    """Buys at the tenth bar and holds."""

    lines: Any = ("seen",)

    def __init__(self) -> None:
        self.average = bt.ind.SMA(period=5)
        self.heard: list[Any] = []

    def notify_order(self, order: Any) -> None:
        self.heard.append((len(self), order.status, order.executed.price))

    def next(self) -> None:
        self.lines.seen[0] = self.data.close[0]
        if len(self) == 10:
            self.buy(size=80)


@pytest.fixture(scope="module")
def hold(pictures: Any, broker_tools: Any) -> Callable[[bool], Any]:
    """A picture of a run that is liquidated."""
    closes = [100 + bar % 3 for bar in range(FALL)] + [85 + bar % 3 for bar in range(9)]
    rows = [(close, close + 1, close - 1, close) for close in closes]

    def run(accelerate: bool) -> Any:
        cerebro = bt.Cerebro()
        make: Any = MarginBroker if accelerate else Plain
        broker = make(cash=1_000, leverage=10)
        cerebro.setbroker(broker)
        cerebro.adddata(PerpData(dataname=broker_tools.candles(rows)), name="X")
        cerebro.addstrategy(Holder)
        cerebro.addanalyzer(bt.analyzers.DrawDown)
        with pictures.counted() as use:
            cerebro.run()
        assert use.count == accelerate
        assert broker.liquidations or accelerate
        return pictures.picture(cerebro)

    return run


def test_without_a_fault_nothing_differs(pictures: Any, hold: Any) -> None:
    assert pictures.differences(hold(True), hold(False)) == []


def at(bar: int, stock: Any, fault: Any) -> Any:
    """A method with a fault at one of its calls."""
    calls = []

    def method(*args: Any) -> Any:
        calls.append(args)
        return (fault if len(calls) == bar else stock)(*args)

    return method


def test_a_wrong_value_of_a_feed_shows(
    pictures: Any, hold: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = turns.StrategyTurn.take

    def fault(turn: Any, time: float) -> None:
        turn._strategy.data.lines[0].array[30] += 1e-9
        stock(turn, time)

    monkeypatch.setattr(turns.StrategyTurn, "take", at(30, stock, fault))
    found = pictures.differences(hold(True), hold(False))
    assert {"feeds", "lines 0", "observers 0"} <= {*found}


def test_a_skipped_bar_shows(
    pictures: Any, hold: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = turns.StrategyTurn.take

    def fault(turn: Any, time: float) -> None:
        turn._strategy.data.advance()
        stock(turn, time)

    monkeypatch.setattr(turns.StrategyTurn, "take", at(30, stock, fault))
    found = pictures.differences(hold(True), hold(False))
    assert {"lines 0", "observers 0", "heard 0"} <= {*found}


def test_a_stale_line_of_an_observer_shows(
    pictures: Any, hold: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = watching._past_broker
    fault = at(1, stock, lambda *_: None)
    monkeypatch.setitem(watching._CATCH_UPS, bt.observers.Broker.next, fault)
    assert pictures.differences(hold(True), hold(False)) == ["observers 0"]


def test_a_missed_liquidation_shows(
    pictures: Any, hold: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is not asked when the price falls, and there is no later fall."""
    stock = watch.Watch.sleeps

    def fault(one: Any) -> bool:
        is_fall = len(one._broker.feeds[0]) == FALL + 1
        return bool(stock(one)) or (is_fall and not one.is_off)

    monkeypatch.setattr(watch.Watch, "sleeps", fault)
    found = pictures.differences(hold(True), hold(False))
    assert {"liquidations", "ledger", "heard 0"} <= {*found}
