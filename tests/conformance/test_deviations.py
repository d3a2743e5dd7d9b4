"""What differs from stock Backtrader on purpose, and the test that shows each.

A deviation is named by words of its row in README's table of compatibility, and shown
by a test here or elsewhere that runs both brokers.
"""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from backtrader import Order

from bt_margin import CrossBroker, IsolatedBroker
from bt_margin.core.errors import BalanceError, MarginError

TESTS = Path(__file__).parents[1]
README = TESTS.parent / "README.md"

HERE = "conformance/test_deviations.py"
LEVERAGE_ONE = "broker/test_leverage_one.py"

# Words of the row in README: the file and the test that show it.
DEVIATIONS: dict[str, tuple[str, str]] = {
    "a short sale adds its proceeds": (
        LEVERAGE_ONE,
        "test_a_short_is_paid_in_cash_by_stock_and_locks_margin_here",
    ),
    "`shortcash=False`": (HERE, "test_shorts_that_take_no_cash"),
    "move PnL through the cash every bar": (
        LEVERAGE_ONE,
        "test_futures_cash_moves_every_bar_in_stock_and_when_realized_here",
    ),
    "leverage divides the cash of longs only": (HERE, "test_leverage_of_both_sides"),
    "counts PnL twice with `automargin`": (HERE, "test_value_with_automargin"),
    "one unaffordable order": (
        LEVERAGE_ONE,
        "test_one_order_too_big_takes_the_later_ones_along_in_stock_only",
    ),
    "resting orders lock nothing": (
        LEVERAGE_ONE,
        "test_limits_may_sum_to_more_than_the_cash_in_stock_and_not_here",
    ),
    "a bracket is checked as entry, exit and reversal": (
        LEVERAGE_ONE,
        "test_bracket_children_count_as_a_reversal_in_stock_only",
    ),
    "`cancel()` in the bar of submission": (
        LEVERAGE_ONE,
        "test_a_cancel_in_the_bar_of_submission_is_lost_in_stock_and_heard_here",
    ),
    "an order on a slower feed": (
        LEVERAGE_ONE,
        "test_an_order_never_fills_on_a_bar_that_was_known_when_it_was_sent",
    ),
    "a feed that has not begun": (HERE, "test_an_order_on_a_feed_that_has_not_begun"),
    "0.1 + 0.2 - 0.3": (
        LEVERAGE_ONE,
        "test_a_tenth_and_two_tenths_less_three_tenths_is_dust_in_stock_and_flat_here",
    ),
    "unsigned margin value": (HERE, "test_value_of_a_short_future"),
    "`getvalue([a, b])`": (HERE, "test_value_of_two_feeds"),
    "some analyzers divide by zero": (HERE, "test_analyzers_of_an_empty_account"),
    "`add_cash()` acts at the next bar": (HERE, "test_add_cash"),
    "`setcash()` during a run": (HERE, "test_setcash_during_a_run"),
    "`getsize()` is multiplied by leverage": (HERE, "test_getsize_with_leverage"),
    "a flip that cannot be paid": (HERE, "test_a_flip_that_cannot_be_paid"),
    "`set_fund_history()`": (HERE, "test_fund_history"),
    "no commission set: no fees": (HERE, "test_fees_when_no_commission_is_set"),
    "`reduce_only=True` is a note": (HERE, "test_reduce_only"),
    "a feed and its resampled clone": (HERE, "test_a_feed_and_its_resampled_clone"),
}


# The table and README


def rows() -> list[str]:
    """The rows of README's table of compatibility."""
    text = README.read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split("## Compatibility")[1], flags=re.M)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return lines[1:]


@pytest.mark.parametrize("words", DEVIATIONS)
def test_readme_has_a_row(words: str) -> None:
    assert [row for row in rows() if words in row]


@pytest.mark.parametrize("row", rows())
def test_a_row_of_readme_is_shown_by_a_test(row: str) -> None:
    assert [words for words in DEVIATIONS if words in row]


@pytest.mark.parametrize("where", DEVIATIONS.values(), ids="::".join)
def test_the_test_that_shows_it_exists(where: tuple[str, str]) -> None:
    file, name = where
    module = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    names = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
    assert names.count(name) == 1


# Both behaviours


@pytest.fixture(params=[IsolatedBroker, CrossBroker], ids=["isolated", "cross"])
def margin_broker(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def both(broker_tools: Any, margin_broker: Any) -> Callable[..., tuple[Any, Any]]:
    """Run a script under stock and under ours: (stock, ours).

    Orders and what to do by bar; keywords are those of ``setcommission``, and no
    commission is charged unless one is given.
    """

    def both(
        acts: dict[int, Callable[[Any], Any]],
        *frames: pd.DataFrame,
        cash: float = 1_000,
        prepare: Callable[[Any], None] | None = None,
        **scheme: Any,
    ) -> tuple[Any, Any]:
        def script(s: Any, bar: int) -> None:
            if bar in acts:
                acts[bar](s)

        runs = []
        ours = margin_broker(cash=cash, order_margin=False)
        for broker in (bt.brokers.BackBroker(cash=cash), ours):
            broker.setcommission(**{"commission": 0.0, **scheme})
            runs.append(broker_tools.record(broker, script, *frames, prepare=prepare))
        stock, ours = runs
        return stock, ours

    return both


@pytest.fixture
def at(broker_tools: Any) -> Callable[..., pd.DataFrame]:
    """Bars that stand at each of some prices."""

    def at(*prices: float, **settings: Any) -> pd.DataFrame:
        frame: pd.DataFrame = broker_tools.candles(
            [(p,) * 4 for p in prices], **settings
        )
        return frame

    return at


def test_shorts_that_take_no_cash(
    broker_tools: Any, margin_broker: Any, at: Any
) -> None:
    """Stock's switch makes a short cost what it is worth; here it has no meaning."""

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sell(size=5)

    cash = []
    for broker in (bt.brokers.BackBroker, margin_broker):
        for shortcash in (True, False):
            one = broker(cash=1_000, shortcash=shortcash)
            one.setcommission(commission=0.0)
            cash.append(broker_tools.record(one, script, at(*[100] * 3)).cash[-1])
    assert cash == [1_500, 500, 500, 500]


def test_leverage_of_both_sides(both: Any, at: Any) -> None:
    """500 at leverage 5, long and short."""
    frame = at(*[100] * 3)
    for send, theirs in ((Trade.buy, 900), (Trade.sell, 1_500)):
        stock, ours = both({1: send(5)}, frame, leverage=5)
        assert stock.cash[-1] == theirs
        assert ours.cash[-1] == 900


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [({"automargin": 0.1}, 1_110), ({"margin": 100.0, "leverage": 10}, 1_190)],
    ids=["automargin", "leverage"],
)
def test_value_with_automargin(
    both: Any, at: Any, scheme: dict[str, Any], theirs: float
) -> None:
    """A gain of 100 on 1,000."""
    frame = at(*[100] * 2, *[110] * 3)
    scheme = {"commtype": bt.CommInfoBase.COMM_PERC, "stocklike": False, **scheme}
    stock, ours = both({1: Trade.buy(10)}, frame, **scheme)
    assert stock.values[-1] == pytest.approx(theirs)
    assert ours.values[-1] == pytest.approx(1_100)


def test_an_order_on_a_feed_that_has_not_begun(
    broker_tools: Any, margin_broker: Any, at: Any
) -> None:
    """Stock fills it at the last bar of a preloaded feed, which is in the future."""
    early, late = at(*[100] * 6), at(*[50, 60, 70, 80]).shift(2, freq="1h")

    class Hasty(bt.Strategy):
        def __init__(self) -> None:
            self.fills: list[Any] = []

        def prenext(self) -> None:
            if len(self) == 1:
                self.buy(data=self.data1, size=1, exectype=Order.Limit, price=90)

        def notify_order(self, order: Any) -> None:
            if order.status == Order.Completed:
                self.fills.append((len(self), order.executed.price))

    fills = []
    for broker in (bt.brokers.BackBroker(), margin_broker()):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker)
        for number, frame in enumerate((early, late)):
            cerebro.adddata(broker_tools.stock_feed(frame), name=f"data{number}")
        cerebro.addstrategy(Hasty)
        fills.append(cerebro.run()[0].fills)
    stock, ours = fills
    assert stock == [(2, 80)]
    assert ours == [(3, 50)]


def test_value_of_a_short_future(both: Any, at: Any) -> None:
    """Two contracts short: their margin in stock, what they are worth here."""
    seen: list[float] = []
    acts = {1: Trade.sell(2), 3: lambda s: seen.append(s.broker.getvalue([s.data]))}
    both(acts, at(*[100] * 4), margin=50.0, mult=1.0)
    assert seen == [100, -200]


def test_value_of_two_feeds(both: Any, at: Any) -> None:
    """Asked for two feeds that hold 200 of 1,000."""
    seen: list[tuple[float, float]] = []

    def ask(s: Any) -> None:
        both_feeds = s.broker.getvalue([s.data0, s.data1])
        seen.append((both_feeds, s.broker.getvalue()))

    def buy(s: Any) -> None:
        for data in s.datas[:2]:
            s.buy(data=data, size=1)
        s.buy(data=s.data2, size=3)

    both({1: buy, 3: ask}, *[at(*[100] * 4)] * 3)
    assert seen == [(700, 700), (200, 1_000)]


def test_analyzers_of_an_empty_account(
    broker_tools: Any, margin_broker: Any, at: Any
) -> None:
    """A long of all that there is falls to nothing."""

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)

    def analyze(cerebro: Any) -> None:
        minutes = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}
        cerebro.addanalyzer(bt.analyzers.TimeReturn, **minutes)

    def record(broker: Any) -> Any:
        broker.setcommission(commission=0.0)
        frame = at(*[100] * 2, *[0] * 3)
        return broker_tools.record(broker, script, frame, prepare=analyze)

    with pytest.raises(ZeroDivisionError):
        record(bt.brokers.BackBroker(cash=1_000))
    run = record(margin_broker(cash=1_000))
    assert 0 < run.values[-1] < 1e-99
    assert run.broker.wallet_balance() == 0


def test_add_cash(both: Any, at: Any) -> None:
    cash: list[float] = []
    refused: list[str] = []

    def add(s: Any) -> None:
        s.broker.add_cash(100)
        cash.append(s.broker.getcash())
        try:
            s.broker.add_cash(-5_000)
        except BalanceError as refusal:
            refused.append(str(refusal))
            s.broker.add_cash(-500)

    stock, ours = both({2: add}, at(*[100] * 5))
    assert cash == [1_000, 1_100]
    assert len(refused) == 1
    assert stock.cash == [1_000, 1_000, -3_900, -3_900, -3_900]
    assert ours.cash == [1_000, 600, 600, 600, 600]


def test_setcash_during_a_run(both: Any, at: Any) -> None:
    """The rest of the account goes in stock; a ledger books the difference."""
    starts: list[float] = []

    def top_up(s: Any) -> None:
        s.broker.setcash(5_000)
        starts.append(s.broker.startingcash)

    _, ours = both({2: top_up}, at(*[100] * 4))
    assert starts == [5_000, 1_000]
    deposits = [entry.amount for entry in ours.broker.ledger]
    assert deposits == [1_000, 4_000]


def test_getsize_with_leverage(both: Any, at: Any) -> None:
    """How many coins at 100 are 1,000 worth, with leverage 5?"""
    sizes: list[float] = []

    def ask(s: Any) -> None:
        scheme = s.broker.getcommissioninfo(s.data)
        sizes.append(scheme.getsize(100.0, 1_000.0))

    both({1: ask}, at(*[100] * 3), leverage=5)
    assert sizes == [50, 10]


def test_a_flip_that_cannot_be_paid(both: Any, at: Any) -> None:
    """Short 5, then buy 500: only the 5 can be paid."""
    acts = {1: Trade.sell(5), 3: Trade.buy(500)}
    stock, ours = both(acts, at(*[100] * 6))
    assert stock.positions[-1] == -5
    assert stock.statuses(1) == ["Submitted", "Margin"]
    assert ours.positions[-1] == 0
    assert ours.fills() == [(-5, 100), (5, 100)]
    assert ours.statuses(1)[-1] == "Margin"


def test_fund_history(margin_broker: Any) -> None:
    history = [["2024-01-01", 100.0, 10_000.0]]
    bt.brokers.BackBroker().set_fund_history(history)
    with pytest.raises(MarginError, match="fund history"):
        margin_broker().set_fund_history(history)


def test_fees_when_no_commission_is_set(
    broker_tools: Any, margin_broker: Any, at: Any
) -> None:
    """500 are bought at the taker fee of the venue, 0.05 %."""

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=5)

    runs = [
        broker_tools.record(broker, script, at(*[100] * 3))
        for broker in (bt.brokers.BackBroker(cash=1_000), margin_broker(cash=1_000))
    ]
    assert [run.values[-1] for run in runs] == [1_000, 999.75]


def test_reduce_only(both: Any, at: Any) -> None:
    """A stop that is left over from a position that has closed."""

    def leave(s: Any) -> None:
        s.sell(size=1, exectype=Order.Stop, price=90, reduce_only=True)

    acts = {1: Trade.buy(1), 3: leave, 4: Trade.sell(1)}
    stock, ours = both(acts, at(*[100] * 6, *[80] * 3))
    assert stock.positions[-1] == -1
    assert ours.positions[-1] == 0


def test_a_feed_and_its_resampled_clone(both: Any, at: Any) -> None:
    """They show one instrument, which has one position."""
    held: list[tuple[float, float]] = []

    def resample(cerebro: Any) -> None:
        hours = {"timeframe": bt.TimeFrame.Minutes, "compression": 120}
        cerebro.resampledata(cerebro.datas[0], name="slow", **hours)

    def look(s: Any) -> None:
        fine, slow = (s.getposition(data).size for data in s.datas)
        held.append((fine, slow))

    acts = {3: Trade.buy(1), 5: look}
    both(acts, at(*[100] * 9), prepare=resample)
    assert held == [(1, 0), (1, 1)]


class Trade:
    """Market orders as acts of a script."""

    @staticmethod
    def buy(size: float) -> Callable[[Any], Any]:
        return lambda s: s.buy(size=size)

    @staticmethod
    def sell(size: float) -> Callable[[Any], Any]:
        return lambda s: s.sell(size=size)
