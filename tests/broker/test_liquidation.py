"""Liquidation: when, at what price, what is left, and who hears of it.

The venue is ``generic``: maintenance 0.5 % of the entry notional, settlement at
bankruptcy, taker fee 0.05 %, maker fee 0.02 %. So 100 long from 100 at 10x have a
margin of 1,000, a fee of 5, maintenance 50, and go at 100 - (1,000 - 50) / 100 = 90.5.
Where the account holds margin and fee alone, cross has the same liquidation price.
"""

from datetime import timedelta
from typing import Any

import pytest

import bt_margin

from . import scenario as s
from .scenario import BOTH, approx

CALM = [s.flat(100), s.flat(100)]  # an order of bar 0 fills at 100 in bar 1
LONG = s.send("buy", 100)


def just_enough(mode: str, **params: Any) -> Any:
    return s.BROKERS[mode](cash=1_005, leverage=10, **params)


# One position, one bar


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("stop_price", "bar", "sold_at", "left"),
    [
        pytest.param(
            *(95, (100, 100, 90, 90), 95, 1_000 - 500 - 95 * 100 * 0.0005),
            id="a stop at 95 fills before liquidation at 90.5",
        ),
        pytest.param(
            *(89, (100, 100, 88, 88), None, 0),
            id="a stop at 89 comes after liquidation at 90.5",
        ),
        pytest.param(
            *(95, (85, 85, 85, 85), None, 0),
            id="a bar that opens at 85 liquidates before the stop at 95",
        ),
        pytest.param(
            *(95, (91, 91, 91, 91), 91, 1_000 - 900 - 91 * 100 * 0.0005),
            id="a bar that opens at 91 fills the stop at 91",
        ),
    ],
)
def test_stop_or_liquidation(
    mode: str, stop_price: float, bar: Any, sold_at: float | None, left: float
) -> None:
    plan = {0: [LONG], 1: [s.stop("sell", 100, stop_price)]}
    result = s.run([*CALM, bar, s.flat(bar[3])], plan, just_enough(mode))
    stop = result.sent["stop"]
    if sold_at is None:
        (event,) = result.liquidations
        assert event.liquidation_price == approx(90.5)
        assert s.status(stop) == "Canceled"
        # The loss is the margin to the cent, also when the bar opened beyond it.
        assert result.trades[0].pnl == approx(-1_000)
    else:
        assert not result.liquidations
        assert stop.executed.price == sold_at
    assert result.value[-1] == approx(left)
    assert result.sizes[-1] == {"A": 0}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar_path", "left"),
    [
        pytest.param("low_first", 0, id="low first: liquidated"),
        # The limit rested, so it pays the maker fee.
        pytest.param(
            *("high_first", 1_000 + 1_000 - 110 * 100 * 0.0002),
            id="high first: the profit is taken",
        ),
    ],
)
def test_take_profit_and_liquidation_in_one_bar(
    mode: str, bar_path: str, left: float
) -> None:
    plan = {0: [LONG], 1: [s.limit("sell", 100, 110)]}
    bars = [*CALM, (100, 111, 90, 100), s.flat(100)]
    result = s.run(bars, plan, just_enough(mode, bar_path=bar_path))
    assert len(result.liquidations) == (left == 0)
    assert result.value[-1] == approx(left)


# Which way adaptive goes: to the extreme nearer the open first.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar", "is_dead"),
    [
        pytest.param((100, 112, 90, 100), True, id="the low is nearer: it comes first"),
        pytest.param((108, 111, 90, 100), False, id="the high is nearer"),
    ],
)
def test_adaptive_path(mode: str, bar: Any, is_dead: bool) -> None:
    plan = {0: [LONG], 1: [s.limit("sell", 100, 110)]}
    result = s.run([*CALM, bar], plan, just_enough(mode))
    assert bool(result.liquidations) is is_dead


# An entry inside the bar. 93 * 100 = 9,300: margin 930, taker fee 4.65, maker 1.86,
# maintenance 46.50. In cross the account holds 934.65, so that 932.79 are left.


@pytest.mark.parametrize(
    ("mode", "liquidation_price"),
    [
        pytest.param("isolated", 93 * (1 - 0.1 + 0.005), id="isolated 84.165"),
        pytest.param("cross", 93 - (934.65 - 1.86 - 46.5) / 100, id="cross 84.1371"),
    ],
)
@pytest.mark.parametrize(
    ("offset", "is_dead"),
    [
        pytest.param(0.001, False, id="the low after the entry is just above"),
        pytest.param(-0.001, True, id="the low after the entry is just below"),
    ],
)
def test_a_limit_entry_lives_by_the_low_after_it(
    mode: str, liquidation_price: float, offset: float, is_dead: bool
) -> None:
    low = liquidation_price + offset
    bars = [s.flat(100), (100, 101, low, 95), s.flat(95)]
    broker = s.BROKERS[mode](cash=934.65, leverage=10, bar_path="high_first")
    result = s.run(bars, {0: [s.limit("buy", 100, 93)]}, broker)
    assert result.sent["limit"].executed.price == 93
    assert bool(result.liquidations) is is_dead
    assert result.sizes[-1] == {"A": 0 if is_dead else 100}


# 105 * 100 = 10,500: margin 1,050, fee 5.25, maintenance 52.50: it goes at 95.025.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar_path", "is_dead"),
    [
        pytest.param("low_first", False, id="80 came before the entry: alive"),
        pytest.param("high_first", True, id="80 came after the entry: liquidated"),
    ],
)
def test_a_stop_entry_lives_through_a_low_before_it(
    mode: str, bar_path: str, is_dead: bool
) -> None:
    bars = [s.flat(100), (100, 106, 80, 105), s.flat(105)]
    broker = s.BROKERS[mode](cash=1_055.25, leverage=10, bar_path=bar_path)
    result = s.run(bars, {0: [s.stop("buy", 100, 105)]}, broker)
    prices = [event.liquidation_price for event in result.liquidations]
    assert prices == ([approx(105 * (1 - 0.1 + 0.005))] if is_dead else [])


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("side", "bar", "liquidation_price"),
    [
        pytest.param("buy", (100, 100, 90.501, 91), None, id="long above 90.5"),
        pytest.param("buy", (100, 100, 90.499, 91), 90.5, id="long below 90.5"),
        pytest.param("buy", (100, 100, 90.5, 91), 90.5, id="long at 90.5"),
        pytest.param("sell", (100, 109.499, 100, 109), None, id="short below 109.5"),
        pytest.param("sell", (100, 109.501, 100, 109), 109.5, id="short above 109.5"),
        pytest.param("sell", (100, 109.5, 100, 109), 109.5, id="short at 109.5"),
    ],
)
def test_the_liquidation_price(
    mode: str, side: str, bar: Any, liquidation_price: float | None
) -> None:
    result = s.run([*CALM, bar], {0: [s.send(side, 100)]}, just_enough(mode))
    prices = [event.mark_price for event in result.liquidations]
    expected = [] if liquidation_price is None else [approx(liquidation_price)]
    assert prices == expected


# A pair: long 100 A and short 100 B at 100. Margin 2 * 1,000 and fees 2 * 5 are the
# account, so cross has 2,000 and maintenance 2 * 50: a net loss of 1,900 ends both.

PAIR = {0: [s.send("buy", 100), s.send("sell", 100, data="B")]}
HIGH_FIRST = (0, 1 / 3, 2 / 3, 1)  # the bars below: open, high, low, close


def run_pair(mode: str, a: Any, b: Any) -> Any:
    feeds = [s.perp([*CALM, a, s.flat(a[3])], "A")]
    feeds.append(s.perp([*CALM, b, s.flat(b[3])], "B"))
    broker = s.BROKERS[mode](cash=2_010, leverage=10, bar_path="high_first")
    return s.run(feeds, PAIR, broker)


FALL = (100, 100, 80, 80)


def test_a_hedged_pair_lives_in_cross_where_isolated_loses_a_leg() -> None:
    cross, isolated = (run_pair(mode, FALL, FALL) for mode in ("cross", "isolated"))
    assert not cross.liquidations
    assert cross.value[-1] == approx(2_000)
    assert [event.symbol for event in isolated.liquidations] == ["A"]
    # A has lost its 1,000; B has its 1,000 and 20 * 100.
    assert isolated.value[-1] == approx(1_000 + 2_000)


# The low comes from 1/3 to 2/3 of the bar, in a straight line of both prices.
@pytest.mark.parametrize(
    ("a_low", "b_low", "part"),
    [
        # 100 * 20 * part = 1,900
        pytest.param(80, 100, 19 / 20, id="B stands still: at A = 81"),
        # 100 * (40 - 5) * part = 1,900
        pytest.param(60, 95, 19 / 35, id="B gains a little: at A = 78.29, B = 97.29"),
    ],
)
def test_an_unhedged_pair_dies_in_cross_at_the_solved_moment(
    a_low: float, b_low: float, part: float
) -> None:
    result = run_pair("cross", (100, 100, a_low, a_low), (100, 100, b_low, b_low))
    events = {event.symbol: event for event in result.liquidations}
    assert set(events) == {"A", "B"}
    a, b = 100 - (100 - a_low) * part, 100 - (100 - b_low) * part
    assert (events["A"].mark_price, events["B"].mark_price) == (approx(a), approx(b))
    expected = s.moment(hours=2) + timedelta(hours=1 / 3 + part / 3)
    assert abs(events["A"].time - expected) < timedelta(milliseconds=1)
    assert events["A"].time == events["B"].time
    # The 100 that are left are shared by maintenance, 50 to 50: 0.50 for each unit.
    assert events["A"].fill_price == approx(a - 0.5)
    assert events["B"].fill_price == approx(b + 0.5)
    assert [events[name].insurance for name in "AB"] == [approx(-50)] * 2
    assert s.ledger_total(result.broker, "insurance") == approx(-100)
    assert result.broker.ledger.balances == {"shared": 0}


# Isolated B would go at 109.5, A at 90.5: each by its own bar.
def test_isolated_legs_die_one_by_one() -> None:
    result = run_pair("isolated", FALL, s.flat(100))
    assert [event.symbol for event in result.liquidations] == ["A"]
    assert result.sizes[-1] == {"A": 0, "B": -100}
    assert result.value[-1] == approx(2_010 - 10 - 1_000)


# What is left


# 200 at 100: margin 2,000, fee 0.0005 * 20,000 = 10.
@pytest.mark.parametrize(
    ("mode", "low", "left"),
    [
        pytest.param("isolated", 90, 7_990.00, id="isolated: 8,000 less the fee"),
        pytest.param("isolated", 40, 7_990.00, id="isolated, and far beyond"),
        # Wallet 9,990, maintenance 100: it goes at 100 - 9,890 / 200 = 50.55.
        pytest.param("cross", 51, 9_990 - 200 * 49, id="cross above 50.55: alive"),
        pytest.param("cross", 50, 0, id="cross: wiped to 0"),
        pytest.param("cross", 40, 0, id="cross, and far beyond"),
    ],
)
@pytest.mark.parametrize("jumps", [False, True], ids=["on the way", "by a jump"])
def test_what_is_left_of_10000(mode: str, low: float, left: float, jumps: bool) -> None:
    bar = s.flat(low) if jumps else (100, 100, low, low)
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    result = s.run([*CALM, bar, s.flat(low)], {0: [s.send("buy", 200)]}, broker)
    assert result.value[-1] == approx(left)
    if left != 9_990 - 200 * 49:
        assert broker.wallet_balance() == left  # to the last bit
        assert result.cash[-1] == left
        assert all(
            balance == 0
            for wallet, balance in broker.ledger.balances.items()
            if wallet != "shared"
        )


# A jump to 85: 1,000 - 100 * 15 = -500 is paid by the fund; on the way at 90.5 the
# fund keeps the maintenance of 50.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar", "mark", "insurance"),
    [
        pytest.param((100, 100, 85, 85), 90.5, -50, id="on the way"),
        pytest.param((85, 85, 85, 85), 85, 500, id="by a jump"),
    ],
)
def test_the_insurance_fund_keeps_or_pays_the_rest(
    mode: str, bar: Any, mark: float, insurance: float
) -> None:
    result = s.run([*CALM, bar], {0: [LONG]}, just_enough(mode))
    broker, (event,) = result.broker, result.liquidations
    assert event.insurance == approx(insurance)
    assert s.ledger_total(broker, "insurance") == approx(insurance)
    assert s.ledger_total(broker, "realized_pnl") == approx(100 * (mark - 100))
    assert event.fill_price == approx(90)
    assert event.loss == approx(-1_000)


# What is told


@pytest.mark.parametrize("mode", BOTH)
def test_the_order_and_the_trade_of_a_liquidation(mode: str) -> None:
    bars = [*CALM, (100, 100, 80, 80), s.flat(80)]
    result = s.run(bars, {0: [LONG]}, just_enough(mode))
    order = result.liquidation_orders[-1]
    assert s.status(order) == "Completed"
    assert order.issell()
    assert order.executed.size == -100
    assert order.executed.price == approx(90)
    assert order.info.liquidation is result.liquidations[0]
    assert {heard.ref for heard in result.liquidation_orders} == {order.ref}
    (trade,) = result.trades
    assert trade.pnl == approx(-1_000)
    assert trade.pnlcomm == approx(-1_000 - 5)
    assert trade.size == 0


@pytest.mark.parametrize("mode", BOTH)
def test_every_trade_id_of_a_position_is_closed(mode: str) -> None:
    plan = {0: [s.send("buy", 60, "one", tradeid=1), s.send("buy", 40, tradeid=2)]}
    result = s.run([*CALM, (100, 100, 80, 80)], plan, just_enough(mode))
    assert len(result.liquidations) == 1
    pnl = {trade.tradeid: trade.pnl for trade in result.trades}
    assert pnl == {1: approx(-600), 2: approx(-400)}
    refs = {order.ref for order in result.liquidation_orders}
    assert len(refs) == 2


# Long from 100 and short of the same: entry bar 1, liquidated in bar 2, which runs
# from 02:00 to 03:00. High first: from 100 (20 minutes) to 80 (40 minutes).
@pytest.mark.parametrize(
    ("mode", "wallet"),
    [
        pytest.param("isolated", "isolated:A", id="isolated"),
        pytest.param("cross", "shared", id="cross"),
    ],
)
@pytest.mark.parametrize(
    ("side", "size", "bar", "mark", "bankruptcy", "minutes"),
    [
        pytest.param(
            *("buy", 100, (100, 100, 80, 80), 90.5, 90.0, 20 + 20 * 9.5 / 20),
            id="long",
        ),
        pytest.param(
            *("sell", -100, (100, 120, 100, 120), 109.5, 110.0, 20 * 9.5 / 20),
            id="short",
        ),
    ],
)
def test_the_fields_of_the_event(
    mode: str,
    wallet: str,
    side: str,
    size: float,
    bar: Any,
    mark: float,
    bankruptcy: float,
    minutes: float,
) -> None:
    broker = just_enough(mode, bar_path="high_first")
    result = s.run([*CALM, bar, s.flat(bar[3])], {0: [s.send(side, 100)]}, broker)
    (event,) = result.liquidations
    assert broker.liquidations == [event]
    expected = s.moment(hours=2, minutes=minutes)
    assert abs(event.time - expected) < timedelta(milliseconds=1)
    assert event.time.utcoffset() == timedelta(0)
    assert (event.symbol, event.size, event.wallet) == ("A", size, wallet)
    assert (event.entry_price, event.cause, event.fee) == (100, "price", 0)
    assert event.mark_price == approx(mark)
    assert event.liquidation_price == approx(mark)
    assert event.fill_price == approx(bankruptcy)
    assert event.insurance == approx(-50)
    assert event.loss == approx(-1_000)
    before = event.margin_before
    assert before.margin_balance == approx(50)
    assert before.maintenance_margin == approx(50)
    at_mark = 1_000 if mode == "isolated" else 100 * mark / 10
    assert before.initial_margin == approx(at_mark)
    assert event.balances[wallet] == approx(1_000)
    assert sum(event.balances.values()) == approx(1_000)


@pytest.mark.parametrize("mode", BOTH)
def test_positions_and_hook_come_in_the_bar_of_the_liquidation(mode: str) -> None:
    bars = [*CALM, (100, 100, 80, 80), s.flat(80)]
    result = s.run(bars, {0: [LONG]}, just_enough(mode))
    assert result.sizes == [{"A": 0}, {"A": 100}, {"A": 0}, {"A": 0}]
    assert [number for number, _ in result.news] == [2]
    assert not result.broker.account.positions
    assert result.broker.getposition(result.data).price == 0


# What goes with it


@pytest.mark.parametrize(
    ("mode", "b_order"),
    [
        pytest.param("isolated", "Accepted", id="isolated: the other symbol's stays"),
        pytest.param("cross", "Canceled", id="cross: all symbols' go"),
    ],
)
@pytest.mark.parametrize("jumps", [False, True], ids=["on the way", "by a jump"])
def test_resting_orders_of_the_liquidated_wallet(
    mode: str, b_order: str, jumps: bool
) -> None:
    bar = s.flat(50) if jumps else (100, 100, 50, 50)
    bars = [*CALM, s.flat(100), bar, s.flat(50)]
    feeds = [s.perp(bars, "A"), s.perp([s.flat(100)] * 5, "B")]
    plan = {
        0: [LONG],
        1: [
            s.limit("sell", 100, 150, "profit"),
            s.limit("buy", 1, 10, "more"),
            s.limit("buy", 1, 90, "other", data="B"),
        ],
    }
    broker = s.BROKERS[mode](cash=1_100, leverage=10)
    result = s.run(feeds, plan, broker)
    ended = [s.status(result.sent[name]) for name in ("profit", "more", "other")]
    assert ended == ["Canceled", "Canceled", b_order]
    assert result.statuses("profit")[-1] == "Canceled"


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    "pending",
    [
        pytest.param(s.close("order"), id="a close"),
        pytest.param(s.send("buy", 1, "order"), id="a market buy"),
        pytest.param(s.limit("buy", 1, 88, "order"), id="a limit that is crossed"),
        pytest.param(s.stop("sell", 100, 95, "order"), id="a stop that is gapped"),
    ],
)
def test_a_bar_that_opens_beyond_liquidation_fills_nothing_first(
    mode: str, pending: Any
) -> None:
    broker = s.BROKERS[mode](cash=1_105, leverage=10)
    plan = {0: [LONG], 1: [pending]}
    # Cross has 1,100 and goes at 89.5.
    result = s.run([*CALM, s.flat(80), s.flat(80)], plan, broker)
    assert len(result.liquidations) == 1
    assert s.status(result.sent["order"]) == "Canceled"
    assert result.sent["order"].executed.size == 0
    assert result.sizes[-1] == {"A": 0}


# 8,990 of 10,000 after a first loss: 1,000 margin and 5 fee, 5 is the second fee.
def test_isolated_trades_on_with_what_is_left() -> None:
    bars = [*CALM, (100, 100, 80, 80), s.flat(100), s.flat(110)]
    plan = {0: [LONG], 2: [s.send("buy", 100, "again")]}
    broker = s.BROKERS["isolated"](cash=10_000, leverage=10)
    result = s.run(bars, plan, broker)
    assert s.status(result.sent["again"]) == "Completed"
    assert result.value[2:] == [
        approx(8_995),
        approx(8_990),
        approx(8_990 + 100 * (110 - 100)),
    ]


def test_cross_has_nothing_left_to_trade_with() -> None:
    bars = [*CALM, (100, 100, 80, 80), s.flat(100), s.flat(110)]
    plan = {0: [LONG], 2: [s.send("buy", 1, "again")]}
    result = s.run(bars, plan, just_enough("cross"))
    assert s.status(result.sent["again"]) == "Margin"
    assert result.sent["again"].info.shortfall.have == 0
    assert result.cash[2:] == [0, 0, 0]
    assert result.broker.wallet_balance() == 0


# Backtrader's analyzers divide by the value, so it is not quite 0.
def test_a_wiped_account_holds_0_and_shows_a_value_just_above_it() -> None:
    bars = [*CALM, (100, 100, 80, 80), s.flat(80)]
    result = s.run(bars, {0: [LONG]}, just_enough("cross"))
    assert result.broker.margin_balance() == 0
    assert all(0 < value < 1e-99 for value in result.value[2:])


def test_deposits_after_a_wipe() -> None:
    def deposit(strategy: Any) -> None:
        strategy.broker.add_cash(1_000)

    shares = []

    def look(strategy: Any) -> None:
        shares.append((strategy.broker.fundshares, strategy.broker.fundvalue))

    bars = [*CALM, (100, 100, 80, 80), *[s.flat(100)] * 4, s.flat(110)]
    plan: s.Plan = {
        0: [LONG],
        3: [deposit],
        4: [deposit, look],
        5: [s.send("buy", 10, "again"), look],
    }
    result = s.run(bars, plan, just_enough("cross"))
    assert result.value[4:6] == [approx(1_000), approx(2_000)]
    assert s.status(result.sent["again"]) == "Completed"
    assert result.value[-1] == approx(2_000 - 0.5 + 10 * 10)
    assert all(0 < number < float("inf") for seen in shares for number in seen)


# Partial close, then liquidation: the liquidation price is that of before but for the
# fee. 100 at 10x, 40 sold at 95: PnL -200 and fee 0.0005 * 3,800 = 1.90 are booked to
# the wallet of 1,000; 60 % of it, 600, stay. 60 units: 100 - (600 - 30) / 60 = 90.5.
def test_a_partial_close_leaves_the_isolated_liquidation_price() -> None:
    bars = [*CALM, s.flat(95), (95, 95, 80, 80)]
    plan = {0: [LONG], 1: [s.send("sell", 40)]}
    broker = s.BROKERS["isolated"](cash=10_000, leverage=10)
    result = s.run(bars, plan, broker)
    (event,) = result.liquidations
    assert event.size == 60
    assert event.liquidation_price == approx(90.5)
    released = 400 - 200 - 1.9
    assert result.value[-1] == approx(10_000 - 5 - 1_000 + released)


# Adding moves the entry: 100 at 100 and 100 at 96 are 200 at 98 with 1,960 margin.
# Maintenance 0.005 * 19,600 = 98: 98 - (1,960 - 98) / 200 = 88.69.
def test_adding_moves_the_liquidation_price() -> None:
    bars = [*CALM, s.flat(96), (96, 96, 80, 80)]
    plan = {0: [LONG], 1: [LONG]}
    broker = s.BROKERS["isolated"](cash=10_000, leverage=10)
    (event,) = s.run(bars, plan, broker).liquidations
    assert event.entry_price == approx(98)
    assert event.liquidation_price == approx(88.69)


# Asked before: what the account looks like at 100 and at 95
@pytest.mark.parametrize("mode", BOTH)
def test_the_broker_knows_the_prices_beforehand(mode: str) -> None:
    answers = []

    def ask(strategy: Any) -> None:
        broker, data = strategy.broker, strategy.data
        answers.append(
            (
                broker.liquidation_price(data),
                broker.bankruptcy_price(data),
                broker.margin_ratio(data),
            )
        )

    plan: s.Plan = {0: [ask, LONG], 1: [ask], 2: [ask]}
    s.run([*CALM, s.flat(95)], plan, just_enough(mode))
    assert answers == [
        (None, None, 0),
        (approx(90.5), approx(90), approx(50 / 1_000)),
        (approx(90.5), approx(90), approx(50 / 500)),
    ]


# Who pays for a gap of an ordinary order: a market close fills at 80 in the bar that
# was known to be safe at its open 91, where liquidation is 90.5 at 10x. The open of
# the next bar is beyond it, so liquidation, not the close, takes the position.
def test_loss_in_isolated_never_exceeds_the_margin() -> None:
    bars = [*CALM, s.flat(91), s.flat(20), s.flat(20)]
    plan = {0: [LONG], 2: [s.close()]}
    broker = s.BROKERS["isolated"](cash=10_000, leverage=10)
    result = s.run(bars, plan, broker)
    assert result.value[-1] == 10_000 - 5 - 1_000
    assert isinstance(result.liquidations[0], bt_margin.LiquidationEvent)


# A stop that slips: sold at 95 less 10 % is 85.5, a loss of 1,450 and a fee of
# 0.0005 * 8,550 = 4.275 on a margin of 1,000.
@pytest.mark.parametrize(
    ("gap_loss", "left"),
    [
        pytest.param("insurance", 10_000 - 5 - 1_000, id="the fund pays the rest"),
        pytest.param("trader", 10_000 - 5 - 1_450 - 4.275, id="the trader does"),
    ],
)
def test_a_fill_beyond_bankruptcy(gap_loss: str, left: float) -> None:
    broker = s.BROKERS["isolated"](cash=10_000, leverage=10, gap_loss=gap_loss)
    broker.set_slippage_perc(0.1, slip_match=True, slip_out=True)
    bars = [s.flat(100 / 1.1), s.flat(100 / 1.1), (100, 100, 95, 95), s.flat(95)]
    plan = {0: [LONG], 1: [s.stop("sell", 100, 95)]}
    result = s.run(bars, plan, broker)
    assert result.sent["buy"].executed.price == approx(100)
    assert result.sent["stop"].executed.price == approx(85.5)
    assert not result.liquidations
    assert result.value[-1] == approx(left)
