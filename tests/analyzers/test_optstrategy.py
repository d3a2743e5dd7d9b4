"""The analyzer travels to the processes of an optimisation and back.

The runs happen in a program of their own: a spawned process imports the main module.
"""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = '''
import json
import multiprocessing
import sys

import backtrader as bt
import pandas as pd

import bt_margin


class Holder(bt.Strategy):
    params = (("size", 1),)

    def next(self):
        if len(self) in (5, 50):
            self.buy(size=self.p.size)


def cerebro(mode, **settings):
    prices = [100 + bar % 7 for bar in range(40)]
    prices += [95 - bar * 3 for bar in range(10)] + [70 + bar for bar in range(30)]
    index = pd.date_range("2024-01-01", periods=len(prices), freq="1h")
    columns = ["open", "high", "low", "close", "volume"]
    trade = pd.DataFrame([[p] * 5 for p in prices], index, columns, dtype=float)
    made = bt.Cerebro(stdstats=False, **settings)
    broker = bt_margin.MarginBroker(margin_mode=mode, cash=1_000, leverage=10)
    made.setbroker(broker)
    made.adddata(bt_margin.PerpData(dataname=trade, funding=0.0001, name="X"))
    made.addanalyzer(bt_margin.analyzers.Margin, _name="margin")
    made.addanalyzer(bt.analyzers.TimeReturn)
    return made


def plain(margin):
    """The result, and what the object itself still can do."""
    return [repr(margin.get_analysis()), str(margin), margin.frame().to_csv()]


if __name__ == "__main__":
    method, *modes = sys.argv[1:]
    multiprocessing.set_start_method(method)
    for mode in modes:
        single = []
        for size in (5, 20, 60):
            one = cerebro(mode)
            one.addstrategy(Holder, size=size)
            single.append(plain(one.run()[0].analyzers.margin))
        for settings in (
            {"maxcpus": 2},
            {"maxcpus": 1},
            {"maxcpus": 2, "optreturn": False},
        ):
            many = cerebro(mode, **settings)
            many.optstrategy(Holder, size=(5, 20, 60))
            found = [plain(run.analyzers.margin) for (run,) in many.run()]
            assert found == single, (mode, settings)
        assert len({text for text, *_ in single}) > 1
    print("done")
'''


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_optimisation_gives_what_single_runs_give(
    tmp_path: Path, method: str
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    program = tmp_path / "optimise.py"
    program.write_text(PROGRAM, encoding="utf-8")
    modes = ["isolated", "cross", "off"] if method == "fork" else ["cross"]
    done = subprocess.run(
        [sys.executable, str(program), method, *modes],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
