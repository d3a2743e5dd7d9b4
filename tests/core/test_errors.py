"""Errors: one tree, and messages that name the place, the value and the fix."""

import pickle

import pytest

from bt_margin.core import errors
from bt_margin.core.errors import (
    BalanceError,
    DataError,
    InvariantError,
    MarginError,
    ParameterError,
    StrategyError,
    TierError,
    UnknownNameError,
)


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        pytest.param(ParameterError, (MarginError, ValueError), id="ParameterError"),
        pytest.param(TierError, (ParameterError,), id="TierError"),
        pytest.param(
            UnknownNameError, (MarginError, LookupError), id="UnknownNameError"
        ),
        pytest.param(DataError, (MarginError, ValueError), id="DataError"),
        pytest.param(StrategyError, (MarginError,), id="StrategyError"),
        pytest.param(BalanceError, (MarginError,), id="BalanceError"),
        pytest.param(
            InvariantError, (MarginError, AssertionError), id="InvariantError"
        ),
    ],
)
def test_the_tree(error: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    assert parents == error.__bases__


def test_every_error_is_a_margin_error_and_stands_in_the_drawing() -> None:
    drawing = errors.__doc__ or ""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), MarginError)
        assert name in drawing


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            ParameterError("leverage", 0, "give a number above 0"),
            "leverage is 0: give a number above 0",
            id="a parameter: place, value, fix",
        ),
        pytest.param(
            TierError("tiers[1].min_notional", 150, "gap: start min_notional at 100"),
            "tiers[1].min_notional is 150: gap: start min_notional at 100",
            id="a tier: place, value, fix",
        ),
        pytest.param(
            UnknownNameError("venue", "mtgox", ("binanceusdm", "generic")),
            "unknown venue 'mtgox': choose one of binanceusdm, generic",
            id="a name: what was looked for, and what there is",
        ),
        pytest.param(
            UnknownNameError("symbol", "X", ()),
            "unknown symbol 'X': choose one of none",
            id="a name where there are none",
        ),
        pytest.param(
            DataError("x.csv", "low 9 is above high 8", "swap them", row=3),
            "x.csv, row 3: low 9 is above high 8; swap them",
            id="a file: place, row, what, fix",
        ),
        pytest.param(
            DataError("x.csv", "no column 'close'", "add it"),
            "x.csv: no column 'close'; add it",
            id="a file as a whole",
        ),
    ],
)
def test_messages(error: MarginError, message: str) -> None:
    assert message == str(error)


def test_what_an_error_knows_can_be_read() -> None:
    parameter = ParameterError("leverage", 0, "give a number above 0")
    assert (
        parameter.name,
        parameter.value,
        parameter.fix,
    ) == ("leverage", 0, "give a number above 0")
    name = UnknownNameError("venue", "mtgox", ("generic",))
    assert (name.kind, name.name, name.known) == ("venue", "mtgox", ("generic",))
    data = DataError("x.csv", "what", "fix", 3)
    assert (data.where, data.what, data.fix, data.row) == ("x.csv", "what", "fix", 3)


@pytest.mark.parametrize(
    "error",
    [
        ParameterError("leverage", 0, "give a number above 0"),
        TierError("tiers", (), "give at least one Tier"),
        UnknownNameError("venue", "mtgox", ("generic",)),
        DataError("x.csv", "what", "fix", 3),
        BalanceError("text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_worker_process_arrives_whole(error: MarginError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(error) is type(again)
    assert str(error) == str(again)
    assert vars(error) == vars(again)
