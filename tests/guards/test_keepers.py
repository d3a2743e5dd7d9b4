"""Keepers: what they do to an open position at the end of a bar.

There are no fees, the account has 10,000 and 10x. A long of 10 at 100 locks 100 and
asks for 5: its margin is 100 + 10 (p - 100), its ratio 5 over that: 0.05 at the entry,
0.5 at 91, infinite at 90. It is liquidated at 90.5.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin import guards
from bt_margin.core.errors import ControlError

BTC = "isolated:BTC"


def long_of(size: float = 10, *, buys: bool = True, **words: Any) -> Any:
    """A script that opens at the first bar and writes down wallet and size of each."""

    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent.append((s.buy if buys else s.sell)(size=size, **words))
        account = s.broker.account
        balance = account.ledger.balances.get(BTC, 0)
        s.seen = [*getattr(s, "seen", []), (balance, s.position.size)]

    return script


def moved(strategy: Any, ref: str) -> list[float]:
    """What went to the wallet of the position by transfers of a kind."""
    ledger = strategy.broker.ledger
    return [e.amount for e in ledger if e.wallet == BTC and e.ref == ref]


# TopUp


def test_margin_is_added_when_the_ratio_has_risen(run: Any, actions: Any) -> None:
    # 10 are left at 91: ratio 0.5. Half of 100 is added: 60, ratio 0.083.
    strategy = run(long_of(), [100, 100, 91, 91], guards.TopUp(at_ratio=0.5))
    assert moved(strategy, "add margin") == [50]
    assert strategy.seen[2:] == [(150, 10), (150, 10)]
    assert strategy.broker.liquidation_price(strategy.data) == pytest.approx(85.5)
    why = "margin ratio 0.50 is at 0.5 or more"
    what = "added 50.00 of margin (1 of 3)"
    assert actions(strategy) == [("TopUp", what, why)]
    assert strategy.broker.guard_actions[0].time == datetime(2024, 1, 1, 3, tzinfo=UTC)


def test_below_the_ratio_nothing_is_added(run: Any, actions: Any) -> None:
    strategy = run(long_of(), [100, 100, 91.1, 91.1], guards.TopUp(at_ratio=0.5))
    assert actions(strategy) == []


def test_a_short_is_topped_up_too(run: Any) -> None:
    strategy = run(
        long_of(buys=False), [100, 100, 109, 109], guards.TopUp(at_ratio=0.5)
    )
    assert moved(strategy, "add margin") == [50]


def test_margin_is_added_so_often_and_no_more(run: Any, actions: Any) -> None:
    # 50 at 91, 86 and never again: 81 is beyond 80.5.
    prices = [100, 100, 91, 86, 81, 80, 80]
    strategy = run(long_of(), prices, guards.TopUp(at_ratio=0.5, times=2))
    assert moved(strategy, "add margin") == [50, 50]
    assert len(strategy.broker.liquidations) == 1
    assert [what for _, what, _ in actions(strategy)] == [
        "added 50.00 of margin (1 of 2)",
        "added 50.00 of margin (2 of 2)",
    ]


def test_margin_is_added_so_much_and_no_more(run: Any) -> None:
    # 50, then the 20 that are left of 70.
    prices = [100, 100, 91, 86, 84, 84]
    strategy = run(long_of(), prices, guards.TopUp(at_ratio=0.5, times=9, most=70))
    assert moved(strategy, "add margin") == [50, 20]


def test_margin_comes_from_what_is_available(run: Any, actions: Any) -> None:
    # 130 in all: 100 are locked, 30 go; then there is nothing to give.
    prices = [100, 100, 91, 88, 88]
    strategy = run(long_of(), prices, guards.TopUp(at_ratio=0.5), cash=130.0)
    assert moved(strategy, "add margin") == [pytest.approx(30)]
    assert len(actions(strategy)) == 1


def test_resting_orders_keep_what_they_lock(run: Any) -> None:
    # 20 of the 30 are locked by a limit of 2 at 100 on the other feed.
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)
            limit = {"exectype": bt.Order.Limit, "price": 100.0}
            s.buy(data=s.datas[1], size=2, **limit)

    prices = [100, 100, 91, 91]
    strategy = run(
        script, prices, guards.TopUp(at_ratio=0.5), others=[[150] * 4], cash=130.0
    )
    assert moved(strategy, "add margin") == [pytest.approx(10)]


def test_a_new_position_is_topped_up_anew(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar in (1, 5):
            s.buy(size=10)
        if bar == 3:
            s.close()

    # The second, at 91, locks 91 and has 6 of them left at 82.5: 4.55 are asked for.
    prices = [100, 100, 91, 91, 91, 91, 82.5, 82.5]
    strategy = run(script, prices, guards.TopUp(at_ratio=0.5, times=1))
    assert moved(strategy, "add margin") == [50, pytest.approx(45.5)]


def test_a_flip_within_a_bar_is_a_new_position(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)
        if bar == 3:
            s.sell(size=20)

    # The short from 91 locks 91: at 99.5 it has 6 left.
    prices = [100, 100, 91, 91, 99.5, 99.5]
    strategy = run(script, prices, guards.TopUp(at_ratio=0.5, times=1))
    assert moved(strategy, "add margin") == [50, pytest.approx(45.5)]


def test_cross_margin_needs_no_top_up(run: Any, actions: Any) -> None:
    strategy = run(
        long_of(900),
        [100, 100, 90, 90],
        guards.TopUp(at_ratio=0.1),
        margin_mode="cross",
    )
    assert strategy.position.size == 900
    assert actions(strategy) == []


def test_in_hedge_mode_the_losing_leg_is_topped_up(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10, position_side="long")
            s.sell(size=10, position_side="short")

    strategy = run(
        script, [100, 100, 91, 91], guards.TopUp(at_ratio=0.5), position_mode="hedge"
    )
    balances = strategy.broker.ledger.balances
    assert balances["isolated:BTC:long"] == pytest.approx(150)
    assert balances["isolated:BTC:short"] == pytest.approx(100)


def test_a_venue_where_nobody_adds_margin_is_refused_at_the_start(
    cerebro_of: Any,
) -> None:
    page = bt_margin.get_venue("generic")
    closed = replace(page.controls, adds_margin=False, removal=None)
    venue = replace(page, controls=closed)
    for guard in (guards.TopUp(), guards.PullBack()):
        with pytest.raises(ControlError, match=f"{type(guard).__name__}: generic"):
            cerebro_of(long_of(), [100, 100], guard, venue=venue).run()


# PullBack


def test_margin_comes_back_from_a_winner(run: Any, actions: Any) -> None:
    # At 110 the margin is 200, the ratio 0.025. A ratio of 0.1 needs 50, but the
    # venue keeps the initial margin at mark, 110: 90 of gain are left to take.
    strategy = run(long_of(), [100, 100, 110, 110], guards.PullBack())
    assert moved(strategy, "remove margin") == [pytest.approx(-90)]
    assert strategy.broker.margin_balance(strategy.data) == pytest.approx(110)
    why = "margin ratio 0.025 is below 0.05"
    assert actions(strategy) == [("PullBack", "took 90.00 of margin back", why)]


def test_no_more_comes_back_than_to_the_ratio(run: Any) -> None:
    # 200 of margin; to 5 / 0.04 = 125: 75.
    guard = guards.PullBack(at_ratio=0.03, to_ratio=0.04)
    strategy = run(long_of(), [100, 100, 110, 110], guard)
    assert moved(strategy, "remove margin") == [pytest.approx(-75)]
    assert strategy.broker.margin_ratio(strategy.data) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        pytest.param([100, 100, 99, 99], {"leverage": 2.0}, id="a loser"),
        pytest.param([100, 100, 100, 100], {}, id="neither"),
        pytest.param([100, 100, 110, 110], {"margin_mode": "cross"}, id="cross"),
    ],
)
def test_from_others_nothing_comes_back(
    run: Any, actions: Any, prices: list[float], words: dict[str, Any]
) -> None:
    strategy = run(long_of(), prices, guards.PullBack(), **words)
    assert actions(strategy) == []


def test_what_one_keeper_takes_the_other_may_give_back(run: Any) -> None:
    # 90 out at 110; at 100.5 there are 10 + 5 left, ratio 0.333; half of 100 is added.
    watching = [guards.PullBack(), guards.TopUp(at_ratio=0.3)]
    strategy = run(long_of(), [100, 100, 110, 100.5, 100.5], *watching)
    assert moved(strategy, "remove margin") == [pytest.approx(-90)]
    assert moved(strategy, "add margin") == [50]


# ReduceBefore


@pytest.mark.parametrize("buys", [True, False], ids=["long", "short"])
def test_half_is_closed_at_the_next_bar(run: Any, actions: Any, buys: bool) -> None:
    # 10 of margin at 91 (109): 0.5. The open of the next bar closes 5 of 10.
    side = 1 if buys else -1
    prices = [100, 100, 100 - 9 * side, 100 - 9 * side, 100, 100]
    strategy = run(long_of(buys=buys), prices, guards.ReduceBefore(at_ratio=0.5))
    sizes = [size for _, size in strategy.seen]
    # The other half has as much margin for each coin, so it is halved again.
    assert sizes == [side * size for size in (0, 10, 10, 5, 2.5, 2.5)]
    why = "margin ratio 0.50 is at 0.5 or more"
    assert actions(strategy) == [
        ("ReduceBefore", f"reduces {10 * side} by 5", why),
        ("ReduceBefore", f"reduces {5 * side} by 2.5", why),
    ]
    assert len(strategy.broker.liquidations) == 0


def test_the_strategy_is_told_of_the_order_as_of_its_own(run: Any) -> None:
    guard = guards.ReduceBefore(at_ratio=0.5, share=1)
    strategy = run(long_of(), [100, 100, 91, 91, 100], guard)
    refs = sorted({ref for ref, _ in strategy.told})
    told = [status for ref, status in strategy.told if ref == refs[1]]
    assert told == ["Submitted", "Accepted", "Completed"]
    (trade,) = strategy.trades
    assert trade.pnl == pytest.approx(-90)
    assert strategy.broker.getvalue() == pytest.approx(9_910)


def test_on_cross_margin_every_position_of_the_wallet_is_reduced(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=40)
            s.sell(data=s.datas[1], size=40)

    # 1,000 less 800 at 80, against 0.5 % of 8,000: 0.2.
    strategy = run(
        script,
        [100, 100, 80, 80, 80],
        guards.ReduceBefore(at_ratio=0.2, share=0.25),
        others=[[100] * 5],
        cash=1_000.0,
        margin_mode="cross",
    )
    sizes = [strategy.getposition(data).size for data in strategy.datas]
    assert sizes == [pytest.approx(30), pytest.approx(-30)]
    symbols = [action.symbol for action in strategy.broker.guard_actions]
    assert symbols == ["BTC", "ETH"]


def test_the_stop_of_a_bracket_closes_what_is_left_and_opens_nothing(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent += s.buy_bracket(
                size=10, exectype=bt.Order.Market, stopprice=90.8, limitprice=120
            )

    rows = [100, 100, 91, 91, 90.7, 90.7, 90.7]
    strategy = run(script, rows, guards.ReduceBefore(at_ratio=0.5))
    assert strategy.position.size == 0
    _, stop, target = strategy.sent
    assert stop.executed.size == -5
    assert target.status == target.Canceled
    (trade,) = strategy.trades
    assert trade.isclosed


def test_an_order_that_would_flip_stays_one(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)
        if bar == 2:
            s.sell(size=20, exectype=bt.Order.Stop, price=90.8)

    strategy = run(
        script, [100, 100, 91, 91, 90.7, 90.7], guards.ReduceBefore(at_ratio=0.5)
    )
    # 5 are closed by the guard, then 20 sold.
    assert strategy.position.size == -15


def test_in_hedge_mode_the_order_closes_the_right_trade(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            for tradeid, size in ((3, 8), (4, 2)):
                s.sell(size=size, position_side="short", tradeid=tradeid)
            s.buy(size=1, position_side="long", tradeid=3)

    # The short of 10 has 10 left at 109; the long is well.
    strategy = run(
        script,
        [100, 100, 109, 109, 100],
        guards.ReduceBefore(at_ratio=0.5, share=1),
        position_mode="hedge",
    )
    broker, data = strategy.broker, strategy.data
    assert broker.get_leg(data, "short") is None
    assert broker.get_leg(data, "long").size == 1
    # Trade ids of shorts are doubled and odd.
    assert sorted((t.tradeid, t.pnl) for t in strategy.trades) == [(7, -72), (9, -18)]
    assert len(broker.guard_actions) == 2


def test_each_trade_gives_its_share(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=8, tradeid=1)
            s.buy(size=2, tradeid=2)

    strategy = run(script, [100, 100, 91, 91], guards.ReduceBefore(at_ratio=0.5))
    held = {i: size for _, i, size in strategy.broker.legs.held("BTC")}
    assert held == {1: 4, 2: 1}


def test_on_a_slower_feed_it_waits_for_its_order(run: Any, candles: Any) -> None:
    # The order of 02:00 can fill at 04:00 only; meanwhile no other is sent.
    def script(s: Any, bar: int) -> None:
        if len(s.datas[1]) == 1 and not s.sent:
            s.sent.append(s.buy(data=s.datas[1], size=10))

    slow = candles([100, 100, 91, 91, 100, 100], every="4h")
    strategy = run(script, [100] * 24, guards.ReduceBefore(at_ratio=0.5), others=[slow])
    whats = [action.what for action in strategy.broker.guard_actions]
    assert whats == ["reduces 10 by 5", "reduces 5 by 2.5"]


def test_a_step_that_cannot_be_halved_is_closed_whole(cerebro_of: Any) -> None:
    cerebro = cerebro_of(
        long_of(3), [100, 100, 91, 91, 91, 91], guards.ReduceBefore(at_ratio=0.5)
    )
    scheme: Any = bt_margin.PerpCommission
    cerebro.broker.addcommissioninfo(
        scheme(maker_fee_rate=0, taker_fee_rate=0, size_step=1)
    )
    (strategy,) = cerebro.run()
    # 3 by 1, 2 by 1, 1 whole.
    assert [size for _, size in strategy.seen] == [0, 3, 3, 2, 1, 0]


# Together, and again


def test_what_keepers_do_is_in_the_log(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bt_margin"):
        run(long_of(), [100, 100, 91, 91], guards.TopUp(at_ratio=0.5))
    assert caplog.messages == [
        "TopUp: 2024-01-01 03:00 BTC: added 50.00 of margin (1 of 3); margin ratio"
        " 0.50 is at 0.5 or more"
    ]


def test_keepers_and_entry_guards_work_side_by_side(run: Any) -> None:
    def script(s: Any, bar: int) -> None:
        if bar in (1, 3):
            s.sent.append(s.buy(size=10))

    watching = [guards.MarginCap(0.015), guards.TopUp(at_ratio=0.5)]
    strategy = run(script, [100, 100, 91, 91], *watching)
    assert [o.getstatusname() for o in strategy.sent] == ["Completed", "Rejected"]
    assert moved(strategy, "add margin") == [50]
    assert [a.guard for a in strategy.broker.guard_actions] == ["TopUp", "MarginCap"]


def test_a_keeper_forgets_the_run_before(cerebro_of: Any, actions: Any) -> None:
    watching = [guards.TopUp(at_ratio=0.5, times=1), guards.ReduceBefore(at_ratio=0.5)]
    # The run ends with the position open and an order on its way.
    cerebro = cerebro_of(long_of(), [100, 100, 91, 86], *watching)
    first, second = (cerebro.run()[0] for _ in range(2))
    assert actions(first) == actions(second) != []
    assert first.seen == second.seen
