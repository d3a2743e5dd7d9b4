"""Tools of the conformance tests: runs that are compared between brokers.

Markets, scripts of orders and the recorder are those of the broker tests.
"""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

TESTS = Path(__file__).parents[1]


def load(path: Path) -> Any:
    """A module of another folder of tests, by its path."""
    name = f"conformance_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tools = load(TESTS / "broker" / "conftest.py")
BrokerRecorder: Any = tools.Recorder


class Trader(bt.Strategy):
    """Runs a script once a bar, from the first bar of any feed on.

    ``at_timer`` is the script of its timers, ``traded`` how many of the feeds the
    scripts trade.
    """

    params: Any = (
        ("script", None),
        ("on_open", False),
        ("timers", ()),
        ("at_timer", None),
        ("traded", 1),
    )

    def __init__(self) -> None:
        self.memo: dict[Any, Any] = {}
        self.heard: list[Any] = []
        for settings in self.p.timers:
            self.add_timer(**settings)

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        if not self.p.on_open:
            self.p.script(self)

    def prenext_open(self) -> None:
        self.next_open()

    def next_open(self) -> None:
        if self.p.on_open:
            self.p.script(self)

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        self.heard.append((when, kwargs))
        self.p.at_timer(self)


class Recorder(BrokerRecorder):
    """The recorder of the broker tests, for feeds that come late and leave early."""

    def _time(self) -> float:
        return float(self.strategy.lines.datetime[0])

    def next(self) -> None:
        broker, traded = self.strategy.broker, self.strategy.p.traded
        datas = [data for data in self.strategy.datas[:traded] if len(data)]
        positions = [broker.getposition(data) for data in datas]
        self.bars.append(
            (
                self._time(),
                broker.getvalue(),
                broker.fundvalue,
                broker.fundshares,
                [(held.size, held.price) for held in positions],
            )
        )
        self.seen.append((broker.getcash(), [broker.getvalue([d]) for d in datas]))

    def notify_order(self, order: Any) -> None:
        super().notify_order(order)
        self.seen.pop()


@dataclass
class Run:
    """What a run did; ``stock_only`` is what means another thing with margin."""

    orders: list[Any]
    trades: list[Any]
    bars: list[Any]
    heard: list[Any]
    written: list[Any]
    stock_only: list[Any]
    broker: Any = field(compare=False)

    @property
    def kinds(self) -> set[str]:
        """Kinds of orders that filled."""
        return {row[5] for row in self.orders if row[-1]}


def cells(lines: Iterable[str]) -> list[Any]:
    """The cells of a writer's table, numbers as numbers."""

    def cell(text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text

    return [[cell(text) for text in line.split(",")] for line in lines]


def run(
    broker: Any,
    prepare: Iterable[Callable[[Any], None]],
    trader: dict[str, Any],
    **settings: Any,
) -> Run:
    """Run a `Trader` under a broker.

    Args:
        broker: the broker.
        prepare: add the feeds and whatever else to Cerebro.
        trader: parameters of the `Trader`.
        settings: Cerebro's.
    """
    cerebro = bt.Cerebro(stdstats=False, **settings)
    cerebro.setbroker(broker)
    for add in prepare:
        add(cerebro)
    cerebro.addstrategy(Trader, **trader)
    cerebro.addanalyzer(Recorder, _name="recorder")
    strategy = cerebro.run()[0]
    found = strategy.analyzers.recorder
    written = [
        row
        for writer in cerebro.runwriters
        for row in cells(writer.out.getvalue().splitlines())
        if isinstance(row[0], float)
    ]
    return Run(
        found.orders,
        found.trades,
        found.bars,
        strategy.heard,
        written,
        found.seen,
        broker,
    )


def same(ours: Any, stock: Any) -> bool:
    """Equal, floats to a relative 1e-9; what is left of two large ones, absolutely."""
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(stock) and all(map(same, ours, stock))
    if isinstance(ours, float) or isinstance(stock, float):
        return math.isclose(ours, stock, rel_tol=1e-9, abs_tol=1e-9)
    return bool(ours == stock)


def assert_same(ours: Run, stock: Run) -> None:
    """The same orders, trades and bars; the first that differs is shown."""
    for what in ("orders", "trades", "bars", "heard", "written"):
        rows, others = getattr(ours, what), getattr(stock, what)
        for number, (row, other) in enumerate(zip(rows, others, strict=False)):
            assert same(row, other), f"{what} {number}: {row} instead of {other}"
        assert len(rows) == len(others), what


@pytest.fixture(scope="session")
def broker_tools() -> Any:
    """The module of tools of the broker tests."""
    return tools


@pytest.fixture(scope="session", name="run")
def _run() -> Callable[..., Run]:
    """`run`: a script under a broker."""
    return run


@pytest.fixture(scope="session", name="assert_same")
def _assert_same() -> Callable[[Run, Run], None]:
    """`assert_same`: two runs did the same."""
    return assert_same
