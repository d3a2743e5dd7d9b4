"""Brokers and feeds travel to the processes of an optimisation and back.

The runs happen in a program of their own, since the way to start processes is set
once and a spawned one imports the main module again.
"""

import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import CrossBroker, IsolatedBroker, MarginBroker, PerpCommission
from bt_margin import PerpData as Feed

ROOT = Path(__file__).parents[2]
SIZES = (5, 20, 60)
PROGRAM = '''
"""Optimises a strategy and prints what each run did."""

import json
import multiprocessing
import sys

import backtrader as bt
import pandas as pd

import bt_margin

SIZES = (5, 20, 60)


class Holder(bt.Strategy):
    params = (("size", 1),)

    def next(self):
        if len(self) in (5, 50):
            self.buy(size=self.p.size)


class Result(bt.Analyzer):
    """What a run did, in plain numbers."""

    def start(self):
        self.orders = []

    def notify_order(self, order):
        self.orders.append(
            [order.getstatusname(), order.executed.size, order.executed.price]
        )

    def stop(self):
        broker = self.strategy.broker
        ledger = [[e.kind, e.wallet, e.amount] for e in broker.ledger]
        self.rets = {
            "size": self.strategy.p.size,
            "value": broker.getvalue(),
            "cash": broker.getcash(),
            "orders": self.orders,
            "liquidations": [[e.size, e.fill_price] for e in broker.liquidations],
            "fundings": [e.payment for e in broker.fundings],
            "ledger": ledger,
        }

    def get_analysis(self):
        return self.rets


def make_broker(mode, fees):
    broker = bt_margin.MarginBroker(margin_mode=mode, cash=1_000, leverage=10)
    if fees == "own fees":
        broker.setcommission(commission=0.001, leverage=10)
    return broker


def make_cerebro(mode, fees, **settings):
    prices = [100 + bar % 7 for bar in range(40)]
    prices += [95 - bar * 3 for bar in range(10)] + [70 + bar for bar in range(30)]
    index = pd.date_range("2024-01-01", periods=len(prices), freq="1h")
    rows = [(p, p + 1, p - 1, p + 0.5, 10.0) for p in prices]
    columns = ["open", "high", "low", "close", "volume"]
    trade = pd.DataFrame(rows, index=index, columns=columns, dtype=float)
    funding = pd.DataFrame({"funding_rate": [0.0001] * 10}, index=index[::8])
    cerebro = bt.Cerebro(stdstats=False, **settings)
    cerebro.setbroker(make_broker(mode, fees))
    feed = bt_margin.PerpData(
        dataname=trade, mark=trade * 1.001, funding=funding, name="X"
    )
    cerebro.adddata(feed, name="X")
    cerebro.addanalyzer(Result, _name="result")
    return cerebro


def single(mode, fees, size):
    cerebro = make_cerebro(mode, fees)
    cerebro.addstrategy(Holder, size=size)
    return cerebro.run()[0].analyzers.result.get_analysis()


def after_a_run(cerebro, **settings):
    """Another Cerebro, with the broker and the feed of one that has run."""
    cerebro.addstrategy(Holder, size=SIZES[-1])
    cerebro.run()
    again = bt.Cerebro(stdstats=False, **settings)
    again.setbroker(cerebro.broker)
    again.adddata(cerebro.datas[0], name="X")
    again.addanalyzer(Result, _name="result")
    return again


def optimised(mode, fees, maxcpus, optreturn, history, **settings):
    settings |= {"maxcpus": maxcpus, "optreturn": optreturn}
    cerebro = make_cerebro(mode, fees, **settings)
    if history == "after a run":
        cerebro = after_a_run(cerebro, **settings)
    cerebro.optstrategy(Holder, size=SIZES)
    runs = cerebro.run()
    for (run,) in runs:
        assert isinstance(run, bt.OptReturn if optreturn else Holder), run
    return [run.analyzers.result.get_analysis() for (run,) in runs]


if __name__ == "__main__":
    method, *cases = sys.argv[1:]
    multiprocessing.set_start_method(method)
    found = {}
    for case in cases:
        mode, fees, processes, what, datas, history = case.split(", ")
        found[case] = optimised(
            mode,
            fees,
            maxcpus=int(processes[0]),
            optreturn=what == "results",
            history=history,
            optdatas="once" in datas,
            lookahead=2 if "lookahead" in datas else 0,
        )
        usual = f"{mode}, {fees}"
        if usual not in found:
            found[usual] = [single(mode, fees, size) for size in SIZES]
    print(json.dumps(found))
'''


def optimise(folder: Path, method: str, *cases: str) -> dict[str, Any]:
    """Run the cases, and the single runs beside them."""
    program = folder / "optimise.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), method, *cases],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(),
    reason="this system cannot fork",
)
# Mode, fees, maxcpus, optreturn, optdatas and lookahead, what went before.
ALL_CASES = [
    *(
        f"{mode}, {fees}, {processes}, {what}, feeds loaded once, first"
        for mode in ("off", "isolated", "cross")
        for fees in ("the venue's fees", "own fees")
        for processes in ("1 process", "2 processes")
        for what in ("results", "strategies")
    ),
    *(
        f"{mode}, own fees, {processes}, results, {datas}, after a run"
        for mode in ("off", "isolated", "cross")
        for processes in ("1 process", "2 processes")
        for datas in ("feeds loaded once with lookahead", "feeds loaded by each")
    ),
]
SPAWN_CASES = [
    "isolated, own fees, 2 processes, results, feeds loaded once, first",
    "cross, own fees, 2 processes, strategies, feeds loaded by each, first",
    "isolated, the venue's fees, 2 processes, results, feeds loaded once, after a run",
]


def usual(case: str) -> str:
    """The name of the single runs of a case."""
    return ", ".join(case.split(", ")[:2])


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return optimise(tmp_path_factory.mktemp("fork"), "fork", *ALL_CASES)


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return optimise(tmp_path_factory.mktemp("spawn"), "spawn", *SPAWN_CASES)


@needs_fork
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_the_single_runs_differ_and_liquidate(
    forked: dict[str, Any], mode: str
) -> None:
    """The tests below are about something."""
    runs = forked[f"{mode}, the venue's fees"]
    assert [run["size"] for run in runs] == list(SIZES)
    assert runs[-1]["liquidations"]
    assert len({run["value"] for run in runs}) == len(SIZES)
    assert all(run["fundings"] for run in runs)
    assert any(kind == "fee" for kind, _, _ in runs[0]["ledger"])


@needs_fork
@pytest.mark.parametrize("case", ALL_CASES)
def test_an_optimisation_with_fork_does_what_single_runs_do(
    forked: dict[str, Any], case: str
) -> None:
    assert forked[case] == forked[usual(case)]


@pytest.mark.parametrize("case", SPAWN_CASES)
def test_an_optimisation_with_spawn_does_what_single_runs_do(
    spawned: dict[str, Any], case: str
) -> None:
    assert spawned[case] == spawned[usual(case)]


# Pickling


def isolated_with_settings() -> Any:
    """A broker with everything set that can be set before a run."""
    broker = IsolatedBroker(cash=5_000, leverage=7, bar_path="low_first")
    scheme: Any = PerpCommission
    broker.addcommissioninfo(scheme(leverage=3, size_step=0.1), name="X")
    broker.add_mark("X", market() * 1.001)
    broker.add_funding("X", stamps())
    broker.set_slippage_perc(0.001)
    return broker


BROKERS = {
    "off": lambda: MarginBroker(margin_mode="off"),
    "isolated": lambda: IsolatedBroker(cash=2_000, leverage=5),
    "cross": lambda: CrossBroker(cash=2_000, leverage=5),
    "isolated with settings": isolated_with_settings,
}


def market() -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=30, freq="1h")
    rows = [(p, p + 1, p - 1, p, 10.0) for p in (100 + bar % 5 for bar in range(30))]
    columns = ["open", "high", "low", "close", "volume"]
    return pd.DataFrame(rows, index=index, columns=columns, dtype=float)


def stamps() -> pd.DataFrame:
    return pd.DataFrame({"funding_rate": [0.001] * 3}, index=market().index[4::8][:3])


def feed() -> Any:
    frame = market()
    return Feed(dataname=frame, mark=frame * 1.001, funding=stamps(), name="X")


def outcome(broker: Any, data: Any) -> Any:
    """What a run of the broker on the feed does."""
    seen: list[Any] = []

    class Trader(bt.Strategy):
        def notify_order(self, order: Any) -> None:
            seen.append((order.status, order.executed.size, order.executed.price))

        def next(self) -> None:
            if len(self) % 6 == 2:
                self.buy(size=3) if len(self) % 12 == 2 else self.sell(size=5)
            seen.append((self.broker.getvalue(), self.broker.getcash()))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    cerebro.adddata(data, name="X")
    cerebro.addstrategy(Trader)
    cerebro.run()
    ledger = [(e.time, e.kind, e.wallet, e.amount) for e in broker.ledger]
    return seen, ledger, broker.fundings


@pytest.mark.parametrize("make", [*BROKERS.values()], ids=[*BROKERS])
def test_a_broker_and_a_feed_pickle_before_a_run(make: Any) -> None:
    expected = outcome(make(), feed())
    broker, data = pickle.loads(pickle.dumps((make(), feed())))
    assert outcome(broker, data) == expected


@pytest.mark.parametrize("make", [*BROKERS.values()], ids=[*BROKERS])
def test_a_broker_that_was_pickled_can_be_pickled_again(make: Any) -> None:
    once = pickle.loads(pickle.dumps(make()))
    twice = pickle.loads(pickle.dumps(once))
    assert outcome(twice, feed()) == outcome(make(), feed())


@pytest.mark.parametrize("name", ["isolated", "cross"])
def test_the_fees_of_the_venue_hold_after_pickling(name: str) -> None:
    """No commission scheme is set: the venue's taker fee is 5 in 10,000."""
    broker = pickle.loads(pickle.dumps(BROKERS[name]()))
    outcome(broker, feed())
    fees = [entry.amount for entry in broker.ledger if entry.kind == "fee"]
    assert fees
    first = 3 * market()["open"].iloc[2]
    assert fees[0] == pytest.approx(-first * 0.0005, rel=1e-12)
