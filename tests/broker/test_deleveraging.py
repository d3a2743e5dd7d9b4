"""Scheduled deleveraging: the venue closes a share of what is winning.

``generic`` at 10x, taker fee 0.05 %. 10 from 100: margin 100, fee 0.50. A deleveraging
charges no fee.
"""

from datetime import datetime, timedelta, timezone
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.deleveraging import DeleveragingEvent

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
LONG = s.send("buy", 10)
SHORT = s.send("sell", 10)
UP = [*CALM, s.flat(105), s.flat(105), s.flat(105)]


def scheduled(
    mode: str,
    share: float = 1,
    price: float | None = None,
    name: str = "A",
    when: Any = None,
    **params: Any,
) -> Any:
    broker = s.BROKERS[mode](**{"cash": 1_000, "leverage": 10, **params})
    when = s.moment(hours=2, minutes=30) if when is None else when
    broker.add_deleveraging(name, when, share, price)
    return broker


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("opening", "mark", "share", "price", "left", "pnl"),
    [
        pytest.param(*(LONG, 105, 1, None, 0, 50), id="a winning long, all at mark"),
        pytest.param(*(SHORT, 95, 1, None, 0, 50), id="a winning short, all at mark"),
        pytest.param(*(LONG, 105, 0.4, None, 6, 20), id="4 of 10"),
        pytest.param(*(LONG, 105, 1, 103, 0, 30), id="all at a price of the venue's"),
        pytest.param(*(LONG, 98, 1, None, 10, 0), id="a loser is left alone"),
        pytest.param(*(LONG, 100, 1, None, 10, 0), id="so is what is even"),
        pytest.param(*(LONG, 105, 1, 99, 10, 0), id="so is a loser at that price"),
    ],
)
def test_what_is_closed(
    mode: str,
    opening: Any,
    mark: float,
    share: float,
    price: float | None,
    left: float,
    pnl: float,
) -> None:
    bars = [*CALM, *[s.flat(mark)] * 3]
    result = s.run(bars, {0: [opening]}, scheduled(mode, share, price))
    sign = 1 if opening is LONG else -1
    assert result.getposition().size == sign * left
    booked = s.ledger_total(result.broker, "realized_pnl")
    assert booked == approx(pnl)
    assert s.ledger_total(result.broker, "fee") == approx(-0.5)
    if not pnl:
        assert not result.deleveragings
        return
    (event,) = result.deleveragings
    assert result.broker.deleveragings == [event]
    assert event.time == s.moment(hours=2, minutes=30)
    assert (event.size, event.remaining) == (sign * (10 - left), sign * left)
    assert (event.entry_price, event.fill_price) == (100, price or mark)
    assert event.pnl == approx(pnl)
    assert event.wallet == {"isolated": "isolated:A", "cross": "shared"}[mode]
    assert result.trade_sizes() == ({0: sign * left} if left else {})
    assert [trade.pnl for trade in result.trades] == ([] if left else approx([pnl]))


@pytest.mark.parametrize("mode", BOTH)
def test_it_comes_as_a_completed_order(mode: str) -> None:
    result = s.run(UP, {0: [LONG]}, scheduled(mode, 0.4))
    (order,) = result.deleveraging_orders
    (event,) = result.deleveragings
    assert order.info.deleveraging is event
    assert not order.info.get("liquidation")
    assert s.status(order) == "Completed"
    assert (order.executed.size, order.executed.price) == (-4, 105)
    assert (order.executed.pnl, order.executed.comm) == approx((20, 0))
    assert (order.executed.psize, order.executed.pprice) == (6, 100)
    assert [type(event) for _, event in result.news] == [DeleveragingEvent]


def test_an_isolated_wallet_gives_back_its_share() -> None:
    result = s.run(UP, {0: [LONG]}, scheduled("isolated", 0.4))
    # 100 and 20 of profit: 0.4 of the 100, and the profit, go back.
    held = {"shared": 899.5 + 40 + 20, "isolated:A": 60}
    assert s.balances(result.broker) == approx(held)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("size", [0.1, 0.7, 1 / 3, 0.1 + 0.2])
@pytest.mark.parametrize("share", [0.1, 0.9, 1 / 3])
def test_the_rest_closes_to_the_last_bit(mode: str, size: float, share: float) -> None:
    plan = {0: [s.send("buy", size)], 3: [s.close()]}
    result = s.run(UP, plan, scheduled(mode, share))
    assert result.deleveragings
    assert result.getposition().size == 0
    assert not result.trade_sizes()
    (trade,) = result.trades
    assert trade.pnl == approx(size * 5)


@pytest.mark.parametrize("mode", BOTH)
def test_in_hedge_mode_only_the_winning_leg_goes(mode: str) -> None:
    plan = {
        0: [
            s.send("buy", 10, "long", position_side="long"),
            s.send("sell", 5, "short", position_side="short"),
        ]
    }
    result = s.run(UP, plan, scheduled(mode, 0.5, position_mode="hedge"))
    (event,) = result.deleveragings
    assert (event.leg, event.size, event.remaining) == ("long", 5, 5)
    assert result.trade_sizes() == {0: 5, 1: -5}
    assert result.getposition().size == 0
    (order,) = result.deleveraging_orders
    assert (order.info.position_side, order.tradeid) == ("long", 0)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("when", "bar"),
    [
        pytest.param(s.moment(hours=2), 2, id="at a bar's open"),
        pytest.param(
            s.moment(hours=2, minutes=30).replace(tzinfo=None), 2, id="a naive time"
        ),
        pytest.param(
            (s.moment(hours=2) + timedelta(hours=5)).replace(
                tzinfo=timezone(timedelta(hours=5))
            ),
            *(2,),
            id="a time of another zone",
        ),
        pytest.param(s.moment(hours=-9), None, id="before the first bar: nothing held"),
        pytest.param(s.moment(hours=99), None, id="after the last bar"),
    ],
)
def test_when(mode: str, when: datetime, bar: int | None) -> None:
    result = s.run(UP, {0: [LONG]}, scheduled(mode, when=when))
    assert [number for number, _ in result.news] == ([] if bar is None else [bar])


@pytest.mark.parametrize("mode", BOTH)
def test_orders_of_the_bar_know_what_was_closed(mode: str) -> None:
    """At half the bar 10 are closed; the limit at its end finds nothing to reduce."""
    plan = {0: [LONG], 1: [s.limit("sell", 10, 108, reduce_only=True)]}
    bars = [*CALM, (104, 108, 104, 108), s.flat(108)]
    broker = scheduled(mode, when=s.moment(hours=2, minutes=20))
    result = s.run(bars, plan, broker)
    assert result.getposition().size == 0
    assert s.status(result.sent["limit"]) == "Canceled"


def test_a_feed_can_be_named_by_its_clone() -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(scheduled("isolated", name="slow"))
    feed = s.perp(UP)
    cerebro.adddata(feed)
    unit = bt.TimeFrame.Minutes
    cerebro.resampledata(feed, timeframe=unit, compression=60, name="slow")
    cerebro.addstrategy(s.Recorder, plan={0: [LONG]})
    result = cerebro.run()[0]
    assert len(result.deleveragings) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param({"share": 0}, "above 0 and up to 1", id="a share of 0"),
        pytest.param({"share": 1.5}, "above 0 and up to 1", id="more than all"),
        pytest.param({"price": -1}, "above 0", id="a price below 0"),
    ],
)
def test_what_cannot_be_scheduled(words: Any, message: str) -> None:
    with pytest.raises(bt_margin.MarginError, match=message):
        scheduled("isolated", **words)


def test_a_name_that_no_feed_has() -> None:
    with pytest.raises(bt_margin.MarginError, match=r"'B'.*choose one of A"):
        s.run(UP, {}, scheduled("isolated", name="B"))


def test_it_is_scheduled_before_the_run() -> None:
    def act(strategy: Any) -> None:
        strategy.broker.add_deleveraging("A", s.moment(hours=3), 1)

    plan = {1: [s.ask("it", act)]}
    result = s.run(UP, plan, s.BROKERS["isolated"](cash=1_000))
    assert "before the run" in str(result.said["it"])


@pytest.mark.parametrize("mode", BOTH)
def test_a_second_run_has_it_again(mode: str) -> None:
    broker = scheduled(mode)
    runs = [s.run(UP, {0: [LONG]}, broker) for _ in range(2)]
    assert [len(result.deleveragings) for result in runs] == [1, 1]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize(
    ("share", "last", "value"),
    [
        # 5 of 10 at 105: 25 gained. The other 5 at the stop lose 50 and pay 0.225.
        pytest.param(*(0.5, 89, 1_000 - 0.5 + 25 - 50 - 0.225), id="half, its stop"),
        # At the target they gain 100 and pay 0.12 as maker.
        pytest.param(*(0.5, 121, 1_000 - 0.5 + 25 + 100 - 0.12), id="half, its target"),
        pytest.param(*(1, 89, 1_000 - 0.5 + 50), id="all, its stop"),
        pytest.param(*(1, 121, 1_000 - 0.5 + 50), id="all, its target"),
    ],
)
def test_a_bracket_closes_no_more_than_was_left(
    mode: str, fill_order: str, share: float, last: float, value: float
) -> None:
    ours = scheduled(mode, share, leverage=5, fill_order=fill_order)
    plan = {0: [s.bracket("buy", 10, stopprice=90, limitprice=120)]}
    bars = [*UP, (105, max(105, last), min(105, last), last), s.flat(last)]
    result = s.run([*bars, s.flat(last)], plan, ours)
    assert len(result.deleveragings) == 1
    assert result.getposition().size == 0
    assert not ours.pending
    assert result.value[-1] == approx(value)


@pytest.mark.parametrize("mode", BOTH)
def test_a_bracket_that_has_not_begun_is_left_alone(mode: str) -> None:
    """10 at 105 gain 50; then 5 from 90 to 95 gain 25, less 0.09 and 0.095 as maker."""
    entry = s.bracket(
        *("buy", 5),
        exectype=bt.Order.Limit,
        price=90,
        stopprice=80,
        limitprice=95,
    )
    bars = [*UP, (105, 105, 89, 91), (91, 96, 91, 96), s.flat(96)]
    result = s.run(bars, {0: [LONG], 1: [entry]}, scheduled(mode))
    assert len(result.deleveragings) == 1
    assert s.status(result.sent["target"]) == "Completed"
    assert result.value[-1] == approx(1_000 - 0.5 + 50 + 25 - 0.09 - 0.095)


@pytest.mark.parametrize("mode", BOTH)
def test_a_reduce_only_order_ends_with_its_position(mode: str) -> None:
    plan = {0: [LONG], 1: [s.limit("sell", 10, 120, reduce_only=True)]}
    result = s.run(UP, plan, scheduled(mode))
    assert result.statuses("limit") == ["Submitted", "Accepted", "Canceled"]
