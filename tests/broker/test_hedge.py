"""Hedge mode: a long and a short of one symbol, each with trades of its own.

``generic`` at 10x, taker fee 0.05 %, maintenance 0.5 % of the entry notional. 10 long
and 5 short from 100: margins 100 and 50, fees 0.50 and 0.25. At 105 the long has won
50 and the short has lost 25.
"""

from dataclasses import replace
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.venues import PositionMode

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
LONG = s.send("buy", 10, "long", position_side="long")
SHORT = s.send("sell", 5, "short", position_side="short")
PAIR = {0: [LONG, SHORT]}


def hedged(mode: str, **params: Any) -> Any:
    settings = {"cash": 10_000, "leverage": 10, "position_mode": "hedge", **params}
    return s.BROKERS[mode](**settings)


def sizes(strategy: Any) -> tuple[float, float]:
    """Sizes of the long and the short leg at the end of the run."""
    legs = [strategy.broker.get_leg(strategy.data, side) for side in ("long", "short")]
    return legs[0].size if legs[0] else 0, legs[1].size if legs[1] else 0


# Two legs at once


@pytest.mark.parametrize("mode", BOTH)
def test_a_long_and_a_short_stand_beside_each_other(mode: str) -> None:
    result = s.run([*CALM, s.flat(105)], PAIR, hedged(mode))
    assert sizes(result) == (10, -5)
    assert result.getposition().size == 5
    assert result.trade_sizes() == {0: 10, 1: -5}
    assert result.opened == [0, 1]
    assert not result.trades
    assert result.value[-1] == approx(10_000 - 0.5 - 0.25 + 50 - 25)


# Isolated locks 100 + 50; cross locks 105 * 15 / 10 at mark and counts 25 of gain.
@pytest.mark.parametrize(
    ("mode", "cash"),
    [("isolated", 10_000 - 0.75 - 150), ("cross", 10_000 - 0.75 + 25 - 157.5)],
)
def test_getcash_with_two_legs(mode: str, cash: float) -> None:
    result = s.run([*CALM, s.flat(105)], PAIR, hedged(mode))
    assert result.cash[-1] == approx(cash)


def test_each_isolated_leg_has_a_wallet() -> None:
    result = s.run([*CALM, s.flat(105)], PAIR, hedged("isolated"))
    wallets = {
        "shared": 10_000 - 0.75 - 150,
        "isolated:A:long": 100,
        "isolated:A:short": 50,
    }
    assert s.balances(result.broker) == approx(wallets)


# 10 * 100 - 5 * 120 = 400 for 5 net: at 80 the two legs gain nothing together.
@pytest.mark.parametrize(
    ("short_at", "price"),
    [
        pytest.param(100, 100, id="both from 100: 100"),
        pytest.param(120, 80, id="the short from 120: 80"),
        pytest.param(300, -100, id="the short from 300: below every price"),
    ],
)
@pytest.mark.parametrize("mode", BOTH)
def test_the_price_of_the_net_position(
    mode: str, short_at: float, price: float
) -> None:
    plan = {0: [LONG], 1: [SHORT]}
    result = s.run([*CALM, s.flat(short_at)], plan, hedged(mode))
    assert result.getposition().price == approx(price)


@pytest.mark.parametrize("mode", BOTH)
def test_two_equal_legs_are_flat_for_backtrader(mode: str) -> None:
    plan = {0: [LONG, s.send("sell", 10, "short", position_side="short")]}
    result = s.run([*CALM, s.flat(105)], plan, hedged(mode))
    assert sizes(result) == (10, -10)
    position = result.getposition()
    assert (position.size, position.price) == (0, 0)
    assert result.value[-1] == approx(10_000 - 1)


# Closing


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("side", "left", "pnl"),
    [
        pytest.param("long", (0, -5), 50, id="the long: the short stays"),
        pytest.param("short", (10, 0), -25, id="the short: the long stays"),
    ],
)
def test_close_leg(mode: str, side: str, left: Any, pnl: float) -> None:
    plan = {**PAIR, 2: [s.close_leg(side)]}
    result = s.run([*CALM, *[s.flat(105)] * 2], plan, hedged(mode))
    assert sizes(result) == left
    (trade,) = result.trades
    units = 10 if side == "long" else 5
    assert trade.pnl == approx(pnl)
    assert trade.pnlcomm == approx(pnl - units * (100 + 105) * 0.0005)
    assert trade.tradeid == ("long", "short").index(side)
    assert result.getposition().size == sum(left)
    held = list(result.broker.account.positions.values())
    assert [p.size for p in held] == [size for size in left if size]


@pytest.mark.parametrize("mode", BOTH)
def test_both_legs_close_and_everything_returns(mode: str) -> None:
    plan = {**PAIR, 2: [s.close_leg("long", "a"), s.close_leg("short", "b")]}
    result = s.run([*CALM, *[s.flat(105)] * 2], plan, hedged(mode))
    assert sizes(result) == (0, 0)
    assert [trade.pnl for trade in result.trades] == approx([50, -25])
    end = 10_000 + 25 - 0.0005 * (1_500 + 1_575)
    assert s.balances(result.broker) == approx({"shared": end})
    assert (result.cash[-1], result.value[-1]) == approx((end, end))
    assert sum(trade.pnlcomm for trade in result.trades) == approx(end - 10_000)


@pytest.mark.parametrize("mode", BOTH)
def test_close_leg_without_a_leg_sends_nothing(mode: str) -> None:
    result = s.run([*CALM, FLAT], {0: [LONG], 1: [s.close_leg("short")]}, hedged(mode))
    assert result.sent["close"] is None


@pytest.mark.parametrize("mode", BOTH)
def test_a_leg_closes_in_parts(mode: str) -> None:
    part = s.send("sell", 4, "part", position_side="long")
    plan = {**PAIR, 2: [part], 3: [s.close_leg("long")]}
    bars = [*CALM, s.flat(105), s.flat(105), s.flat(108)]
    result = s.run(bars, plan, hedged(mode))
    assert sizes(result) == (0, -5)
    (trade,) = result.trades
    assert trade.pnl == approx(4 * 5 + 6 * 8)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize(
    ("order", "left"),
    [
        pytest.param(
            s.send("sell", 25, "it", position_side="long"),
            (0, -5),
            id="a sell of 25 closes the long of 10 and opens nothing",
        ),
        pytest.param(
            s.send("buy", 25, "it", position_side="short"),
            (10, 0),
            id="a buy of 25 closes the short of 5 and opens nothing",
        ),
        pytest.param(
            s.send("buy", 3, "it", position_side="long", reduce_only=True),
            (10, -5),
            id="reduce-only: a buy adds nothing to the long",
        ),
        pytest.param(
            s.limit("sell", 25, 100, "it", position_side="long"),
            (0, -5),
            id="a limit of 25 shrinks to the long of 10",
        ),
    ],
)
def test_an_order_against_a_leg_never_opens(
    mode: str, fill_order: str, order: Any, left: Any
) -> None:
    plan = {**PAIR, 1: [order]}
    bars = [*CALM, FLAT, FLAT]
    result = s.run(bars, plan, hedged(mode, fill_order=fill_order))
    assert sizes(result) == left
    assert s.status(result.sent["it"]) == "Canceled"
    assert "nothing left to close" in result.sent["it"].info.reason


@pytest.mark.parametrize("mode", BOTH)
def test_the_rest_of_a_closing_order_closes_no_later_leg(mode: str) -> None:
    """A limit for 25 finds 10; the next long is not its to close."""
    plan = {
        0: [LONG],
        1: [s.limit("sell", 25, 105, position_side="long")],
        3: [s.send("buy", 7, "again", position_side="long")],
    }
    bars = [*CALM, (100, 106, 100, 100), FLAT, (100, 106, 100, 100)]
    result = s.run(bars, plan, hedged(mode))
    assert sizes(result) == (7, 0)


@pytest.mark.parametrize("mode", BOTH)
def test_a_sell_of_a_long_that_is_not_there_says_how_to_open(mode: str) -> None:
    plan = {0: [s.send("sell", 5, "it", position_side="long")]}
    result = s.run([*CALM, FLAT], plan, hedged(mode))
    order = result.sent["it"]
    assert s.status(order) == "Canceled"
    assert order.info.reason == (
        'A:long: there is nothing left to close; to open give position_side="short"'
    )


# Orders that name no leg


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(s.send("buy", 1, "it"), id="buy"),
        pytest.param(s.send("sell", 1, "it"), id="sell"),
        pytest.param(s.close("it"), id="close()"),
        pytest.param(
            lambda st: st.sent.update(it=st.order_target_size(target=9)),
            id="order_target_size()",
        ),
        pytest.param(
            lambda st: st.sent.update(it=st.order_target_value(target=2_000)),
            id="order_target_value()",
        ),
        pytest.param(
            lambda st: st.sent.update(it=st.order_target_percent(target=0.2)),
            id="order_target_percent()",
        ),
        pytest.param(s.send("buy", 1, "it", position_side="up"), id="another word"),
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_an_order_without_a_leg_is_rejected(mode: str, act: Any, checked: bool) -> None:
    broker = hedged(mode, checksubmit=checked)
    result = s.run([*CALM, FLAT, FLAT], {**PAIR, 2: [act]}, broker)
    order = result.sent["it"]
    assert s.status(order) == "Rejected"
    for word in ("position_side", '"long"', '"short"', "close_leg"):
        assert word in order.info.reason
    assert sizes(result) == (10, -5)


@pytest.mark.parametrize("mode", BOTH)
def test_a_leg_without_hedge_mode_is_rejected(mode: str) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    result = s.run([*CALM], {0: [LONG]}, broker)
    assert s.status(result.sent["long"]) == "Rejected"
    assert "position_mode='hedge'" in result.sent["long"].info.reason


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("get_leg", ("long",)),
        ("liquidation_price", ("long",)),
        ("add_margin", (5, "long")),
    ],
)
def test_a_question_about_a_leg_without_hedge_mode(
    mode: str, method: str, words: Any
) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    result = s.run([*CALM], {1: [s.act_on(method, *words, label="it")]}, broker)
    assert "position_mode='hedge'" in str(result.said["it"])


@pytest.mark.parametrize("method", ["get_leg", "liquidation_price", "bankruptcy_price"])
def test_a_side_is_long_or_short(method: str) -> None:
    plan = {1: [s.act_on(method, "up", label="it")]}
    result = s.run([*CALM], plan, hedged("isolated"))
    assert str(result.said["it"]) == """side is 'up': give "long" or "short\""""


def test_order_history_names_no_leg() -> None:
    broker = hedged("isolated")
    broker.add_order_history([["2024-01-01T01:00:00", 3, 100.0]])
    result = s.run([*CALM, FLAT], {}, broker)
    assert not broker.account.positions
    assert result.value[-1] == 10_000


# Brackets and OCO


def bracket(**words: Any) -> Any:
    def act(strategy: Any) -> None:
        names = ("entry", "stop", "profit")
        orders = strategy.buy_bracket(
            size=10, exectype=bt.Order.Market, stopprice=95, limitprice=105, **words
        )
        strategy.sent.update(zip(names, orders, strict=True))

    return act


WORDS = {
    "one word for all three": {"position_side": "long"},
    "the children take the parent's": {"oargs": {"position_side": "long"}},
    "each its own": {
        name: {"position_side": "long"} for name in ("oargs", "stopargs", "limitargs")
    },
}


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize(
    ("bar", "pnl", "done", "undone"),
    [
        ((100, 100, 94, 94), -50, "stop", "profit"),
        ((100, 106, 100, 106), 50, "profit", "stop"),
    ],
)
def test_a_bracket_around_a_leg(
    mode: str, fill_order: str, words: Any, bar: Any, pnl: float, done: str, undone: str
) -> None:
    plan = {0: [SHORT, bracket(**words)]}
    result = s.run([*CALM, bar, FLAT], plan, hedged(mode, fill_order=fill_order))
    assert s.status(result.sent[done]) == "Completed"
    assert s.status(result.sent[undone]) == "Canceled"
    assert sizes(result) == (0, -5)
    (trade,) = result.trades
    assert trade.pnl == approx(pnl)


@pytest.mark.parametrize("mode", BOTH)
def test_a_bracket_without_a_leg_is_rejected_whole(mode: str) -> None:
    result = s.run([*CALM, FLAT], {0: [bracket()]}, hedged(mode))
    assert s.status(result.sent["entry"]) == "Rejected"
    assert not {"Accepted"} & {status for *_, status in result.heard}
    assert sizes(result) == (0, 0)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
def test_an_oco_pair_around_a_leg(mode: str, fill_order: str) -> None:
    plan = {
        0: [LONG, SHORT],
        1: [
            s.stop("sell", 10, 95, position_side="long"),
            s.limit("sell", 10, 105, position_side="long", oco="stop"),
        ],
    }
    bars = [*CALM, (100, 106, 100, 100), s.flat(94)]
    result = s.run(bars, plan, hedged(mode, fill_order=fill_order))
    assert s.status(result.sent["limit"]) == "Completed"
    assert s.status(result.sent["stop"]) == "Canceled"
    assert sizes(result) == (0, -5)


# Order margin: each leg locks for itself, and what reduces locks nothing.


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("order", "locked"),
    [
        pytest.param(
            s.limit("buy", 10, 90, position_side="long"), 90, id="adds to the long: 90"
        ),
        pytest.param(
            s.limit("sell", 10, 110, position_side="short"),
            110,
            id="opens a short: 110, whatever the long",
        ),
        pytest.param(
            s.limit("sell", 10, 110, position_side="long"),
            0,
            id="closes the long: nothing",
        ),
        pytest.param(
            s.limit("buy", 10, 90, position_side="long", reduce_only=True),
            0,
            id="can only reduce: nothing",
        ),
    ],
)
def test_order_margin_of_a_leg(mode: str, order: Any, locked: float) -> None:
    plan = {0: [LONG], 1: [order]}
    result = s.run([*CALM, FLAT, FLAT], plan, hedged(mode))
    assert result.cash[1] - result.cash[2] == approx(locked)


@pytest.mark.parametrize("mode", BOTH)
def test_a_leg_that_cannot_be_paid_is_refused(mode: str) -> None:
    plan = {0: [LONG], 1: [s.send("sell", 1_000, "it", position_side="short")]}
    result = s.run([*CALM, FLAT], plan, hedged(mode))
    assert s.status(result.sent["it"]) == "Margin"
    shortfall = result.sent["it"].info.shortfall
    # 100 of margin and 0.50 of fee are gone; each unit needs 10 and 0.05.
    assert shortfall.need == approx(10_050)
    assert shortfall.have == approx(10_000 - 100.5)
    assert shortfall.largest_quantity == approx(9_899.5 / 10.05)


# Liquidation. 100 long need 1,000 + 5, 50 short need 500 + 2.50; maintenance 50 + 25.

BIG_LONG = s.send("buy", 100, "long", position_side="long")
BIG_SHORT = s.send("sell", 50, "short", position_side="short")


def test_an_isolated_leg_dies_alone() -> None:
    """The long dies at 90.5; the short has won 5 * 50 by then and lives on."""
    bars = [*CALM, (100, 100, 90, 90), s.flat(90)]
    plan = {
        0: [BIG_LONG, BIG_SHORT],
        1: [
            s.limit("sell", 100, 120, "long exit", position_side="long"),
            s.limit("buy", 50, 80, "short exit", position_side="short"),
        ],
    }
    result = s.run(bars, plan, hedged("isolated"))
    (event,) = result.liquidations
    assert (event.leg, event.size, event.wallet) == ("long", 100, "isolated:A:long")
    assert event.liquidation_price == approx(90.5)
    assert sizes(result) == (0, -50)
    (order,) = result.liquidation_orders
    assert order.info.position_side == "long"
    assert order.info.liquidation is event
    assert order.executed.psize == -50
    (trade,) = result.trades
    assert (trade.tradeid, trade.pnl) == approx((0, -1_000))
    assert s.status(result.sent["long exit"]) == "Canceled"
    assert s.status(result.sent["short exit"]) == "Accepted"
    assert result.value[-1] == approx(10_000 - 7.5 - 1_000 + 500)


def test_a_cross_pair_shares_a_liquidation_price_and_dies_together() -> None:
    """Net 50 long, maintenance 75: 1,007.5 - 7.5 - 50 d = 75 at d = 18.5."""
    plan = {0: [BIG_LONG, BIG_SHORT], 1: [s.act_on("liquidation_price", label="it")]}
    bars = [*CALM, (100, 100, 80, 80), s.flat(80)]
    result = s.run(bars, plan, hedged("cross", cash=1_507.5))
    assert result.said["it"] == approx(100 - (1_500 - 75) / 50)
    assert not result.liquidations
    result = s.run([*CALM, (100, 100, 70, 70)], plan, hedged("cross", cash=1_507.5))
    assert {event.leg for event in result.liquidations} == {"long", "short"}
    assert sizes(result) == (0, 0)
    assert sorted(trade.tradeid for trade in result.trades) == [0, 1]
    assert result.value[-1] == approx(0)
    assert not result.trade_sizes()
    assert sum(trade.pnlcomm for trade in result.trades) == approx(-1_507.5)


# 100 long from 100 lose 50 * 10 more than 50 short win at 90.
@pytest.mark.parametrize(
    ("mode", "side", "price"),
    [
        ("isolated", "long", 90.5),
        ("isolated", "short", 109.5),
        ("cross", "long", 100 - (10_000 - 7.5 - 75) / 50),
        ("cross", "short", 100 - (10_000 - 7.5 - 75) / 50),
    ],
)
def test_liquidation_price_of_a_leg(mode: str, side: str, price: float) -> None:
    asked = s.act_on("liquidation_price", side, label="it")
    cash = 10_000 if mode == "isolated" else 4_000
    plan = {0: [BIG_LONG, BIG_SHORT], 1: [asked]}
    result = s.run([*CALM], plan, hedged(mode, cash=cash))
    expected = price if mode == "isolated" else 100 - (4_000 - 7.5 - 75) / 50
    assert result.said["it"] == approx(expected)


# Funding: the long pays, the short receives, and each trade bears its own.


@pytest.mark.parametrize("mode", BOTH)
def test_each_leg_bears_its_own_funding(mode: str) -> None:
    funding = s.stamps({s.moment(hours=2): 0.01})
    plan = {**PAIR, 2: [s.close_leg("short", "b")], 3: [s.close_leg("long", "a")]}
    feed = s.perp([FLAT] * 5, funding=funding)
    result = s.run(feed, plan, hedged(mode))
    assert {e.leg: e.payment for e in result.fundings} == approx(
        {"long": -10, "short": 5}
    )
    short, long = result.trades
    assert short.pnlcomm == approx(5 - 2 * 0.25)
    assert long.pnlcomm == approx(-10 - 2 * 0.5)
    assert result.value[-1] == approx(10_000 - 5 - 1.5)


# Two strategies, trade ids


class Opener(bt.Strategy):
    """Opens a leg at its first bar, in a trade of its own."""

    params: Any = (("size", 1.0), ("side", "long"), ("tradeid", 0))

    def __init__(self) -> None:
        self.done: list[Any] = []

    def next(self) -> None:
        if len(self) == 1:
            send = self.buy if self.p.side == "long" else self.sell
            words = {"position_side": self.p.side, "tradeid": self.p.tradeid}
            send(size=self.p.size, **words)

    def notify_trade(self, trade: Any) -> None:
        if trade.isclosed:
            self.done.append((trade.tradeid, trade.pnl))


@pytest.mark.parametrize("mode", BOTH)
def test_a_liquidation_closes_the_trades_of_all_strategies(mode: str) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cash = 10_000 if mode == "isolated" else 1_005
    cerebro.setbroker(hedged(mode, cash=cash))
    cerebro.adddata(s.perp([*CALM, s.flat(80)]))
    for size, tradeid in ((60, 0), (40, 3)):
        cerebro.addstrategy(Opener, size=size, tradeid=tradeid)
    first, second = cerebro.run()
    assert first.done == [(0, approx(-600))]
    assert second.done == [(6, approx(-400))]


# Analyzers and other runs


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("runonce", [True, False])
def test_analyzers_with_two_legs(mode: str, runonce: bool) -> None:
    plan = {**PAIR, 2: [s.close_leg("long", "a")], 4: [s.close_leg("short", "b")]}
    cerebro = bt.Cerebro(stdstats=True, runonce=runonce)
    cerebro.setbroker(hedged(mode))
    bars = [*CALM, s.flat(105), s.flat(105), s.flat(108), s.flat(108)]
    cerebro.adddata(s.perp(bars))
    cerebro.addstrategy(s.Recorder, plan=plan)
    for kind in (bt.analyzers.TradeAnalyzer, bt.analyzers.DrawDown, bt.analyzers.SQN):
        cerebro.addanalyzer(kind)
    strategy = cerebro.run()[0]
    trades = strategy.analyzers.tradeanalyzer.get_analysis()
    assert (trades.total.total, trades.total.closed, trades.total.open) == (2, 2, 0)
    assert (trades.won.total, trades.lost.total) == (1, 1)
    assert (trades.long.total, trades.short.total) == (1, 1)
    long = 50 - 10 * 205 * 0.0005
    short = -40 - 5 * 208 * 0.0005
    assert trades.pnl.net.total == approx(long + short)
    assert strategy.broker.getvalue() == approx(10_000 + long + short)
    peak = 10_000 - 0.75 + 50 - 25
    low = strategy.broker.getvalue()
    drawdown = strategy.analyzers.drawdown.get_analysis()
    assert drawdown.max.moneydown == approx(peak - low)


class Swept(bt.Strategy):
    """Opens both legs and closes one, in as many bars as it is told."""

    params: Any = (("size", 1),)

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=self.p.size, position_side="long")
            self.sell(size=self.p.size, position_side="short")
        elif len(self) == 3:
            self.broker.close_leg(self, self.data, "long")


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("jobs", [1, 2])
def test_optstrategy_in_hedge_mode(mode: str, jobs: int) -> None:
    cerebro = bt.Cerebro(stdstats=False, maxcpus=jobs)
    cerebro.setbroker(hedged(mode))
    cerebro.adddata(s.perp([*CALM, s.flat(105), s.flat(105), s.flat(105)]))
    cerebro.optstrategy(Swept, size=[1, 2])
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer)
    found = [run[0].analyzers.tradeanalyzer.get_analysis() for run in cerebro.run()]
    assert [one.pnl.gross.total for one in found] == approx([5, 10])
    assert [one.total.open for one in found] == [1, 1]


@pytest.mark.parametrize("mode", BOTH)
def test_the_same_broker_runs_twice(mode: str) -> None:
    broker = hedged(mode)
    first = s.run([*CALM, s.flat(105)], PAIR, broker)
    second = s.run([*CALM, s.flat(105)], PAIR, broker)
    assert first.value == second.value


class OnBothFeeds(bt.Strategy):
    """Opens on the slow feed and on the fast one, and closes on the slow one."""

    def __init__(self) -> None:
        self.trades: list[Any] = []
        self.steps = 0

    def next(self) -> None:
        self.steps += 1
        if self.steps == 1:
            self.buy(data=self.data1, size=3, position_side="long")
            self.sell(data=self.data0, size=2, position_side="short")
        elif self.steps == 9:
            self.broker.close_leg(self, self.data1, "short")

    def notify_trade(self, trade: Any) -> None:
        self.trades.append((trade.data._name, trade.tradeid, trade.size))


@pytest.mark.parametrize("mode", BOTH)
def test_a_resampled_feed_shares_the_legs(mode: str) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(hedged(mode))
    fast, unit = s.perp([FLAT] * 24, freq="15min"), bt.TimeFrame.Minutes
    cerebro.adddata(fast)
    cerebro.resampledata(fast, timeframe=unit, compression=60, name="slow")
    cerebro.addstrategy(OnBothFeeds)
    strategy = cerebro.run()[0]
    assert strategy.getposition(strategy.data0).size == 3
    assert strategy.getposition(strategy.data1).size == 3
    assert sorted(strategy.trades) == [("A", 0, 3), ("A", 1, -2), ("A", 1, 0)]


# What a bar can do two ways


@pytest.mark.parametrize("mode", BOTH)
def test_the_liquidation_of_a_leg_and_an_order_are_ambiguous(mode: str) -> None:
    """Both legs are even for Backtrader, and a bar reaches what waits for each."""
    plan = {
        0: [BIG_LONG, s.send("sell", 100, "short", position_side="short")],
        1: [
            s.limit("sell", 100, 108, "profit", position_side="long"),
            s.stop("sell", 100, 92, position_side="long"),
        ],
    }
    bars = [*CALM, (100, 108.5, 91, 100), FLAT]
    result = s.run(bars, plan, hedged(mode))
    (found,) = result.broker.ambiguities
    assert (found.above, found.below) == ("sell limit 108", "sell stop 92")


def test_a_leg_that_dies_of_what_would_be_its_profit_bar() -> None:
    plan = {
        0: [BIG_LONG, BIG_SHORT],
        1: [s.limit("buy", 50, 98, position_side="short")],
    }
    bars = [*CALM, (100, 110, 97, 100), FLAT]
    result = s.run(bars, plan, hedged("isolated"))
    (found,) = result.broker.ambiguities
    assert (found.above, found.below) == ("liquidation 109.5", "buy limit 98")


# What a venue offers


def test_a_venue_without_hedge_mode_refuses_it() -> None:
    generic: Any = bt_margin.get_venue("generic")
    page = replace(generic, name="here", position_modes=(PositionMode.ONE_WAY,))
    with pytest.raises(bt_margin.MarginError, match="here offers one_way only"):
        bt_margin.IsolatedBroker(venue=page, position_mode="hedge")


@pytest.mark.parametrize("mode", BOTH)
def test_legs_add_up_to_the_last_bit(mode: str) -> None:
    """0.1 + 0.2 long and 0.3 of it closed is flat, and the trade ends."""
    parts = {
        bar: [s.send("buy", size, f"{bar}", position_side="long")]
        for bar, size in ((0, 0.1), (1, 0.2))
    }
    plan = {**parts, 2: [s.send("sell", 0.3, "out", position_side="long")]}
    result = s.run([FLAT] * 5, plan, hedged(mode))
    assert sizes(result) == (0, 0)
    assert len(result.trades) == 1
    assert not result.trade_sizes()
