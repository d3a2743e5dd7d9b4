"""Input that cannot be meant: each raises an error with the place, value and fix."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import bt_margin
from bt_margin.core.errors import (
    BalanceError,
    DataError,
    MarginError,
    ParameterError,
    UnknownNameError,
)

from . import scenario as s
from .scenario import BOTH

NAN = float("nan")
FLAT = [s.flat(100)] * 4
CANDLES = s.candles([s.flat(100)] * 4)
FUNDING = s.stamps({s.moment(hours=hour): 0.0001 for hour in range(3)})

Case = tuple[Callable[[], Any], type[MarginError], tuple[str, ...]]


def broker(mode: str = "isolated", **params: Any) -> Any:
    return s.BROKERS[mode](**{"cash": 1_000, **params})


def bare(**params: Any) -> Any:
    """A `MarginBroker` with these parameters alone."""
    made: Any = bt_margin.MarginBroker
    return made(**params)


def contract(**params: Any) -> Any:
    """A run with such a `PerpCommission`."""
    return s.run(FLAT, {0: [s.send("buy", 1)]}, s.set_contract(broker(), **params))


def check(case: Case) -> None:
    act, error, words = case
    with pytest.raises(error) as raised:
        act()
    message = str(raised.value)
    assert [word for word in words if word not in message] == []


# Parameters: the name, the value, and what to give

BAD_NUMBERS: dict[str, Any] = {
    "0": 0,
    "negative": -5,
    "NaN": NAN,
    "infinite": float("inf"),
    "a word": "abc",
    "None": None,
}
PARAMETERS: dict[str, Case] = {
    **{
        f"{name} is {what}": (
            lambda name=name, value=value: bare(**{name: value}),  # type: ignore[misc]
            ParameterError,
            (name, repr(value), "above 0"),
        )
        for name in ("leverage", "cash")
        for what, value in BAD_NUMBERS.items()
    },
    **{
        f"setcash is {what}": (
            lambda value=value: broker().setcash(value),  # type: ignore[misc]
            ParameterError,
            ("cash", repr(value), "above 0"),
        )
        for what, value in BAD_NUMBERS.items()
    },
    "leverage above the venue's bound": (
        lambda: broker(leverage=126),
        ParameterError,
        ("leverage", "126", "125", "generic"),
    ),
    "unknown parameter of a broker": (
        lambda: broker(leverge=10),
        MarginError,
        ("leverge", "leverage"),
    ),
    "unknown parameter of a feed": (
        lambda: feed(marks=CANDLES),
        MarginError,
        ("marks", "mark"),
    ),
    "unknown parameter of a PerpCommission": (
        lambda: contract(leverge=10),
        MarginError,
        ("leverge", "leverage"),
    ),
    "unknown venue": (
        lambda: broker(venue="mtgox"),
        UnknownNameError,
        ("venue", "mtgox", "generic"),
    ),
    "unknown margin_mode": (
        lambda: bare(margin_mode="portfolio"),
        ParameterError,
        ("margin_mode", "portfolio", "isolated", "cross", "off"),
    ),
    "unknown bar_path": (
        lambda: broker(bar_path="random"),
        ParameterError,
        ("bar_path", "random", "adaptive", "low_first", "high_first"),
    ),
    "unknown bar_time": (
        lambda: broker(bar_time="middle"),
        ParameterError,
        ("bar_time", "middle", "open", "close"),
    ),
    "unknown gap_loss": (
        lambda: broker(gap_loss="nobody"),
        ParameterError,
        ("gap_loss", "nobody", "insurance", "trader"),
    ),
    "unknown bar_time of a feed": (
        lambda: s.perp(FLAT, bar_time="middle"),
        ParameterError,
        ("bar_time", "middle", "open", "close"),
    ),
    "leverage 0 of a PerpCommission": (
        lambda: contract(leverage=0),
        ParameterError,
        ("leverage", "0", "above 0"),
    ),
    "leverage NaN of a PerpCommission": (
        lambda: contract(leverage=NAN),
        ParameterError,
        ("leverage", "nan", "above 0"),
    ),
    "a word as leverage of a PerpCommission": (
        lambda: contract(leverage="abc"),
        ParameterError,
        ("leverage", "abc", "above 0"),
    ),
    "leverage of a PerpCommission above the venue's bound": (
        lambda: contract(leverage=126),
        ParameterError,
        ("leverage", "126", "A", "125"),
    ),
    "leverage of a PerpCommission above its own tiers' bound": (
        lambda: contract(leverage=21, tiers=bt_margin.TierTable.flat(0.01, 20)),
        ParameterError,
        ("leverage", "21", "A", "20"),
    ),
    "unknown margin_mode of a PerpCommission": (
        lambda: contract(margin_mode="portfolio"),
        ParameterError,
        ("margin_mode", "portfolio", "isolated", "cross"),
    ),
    "contract_size 0 of a PerpCommission": (
        lambda: contract(contract_size=0),
        ParameterError,
        ("contract_size", "0", "above 0"),
    ),
    "contract_size NaN of a PerpCommission": (
        lambda: contract(contract_size=NAN),
        ParameterError,
        ("contract_size", "nan", "above 0"),
    ),
}


@pytest.mark.parametrize("case", list(PARAMETERS.values()), ids=list(PARAMETERS))
def test_a_parameter(case: Case) -> None:
    check(case)


def leveraged(broker: Any, leverage: float) -> Any:
    broker.setcommission(commission=0, leverage=leverage)
    return s.run(FLAT, {}, broker)


@pytest.mark.parametrize("mode", BOTH)
def test_leverage_of_a_plain_scheme_above_the_bound(mode: str) -> None:
    words = ("leverage", "200", "125")
    check((lambda: leveraged(broker(mode), 200), ParameterError, words))


def test_the_bound_itself_is_fine() -> None:
    assert broker(leverage=125).p.leverage == 125


# Frames: which frame, which row, which value, and what to do


def changed(frame: pd.DataFrame, row: int, **cells: float) -> pd.DataFrame:
    """The frame with cells of one row changed."""
    frame = frame.copy()
    for name, value in cells.items():
        frame.iloc[row, list(frame.columns).index(name)] = value
    return frame


BAD_CANDLES: dict[str, tuple[pd.DataFrame, tuple[str, ...]]] = {
    "NaN": (changed(CANDLES, 2, low=NAN), ("row 2", "low", "NaN", "delete")),
    "0": (changed(CANDLES, 1, low=0), ("row 1", "low is 0.0", "above zero")),
    "negative": (changed(CANDLES, 3, low=-1), ("row 3", "low is -1.0", "above zero")),
    "infinite": (changed(CANDLES, 1, high=float("inf")), ("row 1", "high is inf")),
    "high below low": (
        changed(CANDLES, 2, high=98, low=99),
        ("row 2", "high is 98.0", "low is 99.0", "correct"),
    ),
    "close outside": (
        changed(CANDLES, 1, close=101),
        ("row 1", "close is 101.0", "correct"),
    ),
    "unsorted": (
        CANDLES.iloc[[0, 2, 1, 3]],
        ("row 2", "2024-01-01 01:00", "sort"),
    ),
    "a time twice": (
        CANDLES.iloc[[0, 1, 1, 2]],
        ("row 2", "2024-01-01 01:00", "twice", "delete"),
    ),
    "a column missing": (
        CANDLES.drop(columns="close"),
        ("no column 'close'", "name the columns"),
    ),
    "no row": (CANDLES.iloc[:0], ("no rows", "give")),
}
BAD_FUNDING: dict[str, tuple[pd.DataFrame, tuple[str, ...]]] = {
    "NaN": (
        changed(FUNDING, 1, funding_rate=NAN),
        ("row 1", "funding_rate", "NaN", "delete"),
    ),
    "percent": (
        changed(FUNDING, 2, funding_rate=1.0),
        ("row 2", "funding_rate is 1.0", "fraction"),
    ),
    "mark price 0": (
        changed(FUNDING, 2, mark_price=0),
        ("row 2", "mark_price is 0.0", "above zero"),
    ),
    "unsorted": (FUNDING.iloc[[1, 0, 2]], ("row 1", "2024-01-01 00:00", "sort")),
    "a time twice": (
        FUNDING.iloc[[0, 0, 1]],
        ("row 1", "2024-01-01 00:00", "twice", "delete"),
    ),
    "a column missing": (
        FUNDING.rename(columns={"funding_rate": "rate"}),
        ("no column 'funding_rate'", "name the columns"),
    ),
}


def feed(**params: Any) -> Any:
    made: Any = bt_margin.PerpData
    return made(**{"dataname": CANDLES, "name": "XRP", **params})


@pytest.mark.parametrize(
    ("frame", "words"), list(BAD_CANDLES.values()), ids=list(BAD_CANDLES)
)
@pytest.mark.parametrize(
    ("place", "act"),
    [
        pytest.param("XRP trade", lambda bad: feed(dataname=bad), id="trade"),
        pytest.param("XRP mark", lambda bad: feed(mark=bad), id="mark"),
        pytest.param(
            *("XRP mark", lambda bad: broker().add_mark("XRP", bad)), id="add_mark"
        ),
    ],
)
def test_candles(place: str, act: Any, frame: Any, words: tuple[str, ...]) -> None:
    check((lambda: act(frame), DataError, (place, *words)))


@pytest.mark.parametrize(
    ("frame", "words"), list(BAD_FUNDING.values()), ids=list(BAD_FUNDING)
)
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda bad: feed(funding=bad), id="funding"),
        pytest.param(lambda bad: broker().add_funding("XRP", bad), id="add_funding"),
    ],
)
def test_funding(act: Any, frame: Any, words: tuple[str, ...]) -> None:
    check((lambda: act(frame), DataError, ("XRP funding", *words)))


@pytest.mark.parametrize("hours", [-48, 48], ids=["before", "after"])
def test_funding_wholly_outside_the_candles(hours: float) -> None:
    outside = s.stamps({s.moment(hours=hours): 0.0001})
    words = ("XRP funding", "outside", "2024-01-01 00:00", "give")
    check((lambda: feed(funding=outside), DataError, words))


def test_funding_that_overlaps_the_candles_is_fine() -> None:
    rates = {s.moment(hours=hours): 0.0001 for hours in (-8, 0, 8)}
    assert feed(funding=s.stamps(rates)).funding_series is not None


# Money that is not there: 1,000, of which 50 long at 100 take 500 and a fee of 2.50


@pytest.mark.parametrize("mode", BOTH)
def test_a_withdrawal_of_too_much_before_the_run(mode: str) -> None:
    words = ("withdrawal", "1001", "1000", "at most")
    check((lambda: broker(mode).add_cash(-1_001), BalanceError, words))


@pytest.mark.parametrize("mode", BOTH)
def test_a_withdrawal_of_too_much_during_the_run(mode: str) -> None:
    plan = {
        0: [s.send("buy", 50)],
        2: [lambda strategy: strategy.broker.add_cash(-498)],
    }
    words = ("withdrawal", "498", "497.5", "at most")
    made = broker(mode, leverage=10)
    check((lambda: s.run(FLAT, plan, made), BalanceError, words))


@pytest.mark.parametrize("mode", BOTH)
def test_a_withdrawal_of_all_that_is_available(mode: str) -> None:
    plan = {
        0: [s.send("buy", 50)],
        2: [lambda strategy: strategy.broker.add_cash(-497.5)],
    }
    result = s.run(FLAT, plan, broker(mode, leverage=10))
    assert result.cash[-1] == 0
    assert result.value[-1] == pytest.approx(500)
    assert s.ledger_total(result.broker, "deposit") == pytest.approx(1_000 - 497.5)


@pytest.mark.parametrize("mode", BOTH)
def test_withdrawals_of_one_bar_that_are_too_much_together(mode: str) -> None:
    def withdraw(strategy: Any) -> None:
        strategy.broker.add_cash(-600)
        strategy.broker.add_cash(-600)

    words = ("withdrawal", "600", "400", "at most")
    check((lambda: s.run(FLAT, {1: [withdraw]}, broker(mode)), BalanceError, words))


# 600 of 1,000 withdrawn leave no margin for 90 long.
@pytest.mark.parametrize("mode", BOTH)
def test_withdrawn_money_opens_nothing(mode: str) -> None:
    def act(strategy: Any) -> None:
        strategy.broker.add_cash(-600)
        strategy.sent["buy"] = strategy.buy(size=90)

    result = s.run(FLAT, {1: [act]}, broker(mode, leverage=10))
    assert s.status(result.sent["buy"]) == "Margin"
    assert result.broker.ledger.balances == {"shared": 400}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("amount", [NAN, float("inf"), "abc"])
def test_an_amount_that_is_none(mode: str, amount: Any) -> None:
    words = ("cash", str(amount))
    check((lambda: broker(mode).add_cash(amount), MarginError, words))


@pytest.mark.parametrize("mode", BOTH)
def test_a_fund_history_is_refused(mode: str) -> None:
    words = ("fund history", "ledger", 'margin_mode="off"')
    history = [["2024-01-01", 100.0, 1_000.0]]
    check((lambda: broker(mode).set_fund_history(history), MarginError, words))
