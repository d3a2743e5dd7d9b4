"""Tools of the analyzer tests: a plan of orders on bars, and what `Margin` says of it.

Bars, plans and feeds are written as in the broker tests' scenarios.
"""

import importlib.util
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin

TESTS = Path(__file__).parents[1]


def load(path: Path) -> Any:
    """A module of another folder of tests, by its path."""
    name = f"analyzers_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_scenario = load(TESTS / "broker" / "scenario.py")
_tools = load(TESTS / "broker" / "conftest.py")


@pytest.fixture
def scenario() -> Any:
    """Bars, feeds and acts."""
    return _scenario


@pytest.fixture
def tools() -> Any:
    """Random markets and scripts of orders."""
    return _tools


@pytest.fixture
def analyse() -> Callable[..., Any]:
    """Run a plan under a broker; gives the `Margin` analyzer, its broker beside."""

    def analyse(feeds: Any, plan: Any, broker: Any, **params: Any) -> Any:
        feeds = feeds if isinstance(feeds, list) else [feeds]
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        for feed in feeds:
            cerebro.adddata(feed)
        cerebro.addstrategy(_scenario.Recorder, plan=plan)
        cerebro.addanalyzer(bt_margin.analyzers.Margin, _name="margin", **params)
        margin = cerebro.run()[0].analyzers.margin
        check(margin, broker)
        return margin

    return analyse


def check(margin: Any, broker: Any) -> None:
    """What holds of every run: the bridge adds up, and positions have their part."""
    found = margin.get_analysis()
    bridge = found["bridge"]
    kinds = [kind for kind in bridge if kind not in ("start", "deposit", "end")]
    kinds.remove("symbols")
    scale = 1 + sum(abs(float(entry.amount)) for entry in broker.ledger)

    def near(amount: float) -> Any:
        return pytest.approx(amount, abs=1e-9 * scale)

    lines = [bridge[kind] for kind in ("start", "deposit", *kinds)]
    assert sum(lines) == near(bridge["end"])
    assert bridge["end"] == near(broker.getvalue())
    assert bridge["start"] + bridge["deposit"] == near(broker.ledger.total("deposit"))
    for kind in kinds:
        parts = [part[kind] for part in bridge["symbols"].values()]
        assert sum(parts) == near(bridge[kind])
        if kind != "unrealized_pnl":
            assert bridge[kind] == near(broker.ledger.total(kind))
            for symbol, part in bridge["symbols"].items():
                of_positions = [
                    record[kind]
                    for record in found["positions"]
                    if record["symbol"] == symbol
                ]
                assert sum(of_positions) == near(part[kind])
    for part in bridge["symbols"].values():
        assert sum(part[kind] for kind in kinds) == near(part["net"])
    still_open = [r["symbol"] for r in found["positions"] if r["closed"] is None]
    held = [p.contract.symbol for p in broker.account.positions.values()]
    assert sorted(still_open) == sorted(held)
    assert printed_sums_hold(margin.text(), bridge["end"])
    for event in found["liquidations"]["events"]:
        assert isinstance(event["time"], datetime)
    bars = {len(values) for values in found["series"].values()}
    assert len(bars) == 1
    assert list(margin.frame().columns) == list(found["series"])[1:]


def printed_sums_hold(text: str, end: float) -> bool:
    """Whether both tables add up to the last digit, and end where they should."""
    account, _, symbols = text.partition("\n\n")
    amounts, balances = [], []
    for line in account.splitlines()[1:]:
        words = line.replace(",", "").split()
        balances.append(units(words[-1]))
        if not line.startswith(("start balance", "end balance")):
            amounts.append(units(words[-2]))
    running = [balances[0]]
    for amount in amounts:
        running.append(running[-1] + amount)
    assert balances == [*running, running[-1]]
    assert balances[-1] == units(f"{end:.2f}")
    rows = [
        [
            units(word)
            for word in line.replace(",", "").rsplit(maxsplit=len(amounts) + 1)[1:]
        ]
        for line in symbols.splitlines()[1:]
    ]
    for row in rows:
        assert sum(row[:-1]) == row[-1]
    for column in zip(*rows, strict=True):
        assert sum(column[:-1]) == column[-1]
    if rows:
        assert rows[-1][:-1] == amounts
    return True


def units(word: str) -> int:
    """An amount in cents."""
    return int(word.replace(".", ""))


@pytest.fixture
def verify() -> Callable[[Any, Any], None]:
    """Check what holds of every run."""
    return check
