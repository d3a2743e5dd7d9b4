"""Guards and sizers travel to the processes of an optimisation.

The runs happen in a program of their own: the way to start processes is set once.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json
import multiprocessing
import sys

import backtrader as bt
import pandas as pd

import bt_margin
from bt_margin import guards, sizers


class Buyer(bt.Strategy):
    params = (("every", 5),)

    def next(self):
        if len(self) % self.p.every == 0:
            self.buy()


class Result(bt.Analyzer):
    def stop(self):
        broker = self.strategy.broker
        did = [[a.guard, a.what, a.why] for a in broker.guard_actions]
        self.rets = {"value": broker.getvalue(), "guards": did}

    def get_analysis(self):
        return self.rets


def make():
    prices = [100 - bar % 9 for bar in range(60)]
    index = pd.date_range("2024-01-01", periods=len(prices), freq="1h")
    rows = [(p, p + 1, p - 1, p + 0.5, 10.0) for p in prices]
    columns = ["open", "high", "low", "close", "volume"]
    trade = pd.DataFrame(rows, index=index, columns=columns, dtype=float)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt_margin.IsolatedBroker(cash=1_000, leverage=20))
    cerebro.adddata(bt_margin.PerpData(dataname=trade), name="X")
    cerebro.addanalyzer(Result, _name="result")
    cerebro.addsizer(sizers.VolatilityMargin, fraction=0.02, ranges=2, period=4)
    guards.attach(
        cerebro,
        guards.MarginCap(0.07),
        guards.LiquidationDistance(1.0, beyond_stop=False),
        guards.DailyLossCap(0.02),
        guards.TopUp(at_ratio=0.2, times=1),
        guards.ReduceBefore(at_ratio=0.4),
    )
    return cerebro


if __name__ == "__main__":
    if sys.argv[1] == "single":
        found = []
        for every in (3, 5):
            cerebro = make()
            cerebro.addstrategy(Buyer, every=every)
            found.append(cerebro.run()[0].analyzers.result.get_analysis())
    else:
        multiprocessing.set_start_method(sys.argv[1])
        cerebro = make()
        cerebro.optstrategy(Buyer, every=(3, 5))
        runs = cerebro.run(maxcpus=2)
        found = [run.analyzers.result.get_analysis() for (run,) in runs]
    print(json.dumps(found))
"""


def output(path: Path, word: str) -> list[dict[str, object]]:
    run = subprocess.run(
        [sys.executable, str(path), word], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, object]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_optimisation_is_guarded_as_single_runs_are(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "optimise.py"
    path.write_text(PROGRAM, encoding="utf-8")
    single = output(path, "single")
    assert {str(name) for run in single for name, *_ in run["guards"]} >= {  # type: ignore[attr-defined]
        "MarginCap",
        "TopUp",
    }
    assert output(path, method) == single
