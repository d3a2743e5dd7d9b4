"""The README's code does what the README says."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import backtrader as bt
import pytest
from click.testing import CliRunner

from bt_margin.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_shell_block_holds_exactly_the_two_commands() -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    assert "bt-margin compare" in lines[0]
    assert "pytest" in lines[1]


@pytest.mark.parametrize(
    ("number", "most"),
    [pytest.param(0, 20, id="first"), pytest.param(3, 15, id="guarded")],
)
def test_the_program_prints_what_the_readme_says_it_prints(
    number: int, most: int
) -> None:
    program, printed = blocks("python")[number], blocks("text")[number]
    assert len([line for line in program.splitlines() if line]) <= most
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (printed, "") == (run.stdout, run.stderr)


def test_the_price_is_printed_as_the_readme_shows_it() -> None:
    (command,) = re.findall(r"^```\n(bt-margin price .*)\n```$", README, re.MULTILINE)
    result = CliRunner().invoke(main, command.split()[1:])
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert "\n".join(lines) + "\n" == blocks("text")[2]


def test_the_analyzer_prints_what_the_readme_says_it_prints() -> None:
    """It goes on from the first program."""
    program, printed = "".join(blocks("python")[:2]), "".join(blocks("text")[:2])
    assert len(blocks("python")[1].splitlines()) == 10
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (printed, "") == (run.stdout, run.stderr)


# A strategy as others write them: it knows Backtrader alone, and no size.
BREAKOUT = """
import backtrader as bt


class Breakout(bt.Strategy):
    params = (("period", 60), ("stop", 0.03))

    def __init__(self):
        self.highest = bt.ind.Highest(self.data.high(-1), period=self.p.period)

    def next(self):
        close = self.data.close[0]
        if not self.position and close > self.highest[0]:
            stop, target = close * (1 - self.p.stop), close * (1 + self.p.stop)
            market = bt.Order.Market
            self.buy_bracket(exectype=market, stopprice=stop, limitprice=target)
"""
WATCH = """
import atexit


def watch(cerebro):
    guards = [type(guard).__name__ for guard in cerebro.broker.guards]
    print(type(cerebro.broker).__name__, cerebro.broker.p.leverage, *guards)
    atexit.register(tell, cerebro.broker)


def tell(broker):
    first = broker.orders[0].created
    print(f"first order {first.size * first.pclose:.0f}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README tells a user to put there."""
    path = tmp_path_factory.mktemp("guarded")
    (path / "guarded.py").write_text(blocks("python")[3], encoding="utf-8")
    (path / "breakout.py").write_text(BREAKOUT, encoding="utf-8")
    (path / "watch.py").write_text(WATCH, encoding="utf-8")
    write = blocks("sh")[1].splitlines()[0]
    assert shell(write, path).stdout == ""
    return path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the README with the interpreter of the tests."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": scripts, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(None, id="Backtrader's own"),
        pytest.param("breakout.py:Breakout", id="a file of brackets without sizes"),
        pytest.param("SCALPER:Scalper", id="the bundled scalper"),
    ],
)
def test_btrun_guards_sizes_and_analyses_an_unchanged_file(
    folder: Path, strategy: str | None
) -> None:
    command = blocks("sh")[1].splitlines()[1]
    assert command.startswith("btrun ")
    assert "--hook guarded.py:guarded:" in command
    if strategy:
        file = strategy.replace("SCALPER", str(ROOT / "strategies" / "scalper.py"))
        command = re.sub(r"--strategy \S+", f"--strategy {file}", command)
    run = shell(command + " --hook watch.py:watch", folder)
    watched, *rest = run.stdout.splitlines()
    assert watched == "IsolatedBroker 25 DailyLossCap TopUp"
    assert any(line.startswith("DrawDown") for line in rest)
    if not strategy or "SCALPER" not in strategy:  # the scalper sizes itself
        # 5 % of 10,000 carry 25 times as much.
        assert rest[-1] == "first order 12500"


def test_the_guarded_strategies_know_no_margin() -> None:
    files = [Path(inspect.getfile(bt.strategies.MA_CrossOver))]
    files.append(ROOT / "strategies" / "scalper.py")
    for path in files:
        assert "bt_margin" not in path.read_text(encoding="utf-8")


def test_ci_runs_the_second_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (reading,) = re.findall(r'^test_command="\$\((.*)\)"$', script, re.MULTILINE)
    read = subprocess.run(
        reading, shell=True, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert read.stdout.strip() == blocks("sh")[0].splitlines()[1]
    assert script.splitlines()[-1] == 'eval "$test_command"'


def test_every_dependency_is_listed_with_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for dependency in tomllib.loads(text)["project"]["dependencies"]:
        assert re.search(rf'"{re.escape(dependency)}", +# \w+', text), dependency
