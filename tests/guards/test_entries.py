"""Entry guards: which orders they refuse, why, and which they let through.

There are no fees, the account has 10,000 and 10x. A long of 10 at 100 locks 100 and is
liquidated at 100 - (100 - 5) / 10 = 90.5, a short at 109.5. On cross margin a long of
500 locks 5,000 and is liquidated at 100 - (10,000 - 250) / 500 = 80.5.
"""

import logging
from datetime import UTC, datetime
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import guards
from bt_margin.core.errors import ParameterError

# High and low 1 from the close: every true range is 2.
WIDE = [(100.0, 101.0, 99.0, 100.0)] * 8
FLAT = [100.0] * 4


def entry(bar: int = 1, size: float = 10, *, buys: bool = True, **words: Any) -> Any:
    """A script that sends one order."""

    def script(s: Any, now: int) -> None:
        if now == bar:
            send = s.buy if buys else s.sell
            s.sent.append(send(size=size, **words))

    return script


# LiquidationDistance


@pytest.mark.parametrize(
    ("buys", "stop", "passes"),
    [
        pytest.param(True, 91.0, True, id="a long whose stop is nearer"),
        pytest.param(True, 90.5, False, id="a long whose stop is at its liquidation"),
        pytest.param(True, 90.0, False, id="a long whose stop is farther"),
        pytest.param(False, 109.0, True, id="a short whose stop is nearer"),
        pytest.param(False, 110.0, False, id="a short whose stop is farther"),
    ],
)
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "bracket"])
def test_the_liquidation_must_lie_beyond_the_stop(
    run: Any, actions: Any, buys: bool, stop: float, passes: bool, declared: bool
) -> None:
    def script(s: Any, bar: int) -> None:
        if bar != 1:
            return
        if declared:
            s.sent.append((s.buy if buys else s.sell)(size=10, stop_price=stop))
            return
        send = s.buy_bracket if buys else s.sell_bracket
        target = 130.0 if buys else 70.0
        words = {"exectype": bt.Order.Market, "stopprice": stop, "limitprice": target}
        s.sent += send(size=10, **words)

    strategy = run(script, FLAT, guards.LiquidationDistance(ranges=0))
    order = strategy.sent[0]
    if passes:
        assert order.status == order.Completed
        assert actions(strategy) == []
        return
    assert strategy.statuses(order) == ["Submitted", "Rejected"]
    price = 90.5 if buys else 109.5
    why = f"liquidation at {price:g} comes before the stop at {stop:g}"
    assert order.info.reason == f"LiquidationDistance: {why}"
    word = "buy" if buys else "sell"
    assert actions(strategy) == [("LiquidationDistance", f"refused to {word} 10", why)]
    for child in strategy.sent[1:]:
        assert child.status == child.Canceled
    assert strategy.position.size == 0


def test_a_stop_limit_of_a_bracket_is_a_stop(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent += s.buy_bracket(
                size=10,
                exectype=bt.Order.Market,
                stopprice=90.0,
                stopexec=bt.Order.StopLimit,
                stopargs={"plimit": 89.0},
                limitexec=None,
            )

    strategy = run(script, FLAT, guards.LiquidationDistance(ranges=0))
    assert strategy.sent[0].status == bt.Order.Rejected


def test_without_a_stop_the_guard_says_that_it_cannot_know(
    run: Any, actions: Any
) -> None:
    strategy = run(entry(), FLAT, guards.LiquidationDistance(ranges=0))
    assert strategy.position.size == 10
    why = "no bracket and no stop_price= given with the order"
    what = "cannot compare with a stop"
    assert actions(strategy) == [("LiquidationDistance", what, why)]
    quiet = guards.LiquidationDistance(ranges=0, beyond_stop=False)
    assert actions(run(entry(), FLAT, quiet)) == []


@pytest.mark.parametrize(
    ("ranges", "passes"),
    [pytest.param(4.75, True, id="as many"), pytest.param(4.8, False, id="too few")],
)
@pytest.mark.parametrize("buys", [True, False], ids=["long", "short"])
def test_the_liquidation_lies_so_many_true_ranges_away(
    run: Any, actions: Any, ranges: float, passes: bool, buys: bool
) -> None:
    # 9.5 from the entry, at 2 a bar: 4.75.
    guard = guards.LiquidationDistance(ranges=ranges, period=3, beyond_stop=False)
    strategy = run(entry(4, buys=buys), WIDE, guard)
    assert bool(strategy.position.size) is passes
    price = 90.5 if buys else 109.5
    why = (
        f"liquidation at {price:g} is 4.75 average true ranges from 100, less than 4.8"
    )
    assert [why for *_, why in actions(strategy)] == ([] if passes else [why])


def test_before_there_are_enough_bars_entries_pass(run: Any) -> None:
    guard = guards.LiquidationDistance(ranges=99, period=3)
    assert run(entry(3), WIDE, guard).position.size == 10
    assert run(entry(4), WIDE, guard).position.size == 0


def test_a_guard_knows_no_more_of_the_present_bar_than_the_strategy(run: Any) -> None:
    # The order is sent at bar 4 and judged when bar 5, a range of 90, has begun.
    rows = [*WIDE[:4], (100.0, 150.0, 95.0, 100.0), 100.0]
    guard = guards.LiquidationDistance(ranges=4, period=3, beyond_stop=False)
    strategy = run(entry(4), rows, guard)
    assert strategy.position.size == 10
    # Sent at bar 5 it is known: (2 + 2 + 55) / 3 a bar.
    assert run(entry(5), rows, guard).position.size == 0


@pytest.mark.parametrize(
    ("size", "passes"),
    [pytest.param(500, True, id="80.5"), pytest.param(900, False, id="89.39")],
)
def test_on_cross_margin_the_size_decides(run: Any, size: int, passes: bool) -> None:
    # 900: 100 - (10,000 - 450) / 900 = 89.39, less than 6 times 2 away.
    guard = guards.LiquidationDistance(ranges=6, period=3, beyond_stop=False)
    strategy = run(entry(4, size), WIDE, guard, margin_mode="cross")
    assert bool(strategy.position.size) is passes


def test_an_order_is_judged_at_its_own_price(run: Any, actions: Any) -> None:
    # A limit at 80: liquidated at 80 - 80 (0.1 - 0.005) = 72.4.
    words = {"exectype": bt.Order.Limit, "price": 80.0, "stop_price": 72.0}
    strategy = run(entry(**words), FLAT, guards.LiquidationDistance(ranges=0))
    assert strategy.sent[0].status == bt.Order.Rejected
    assert actions(strategy)[0][2].startswith("liquidation at 72.4 comes before")


def test_the_smaller_leg_of_a_hedge_makes_the_account_safer(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sell(size=900, position_side="short", stop_price=105)
        if bar == 5:
            s.sent.append(s.buy(size=50, position_side="long"))

    guard = guards.LiquidationDistance(ranges=30, period=3)
    words = {"margin_mode": "cross", "position_mode": "hedge"}
    strategy = run(script, WIDE, guard, **words)
    assert strategy.sent[0].status == bt.Order.Completed


# MarginCap


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_position_that_locks_more_than_the_share_is_refused(
    run: Any, actions: Any, mode: str
) -> None:
    # 5 % of 10,000 is 500: 50 coins at 100 and 10x pass, 51 do not.
    words = {"margin_mode": mode}
    assert run(entry(size=50), FLAT, guards.MarginCap(0.05), **words).position.size
    strategy = run(entry(size=51), FLAT, guards.MarginCap(0.05), **words)
    assert strategy.position.size == 0
    why = "its margin would be 510.00, the cap is 500.00"
    assert actions(strategy) == [("MarginCap", "refused to buy 51", why)]


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(({}, {}), id="two market orders"),
        pytest.param(({"exectype": bt.Order.Limit, "price": 100.0},) * 2, id="limits"),
        pytest.param(({"exectype": bt.Order.Limit, "price": 90.0}, {}), id="of each"),
    ],
)
def test_the_orders_of_one_bar_count_together(run: Any, kinds: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent += [s.buy(size=30, **words) for words in kinds]

    strategy = run(script, FLAT, guards.MarginCap(0.05))
    statuses = [order.getstatusname() for order in strategy.sent]
    assert statuses[0] in ("Completed", "Accepted")
    assert statuses[1] == "Rejected"


def test_entries_that_rest_count_and_those_of_an_oco_group_once(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        limit = {"exectype": bt.Order.Limit, "price": 80.0}
        if bar == 1:
            s.sent.append(s.buy(size=40, **limit))
            s.sent.append(s.buy(size=40, oco=s.sent[0], **limit))
        if bar == 2:
            # 40 at 80 lock 320: 18 at 100 still pass, and 1 more does not.
            s.sent.append(s.buy(size=18))
            s.sent.append(s.buy(size=1))
            # The other side is not added to them.
            s.sent.append(s.sell(size=18, exectype=bt.Order.Limit, price=120.0))

    strategy = run(script, FLAT, guards.MarginCap(0.05))
    statuses = [order.getstatusname() for order in strategy.sent]
    assert statuses == ["Accepted", "Accepted", "Completed", "Rejected", "Accepted"]


def test_in_hedge_mode_each_leg_has_the_cap(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            for side, send in (("long", s.buy), ("short", s.sell)):
                s.sent.append(send(size=50, position_side=side))
                s.sent.append(send(size=1, position_side=side))

    strategy = run(script, FLAT, guards.MarginCap(0.05), position_mode="hedge")
    statuses = [order.getstatusname() for order in strategy.sent]
    assert statuses == ["Completed", "Rejected"] * 2


# What every entry guard lets through


class Never(guards.MarginCap):
    """Refuses every entry."""

    def __init__(self) -> None:
        super().__init__(1e-9)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_what_closes_passes(run: Any, mode: str) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy_bracket(
                size=40, exectype=bt.Order.Market, stopprice=90, limitprice=104
            )
        if bar == 2:
            s.broker.add_guard(Never())
            s.sent.append(s.sell(size=10))
            s.sent.append(s.sell(size=10, reduce_only=True))
            s.sent.append(s.close(size=5))

    rows = [100.0, 100.0, 100.0, (100.0, 105.0, 100.0, 105.0), 105.0]
    strategy = run(script, rows, margin_mode=mode)
    assert [order.getstatusname() for order in strategy.sent] == ["Completed"] * 3
    assert strategy.broker.guard_actions == []


def test_the_exits_of_a_bracket_that_is_let_through_are_not_looked_at(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent += s.buy_bracket(
                size=50, exectype=bt.Order.Market, stopprice=95, limitprice=105
            )

    strategy = run(script, [100.0, 100.0, 94.0], guards.MarginCap(0.05))
    assert [o.getstatusname() for o in strategy.sent] == [
        "Completed",
        "Completed",
        "Canceled",
    ]


def test_of_a_flip_only_the_close_is_let_through(run: Any, actions: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=50)
        if bar == 2:
            s.sent.append(s.sell(size=110))

    strategy = run(script, FLAT, guards.MarginCap(0.05))
    (order,) = strategy.sent
    assert strategy.position.size == 0
    assert (order.executed.size, order.status) == (-50, order.Canceled)
    why = "its margin would be 600.00, the cap is 500.00"
    assert order.info.reason == f"MarginCap: {why}"
    assert actions(strategy) == [("MarginCap", "let sell 110 only close 50", why)]


def test_an_entry_after_a_close_of_the_same_bar_is_an_entry(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=50)
        if bar == 2:
            s.sent += [s.close(), s.buy(size=50), s.sell(size=120)]

    strategy = run(script, FLAT, guards.MarginCap(0.05))
    # The close makes room for the buy; of the sell only 50 are a close.
    assert [o.executed.size for o in strategy.sent] == [-50, 50, -50]


def test_an_order_that_cannot_be_paid_is_refused_as_without_guards(run: Any) -> None:
    strategy = run(entry(size=2_000), FLAT, guards.MarginCap(0.05))
    assert strategy.sent[0].status == bt.Order.Margin
    assert strategy.broker.guard_actions == []


def test_an_order_on_a_feed_that_has_not_begun_cannot_be_judged(
    run: Any, actions: Any, candles: Any
) -> None:
    def script(s: Any, bar: int) -> None:
        if not s.sent:
            s.sent.append(s.buy(data=s.datas[1], size=10))

    late = candles(FLAT, start="2024-01-01 02:00")
    strategy = run(script, FLAT, guards.MarginCap(0.05), others=[late])
    assert strategy.sent[0].status == bt.Order.Completed
    why = "its feed has no bar yet"
    assert actions(strategy) == [("MarginCap", "cannot judge an order", why)]


def test_an_order_that_locks_nothing_beside_another_is_judged_too(run: Any) -> None:
    # The sell of 850 at 110 locks 9,350; a buy of 850 on the other side locks no more,
    # though 650 of what is available could not open it.
    def script(s: Any, bar: int) -> None:
        limit = {"size": 850, "exectype": bt.Order.Limit}
        if bar == 1:
            s.sent.append(s.sell(price=110.0, **limit))
        if bar == 2:
            s.broker.add_guard(guards.MarginCap(0.5))
            s.sent.append(s.buy(price=99.0, **limit))

    statuses = [order.getstatusname() for order in run(script, FLAT).sent]
    assert statuses == ["Accepted", "Rejected"]


# MarginRatioCap


def test_an_entry_that_takes_the_ratio_too_high_is_refused(
    run: Any, actions: Any
) -> None:
    # 900 coins ask for 450 of 10,000: 0.045.
    words = {"margin_mode": "cross"}
    assert run(
        entry(size=900), FLAT, guards.MarginRatioCap(0.045), **words
    ).position.size
    strategy = run(entry(size=900), FLAT, guards.MarginRatioCap(0.04), **words)
    why = "the margin ratio would be 0.045, the cap is 0.04"
    assert actions(strategy) == [("MarginRatioCap", "refused to buy 900", why)]


# DailyLossCap


def test_after_the_days_loss_no_entry_until_the_next_day(
    run: Any, actions: Any
) -> None:
    # 40 coins from 100 to 92 lose 320 of 10,000 on the first day; bars last 6 hours,
    # an order fills one bar later.
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=40)
        if bar in (2, 3, 4):
            s.sent.append(s.buy(size=1))

    rows = [100.0, 100.0, 92.0, 92.0, 92.0, 92.0]
    strategy = run(script, rows, guards.DailyLossCap(0.03), every="6h")
    # Sent at bar 2, before the loss; at bar 3, after it; at bar 4 for the next day.
    statuses = [order.getstatusname() for order in strategy.sent]
    assert statuses == ["Completed", "Rejected", "Completed"]
    # 40 coins and the one bought at 92, which has lost nothing.
    assert actions(strategy) == [
        ("DailyLossCap", "refused to buy 1", "the day has lost 3.20%, the cap is 3.00%")
    ]


def test_the_last_bar_of_a_day_counts_for_that_day(run: Any) -> None:
    # The loss is in bar 4, which ends at midnight.
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=40)
        if bar == 4:
            s.sent.append(s.buy(size=1))

    rows = [100.0, 100.0, 100.0, 92.0, 92.0, 92.0]
    strategy = run(script, rows, guards.DailyLossCap(0.03), every="6h")
    assert strategy.sent[0].status == bt.Order.Completed


def test_a_deposit_makes_no_loss_good(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=40)
        if bar == 3:
            s.broker.add_cash(5_000)
            s.sent.append(s.buy(size=1))

    rows = [100.0, 100.0, 92.0, 92.0, 92.0]
    strategy = run(script, rows, guards.DailyLossCap(0.03))
    assert strategy.sent[0].status == bt.Order.Rejected


# StopAfterLiquidation


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_after_a_liquidation_no_entry(run: Any, actions: Any, mode: str) -> None:
    def script(s: Any, bar: int) -> None:
        if not s.position:
            s.sent.append(s.buy(size=90))

    # Cross: 90 at 100 with 1,000 are liquidated at 100 - (1,000 - 45) / 90 = 89.4.
    rows = [100.0, 100.0, 80.0, 80.0, 80.0]
    words = {"margin_mode": mode, "cash": 1_000.0 if mode == "cross" else 10_000.0}
    guard = guards.StopAfterLiquidation()
    strategy = run(script, rows, guard, on_liquidation="refill", **words)
    assert len(strategy.broker.liquidations) == 1
    statuses = [order.getstatusname() for order in strategy.sent]
    assert statuses == ["Completed", "Rejected", "Rejected", "Submitted"]
    why = "liquidations so far: 1, and 1 end the trading"
    refusal = ("StopAfterLiquidation", "refused to buy 90", why)
    assert actions(strategy) == [refusal] * 2


# Several guards, several runs


def test_the_first_guard_that_objects_is_named(run: Any) -> None:
    watching = [
        guards.MarginCap(0.5),
        guards.MarginCap(0.04),
        guards.MarginRatioCap(1e-9),
    ]
    strategy = run(entry(size=50), FLAT, *watching)
    assert strategy.sent[0].info.reason == (
        "MarginCap: its margin would be 500.00, the cap is 400.00"
    )
    assert len(strategy.broker.guard_actions) == 1


def test_what_a_guard_did_is_in_the_log_with_time_and_symbol(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bt_margin"):
        strategy = run(entry(size=51), FLAT, guards.MarginCap(0.05))
    (action,) = strategy.broker.guard_actions
    assert action.time == datetime(2024, 1, 1, 1, tzinfo=UTC)
    assert action.symbol == "BTC"
    assert caplog.messages == [
        "MarginCap: 2024-01-01 01:00 BTC: refused to buy 51; its margin would be"
        " 510.00, the cap is 500.00"
    ]


def test_a_guard_forgets_the_run_before(cerebro_of: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=40)
        if bar in (2, 3):
            s.sent.append(s.buy(size=1))

    rows = [100.0, 100.0, 92.0, 92.0, 92.0]
    cerebro = cerebro_of(script, rows, guards.DailyLossCap(0.03))
    for _ in range(2):
        (strategy,) = cerebro.run()
        statuses = [order.getstatusname() for order in strategy.sent]
        assert statuses == ["Completed", "Rejected"]
        assert len(strategy.broker.guard_actions) == 1


# Attaching


def test_guards_need_a_margin_broker(cerebro_of: Any) -> None:
    with pytest.raises(ParameterError, match="setbroker"):
        guards.attach(bt.Cerebro(), guards.MarginCap())
    with pytest.raises(ParameterError, match=r"give MarginCap\(\.\.\.\)"):
        cerebro_of(entry(), FLAT, guards.MarginCap)


def test_with_stock_accounting_guards_do_nothing_and_say_so(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = run(entry(size=51), FLAT, guards.MarginCap(0.05), margin_mode="off")
    assert strategy.position.size == 51
    assert strategy.broker.guard_actions == []
    assert "guards do nothing" in caplog.text


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (guards.LiquidationDistance, {"ranges": -1}),
        (guards.LiquidationDistance, {"period": 0}),
        (guards.LiquidationDistance, {"period": 2.5}),
        (guards.MarginCap, {"share": 0}),
        (guards.MarginRatioCap, {"ratio": float("nan")}),
        (guards.DailyLossCap, {"share": -0.1}),
        (guards.StopAfterLiquidation, {"count": 0}),
        (guards.TopUp, {"times": 0}),
        (guards.TopUp, {"most": -1}),
        (guards.PullBack, {"at_ratio": 0.2, "to_ratio": 0.1}),
        (guards.PullBack, {"to_ratio": 1}),
        (guards.ReduceBefore, {"share": 1.5}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(guard: Any, words: Any) -> None:
    with pytest.raises(ParameterError, match=next(iter(words))):
        guard(**words)


def test_a_guard_of_ones_own_needs_three_methods(run: Any) -> None:
    class NoMondays:
        def start(self, broker: Any) -> None:
            self.looked = 0

        def objection(self, broker: Any, order: Any) -> str | None:
            return "it is Monday" if broker.time.weekday() == 0 else None

        def act(self, broker: Any) -> None:
            self.looked += 1

    guard = NoMondays()
    strategy = run(entry(), FLAT, guard)
    assert strategy.sent[0].info.reason == "NoMondays: it is Monday"
    assert guard.looked == 4
    assert isinstance(strategy.broker, bt_margin.MarginBroker)
