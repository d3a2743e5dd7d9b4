"""Tools of the tests of speed: a picture of a run, and what differs between two.

Nothing may differ, so every value is compared to its last bit.
"""

import importlib.util
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from backtrader.lineseries import LineSeries

from bt_margin import MarginBroker
from bt_margin.accelerate import install

TESTS = Path(__file__).parents[1]

Picture = dict[str, Any]


def load(path: Path) -> Any:
    """A module of another folder of tests, by its path."""
    name = f"accelerate_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# Pictures


def values(line: Any) -> Any:
    """All of a line: its values, where it stands, and how long it is."""
    held = line.array
    raw = held.tobytes() if isinstance(held, array) else repr([*held])
    return raw, line.idx, line.lencount


def lines(owner: Any) -> Any:
    """All lines of an object and of what it computes with."""
    own = owner.lines if isinstance(owner, LineSeries) else [owner]
    inner = getattr(owner, "_lineiterators", {})
    below = [lines(one) for kind in sorted(inner) for one in inner[kind]]
    return type(owner).__name__, [values(line) for line in own], below


def plain(found: Any) -> Any:
    """Results of an analyzer in a form that compares: floats by their digits."""
    if isinstance(found, Mapping):
        return [(repr(key), plain(value)) for key, value in found.items()]
    if isinstance(found, (list, tuple)):
        return [plain(one) for one in found]
    return repr(found)


def picture(cerebro: Any) -> Picture:
    """Everything that a finished run left behind."""
    broker = cerebro.broker
    found: Picture = {
        "feeds": [
            (
                [values(line) for line in data.lines],
                repr({k: v for k, v in vars(data).items() if k.startswith("tick_")}),
            )
            for data in cerebro.datas
        ],
        "money": (repr(broker.getvalue()), repr(broker.getcash())),
        "written": [
            re.sub(" at 0x[0-9a-f]+", "", writer.out.getvalue())
            for writer in cerebro.runwriters
            if isinstance(writer, bt.WriterStringIO)
        ],
        "ledger": [
            (e.time, e.kind, e.wallet, e.symbol, repr(e.amount))
            for e in getattr(broker, "ledger", ())
        ],
        "liquidations": repr(getattr(broker, "liquidations", ())),
        "fundings": repr(getattr(broker, "fundings", ())),
        "more": [
            repr(getattr(broker, name, ()))
            for name in ("deleveragings", "ambiguities", "refills", "ruins")
        ],
    }
    for number, strategy in enumerate(cerebro.runstrats[0]):
        kinds = strategy._lineiterators
        found |= {
            f"lines {number}": [values(line) for line in strategy.lines],
            f"indicators {number}": [lines(one) for one in kinds[strategy.IndType]],
            f"observers {number}": [lines(one) for one in kinds[strategy.ObsType]],
            f"analyzers {number}": [
                (
                    type(one).__name__,
                    plain(one.get_analysis()),
                    plain([getattr(one, n, ()) for n in ("orders", "trades", "bars")]),
                )
                for one in (*strategy.analyzers, *strategy._slave_analyzers)
            ],
            f"heard {number}": repr(getattr(strategy, "heard", ())),
        }
    return found


def differences(one: Picture, other: Picture) -> list[str]:
    """The parts of two pictures that differ."""
    return [what for what in {**one, **other} if one.get(what) != other.get(what)]


# Runs


class Plain(MarginBroker):
    """Backtrader's own loop, and a look at every bar."""

    params: Any = (("accelerate", False),)

    def start(self) -> None:
        super().start()
        self.keep_awake()


class LoopUse:
    """How often the leaner loop ran."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def counted() -> Iterator[LoopUse]:
    """Count the runs of the leaner loop."""
    use = LoopUse()
    module = sys.modules["bt_margin.accelerate.install"]
    stock: Any = module.run_bars

    def run_bars(*args: Any) -> None:
        use.count += 1
        stock(*args)

    module.run_bars = run_bars  # type: ignore[attr-defined]
    try:
        yield use
    finally:
        module.run_bars = stock  # type: ignore[attr-defined]


def compare(
    build: Callable[[], Any], *, uses_loop: bool = True
) -> tuple[Picture, Picture]:
    """Run what ``build`` makes in both loops: a Cerebro with a stock broker.

    Args:
        build: makes the Cerebro, and all that is in it.
        uses_loop: whether the leaner loop is expected to run.
    """
    pictures = []
    for is_fast in (False, True):
        cerebro = build()
        if is_fast:
            install(cerebro)
        with counted() as use:
            cerebro.run()
        assert use.count == (is_fast and uses_loop)
        assert "_runonce" not in vars(cerebro) or not uses_loop
        pictures.append(picture(cerebro))
    return pictures[0], pictures[1]


STOCK_ANALYZERS = (
    *("AnnualReturn", "Calmar", "DrawDown", "TimeDrawDown", "GrossLeverage"),
    *("LogReturnsRolling", "PeriodStats", "PositionsValue", "PyFolio", "Returns"),
    *("SharpeRatio", "SharpeRatio_A", "SQN", "TimeReturn", "TradeAnalyzer"),
    *("Transactions", "VWR"),
)
STOCK_OBSERVERS = (
    *("Cash", "Value", "Broker", "FundValue", "FundShares", "Trades", "DataTrades"),
    *("DrawDown", "DrawDownLength", "DrawDown_Old", "TimeReturn", "LogReturns"),
)


def add_lookers(cerebro: Any) -> None:
    """All of Backtrader's observers and analyzers."""
    for name in STOCK_OBSERVERS:
        settings = {"timeframe": bt.TimeFrame.Days}
        has_frame = name in ("TimeReturn", "LogReturns")
        kind = getattr(bt.observers, name)
        cerebro.addobserver(kind, **(settings if has_frame else {}))
    cerebro.addobservermulti(bt.observers.BuySell)
    cerebro.addobservermulti(bt.observers.BuySell, barplot=True, obsname="bars")
    for name in STOCK_ANALYZERS:
        cerebro.addanalyzer(getattr(bt.analyzers, name))


# Fixtures


@pytest.fixture(scope="session")
def pictures() -> Any:
    """This module."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def conformance() -> Any:
    """The tools of the conformance tests."""
    return load(TESTS / "conformance" / "conftest.py")


@pytest.fixture(scope="session")
def broker_tools(conformance: Any) -> Any:
    """The tools of the broker tests."""
    return conformance.tools


@pytest.fixture(scope="session")
def walk(broker_tools: Any) -> pd.DataFrame:
    """A market of ten days of hours."""
    frame: pd.DataFrame = broker_tools.random_walk(bars=240, seed=4)
    return frame
