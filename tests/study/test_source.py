"""A strategy comes from a class, or from a file that holds one."""

from pathlib import Path

import backtrader as bt
import pytest

from bt_margin.core.errors import ParameterError, StrategyError
from bt_margin.study import StrategySource, bundled_strategies

ONE = "import backtrader as bt\nclass One(bt.Strategy):\n    params = (('size', 1),)\n"
TWO = ONE + "class Two(bt.Strategy):\n    pass\n"


def file(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_one_strategy_needs_no_name(tmp_path: Path) -> None:
    assert StrategySource.of(file(tmp_path, ONE)).load().__name__ == "One"


def test_a_file_with_two_strategies_takes_the_one_named(tmp_path: Path) -> None:
    source = StrategySource.of(f"{file(tmp_path, TWO)}:Two")
    assert source.load().__name__ == "Two"


def test_a_strategy_that_the_file_only_imports_is_not_its_own(tmp_path: Path) -> None:
    text = "from backtrader import Strategy\nfrom backtrader import SignalStrategy\n"
    with pytest.raises(StrategyError, match="no strategy: define a class"):
        StrategySource.of(file(tmp_path, text)).load()


def test_every_bundled_strategy_loads() -> None:
    for path in bundled_strategies().glob("*.py"):
        assert issubclass(StrategySource.of(path).load(), bt.Strategy)


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        pytest.param("x = 1\n", "", "no strategy", id="a file without a strategy"),
        pytest.param(TWO, "", r"\(One, Two\).*mine.py:One", id="several strategies"),
        pytest.param(ONE, ":Three", "no strategy Three: it has One", id="unknown name"),
        pytest.param("1 / 0\n", "", "ZeroDivisionError", id="a file that fails"),
        pytest.param("def (:\n", "", "SyntaxError", id="a file that is not Python"),
    ],
)
def test_refused(tmp_path: Path, text: str, suffix: str, message: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(StrategyError, match=message) as caught:
        StrategySource.of(f"{path}{suffix}").load()
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"nothing\.py: no such strategy file"):
        StrategySource.of(tmp_path / "nothing.py")


def test_a_class_that_is_no_strategy_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"int is not a backtrader\.Strategy"):
        StrategySource.of(int)


class Sized(bt.Strategy):
    """Declares a leverage."""

    params = (("size", 1), ("leverage", 10.0))


def test_a_strategy_that_declares_leverage_gets_the_runs() -> None:
    source = StrategySource.of(Sized)
    assert source.params({}, 5.0) == {"leverage": 5.0}
    assert source.params({"leverage": 2}, 5.0) == {"leverage": 2}


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(ParameterError, match="Sized has size, leverage"):
        StrategySource.of(Sized).params({"sise": 3}, 5.0)
