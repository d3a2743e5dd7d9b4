"""Backtrader's own tests, with each of our brokers as Cerebro's default one.

``BT_TESTS=<checkout or unpacked source> python -m pytest tests/conformance``: the
root of Backtrader's repository, or its folder of tests with the data beside it.
Every test must come to what it comes to with the stock broker. Few of the tests
trade, so `test_table.py` asks more; these show that nothing else is disturbed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BROKERS = ("stock", "off", "isolated", "cross")

Outcomes = dict[str, dict[str, Any]]

LAST_DIGITS = (
    "asserts a year's return of 0.2795 to its 16th digit: stock adds the profit up bar"
    " by bar, a ledger once at each close"
)
LIQUIDATED = (
    "holds one futures contract through a fall that takes all of its margin: 1,000"
    " for 36,000, a leverage of 36"
)
FUTURES_CASH = (
    "asserts getcash() with a futures contract held: stock has moved its unrealized"
    " profit into the cash, an isolated wallet keeps it until the close"
)

# Tests that must differ: broker and file; then why, and what they find instead.
# Four of Backtrader's 82 tests send orders, these three and test_analyzer-sqn.py.
DIFFERENT: dict[tuple[str, str], tuple[str, str]] = {
    ("isolated", "test_analyzer-timereturn.py"): (LAST_DIGITS, "0.2794999999999992"),
    ("cross", "test_analyzer-timereturn.py"): (LAST_DIGITS, "0.2794999999999992"),
    ("isolated", "test_strategy_optimized.py"): (LIQUIDATED, "8998.00"),
    ("isolated", "test_strategy_unoptimized.py"): (FUTURES_CASH, "11121.10"),
}


def folder_of_tests() -> Path:
    """Where Backtrader's tests are, or skip and say why."""
    given = os.environ.get("BT_TESTS")
    if not given:
        pytest.skip("BT_TESTS does not name a checkout of Backtrader")
    for folder in (Path(given) / "tests", Path(given)):
        if (folder / "testcommon.py").is_file():
            return folder.resolve()
    pytest.skip(f"BT_TESTS={given} holds no tests of Backtrader (testcommon.py)")


def run(broker: str, tests: Path, place: Path) -> Outcomes:
    """What each test comes to, by file, with a broker swapped in.

    The run starts in a folder of its own and keeps no cache: the source stays as it
    is, and the Backtrader that is installed is the one that is tested.
    """
    place.mkdir()
    result = place / "outcomes.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SWAP_BROKER": broker,
        "SWAP_OUTCOMES": str(result),
    }
    options = ["-q", "-p", "swap", "-p", "no:cacheprovider", "--rootdir", str(tests)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", os.devnull, str(tests)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.is_file(), done.stdout + done.stderr
    found = json.loads(result.read_text())
    return {nodeid.split("::")[0].split("/")[-1]: one for nodeid, one in found.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Outcomes]:
    """The runs with all brokers, side by side."""
    tests, place = folder_of_tests(), tmp_path_factory.mktemp("suite")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda name: run(name, tests, place / name), BROKERS)
        return dict(zip(BROKERS, runs, strict=True))


def test_stock_passes_and_trades(outcomes: Mapping[str, Outcomes]) -> None:
    """Or the comparison would say nothing."""
    stock = outcomes["stock"]
    assert [name for name, one in stock.items() if one["outcome"] == "error"] == []
    assert any(one["outcome"] == "passed" and one["orders"] for one in stock.values())


@pytest.mark.parametrize("broker", BROKERS[1:])
def test_every_test_comes_to_what_it_does_with_stock(
    outcomes: Mapping[str, Outcomes], broker: str
) -> None:
    stock, ours = outcomes["stock"], outcomes[broker]
    assert ours.keys() == stock.keys()
    for name, one in ours.items():
        if (broker, name) not in DIFFERENT:
            assert one["outcome"] == stock[name]["outcome"], f"{name}: {one['why']}"
            assert one["orders"] == stock[name]["orders"], name


@pytest.mark.parametrize(("broker", "name"), DIFFERENT)
def test_what_must_differ_does(
    outcomes: Mapping[str, Outcomes], broker: str, name: str
) -> None:
    """Each entry of the table is still needed, and differs where it says."""
    if name not in outcomes["stock"]:
        pytest.skip(f"{name} is not among these tests")
    _, found = DIFFERENT[broker, name]
    assert outcomes["stock"][name]["outcome"] == "passed"
    assert outcomes[broker][name]["outcome"] == "failed"
    assert found in outcomes[broker][name]["why"]
