"""Orders: what is refused and why, what resting orders lock, what a fill costs.

``generic`` at 10x: an opening of notional n needs n / 10 and a fee of 0.0005 n (taker)
or 0.0002 n (maker). Bars stand at 100 unless a test says otherwise, so an order of bar
0 is checked and filled at 100.
"""

from datetime import timedelta
from typing import Any

import backtrader as bt
import pytest

import bt_margin

from . import scenario as s
from .scenario import BOTH, approx

FLAT = [s.flat(100)] * 6
TAKER, MAKER = 0.0005, 0.0002


def run(mode: str, plan: Any, bars: Any = None, **params: Any) -> Any:
    """One feed at 10x with 1,000."""
    settings = {"cash": 1_000, "leverage": 10, **params}
    return s.run(bars or FLAT, plan, s.BROKERS[mode](**settings))


def run_two(mode: str, plan: Any, **params: Any) -> Any:
    """Feeds A and B at 10x with 1,000."""
    settings = {"cash": 1_000, "leverage": 10, **params}
    feeds = [s.perp(FLAT, "A"), s.perp(FLAT, "B")]
    return s.run(feeds, plan, s.BROKERS[mode](**settings))


# Refused, with need, have and what would have passed

KINDS: dict[str, tuple[Any, dict[str, Any], float, float]] = {
    "market": (s.send, {}, 100, TAKER),
    "limit": (s.limit, {"price": 90}, 90, MAKER),
    "stop": (s.stop, {"price": 110}, 110, TAKER),
}
# Bar 2 meets the stop at 110, bar 3 the limit at 90; neither liquidates what it opens.
TOUCHING = [s.flat(100), s.flat(100), (100, 115, 95, 100), (100, 101, 85, 95)]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_refusal_tells_need_and_have(mode: str, kind: str) -> None:
    make, order, price, fee_rate = KINDS[kind]
    plan = {0: [make("buy", 500, label="it", **order)]}
    result = run(mode, plan, TOUCHING)
    it = result.sent["it"]
    assert s.status(it) == "Margin"
    assert result.statuses("it")[-1] == "Margin"
    shortfall = it.info.shortfall
    assert shortfall.need == approx(500 * price * (0.1 + fee_rate))
    assert shortfall.have == 1_000
    largest = 1_000 / (price * (0.1 + fee_rate))
    assert shortfall.largest_quantity == pytest.approx(largest, rel=1e-9)
    for word in ("A", "500", "1000.00", f"{shortfall.need:.2f}"):
        assert word in shortfall.reason
    assert str(shortfall) == shortfall.reason
    assert it.executed.size == 0
    assert result.value == [1_000] * 4


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(
    ("factor", "ending"),
    [
        pytest.param(1, "Completed", id="the largest passes"),
        pytest.param(1 + 1e-6, "Margin", id="a millionth more does not"),
    ],
)
def test_the_largest_quantity_passes_for_real(
    mode: str, kind: str, factor: float, ending: str
) -> None:
    make, order, *_ = KINDS[kind]
    refused = run(mode, {0: [make("buy", 500, label="it", **order)]}, TOUCHING)
    size = refused.sent["it"].info.shortfall.largest_quantity * factor
    result = run(mode, {0: [make("buy", size, label="it", **order)]}, TOUCHING)
    assert s.status(result.sent["it"]) == ending


@pytest.mark.parametrize("mode", BOTH)
def test_a_refusal_beside_a_resting_order_and_a_position(mode: str) -> None:
    # 20 long (margin 200, fee 1) and a buy of 30 at 90 (lock 270) leave 529.
    plan = {
        0: [s.send("buy", 20)],
        1: [s.limit("buy", 30, 90)],
        2: [s.send("buy", 60, "it")],
    }
    shortfall = run(mode, plan).sent["it"].info.shortfall
    assert shortfall.need == approx(600 + 3)
    assert shortfall.have == approx(1_000 - 200 - 1 - 270)
    assert shortfall.largest_quantity == pytest.approx(529 / 10.05, rel=1e-9)


# Checked again at the open it fills at: 95 * 105 * 0.1005 is more than 1,000.
@pytest.mark.parametrize("mode", BOTH)
def test_an_order_that_passed_can_fail_at_its_fill(mode: str) -> None:
    bars = [s.flat(100), s.flat(106), s.flat(106)]
    result = run(mode, {0: [s.send("buy", 95, "it")]}, bars)
    assert result.statuses("it") == ["Submitted", "Accepted", "Margin"]
    shortfall = result.sent["it"].info.shortfall
    assert shortfall.need == approx(95 * 106 * 0.1005)
    assert shortfall.have == 1_000
    assert result.sizes[-1] == {"A": 0}


# 99.8 * 90 = 8,982 need 898.2 and, filled as maker, 1.7964: 899.9964 in all. As taker
# it would be 902.691.
@pytest.mark.parametrize("mode", BOTH)
def test_a_limit_that_rested_needs_no_more_than_the_maker_fee(mode: str) -> None:
    plan = {0: [s.limit("buy", 99.8, 90)]}
    result = run(mode, plan, TOUCHING, cash=900)
    assert s.status(result.sent["limit"]) == "Completed"
    assert result.sent["limit"].executed.comm == approx(99.8 * 90 * MAKER)


@pytest.mark.parametrize("mode", BOTH)
def test_one_refused_order_refuses_no_other(mode: str) -> None:
    orders = [s.send("buy", size, f"{size}") for size in (50, 500, 40, 30, 9)]
    result = run(mode, {0: orders})
    ended = {label: s.status(order) for label, order in result.sent.items()}
    assert ended == {
        "50": "Completed",
        "500": "Margin",
        "40": "Completed",
        "30": "Margin",
        "9": "Completed",
    }
    assert result.sizes[-1] == {"A": 99}


def test_stock_refuses_what_follows() -> None:
    broker = bt.brokers.BackBroker(cash=1_000)
    orders = [s.send("buy", size, f"{size}") for size in (5, 50, 4)]
    result = s.run(FLAT, {0: orders}, broker)
    ended = [s.status(order) for order in result.sent.values()]
    assert ended == ["Completed", "Margin", "Margin"]


# Orders of one bar, in sequence. 99 long leave 1,000 - 4.95 - 990 = 5.05.


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("acts", "endings"),
    [
        pytest.param(
            [s.close("a", "A"), s.send("buy", 98, "b", data="B")],
            {"a": "Completed", "b": "Completed"},
            id="close(A), then buy(B) with what that frees",
        ),
        pytest.param(
            [s.send("buy", 98, "b", data="B"), s.close("a", "A")],
            {"a": "Completed", "b": "Margin"},
            id="buy(B) before close(A)",
        ),
        pytest.param(
            [s.close("a", "A"), s.send("buy", 98, "b"), s.send("sell", 98, "c")],
            {"a": "Completed", "b": "Completed", "c": "Completed"},
            id="close, buy again and sell again",
        ),
    ],
)
def test_orders_of_one_bar_are_checked_in_sequence(
    mode: str, acts: Any, endings: dict[str, str]
) -> None:
    result = run_two(mode, {0: [s.send("buy", 99)], 1: acts})
    found = {label: s.status(result.sent[label]) for label in endings}
    assert found == endings


# The close frees 990 and costs 4.95: 990.10 for B, of which 98 cost 984.90 and 99
# 994.95. A reduce-only order closes the 99 that there are, however large it is.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("size", [99, 500])
@pytest.mark.parametrize(("bought", "ending"), [(98, "Completed"), (99, "Margin")])
def test_a_reduce_only_close_frees_what_it_closes(
    mode: str, size: float, bought: float, ending: str
) -> None:
    acts = [
        s.send("sell", size, "a", reduce_only=True),
        s.send("buy", bought, "b", data="B"),
    ]
    result = run_two(mode, {0: [s.send("buy", 99)], 1: acts})
    assert result.sent["a"].executed.size == -99
    assert s.status(result.sent["b"]) == ending


@pytest.mark.parametrize("mode", BOTH)
def test_a_reduce_only_order_that_rests_frees_nothing_yet(mode: str) -> None:
    acts = [
        s.limit("sell", 99, 100, "a", reduce_only=True),
        s.send("buy", 98, "b", data="B"),
    ]
    result = run_two(mode, {0: [s.send("buy", 99)], 1: acts})
    assert s.status(result.sent["b"]) == "Margin"


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("data", ["A", "B"])
def test_the_close_of_a_leg_frees_what_it_closes(mode: str, data: str) -> None:
    acts = [
        s.close_leg("long", "a"),
        s.send("sell", 98, "b", data=data, position_side="short"),
    ]
    plan = {0: [s.send("buy", 99, position_side="long")], 1: acts}
    result = run_two(mode, plan, position_mode="hedge")
    assert s.status(result.sent["a"]) == "Completed"
    assert s.status(result.sent["b"]) == "Completed"


# A market order is no resting order: it locks nothing while those before it fill.
@pytest.mark.parametrize("mode", BOTH)
def test_a_round_trip_in_one_bar(mode: str) -> None:
    result = run(mode, {0: [s.send("buy", 99), s.send("sell", 99)]})
    endings = {label: s.status(order) for label, order in result.sent.items()}
    assert endings == {"buy": "Completed", "sell": "Completed"}
    assert result.value[-1] == approx(1_000 - 2 * 4.95)


# Brackets


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("kind", [bt.Order.Market, bt.Order.Limit])
def test_bracket_children_are_no_reversal_and_lock_nothing(
    mode: str, kind: Any
) -> None:
    def bracket(strategy: Any) -> None:
        orders = strategy.buy_bracket(
            size=99, price=100, exectype=kind, stopprice=95, limitprice=200
        )
        names = ("entry", "stop", "profit")
        strategy.sent.update(zip(names, orders, strict=True))

    result = run(mode, {0: [bracket]})
    endings = {label: s.status(order) for label, order in result.sent.items()}
    assert endings == {"entry": "Completed", "stop": "Accepted", "profit": "Accepted"}
    # The limit is met at once by an open of 100, so it pays as taker, too.
    assert result.cash[1:] == [approx(1_000 - 990 - 4.95)] * 5


@pytest.mark.parametrize("mode", BOTH)
def test_a_bracket_that_waits_locks_its_entry_alone(mode: str) -> None:
    def bracket(strategy: Any) -> None:
        strategy.buy_bracket(size=90, price=90, stopprice=80, limitprice=200)

    assert run(mode, {0: [bracket]}).cash == [1_000] + [approx(1_000 - 810)] * 5


@pytest.mark.parametrize("mode", BOTH)
def test_a_refused_bracket_takes_its_children_with_it(mode: str) -> None:
    def bracket(strategy: Any) -> None:
        orders = strategy.buy_bracket(size=900, price=90, stopprice=80, limitprice=200)
        names = ("entry", "stop", "profit")
        strategy.sent.update(zip(names, orders, strict=True))

    result = run(mode, {0: [bracket]})
    endings = {label: s.status(order) for label, order in result.sent.items()}
    assert endings == {"entry": "Margin", "stop": "Canceled", "profit": "Canceled"}
    assert result.cash == [1_000] * 6


# What resting orders lock: max(0, max(|N + B|, |N - S|) - |N|) / 10 + open loss, with
# N the notional held (at 100) and B, S those of the orders at their prices.

LONG_10, SHORT_10 = s.send("buy", 10, "entry"), s.send("sell", 10, "entry")
LOCKS = {
    "a buy below": (None, [s.limit("buy", 10, 90)], 900 / 10),
    "a sell above": (None, [s.limit("sell", 10, 110)], 1_100 / 10),
    "a buy and a sell: the larger": (
        None,
        [s.limit("buy", 10, 90), s.limit("sell", 10, 110)],
        1_100 / 10,
    ),
    "two buys: both": (
        None,
        [s.limit("buy", 10, 90), s.limit("buy", 5, 80)],
        (900 + 400) / 10,
    ),
    "a stop entry at its trigger": (None, [s.stop("buy", 10, 110)], 1_100 / 10),
    "a stop-limit at its trigger": (
        None,
        [
            s.send(
                *("buy", 10),
                price=110,
                plimit=112,
                exectype=bt.Order.StopLimit,
            )
        ],
        1_100 / 10,
    ),
    "long, a sell of no more": (LONG_10, [s.limit("sell", 10, 110)], 0),
    # |1,000 - 3,300| - 1,000
    "long, a sell of more: what it adds": (
        LONG_10,
        [s.limit("sell", 30, 110)],
        1_300 / 10,
    ),
    "long, a buy": (LONG_10, [s.limit("buy", 10, 90)], 900 / 10),
    # |1,000 + 900| - 1,000 against |1,000 - 3,300| - 1,000
    "long, a buy and a sell": (
        LONG_10,
        [s.limit("buy", 10, 90), s.limit("sell", 30, 110)],
        1_300 / 10,
    ),
    "short, a buy of no more": (SHORT_10, [s.limit("buy", 10, 90)], 0),
    # |-1,000 + 2,700| - 1,000
    "short, a buy of more": (SHORT_10, [s.limit("buy", 30, 90)], 700 / 10),
    "short, a sell": (SHORT_10, [s.limit("sell", 10, 110)], 1_100 / 10),
    "an OCO pair on one side: the larger once": (
        None,
        [s.limit("buy", 10, 90), s.stop("buy", 10, 110, oco="limit")],
        1_100 / 10,
    ),
    "an OCO pair on two sides: the larger": (
        None,
        [s.stop("sell", 10, 90), s.stop("buy", 10, 110, "other", oco="stop")],
        1_100 / 10,
    ),
    "an OCO triple: the largest once": (
        None,
        [
            s.limit("buy", 10, 90),
            s.limit("buy", 12, 80, "other", oco="limit"),
            s.stop("buy", 10, 105, "third", oco="other"),
        ],
        1_050 / 10,
    ),
    "a long's stop and target, OCO": (
        LONG_10,
        [s.stop("sell", 10, 90), s.limit("sell", 10, 110, oco="stop")],
        0,
    ),
    # |1,000 - 900 - 1,100| is no more than 1,000.
    "a long's stop and target, not OCO": (
        LONG_10,
        [s.stop("sell", 10, 90), s.limit("sell", 10, 110)],
        0,
    ),
    "reduce-only: nothing": (
        LONG_10,
        [s.limit("sell", 50, 110, reduce_only=True)],
        0,
    ),
}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("entry", "orders", "locked"), list(LOCKS.values()), ids=list(LOCKS)
)
def test_what_resting_orders_lock(
    mode: str, entry: Any, orders: Any, locked: float
) -> None:
    result = run(mode, {0: [entry] if entry else [], 1: orders})
    assert result.cash[1] - result.cash[2] == approx(locked)
    assert result.cash[2:] == [approx(result.cash[2])] * 4
    assert all(s.status(order) != "Margin" for order in result.sent.values())


@pytest.mark.parametrize("mode", BOTH)
def test_each_symbol_locks_for_itself(mode: str) -> None:
    plan = {0: [s.limit("buy", 10, 90), s.limit("sell", 10, 110, "b", data="B")]}
    assert run_two(mode, plan).cash[1] == approx(1_000 - 90 - 110)


@pytest.mark.parametrize("mode", BOTH)
def test_order_margin_can_be_switched_off(mode: str) -> None:
    orders = [s.limit("buy", 90, 90, f"{number}") for number in range(3)]
    result = run(mode, {0: orders}, order_margin=False)
    assert {s.status(order) for order in result.sent.values()} == {"Accepted"}
    assert result.cash == [1_000] * 6


# Last stands at 100 and mark at 95: a buy at 97 rests, and would lose 2 at once.
@pytest.mark.parametrize("mode", BOTH)
def test_open_loss_is_locked_too(mode: str) -> None:
    feed = s.perp(FLAT, mark=s.candles([s.flat(95)] * 6))
    broker = s.BROKERS[mode](cash=1_000, leverage=10)
    result = s.run(feed, {0: [s.limit("buy", 10, 97)]}, broker)
    assert result.cash[1] == approx(1_000 - 970 / 10 - 10 * 2)


@pytest.mark.parametrize("mode", BOTH)
def test_three_limits_that_fit_one_by_one_do_not_all_rest(mode: str) -> None:
    plan = {bar: [s.limit("buy", 50, 90, f"{bar}")] for bar in range(3)}
    result = run(mode, plan)
    endings = [s.status(order) for order in result.sent.values()]
    assert endings == ["Accepted", "Accepted", "Margin"]


# Available balance


@pytest.mark.parametrize("mode", BOTH)
def test_cash_does_not_move_inside_next(mode: str) -> None:
    seen = []

    def look(strategy: Any) -> None:
        seen.append(strategy.broker.getcash())

    orders = [s.send("buy", 10), s.limit("buy", 10, 90), s.stop("sell", 10, 80)]
    acts = [look, *[act for order in orders for act in (order, look)]]
    run(mode, {0: acts, 2: [look, s.close(), look]})
    assert seen[:4] == [1_000] * 4
    assert seen[4] == seen[5]


@pytest.mark.parametrize(
    ("mode", "cash"),
    [
        # 1,000 - 500 - 2.50; profit and loss stay in the position's wallet.
        pytest.param("isolated", [497.5, 497.5, 497.5], id="isolated"),
        # Of 997.50 with a gain of 50 for each unit of price, less a tenth of 50 * mark.
        pytest.param("cross", [497.5, 947.5, 272.5], id="cross"),
    ],
)
def test_cash_of_a_position(mode: str, cash: list[float]) -> None:
    bars = [s.flat(100), s.flat(100), s.flat(110), s.flat(95)]
    found = run(mode, {0: [s.send("buy", 50)]}, bars).cash[1:]
    assert found == [approx(amount) for amount in cash]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("plan", "bars"),
    [
        pytest.param(
            {0: [s.limit("buy", 50, 90)], 2: [s.cancel("limit")]},
            FLAT,
            id="cancelled",
        ),
        pytest.param(
            {0: [s.limit("buy", 50, 90, valid=timedelta(hours=2))]},
            FLAT,
            id="expired",
        ),
        pytest.param(
            {0: [s.limit("buy", 50, 90), s.stop("sell", 1, 99, oco="limit")]},
            [*FLAT[:3], s.flat(99), *FLAT[:2]],
            id="the other one of an OCO pair filled",
        ),
    ],
)
def test_the_lock_is_released(mode: str, plan: Any, bars: Any) -> None:
    result = run(mode, plan, bars)
    assert result.cash[1:3] == [approx(1_000 - 450)] * 2
    assert s.status(result.sent["limit"]) in ("Canceled", "Expired")
    # Where a short of 1 from 99 has opened it takes 11 at 100, and its fee.
    assert result.cash[4] == pytest.approx(1_000, abs=12)


@pytest.mark.parametrize("mode", BOTH)
def test_a_fill_turns_the_lock_into_position_margin(mode: str) -> None:
    bars = [s.flat(100), s.flat(100), (100, 100, 90, 90), s.flat(90)]
    result = run(mode, {0: [s.limit("buy", 50, 90)]}, bars)
    fee = 50 * 90 * MAKER
    assert result.cash == [
        1_000,
        approx(1_000 - 450),
        approx(1_000 - 450 - fee),
        approx(1_000 - 450 - fee),
    ]


@pytest.mark.parametrize("mode", BOTH)
def test_a_partly_filled_order_locks_its_rest(mode: str) -> None:
    broker = s.BROKERS[mode](cash=1_000, leverage=10)
    broker.set_filler(bt.broker.fillers.FixedSize(size=20))
    frame = s.candles([s.flat(100), *[s.flat(90)] * 4]).assign(volume=1_000.0)
    feed: Any = bt_margin.PerpData
    plan = {0: [s.limit("buy", 50, 95)]}
    result = s.run(feed(dataname=frame, name="A"), plan, broker)
    assert [sizes["A"] for sizes in result.sizes] == [0, 20, 40, 50, 50]
    # Filled at 90, for which the account locks 9 each; 20 as taker on arrival, then
    # as maker. The rest is locked at 95 and, mark being 90, with a loss of 5 each.
    fees = [0, 20 * 90 * TAKER, 20 * 90 * MAKER, 10 * 90 * MAKER]
    assert result.cash[1] == approx(1_000 - 180 - fees[1] - 30 * 9.5 - 30 * 5)
    assert result.cash[3] == approx(1_000 - 450 - sum(fees))


# reduce_only


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("entry", "order", "size"),
    [
        pytest.param(
            *(None, s.send("sell", 5, "it", reduce_only=True), 0),
            id="flat: nothing",
        ),
        pytest.param(
            *(LONG_10, s.send("buy", 5, "it", reduce_only=True), 10),
            id="long, a buy: nothing",
        ),
        pytest.param(
            *(SHORT_10, s.send("sell", 5, "it", reduce_only=True), -10),
            id="short, a sell: nothing",
        ),
        pytest.param(
            *(LONG_10, s.send("sell", 4, "it", reduce_only=True), 6),
            id="long, a smaller sell: all of it",
        ),
        pytest.param(
            *(LONG_10, s.send("sell", 30, "it", reduce_only=True), 0),
            id="long, a larger sell: shrinks to the position",
        ),
        pytest.param(
            *(SHORT_10, s.send("buy", 30, "it", reduce_only=True), 0),
            id="short, a larger buy: shrinks to the position",
        ),
        pytest.param(
            *(LONG_10, s.limit("sell", 30, 100, "it", reduce_only=True), 0),
            id="long, a larger limit: shrinks to the position",
        ),
    ],
)
def test_reduce_only_never_opens(
    mode: str, entry: Any, order: Any, size: float
) -> None:
    result = run(mode, {0: [entry] if entry else [], 1: [order]})
    assert [sizes["A"] for sizes in result.sizes[2:]] == [size] * 4
    assert not result.sent["it"].alive()
    expected = size - result.sizes[1]["A"]
    assert result.sent["it"].executed.size == approx(expected)


@pytest.mark.parametrize("mode", BOTH)
def test_a_reduce_only_stop_that_was_left_over_opens_nothing(mode: str) -> None:
    bars = [*FLAT[:4], (100, 100, 90, 90), s.flat(90)]
    plan = {
        0: [LONG_10],
        1: [s.stop("sell", 10, 95, reduce_only=True)],
        2: [s.close()],
    }
    result = run(mode, plan, bars)
    assert result.sizes[-1] == {"A": 0}
    assert s.status(result.sent["stop"]) == "Canceled"


# Maker and taker. The order is sent at 100.


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("order", "bars", "price", "rate"),
    [
        pytest.param(
            *(s.send("buy", 10, "it"), FLAT, 100, TAKER),
            id="market: taker",
        ),
        pytest.param(
            *(s.limit("buy", 10, 95, "it"), [(100, 100, 90, 92)], 95, MAKER),
            id="a limit that waits inside its first bar: maker",
        ),
        pytest.param(
            *(s.limit("buy", 10, 95, "it"), [FLAT[0], (100, 100, 90, 92)], 95, MAKER),
            id="a limit that waits for a later bar: maker",
        ),
        pytest.param(
            *(s.limit("buy", 10, 95, "it"), [FLAT[0], s.flat(93)], 93, MAKER),
            id="a limit that waited, and the bar opens beyond it: maker",
        ),
        pytest.param(
            *(s.limit("buy", 10, 105, "it"), FLAT, 100, TAKER),
            id="a buy limit above the market: taker",
        ),
        pytest.param(
            *(s.limit("sell", 10, 95, "it"), FLAT, 100, TAKER),
            id="a sell limit below the market: taker",
        ),
        pytest.param(
            *(s.limit("sell", 10, 105, "it"), [(100, 110, 100, 110)], 105, MAKER),
            id="a sell limit above the market: maker",
        ),
        pytest.param(
            *(s.stop("buy", 10, 105, "it"), [(100, 110, 100, 110)], 105, TAKER),
            id="stop: taker",
        ),
        pytest.param(
            *(
                s.send(
                    *("buy", 10, "it"),
                    price=105,
                    plimit=107,
                    exectype=bt.Order.StopLimit,
                ),
                [(100, 110, 100, 110)],
            ),
            *(105, TAKER),
            id="a stop-limit that crosses when triggered: taker",
        ),
        pytest.param(
            *(
                s.send(
                    *("buy", 10, "it"),
                    price=105,
                    plimit=103,
                    exectype=bt.Order.StopLimit,
                ),
                [(104, 110, 104, 104), (104, 104, 102, 102)],
            ),
            *(103, MAKER),
            id="a stop-limit that waits after its trigger: maker",
        ),
    ],
)
def test_maker_and_taker(
    mode: str, order: Any, bars: Any, price: float, rate: float
) -> None:
    result = run(mode, {0: [order]}, [s.flat(100), *bars, s.flat(bars[-1][3])])
    it = result.sent["it"]
    assert it.executed.price == approx(price)
    assert it.executed.comm == approx(10 * price * rate)
    assert s.ledger_total(result.broker, "fee") == approx(-10 * price * rate)


# cancel() in the bar of submission


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    "order",
    [
        pytest.param(s.send("buy", 10, "it"), id="market"),
        pytest.param(s.limit("buy", 10, 99, "it"), id="limit"),
        pytest.param(s.stop("buy", 10, 101, "it"), id="stop"),
    ],
)
def test_cancel_in_the_bar_of_submission(mode: str, order: Any) -> None:
    result = run(mode, {0: [order, s.cancel("it")]}, [FLAT[0], (100, 105, 95, 100)])
    assert s.status(result.sent["it"]) == "Canceled"
    assert result.statuses("it")[-1] == "Canceled"
    assert result.sizes[-1] == {"A": 0}
    assert result.cash == [1_000] * 2


@pytest.mark.parametrize("mode", BOTH)
def test_cancel_in_the_bar_of_submission_takes_the_oco_pair(mode: str) -> None:
    orders = [s.limit("buy", 10, 99), s.stop("buy", 10, 101, oco="limit")]
    bars = [FLAT[0], (100, 105, 95, 100)]
    result = run(mode, {0: [*orders, s.cancel("limit")]}, bars)
    assert s.status(result.sent["stop"]) == "Canceled"
    assert result.sizes[-1] == {"A": 0}


@pytest.mark.parametrize("mode", BOTH)
def test_cancel_in_the_bar_of_submission_takes_the_bracket(mode: str) -> None:
    def bracket(strategy: Any) -> None:
        orders = strategy.buy_bracket(size=10, price=99, stopprice=95, limitprice=101)
        names = ("entry", "stop", "profit")
        strategy.sent.update(zip(names, orders, strict=True))
        strategy.cancel(orders[0])

    bars = [FLAT[0], (100, 105, 90, 100), (100, 105, 90, 100)]
    result = run(mode, {0: [bracket]}, bars)
    endings = {s.status(order) for order in result.sent.values()}
    assert endings == {"Canceled"}
    assert result.sizes[-1] == {"A": 0}
    assert result.cash[-1] == 1_000


# Flips: a close, then an open, each with its own check


@pytest.mark.parametrize("mode", BOTH)
def test_a_flip_closes_and_opens(mode: str) -> None:
    # 50 long and 50 short: fees 2.50, 2.50 for the close, 2.50 for the open.
    plan = {0: [s.send("buy", 50)], 2: [s.send("sell", 100, "flip")]}
    result = run(mode, plan)
    assert s.status(result.sent["flip"]) == "Completed"
    assert result.sizes[-1] == {"A": -50}
    assert result.cash[-1] == approx(1_000 - 3 * 2.5 - 500)
    assert result.sent["flip"].executed.comm == approx(5)
    assert result.value[-1] == approx(1_000 - 7.5)


# 90 long of 1,000: after the close 1,000 - 9 are left, which is too little for 110.
@pytest.mark.parametrize("mode", BOTH)
def test_a_flip_that_cannot_open_still_closes(mode: str) -> None:
    plan = {0: [s.send("buy", 90)], 2: [s.send("sell", 200, "flip")]}
    result = run(mode, plan)
    flip = result.sent["flip"]
    assert s.status(flip) == "Margin"
    assert flip.info.shortfall.need == approx(110 * 10.05)
    assert flip.info.shortfall.have == approx(1_000 - 9)
    # Reducing is never refused.
    assert result.sizes[-1] == {"A": 0}


# 98 long: sent at 100, where 98 short need 984.90 of 990.20. Filled at 97 the close
# leaves 1,000 - 4.90 - 294 - 4.753 = 696.347, and 98 short need 98 * 97 * 0.1005.
@pytest.mark.parametrize("mode", BOTH)
def test_a_flip_whose_open_fails_at_the_fill_still_closes(mode: str) -> None:
    bars = [*FLAT[:3], s.flat(97), s.flat(97)]
    plan = {0: [s.send("buy", 98)], 2: [s.send("sell", 196, "flip")]}
    result = run(mode, plan, bars)
    flip = result.sent["flip"]
    assert s.status(flip) == "Margin"
    assert flip.info.shortfall.need == approx(98 * 97 * 0.1005)
    assert flip.info.shortfall.have == approx(1_000 - 4.9 - 294 - 4.753)
    assert result.sizes[-1] == {"A": 0}
    assert result.value[-1] == approx(696.347)
    (trade,) = result.trades
    assert trade.pnl == approx(-294)


# close() when nothing is available


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("price", [100, 95, 91], ids=["flat", "losing", "nearly gone"])
def test_close_is_always_possible(mode: str, price: float) -> None:
    bars = [*FLAT[:2], s.flat(price), s.flat(price), s.flat(price)]
    plan = {0: [s.send("buy", 100)], 2: [s.close()]}
    result = run(mode, plan, bars, cash=1_005)
    assert result.cash[2] == 0
    assert s.status(result.sent["close"]) == "Completed"
    left = 1_000 - 100 * (100 - price) - 100 * price * TAKER
    assert result.value[-1] == approx(left)
    assert result.cash[-1] == approx(left)


@pytest.mark.parametrize("mode", BOTH)
def test_reducing_is_always_possible(mode: str) -> None:
    bars = [*FLAT[:2], *[s.flat(92)] * 4]
    plan = {0: [s.send("buy", 100)], 2: [s.send("sell", 30)], 3: [s.close()]}
    result = run(mode, plan, bars, cash=1_005)
    assert [sizes["A"] for sizes in result.sizes] == [0, 100, 100, 70, 0, 0]
    assert result.value[-1] == approx(1_000 - 800 - 100 * 92 * TAKER)


# The leverage that a tier allows: 50x below a notional of 10,000, then 20x

TIERS = bt_margin.TierTable(
    [
        bt_margin.Tier(0, 10_000, 0.005, 50),
        bt_margin.Tier(10_000, float("inf"), 0.01, 20),
    ]
)


def tiered(mode: str, leverage: float) -> Any:
    broker = s.BROKERS[mode](cash=10_000)
    return s.set_contract(broker, leverage=leverage, tiers=TIERS)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("leverage", "sizes", "ending"),
    [
        pytest.param(50, [99], "Completed", id="50x of 9,900"),
        pytest.param(50, [150], "Margin", id="50x of 15,000"),
        pytest.param(20, [150], "Completed", id="20x of 15,000"),
        pytest.param(50, [60, 60], "Margin", id="50x of 6,000 and 6,000 more"),
        pytest.param(50, [60, 30], "Completed", id="50x of 6,000 and 3,000 more"),
    ],
)
def test_leverage_is_bound_by_the_tier_of_the_notional(
    mode: str, leverage: float, sizes: list[float], ending: str
) -> None:
    plan = {bar: [s.send("buy", size, "it")] for bar, size in enumerate(sizes)}
    result = s.run(FLAT, plan, tiered(mode, leverage))
    it = result.sent["it"]
    assert s.status(it) == ending
    if ending == "Margin":
        for word in ("50", "20", "leverage", "A"):
            assert word in it.info.shortfall.reason


@pytest.mark.parametrize("mode", BOTH)
def test_the_largest_quantity_under_a_bound_of_leverage(mode: str) -> None:
    refused = s.run(FLAT, {0: [s.send("buy", 150)]}, tiered(mode, 50)).sent["buy"]
    largest = refused.info.shortfall.largest_quantity
    assert largest == pytest.approx(100, rel=1e-6)
    again = s.run(FLAT, {0: [s.send("buy", largest)]}, tiered(mode, 50)).sent["buy"]
    assert s.status(again) == "Completed"


# order_target_*: at signed notional, whatever the leverage


def target(kind: str, amount: float) -> Any:
    def act(strategy: Any) -> None:
        order = getattr(strategy, f"order_target_{kind}")
        strategy.sent["target"] = order(target=amount)

    return act


def commission(broker: Any, how: str) -> Any:
    if how == "perp":
        return s.set_contract(broker, leverage=10, taker_fee_rate=0)
    if how == "plain":
        broker.setcommission(commission=0, leverage=10)
    return broker


# Plain schemes trade in whole units: the targets below are.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("how", ["perp", "plain", "broker"])
@pytest.mark.parametrize(
    ("kind", "amount", "size"),
    [
        pytest.param("percent", 0.5, 50, id="half of 10,000"),
        pytest.param("percent", -0.5, -50, id="half of 10,000, short"),
        pytest.param("percent", 2, 200, id="twice 10,000"),
        pytest.param("value", 2_000, 20, id="2,000"),
        pytest.param("value", -2_000, -20, id="2,000, short"),
        pytest.param("size", 30, 30, id="a size of 30"),
    ],
)
def test_order_target(
    mode: str, how: str, kind: str, amount: float, size: float
) -> None:
    broker = commission(s.BROKERS[mode](cash=10_000, leverage=10), how)
    result = s.run(FLAT, {0: [target(kind, amount)]}, broker)
    assert result.sizes[1] == {"A": size}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("start", [0.5, -0.5], ids=["from long", "from short"])
@pytest.mark.parametrize(
    ("amount", "size"),
    [
        pytest.param(0.5, 50, id="to half, long"),
        pytest.param(-0.5, -50, id="to half, short"),
        pytest.param(0.1, 10, id="to a tenth, long"),
        pytest.param(-0.1, -10, id="to a tenth, short"),
        pytest.param(0, 0, id="to nothing"),
    ],
)
def test_order_target_percent_from_a_position(
    mode: str, start: float, amount: float, size: float
) -> None:
    broker = s.set_contract(s.BROKERS[mode](cash=10_000), leverage=10, taker_fee_rate=0)
    plan = {0: [target("percent", start)], 2: [target("percent", amount)]}
    result = s.run(FLAT, plan, broker)
    assert result.sizes[1] == {"A": approx(100 * start)}
    assert result.sizes[-1] == {"A": approx(size)}


# A price that has moved: 50 at 110 are 5,500 of 10,500, 45 % are 4,725: 42.954545.
@pytest.mark.parametrize("mode", BOTH)
def test_order_target_percent_after_a_move(mode: str) -> None:
    bars = [*FLAT[:2], *[s.flat(110)] * 3]
    broker = s.set_contract(s.BROKERS[mode](cash=10_000), leverage=10, taker_fee_rate=0)
    plan = {0: [target("percent", 0.5)], 2: [target("percent", 0.45)]}
    result = s.run(bars, plan, broker)
    assert result.sizes[-1] == {"A": approx(0.45 * 10_500 / 110)}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("how", ["perp", "plain", "broker"])
def test_getsize_is_not_multiplied_by_leverage(mode: str, how: str) -> None:
    sizes = []

    def ask(strategy: Any) -> None:
        scheme = strategy.broker.getcommissioninfo(strategy.data)
        sizes.append(scheme.getsize(100, 5_000))

    broker = commission(s.BROKERS[mode](cash=10_000, leverage=10), how)
    s.run(FLAT, {0: [ask]}, broker)
    assert sizes == [50]


@pytest.mark.parametrize("mode", BOTH)
def test_a_perp_trades_in_fractions(mode: str) -> None:
    broker = s.set_contract(s.BROKERS[mode](cash=10_000), leverage=10)
    result = s.run([s.flat(60_000)] * 3, {0: [target("percent", 0.5)]}, broker)
    assert result.sizes[-1] == {"A": approx(5_000 / 60_000)}


# Tenths: 0.1 + 0.2 - 0.3 is flat, and the trade is closed
@pytest.mark.parametrize("mode", BOTH)
def test_tenths_are_flat_in_the_end(mode: str) -> None:
    plan = {
        0: [s.send("buy", 0.1)],
        1: [s.send("buy", 0.2)],
        2: [s.send("sell", 0.3, "out")],
    }
    result = run(mode, plan)
    assert result.sizes[-1] == {"A": 0}
    assert s.status(result.sent["out"]) == "Completed"
    assert not result.broker.account.positions
    assert len(result.trades) == 1


@pytest.mark.parametrize("mode", BOTH)
def test_a_rebate_pays_for_no_margin(mode: str) -> None:
    # 100.01 at 100 lock 1,000.10 of 1,000: the rebate of 2 comes too late.
    broker = s.BROKERS[mode](cash=1_000, leverage=10)
    rebate = bt_margin.PerpCommission(maker_fee_rate=-0.0002)
    broker.addcommissioninfo(rebate)
    plan = {0: [s.send("buy", 100.01, price=100, exectype=bt.Order.Limit)]}
    result = s.run(
        [s.flat(101), s.flat(101), (101, 101, 99, 100), s.flat(100)], plan, broker
    )
    assert result.sizes[-1] == {"A": 0}
