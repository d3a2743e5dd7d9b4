"""Liquidation in part, and whose orders it cancels.

``generic`` at 10x but for the policy: taker fee 0.05 %, maintenance 0.5 % of the entry
notional. 100 from 100: margin 1,000, fee 5, maintenance 50. The liquidation price is
90.5, where 50 of the margin are left.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.policy import (
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
LONG = s.send("buy", 100)
SHORT = s.send("sell", 100)
GENERIC: Any = bt_margin.get_venue("generic")


def broker(mode: str, cash: float = 1_005, **policy: Any) -> Any:
    page = replace(GENERIC, name="here", liquidation=LiquidationPolicy(**policy))
    return s.BROKERS[mode](cash=cash, leverage=10, venue=page)


FIFTH = FractionStep(fraction=0.2, pause=timedelta(hours=1))


def stepwise(mode: str, step: Any = FIFTH, **more: Any) -> Any:
    return broker(mode, step=step, settlement=Settlement.MARKET, **more)


# A fifth is closed at 90.5: 190 lost, 80 with a requirement of 40 are left, and 50.
# 80 * (100 - p) = 1,000 - 190 - 40 at p = 90.375.


@pytest.mark.parametrize("mode", BOTH)
def test_a_fifth_goes_first(mode: str) -> None:
    bars = [*CALM, (100, 100, 90.4, 95), s.flat(95)]
    result = s.run(bars, {0: [LONG]}, stepwise(mode))
    (event,) = result.liquidations
    assert (event.size, event.remaining) == approx((20, 80))
    assert event.fill_price == approx(90.5)
    assert event.loss == approx(-190)
    assert result.getposition().size == approx(80)
    assert result.getposition().price == 100
    assert result.trade_sizes() == approx({0: 80})
    assert not result.trades
    (order,) = result.liquidation_orders
    assert s.status(order) == "Completed"
    assert (order.executed.size, order.executed.psize) == approx((-20, 80))
    assert order.info.liquidation is event
    assert result.broker.wallet_balance() == approx(1_000 - 190)
    assert result.value[-1] == approx(1_000 - 190 - 80 * 5)


@pytest.mark.parametrize("mode", BOTH)
def test_again_within_the_pause_the_rest_goes(mode: str) -> None:
    bars = [*CALM, (100, 100, 90, 90), s.flat(90)]
    result = s.run(bars, {0: [LONG]}, stepwise(mode))
    first, second = result.liquidations
    assert (first.remaining, second.remaining) == approx((80, 0))
    assert second.liquidation_price == approx(90.375)
    assert result.getposition().size == 0
    assert not result.trade_sizes()
    (trade,) = result.trades
    assert trade.pnl == approx(-190 - 80 * 9.625)
    # Nothing is charged in the market here: what is left returns.
    assert s.balances(result.broker) == approx({"shared": 40})
    assert result.value[-1] == approx(40)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("size", [100, 100 / 3, 0.7, 10.1])
@pytest.mark.parametrize("fraction", [0.2, 0.1, 1 / 3, 0.9])
def test_the_rest_closes_to_the_last_bit(
    mode: str, size: float, fraction: float
) -> None:
    plan = {0: [s.send("buy", size)], 3: [s.close()]}
    bars = [*CALM, (100, 100, 90.45, 95), *[s.flat(95)] * 2]
    step = FractionStep(fraction=fraction, pause=timedelta(0))
    ours = stepwise(mode, step, cash=size * 10.05)
    result = s.run(bars, plan, ours)
    assert result.liquidations[0].remaining > 0
    assert result.getposition().size == 0
    assert not result.trade_sizes()
    (trade,) = result.trades
    gained = trade.pnlcomm
    assert ours.getvalue() == approx(size * 10.05 + gained)


@pytest.mark.parametrize("mode", BOTH)
def test_sizes_of_a_step_are_on_the_size_step(mode: str) -> None:
    ours = stepwise(mode, FractionStep(fraction=0.33), cash=1_005)
    s.set_contract(ours, "A", size_step=1)
    bars = [*CALM, (100, 100, 90.45, 95), s.flat(95)]
    plan = {0: [LONG]}
    result = s.run(bars, plan, ours)
    assert (result.liquidations[0].size, result.getposition().size) == (33, 67)


@pytest.mark.parametrize("mode", BOTH)
def test_down_to_a_lower_tier(mode: str) -> None:
    """100 bought at 100 are in the tier above 5,000; 50, worth 5,000 then, stay."""
    tiers = bt_margin.TierTable(
        [
            bt_margin.Tier(0, 5_000, 0.005, 125),
            bt_margin.Tier(5_000, float("inf"), 0.02, 50),
        ]
    )
    ours = stepwise(mode, TierStep())
    s.set_contract(ours, "A", tiers=tiers)
    bars = [*CALM, (100, 100, 91, 95), s.flat(95)]
    result = s.run(bars, {0: [LONG]}, ours)
    event = result.liquidations[0]
    # Entry 10,000: 200 - 75 of requirement, met at 1,000 - 125 = 100 d.
    assert event.mark_price == approx(91.25)
    assert event.remaining == approx(50)


# Two strategies, each with a trade of its own


class Holder(bt.Strategy):
    """Buys at its first bar and closes its own part at bar 4."""

    params: Any = (("size", 1.0), ("tradeid", 0))

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.forced: list[Any] = []

    def next(self) -> None:
        words = {"tradeid": self.p.tradeid}
        if len(self) == 1:
            self.buy(size=self.p.size, **words)
        elif len(self) == 4:
            self.sell(size=self.p.size * 0.8, **words)

    def notify_order(self, order: Any) -> None:
        if order.info.get("liquidation"):
            self.forced.append((order.tradeid, order.executed.size))

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.done.append((trade.tradeid, trade.pnl))


@pytest.mark.parametrize("mode", BOTH)
def test_each_strategy_gives_up_its_part(mode: str) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(stepwise(mode))
    bars = [*CALM, (100, 100, 90.4, 95), s.flat(95), s.flat(95), s.flat(95)]
    cerebro.adddata(s.perp(bars))
    for size, tradeid in ((0.1 * 700, 0), (0.1 * 300, 4)):
        cerebro.addstrategy(Holder, size=size, tradeid=tradeid)
    first, second = cerebro.run()
    assert first.forced == [(0, approx(-14))]
    assert second.forced == [(4, approx(-6))]
    assert first.done == [(0, approx(-14 * 9.5 - 56 * 5))]
    assert second.done == [(4, approx(-6 * 9.5 - 24 * 5))]
    assert not first.broker.account.positions


# Inverse, hedge


@pytest.mark.parametrize("mode", BOTH)
def test_a_fifth_of_an_inverse_position(mode: str) -> None:
    """1,000 of quote from 100 at 10x: 1 coin of margin, 0.005 of fee."""
    ours = stepwise(mode, cash=1.005)
    s.set_contract(ours, "A", inverse=True)
    plan = {0: [s.send("buy", 1_000)], 3: [s.close()]}
    price = 1_000 / (10 + 0.95)
    bars = [*CALM, (100, 100, price * 0.9995, 95), s.flat(95), s.flat(95)]
    result = s.run(bars, plan, ours)
    (event,) = result.liquidations
    assert event.mark_price == approx(price)
    assert (event.size, event.remaining) == approx((200, 800))
    (trade,) = result.trades
    booked = s.ledger_total(result.broker, "realized_pnl")
    assert trade.pnl == approx(booked)
    assert booked == approx(-0.19 + 800 / 100 - 800 / 95)


def test_a_hedged_pair_is_offset_first() -> None:
    """Cross, 100 long and 40 short: 40 of each go, and 60 long stay."""
    page = replace(
        GENERIC,
        name="here",
        liquidation=LiquidationPolicy(cross_scope=CrossScope.HEDGED_FIRST),
    )
    ours = s.BROKERS["cross"](
        cash=1_500, leverage=10, venue=page, position_mode="hedge"
    )
    plan = {
        0: [
            s.send("buy", 100, "long", position_side="long"),
            s.send("sell", 40, "short", position_side="short"),
        ]
    }
    # 1,493 - 60 d = 70 at d = 23.71...; without the pair 30 are required.
    price = 100 - (1_500 - 7 - 70) / 60
    bars = [*CALM, (100, 100, price - 0.1, 95), s.flat(95)]
    result = s.run(bars, plan, ours)
    assert [(e.leg, e.size, e.remaining) for e in result.liquidations] == [
        ("long", approx(40), approx(60)),
        ("short", approx(-40), 0),
    ]
    prices = [event.fill_price for event in result.liquidations]
    assert prices == approx([price, price])
    assert result.trade_sizes() == approx({0: 60})
    (trade,) = result.trades
    assert (trade.tradeid, trade.pnl) == (1, approx(40 * (100 - price)))
    assert result.getposition().size == approx(60)
    assert result.value[-1] == approx(1_493 - 60 * 5)


# Whose orders go. Position in A; cross shares its wallet with B.

RESTING = [
    s.limit("buy", 1, 50, "adds to A", data="A"),
    s.limit("sell", 1, 150, "reduces A", data="A"),
    s.limit("sell", 1, 150, "can only reduce A", data="A", reduce_only=True),
    s.limit("buy", 1, 50, "opens B", data="B"),
]


@pytest.mark.parametrize(
    ("mode", "scope", "gone"),
    [
        pytest.param(
            *("cross", OrderScope.WALLET),
            {"adds to A", "reduces A", "can only reduce A", "opens B"},
            id="cross, wallet: all",
        ),
        pytest.param(
            *("cross", OrderScope.SYMBOL),
            {"adds to A", "reduces A", "can only reduce A"},
            id="cross, symbol: those of A",
        ),
        pytest.param(
            *("cross", OrderScope.ADDING),
            {"adds to A", "opens B"},
            id="cross, adding: what opens or adds",
        ),
        pytest.param(
            *("isolated", OrderScope.WALLET),
            {"adds to A", "reduces A", "can only reduce A"},
            id="isolated, wallet: those of A",
        ),
        pytest.param(
            *("isolated", OrderScope.SYMBOL),
            {"adds to A", "reduces A", "can only reduce A"},
            id="isolated, symbol: the same",
        ),
        pytest.param(
            *("isolated", OrderScope.ADDING),
            {"adds to A"},
            id="isolated, adding: what adds to A",
        ),
    ],
)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
def test_whose_orders_are_cancelled(
    mode: str, scope: OrderScope, gone: set[str], fill_order: str
) -> None:
    policy = LiquidationPolicy(cancel=scope, step=FIFTH, settlement=Settlement.MARKET)
    page = replace(GENERIC, name="here", liquidation=policy)
    ours = s.BROKERS[mode](cash=1_200, leverage=10, venue=page, fill_order=fill_order)
    # Isolated: 90.5. Cross: 1,195 - 50 may be lost, 88.55.
    low = 90.45 if mode == "isolated" else 88.5
    a = s.perp([*CALM, (100, 100, low, 95), s.flat(95)])
    b = s.perp([*CALM, FLAT, FLAT], "B")
    result = s.run([a, b], {0: [LONG], 1: RESTING}, ours)
    assert len(result.liquidations) == 1
    names = {"adds to A", "reduces A", "can only reduce A", "opens B"}
    found = {n for n in names if s.status(result.sent[n]) == "Canceled"}
    assert found == gone


def test_adding_orders_of_a_pair() -> None:
    """Of two legs in cross every order that opens goes, whichever leg it is about."""
    policy = LiquidationPolicy(
        cancel=OrderScope.ADDING, step=FIFTH, settlement=Settlement.MARKET
    )
    page = replace(GENERIC, name="here", liquidation=policy)
    ours = s.BROKERS["cross"](
        cash=1_200, leverage=10, venue=page, position_mode="hedge"
    )
    plan = {
        0: [s.send("buy", 100, "long", position_side="long")],
        1: [
            s.limit("buy", 1, 50, "adds", position_side="long"),
            s.limit("sell", 1, 150, "opens", position_side="short"),
            s.limit("sell", 1, 150, "closes", position_side="long"),
        ],
    }
    result = s.run([*CALM, (100, 100, 88.5, 95), s.flat(95)], plan, ours)
    statuses = {name: s.status(order) for name, order in result.sent.items()}
    assert statuses["adds"] == statuses["opens"] == "Canceled"
    assert statuses["closes"] == "Accepted"


# The children of a bracket, of which no one may open another position. Isolated, 3,005:
# the fee of the entry leaves 3,000, a short of 100 from 80 would need 804 of it.


def with_bracket(scope: OrderScope, fill_order: str, step: Any = None) -> Any:
    policy = LiquidationPolicy(cancel=scope, step=step, settlement=Settlement.MARKET)
    page = replace(GENERIC, name="here", liquidation=policy)
    return s.BROKERS["isolated"](
        cash=3_005, leverage=10, venue=page, fill_order=fill_order
    )


FILL_ORDERS = pytest.mark.parametrize("fill_order", ["queue", "path"])
SCOPES = pytest.mark.parametrize("scope", list(OrderScope))


@SCOPES
@FILL_ORDERS
@pytest.mark.parametrize("last", [79, 121])
def test_a_bracket_ends_with_its_position(
    scope: OrderScope, fill_order: str, last: float
) -> None:
    bars = [*CALM, (100, 100, 90, 90), s.flat(90), s.flat(last), s.flat(last)]
    plan = {0: [s.bracket("buy", 100, stopprice=80, limitprice=120)]}
    result = s.run(bars, plan, with_bracket(scope, fill_order))
    assert [event.remaining for event in result.liquidations] == [0]
    for name in ("stop", "target"):
        assert result.statuses(name) == ["Submitted", "Accepted", "Canceled"]
    assert result.getposition().size == 0
    assert result.value[-1] == approx(3_000 - 100 * 9.5)


@SCOPES
@FILL_ORDERS
def test_a_short_bracket_ends_with_its_position(
    scope: OrderScope, fill_order: str
) -> None:
    bars = [*CALM, (100, 110, 100, 110), s.flat(110), s.flat(121), s.flat(121)]
    plan = {0: [s.bracket("sell", 100, stopprice=120, limitprice=80)]}
    result = s.run(bars, plan, with_bracket(scope, fill_order))
    assert result.getposition().size == 0
    assert not result.broker.pending
    assert result.value[-1] == approx(3_000 - 100 * 9.5)


@SCOPES
@FILL_ORDERS
@pytest.mark.parametrize(
    ("bars", "filled", "price", "rate"),
    [
        # The stop is between the first liquidation, 90.5, and that of the rest, 90.375.
        pytest.param([(100, 100, 90.39, 95)], "stop", 90.4, 0.0005, id="its stop"),
        pytest.param(
            [(100, 100, 90.45, 95), (95, 121, 95, 121)],
            *("target", 120, 0.0002),
            id="its target",
        ),
    ],
)
def test_a_bracket_closes_no_more_than_a_liquidation_left(
    scope: OrderScope,
    fill_order: str,
    bars: list[Any],
    filled: str,
    price: float,
    rate: float,
) -> None:
    plan = {0: [s.bracket("buy", 100, stopprice=90.4, limitprice=120)]}
    last = s.flat(bars[-1][3])
    ours = with_bracket(scope, fill_order, FIFTH)
    result = s.run([*CALM, *bars, last, last], plan, ours)
    assert [event.remaining for event in result.liquidations] == approx([80])
    left = 3_000 - 20 * 9.5
    if scope is not OrderScope.ADDING:  # they went with the orders of the symbol
        assert result.getposition().size == approx(80)
        assert result.value[-1] == approx(left + 80 * (last[3] - 100))
        return
    assert result.getposition().size == 0
    assert not result.broker.pending
    assert result.sent[filled].executed.size == approx(-80)
    fee = 80 * price * rate
    assert result.value[-1] == approx(left + 80 * (price - 100) - fee)


def test_of_two_legs_the_bracket_of_the_liquidated_one_ends() -> None:
    """The long dies at 90.5; the short, 10 from 100, keeps its bracket."""
    policy = LiquidationPolicy(cancel=OrderScope.ADDING, settlement=Settlement.MARKET)
    page = replace(GENERIC, name="here", liquidation=policy)
    ours = s.BROKERS["isolated"](
        cash=3_000, leverage=10, venue=page, position_mode="hedge"
    )
    prices = {"stopprice": 80, "limitprice": 120}
    plan = {
        0: [s.bracket("buy", 100, position_side="long", **prices)],
        1: [
            s.bracket(
                *("sell", 10),
                position_side="short",
                stopprice=130,
                limitprice=70,
            )
        ],
    }
    bars = [*CALM, FLAT, (100, 100, 90, 90), *[s.flat(90)] * 2]
    result = s.run(bars, plan, ours)
    assert [event.leg for event in result.liquidations] == ["long"]
    resting = [order.info.position_side for order in ours.pending]
    assert resting == ["short", "short"]
    assert result.getposition().size == -10


def test_an_order_that_a_liquidation_forestalls_is_cancelled_once() -> None:
    """A buy at 85 begins to fill where the position before it died at 90.5."""
    ours = with_bracket(OrderScope.WALLET, "queue")
    plan = {0: [LONG], 1: [s.limit("buy", 1, 85)]}
    result = s.run([*CALM, (100, 100, 84, 84), s.flat(84)], plan, ours)
    assert result.statuses("limit") == ["Submitted", "Accepted", "Canceled"]


def test_a_stop_that_a_liquidation_forestalls_is_cancelled_once() -> None:
    ours = with_bracket(OrderScope.WALLET, "queue")
    plan = {0: [s.bracket("buy", 100, stopprice=85, limitprice=120)]}
    result = s.run([*CALM, (100, 100, 84, 84), s.flat(84)], plan, ours)
    for name in ("stop", "target"):
        assert result.statuses(name) == ["Submitted", "Accepted", "Canceled"]
