"""At leverage 1 a margin account is a cash account, but for what margin means.

With ample cash, small shorts, no funding and no margin on resting orders, orders
fill as in stock Backtrader and the value is the same. Every difference that there
must be is a test of its own, which shows both behaviours.
"""

import math
from collections.abc import Callable
from typing import Any

import backtrader as bt
import pandas as pd
import pytest
from backtrader import Order

from bt_margin import CrossBroker, IsolatedBroker

FEE = 0.001
AMPLE = 1_000_000

# Account and position keep entry prices by different roads, so the last bits may
# differ; an amount that is a difference of two large ones carries their last bits.
RELATIVE, ABSOLUTE = 1e-12, 1e-9


def same(ours: Any, stock: Any) -> bool:
    """Equal, floats up to rounding."""
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(stock) and all(map(same, ours, stock))
    if isinstance(ours, float) or isinstance(stock, float):
        return math.isclose(ours, stock, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(ours == stock)


def assert_same(ours: list[Any], stock: list[Any]) -> None:
    for number, (row, other) in enumerate(zip(ours, stock, strict=False)):
        assert same(row, other), f"row {number}: {row} instead of {other}"
    assert len(ours) == len(stock)


@pytest.fixture(params=[IsolatedBroker, CrossBroker], ids=["isolated", "cross"])
def margin_broker(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def compare(record: Any, margin_broker: Any) -> Callable[..., Any]:
    """Run a script under both brokers and demand the same up to rounding."""

    def compare(
        script: Any,
        *frames: pd.DataFrame,
        setup: Callable[[Any], None] | None = None,
        **run: Any,
    ) -> Any:
        def outcome(broker: Any) -> Any:
            broker.setcommission(commission=FEE)
            if setup is not None:
                setup(broker)
            return record(broker, script, *frames, **run)

        stock = outcome(bt.brokers.BackBroker(cash=AMPLE))
        ours = outcome(margin_broker(cash=AMPLE, leverage=1, order_margin=False))
        assert stock.orders
        assert_same(ours.orders, stock.orders)
        assert_same(ours.trades, stock.trades)
        for ours_now, stock_now in zip(ours.values, stock.values, strict=True):
            assert ours_now == pytest.approx(stock_now, rel=1e-9, abs=0)
        held, held_by_stock = ([row[-1] for row in r.bars] for r in (ours, stock))
        assert_same(held, held_by_stock)
        assert ours.broker.liquidations == []
        return stock

    return compare


def test_orders_fill_as_in_stock(
    compare: Any, walk: pd.DataFrame, tame_script: Any
) -> None:
    compare(tame_script, walk)


def test_orders_fill_as_in_stock_bar_by_bar(
    compare: Any, walk: pd.DataFrame, soup: Any
) -> None:
    compare(soup, walk, runonce=False)


def test_orders_fill_as_in_stock_on_daily_bars(
    compare: Any, random_walk: Any, soup: Any
) -> None:
    compare(soup, random_walk(every="1D"))


SETTINGS: dict[str, Callable[[Any], None]] = {
    "cheat on close": lambda broker: broker.set_coc(True),
    "slippage in percent": lambda broker: broker.set_slippage_perc(0.004),
    "slippage in points": lambda broker: broker.set_slippage_fixed(0.35),
    "slippage that must match": lambda broker: broker.set_slippage_perc(
        0.01, slip_open=True, slip_match=False, slip_limit=False
    ),
    "a filler of fixed size": lambda broker: broker.set_filler(
        bt.fillers.FixedSize(size=4)
    ),
    "a filler by volume": lambda broker: broker.set_filler(
        bt.fillers.FixedBarPerc(perc=1.0)
    ),
    "no check at submission": lambda broker: broker.set_checksubmit(False),
    "end of session at its bar": lambda broker: broker.set_eosbar(True),
}


@pytest.mark.parametrize("setting", [*SETTINGS.values()], ids=[*SETTINGS])
def test_orders_fill_as_in_stock_under_every_setting(
    compare: Any, walk: pd.DataFrame, soup: Any, setting: Callable[[Any], None]
) -> None:
    compare(soup, walk, setup=setting)


@pytest.mark.parametrize("runonce", [True, False], ids=["runonce", "bar by bar"])
def test_orders_fill_as_in_stock_when_they_are_sent_before_the_open(
    compare: Any, walk: pd.DataFrame, soup: Any, runonce: bool
) -> None:
    compare(soup, walk, on_open=True, cheat_on_open=True, runonce=runonce)


def test_orders_fill_as_in_stock_where_resting_orders_lock_margin(
    record: Any, margin_broker: Any, walk: pd.DataFrame, soup: Any
) -> None:
    """With ample cash the lock shows in the available balance alone."""
    runs = []
    for locks in (True, False):
        broker = margin_broker(cash=AMPLE, order_margin=locks)
        runs.append(record(broker, soup, walk))
    locked, free = runs
    assert locked.orders == free.orders
    assert locked.trades == free.trades
    assert locked.values == free.values
    assert locked.cash != free.cash
    assert all(a <= b for a, b in zip(locked.cash, free.cash, strict=True))


def test_orders_fill_as_in_stock_on_several_feeds(
    compare: Any, random_walk: Any, soup: Any
) -> None:
    compare(soup, *(random_walk(seed=seed) for seed in (1, 2, 3)))


@pytest.mark.parametrize("seed", range(41, 57), ids="seed {}".format)
def test_orders_fill_as_in_stock_in_any_market(
    compare: Any, random_walk: Any, soup: Any, seed: int
) -> None:
    compare(lambda s, bar: soup(s, bar, seed=seed), random_walk(bars=120, seed=seed))


def test_a_buy_beyond_the_cash_is_refused_as_in_stock(
    record: Any, margin_broker: Any, walk: pd.DataFrame
) -> None:
    def script(s: Any, bar: int) -> None:
        if bar in (1, 5, 9):
            s.buy(size={1: 60, 5: 60, 9: 30}[bar])

    runs = []
    for broker in (bt.brokers.BackBroker(), margin_broker()):
        broker.setcommission(commission=FEE)
        runs.append(record(broker, script, walk))
    stock, ours = runs
    assert [row[3] for row in stock.orders].count("Margin") == 1
    assert_same(ours.orders, stock.orders)


def test_a_buy_that_a_gap_makes_too_dear_is_refused_at_its_fill_as_in_stock(
    record: Any, margin_broker: Any, candles: Any
) -> None:
    frame = candles([(100, 100, 100, 100)] * 2 + [(105, 106, 104, 105)] * 2)

    def script(s: Any, bar: int) -> None:
        if bar == 2:
            s.buy(size=99)

    runs = []
    for broker in (bt.brokers.BackBroker(), margin_broker()):
        broker.setcommission(commission=FEE)
        runs.append(record(broker, script, frame))
    stock, ours = runs
    assert stock.statuses(0) == ["Submitted", "Accepted", "Margin"]
    assert_same(ours.orders, stock.orders)
    assert ours.values == stock.values


def test_shortcash_is_a_matter_of_stock_alone(
    record: Any, margin_broker: Any, walk: pd.DataFrame, soup: Any
) -> None:
    """Stock's switch says how a short is paid for; a perpetual's never is."""
    runs = []
    for shortcash in (True, False):
        broker = margin_broker(cash=AMPLE, shortcash=shortcash)
        runs.append(record(broker, soup, walk))
    paid, unpaid = runs
    assert paid.orders == unpaid.orders
    assert paid.trades == unpaid.trades
    assert paid.bars == unpaid.bars


# What must differ. Each case runs one script under three brokers.


@pytest.fixture
def stock(record: Any) -> Callable[..., Any]:
    """Run a script under stock Backtrader, without fees unless they are set."""

    def run(script: Any, *frames: Any, cash: float = 10_000, **scheme: Any) -> Any:
        broker = bt.brokers.BackBroker(cash=cash)
        broker.setcommission(**{"commission": 0.0, **scheme})
        return record(broker, script, *frames)

    return run


@pytest.fixture
def ours(record: Any, margin_broker: Any) -> Callable[..., Any]:
    """Run a script under a margin broker; keywords are its parameters."""

    def run(
        script: Any,
        *frames: Any,
        cash: float = 10_000,
        leverage: float = 1,
        order_margin: bool = False,
        **scheme: Any,
    ) -> Any:
        broker = margin_broker(cash=cash, leverage=leverage, order_margin=order_margin)
        broker.setcommission(**{"commission": 0.0, **scheme})
        return record(broker, script, *frames)

    return run


@pytest.fixture
def flat(candles: Any) -> pd.DataFrame:
    """Twelve bars at 100 that reach from 99 to 101."""
    return pd.DataFrame(candles([(100, 101, 99, 100)] * 12))


def at(orders: dict[int, Callable[[Any], Any]]) -> Any:
    """A script from what is to be sent at which bar."""

    def script(s: Any, bar: int) -> None:
        if bar in orders:
            orders[bar](s)

    return script


def test_a_short_is_paid_in_cash_by_stock_and_locks_margin_here(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    """A perpetual is not borrowed and sold: nobody pays for it when it opens."""
    script = at({1: lambda s: s.sell(size=20)})
    theirs, mine = stock(script, flat), ours(script, flat)
    assert theirs.cash[-1] == 12_000
    assert mine.cash[-1] == 8_000
    assert theirs.values == mine.values


def test_a_short_without_cash_is_filled_by_stock_and_refused_here(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    """A short has to be margined like a long."""
    script = at({1: lambda s: s.sell(size=1_000_000)})
    theirs, mine = stock(script, flat, cash=100), ours(script, flat, cash=100)
    assert theirs.positions[-1] == -1_000_000
    assert mine.positions[-1] == 0
    assert mine.statuses(0) == ["Submitted", "Margin"]
    assert mine.seen[-1].info.shortfall.have == 100


def test_futures_cash_moves_every_bar_in_stock_and_when_realized_here(
    stock: Any, ours: Any, candles: Any
) -> None:
    """Profit of an open position is in no wallet before it closes."""
    frame = candles([(p, p, p, p) for p in (100, 100, 110, 120, 120, 120)])
    balances: list[float] = []

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=5)
        elif bar == 4:
            s.close()
        if isinstance(s.broker, (IsolatedBroker, CrossBroker)):
            balances.append(s.broker.wallet_balance())

    scheme = {"margin": 50.0, "mult": 1.0}
    theirs, mine = stock(script, frame, **scheme), ours(script, frame, **scheme)
    assert theirs.cash == [10_000, 9_750, 9_800, 9_850, 10_100, 10_100]
    assert balances == [10_000, 10_000, 10_000, 10_000, 10_100, 10_100]
    realized = [e.amount for e in mine.broker.ledger if e.kind == "realized_pnl"]
    assert realized == [100]
    assert theirs.values == mine.values


def test_a_fixed_margin_is_what_a_contract_locks_wherever_the_price_goes(
    ours: Any, candles: Any
) -> None:
    frame = candles([(p, p, p, p) for p in (100, 100, 110, 120, 80, 80)])
    locked: list[float] = []

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=5)
        locked.append(s.broker.initial_margin())

    ours(script, frame, margin=50.0, mult=1.0)
    assert locked == [0, 250, 250, 250, 250, 250]


def test_one_order_too_big_takes_the_later_ones_along_in_stock_only(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    """Stock goes on with the cash and the position of the order it has refused."""

    def send(s: Any) -> None:
        s.buy(size=10)
        s.buy(size=500)
        s.buy(size=1)
        s.sell(size=1)

    script = at({1: send})
    theirs, mine = stock(script, flat), ours(script, flat)
    ends = [theirs.statuses(number)[-1] for number in range(4)]
    assert ends == ["Completed", "Margin", "Margin", "Margin"]
    ends = [mine.statuses(number)[-1] for number in range(4)]
    assert ends == ["Completed", "Margin", "Completed", "Completed"]


@pytest.mark.parametrize(
    ("order_margin", "last"),
    [(True, "Margin"), (False, "Accepted")],
    ids=["resting orders lock margin", "resting orders lock nothing"],
)
def test_limits_may_sum_to_more_than_the_cash_in_stock_and_not_here(
    stock: Any, ours: Any, flat: pd.DataFrame, order_margin: bool, last: str
) -> None:
    """Three limits of 4,500 rest on 10,000."""

    def limit(s: Any) -> Any:
        return s.buy(size=50, exectype=Order.Limit, price=90)

    script = at({1: limit, 2: limit, 3: limit})
    theirs = stock(script, flat)
    mine = ours(script, flat, order_margin=order_margin)
    assert [theirs.statuses(number)[-1] for number in range(3)] == ["Accepted"] * 3
    ends = [mine.statuses(number)[-1] for number in range(3)]
    assert ends == ["Accepted", "Accepted", last]
    assert theirs.cash[-1] == 10_000
    assert mine.cash[-1] == (1_000 if order_margin else 10_000)


def test_bracket_children_count_as_a_reversal_in_stock_only(
    stock: Any, ours: Any, candles: Any
) -> None:
    """Stock closes at the stop, then asks margin for a new position at the limit."""
    frame = candles([(100, 101, 99, 100)] * 3 + [(100, 125, 100, 120)] * 3)

    def bracket(s: Any) -> None:
        s.buy_bracket(size=90, exectype=Order.Market, stopprice=90, limitprice=120)

    script = at({1: bracket})
    theirs = stock(
        script,
        frame,
        commtype=bt.CommInfoBase.COMM_PERC,
        stocklike=False,
        automargin=1.0,
    )
    mine = ours(script, frame, order_margin=True)
    ends = [theirs.statuses(number)[-1] for number in range(3)]
    assert ends == ["Canceled", "Canceled", "Margin"]
    assert theirs.fills() == []
    ends = [mine.statuses(number)[-1] for number in range(3)]
    assert ends == ["Completed", "Canceled", "Completed"]
    assert mine.fills() == [(90, 100), (-90, 120)]


def test_a_cancel_in_the_bar_of_submission_is_lost_in_stock_and_heard_here(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    def send_and_cancel(s: Any) -> None:
        s.cancel(s.buy(size=1))

    script = at({1: send_and_cancel})
    theirs, mine = stock(script, flat), ours(script, flat)
    assert theirs.statuses(0) == ["Submitted", "Accepted", "Completed"]
    assert mine.statuses(0) == ["Submitted", "Canceled"]
    assert mine.positions[-1] == 0


def test_a_bracket_cancelled_in_the_bar_of_submission_goes_as_a_whole(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    def send_and_cancel(s: Any) -> None:
        parent, *_ = s.buy_bracket(
            size=1, exectype=Order.Market, stopprice=90, limitprice=110
        )
        s.cancel(parent)

    script = at({1: send_and_cancel})
    theirs, mine = stock(script, flat), ours(script, flat)
    assert theirs.positions[-1] == 1
    assert mine.positions[-1] == 0
    for number in range(3):
        assert mine.statuses(number) == ["Submitted", "Canceled"]


@pytest.mark.parametrize(
    ("kind", "price"),
    [(Order.Limit, 60), (Order.Stop, 40)],
    ids=["a limit", "a stop"],
)
def test_an_order_never_fills_on_a_bar_that_was_known_when_it_was_sent(
    stock: Any, ours: Any, candles: Any, kind: int, price: float
) -> None:
    """Stock matches the bar of a slower feed that the strategy has seen already."""
    fast = candles([(100, 100, 100, 100)] * 12, every="1h")
    slow = candles([(50, 55, 45, 50), (70, 75, 65, 70), (50, 55, 45, 50)], every="4h")

    def send(s: Any) -> None:
        s.buy(data=s.data1, size=1, exectype=kind, price=price)

    script = at({2: send})
    theirs, mine = stock(script, fast, slow), ours(script, fast, slow)
    first, second = fast.index[0], slow.index[1]
    filled = [bt.num2date(o.executed.dt) for o in theirs.seen if o.executed.size]
    assert filled == [first.to_pydatetime()]
    assert theirs.fills() == [(1, 50)]
    filled = [bt.num2date(o.executed.dt) for o in mine.seen if o.executed.size]
    if kind == Order.Stop:
        assert filled == [second.to_pydatetime()]
        assert mine.fills() == [(1, 70)]
    else:
        third = slow.index[2]
        assert filled == [third.to_pydatetime()]
        assert mine.fills() == [(1, 50)]


@pytest.mark.parametrize(
    "setting",
    [lambda broker: broker.set_coo(True), lambda broker: broker.set_coc(True)],
    ids=["cheat on open", "cheat on close"],
)
def test_a_limit_never_fills_on_a_known_bar_with_cheating_either(
    record: Any, margin_broker: Any, candles: Any, setting: Callable[[Any], None]
) -> None:
    """Cheating is about the bar of the order's own time, not about older ones."""
    fast = candles([(100, 100, 100, 100)] * 12, every="1h")
    slow = candles([(50, 55, 45, 50), (70, 75, 65, 70), (52, 55, 45, 50)], every="4h")
    broker = margin_broker(order_margin=False)
    setting(broker)

    def send(s: Any) -> None:
        s.buy(data=s.data1, size=1, exectype=Order.Limit, price=60)

    mine = record(broker, at({2: send}), fast, slow)
    assert mine.fills() == [(1, 52)]


def test_a_tenth_and_two_tenths_less_three_tenths_is_dust_in_stock_and_flat_here(
    stock: Any, ours: Any, flat: pd.DataFrame
) -> None:
    script = at(
        {
            1: lambda s: s.buy(size=0.1),
            2: lambda s: s.buy(size=0.2),
            3: lambda s: s.sell(size=0.3),
        }
    )
    theirs, mine = stock(script, flat), ours(script, flat)
    assert theirs.positions[-1] == pytest.approx(5.6e-17, rel=0.1)
    assert not any(row[6] for row in theirs.trades)
    assert mine.positions[-1] == 0
    assert [row[6] for row in mine.trades] == [False, True]
    assert mine.broker.account.positions == {}


def test_dust_of_a_short_is_flat_too(ours: Any, flat: pd.DataFrame) -> None:
    script = at(
        {
            1: lambda s: s.sell(size=0.1),
            2: lambda s: s.sell(size=0.2),
            3: lambda s: s.buy(size=0.3),
        }
    )
    mine = ours(script, flat)
    assert mine.positions[-1] == 0
    assert [row[6] for row in mine.trades] == [False, True]


def test_a_close_is_refused_by_stock_where_equity_is_gone_and_never_here(
    stock: Any, ours: Any, candles: Any
) -> None:
    """Stock futures fall below zero and stay there; here they are liquidated."""
    prices = (100, 100, 80, 40, 40, 40)
    frame = candles([(p, p, p, p) for p in prices])
    script = at({1: lambda s: s.buy(size=90), 4: lambda s: s.close()})
    scheme = {"margin": 11.0, "mult": 1.0}
    theirs = stock(script, frame, cash=1_000, **scheme)
    mine = ours(script, frame, cash=1_000, **scheme)
    assert theirs.values[-1] < 0
    assert theirs.statuses(1)[-1] == "Margin"
    assert theirs.positions[-1] == 90
    assert mine.values[-1] >= 0
    assert mine.positions[-1] == 0
    assert [event.size for event in mine.broker.liquidations] == [90]
