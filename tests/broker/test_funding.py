"""Funding: which position pays, when, at which mark, and where it shows.

A payment is -size * mark * rate: + received, - paid. Bars last one hour from
2024-01-01 00:00 unless a test says otherwise.
"""

from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin

from . import scenario as s
from .scenario import BOTH, approx

BUY = s.send("buy", 10)
FEE = 10 * 100 * 0.0005  # of 10 bought at 100


def run(
    mode: str, bars: Any, plan: Any, rates: Any, *, cash: float = 10_000, **more: Any
) -> Any:
    """One feed, at 10x; what `perp` knows goes to it, the rest to the broker."""
    of_feed = {k: more.pop(k) for k in ("freq", "mark", "bar_time") if k in more}
    feed = s.perp(bars, funding=s.stamps(rates), **of_feed)
    settings = {"leverage": 10, **more}
    return s.run(feed, plan, s.BROKERS[mode](cash=cash, **settings))


def payments(result: Any) -> list[float]:
    return [event.payment for event in result.fundings]


# Who pays at the start of a bar: the stamp comes before the fills of that bar


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("plan", "paid"),
    [
        pytest.param({0: [BUY]}, [-10], id="held over the stamp: pays"),
        pytest.param({1: [BUY]}, [], id="opened at the bar of the stamp: does not"),
        pytest.param({0: [BUY], 1: [s.close()]}, [-10], id="closed at that bar: pays"),
        pytest.param({0: [BUY], 2: [s.close()]}, [-10], id="closed a bar later: pays"),
        pytest.param(
            *({0: [BUY], 1: [s.send("sell", 20)]}, [-10]),
            id="flipped at that bar: pays for what it was",
        ),
        pytest.param({2: [BUY]}, [], id="opened after it: does not"),
        pytest.param({}, [], id="no position: nothing"),
    ],
)
def test_stamp_at_the_start_of_a_bar(mode: str, plan: Any, paid: list[float]) -> None:
    result = run(mode, [s.flat(100)] * 5, plan, {s.moment(hours=2): 0.01})
    assert payments(result) == [approx(payment) for payment in paid]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("side", "rate", "paid"),
    [
        pytest.param("buy", 0.01, -10, id="long, positive rate: pays"),
        pytest.param("buy", -0.01, 10, id="long, negative rate: receives"),
        pytest.param("sell", 0.01, 10, id="short, positive rate: receives"),
        pytest.param("sell", -0.01, -10, id="short, negative rate: pays"),
    ],
)
def test_sign(mode: str, side: str, rate: float, paid: float) -> None:
    plan = {0: [s.send(side, 10)]}
    result = run(mode, [s.flat(100)] * 4, plan, {s.moment(hours=2): rate})
    assert payments(result) == [approx(paid)]
    assert result.value[-1] == approx(10_000 - FEE + paid)
    assert s.ledger_total(result.broker, "funding") == approx(paid)


# The mark of the moment. High first: open 100, 110 after 20 minutes, 94 after 40
# minutes, close 107.

BAR = (100, 110, 94, 107)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("minute", "mark"),
    [
        pytest.param(0, 100, id="at the start: the open"),
        pytest.param(10, 105, id="half way up"),
        pytest.param(20, 110, id="at the high"),
        pytest.param(30, 102, id="half way down"),
        pytest.param(40, 94, id="at the low"),
        pytest.param(50, 100.5, id="half way to the close"),
    ],
)
def test_a_stamp_inside_the_bar_is_paid_at_the_mark_of_its_moment(
    mode: str, minute: float, mark: float
) -> None:
    bars = [s.flat(99), s.flat(99), BAR, s.flat(107)]
    rates = {s.moment(hours=2, minutes=minute): 0.01}
    result = run(mode, bars, {0: [BUY]}, rates, bar_path="high_first")
    (event,) = result.fundings
    assert event.mark_price == approx(mark)
    assert event.payment == approx(-10 * mark * 0.01)
    assert event.time == s.moment(hours=2, minutes=minute)


@pytest.mark.parametrize("mode", BOTH)
def test_the_mark_price_of_the_stamp_is_used_when_it_is_given(mode: str) -> None:
    rates = {s.moment(hours=2): (0.01, 123.0), s.moment(hours=3): 0.01}
    result = run(mode, [s.flat(100)] * 5, {0: [BUY]}, rates)
    assert payments(result) == [approx(-10 * 123 * 0.01), approx(-10 * 100 * 0.01)]
    assert [event.mark_price for event in result.fundings] == [123, 100]


@pytest.mark.parametrize("mode", BOTH)
def test_mark_candles_and_not_trades_price_a_stamp(mode: str) -> None:
    mark = s.candles([s.flat(100), s.flat(101), s.flat(102), s.flat(103)])
    rates = {s.moment(hours=2): 0.01}
    result = run(mode, [s.flat(100)] * 4, {0: [BUY]}, rates, mark=mark)
    assert payments(result) == [approx(-10 * 102 * 0.01)]


# A limit entry at 97 on the way down from 110 (minute 20) to 94 (minute 40): minute
# 20 + 20 * 13 / 16 = 36.25.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("minute", "pays"),
    [
        pytest.param(36, False, id="a stamp just before the entry"),
        pytest.param(37, True, id="a stamp just after the entry"),
    ],
)
def test_an_entry_inside_the_bar_pays_the_stamps_after_it(
    mode: str, minute: float, pays: bool
) -> None:
    bars = [s.flat(99), BAR, s.flat(107)]
    rates = {s.moment(hours=1, minutes=minute): 0.01}
    plan = {0: [s.limit("buy", 10, 97)]}
    result = run(mode, bars, plan, rates, bar_path="high_first")
    assert result.sizes[-1] == {"A": 10}
    assert len(result.fundings) == pays


# Several, irregular, missing


# A day, low first: 100, at 08:00 the low 90, at 16:00 the high 120, close 110. At 2x
# the low harms nobody.
@pytest.mark.parametrize("mode", BOTH)
def test_three_stamps_in_a_daily_bar(mode: str) -> None:
    bars = [s.flat(100), s.flat(100), (100, 120, 90, 110), s.flat(110)]
    rates = {s.moment(days=2, hours=hour): 0.01 for hour in (0, 8, 16)}
    params: dict[str, Any] = {"freq": "D", "bar_path": "low_first", "leverage": 2}
    result = run(mode, bars, {0: [BUY]}, rates, **params)
    marks = [event.mark_price for event in result.fundings]
    assert marks == [approx(100), approx(90), approx(120)]
    assert s.ledger_total(result.broker, "funding") == approx(-0.1 * (100 + 90 + 120))


@pytest.mark.parametrize("mode", BOTH)
def test_irregular_intervals(mode: str) -> None:
    hours = [3, 4, 4.5, 12, 13, 13.25]
    rates = {s.moment(hours=hour): 0.001 * (n + 1) for n, hour in enumerate(hours)}
    result = run(mode, [s.flat(100)] * 20, {0: [BUY]}, rates)
    assert [event.time for event in result.fundings] == list(rates)
    assert payments(result) == [approx(-1_000 * rate) for rate in rates.values()]


@pytest.mark.parametrize("mode", BOTH)
def test_stamps_before_the_first_and_after_the_last_bar_are_not_paid(mode: str) -> None:
    rates = {s.moment(hours=hour): 0.01 for hour in (-8, 1.5, 4, 8)}
    result = run(mode, [s.flat(100)] * 4, {0: [BUY]}, rates)
    assert [event.time for event in result.fundings] == [s.moment(hours=1.5)]


def with_a_gap() -> pd.DataFrame:
    """Bars at 00:00, 01:00 and 02:00 at 100, and from 06:00 on at 104."""
    frame: pd.DataFrame = s.candles([s.flat(100)] * 3 + [s.flat(104)] * 6)
    return frame.drop(frame.index[3:6])


# Nothing is traded in the gap: mark stands at the last close, 100, until 06:00.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("plan", "paid"),
    [
        pytest.param(
            *({0: [BUY]}, {3: 100, 4.5: 100, 6: 104}),
            id="held over the gap: each stamp is paid at the mark before the jump",
        ),
        pytest.param({2: [BUY]}, {}, id="opened after the gap: nothing is paid"),
        pytest.param(
            *({0: [BUY], 2: [s.close()]}, {3: 100, 4.5: 100, 6: 104}),
            id="closed after the gap: paid before",
        ),
    ],
)
def test_stamps_in_a_gap_of_missing_bars(mode: str, plan: Any, paid: Any) -> None:
    rates = {s.moment(hours=hour): 0.01 for hour in (3, 4.5, 6)}
    feed = bt_margin.PerpData(dataname=with_a_gap(), name="A", funding=s.stamps(rates))
    result = s.run(feed, plan, s.BROKERS[mode](cash=10_000, leverage=10))
    found = {event.time: event.mark_price for event in result.fundings}
    assert found == {s.moment(hours=h): approx(mark) for h, mark in paid.items()}
    assert payments(result) == [approx(-10 * mark * 0.01) for mark in paid.values()]


# A feed whose times are closes: its bar of 02:00 lasts from 01:00 to 02:00. An order
# of the first bar (00:00) fills at the open of the second, which is 00:00, too.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar_time", "hour", "bar"),
    [
        pytest.param("open", 2, 2, id="open: 02:00 is the start of bar 2"),
        pytest.param("open", 2.5, 2, id="open: 02:30 is inside bar 2"),
        pytest.param("close", 2, 3, id="close: 02:00 is the start of bar 3"),
        pytest.param("close", 1.5, 2, id="close: 01:30 is inside bar 2"),
    ],
)
def test_bar_time_of_a_feed(mode: str, bar_time: str, hour: float, bar: int) -> None:
    rates = {s.moment(hours=hour): 0.01}
    bars = [s.flat(100)] * 5
    result = run(mode, bars, {0: [BUY]}, rates, bar_time=bar_time)
    assert [number for number, _ in result.news] == [bar]
    assert result.fundings[0].time == s.moment(hours=hour)


# Liquidation by funding. 100 at 100 with a margin of 1,000, at 91 now: 100 are left,
# maintenance is 50. A rate of 0.005 takes 45.50, 0.006 takes 54.60.


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("minute", "rate", "cause"),
    [
        pytest.param(0, 0.005, None, id="54.50 are left: it lives"),
        pytest.param(0, 0.006, "funding", id="45.40 are left: it goes"),
        pytest.param(25, 0.006, "funding", id="45.40 are left, inside the bar"),
        pytest.param(0, 0.02, "funding", id="-82 are left: the fund pays"),
    ],
)
def test_funding_can_liquidate(
    mode: str, minute: float, rate: float, cause: str | None
) -> None:
    bars = [s.flat(100), s.flat(100), s.flat(91), s.flat(91), s.flat(91)]
    time = s.moment(hours=3, minutes=minute)
    plan = {0: [s.send("buy", 100)]}
    result = run(mode, bars, plan, {time: rate}, cash=1_005)
    left = 100 - 9_100 * rate
    if cause is None:
        assert not result.liquidations
        assert result.value[-1] == approx(left)
        return
    (event,) = result.liquidations
    assert (event.cause, event.time, event.mark_price) == (cause, time, 91)
    assert event.margin_before.margin_balance == approx(left)
    assert event.insurance == approx(-left)
    assert result.value[-1] == approx(0)
    assert [type(news).__name__ for _, news in result.news] == [
        "FundingEvent",
        "LiquidationEvent",
    ]


# At one moment: funding, then liquidation. 100 long from 100 with 1,000 goes at 90.5
# and opens at 90.4, where 40 are left of the 50 it needs; it is due 0.01 * 9,040.
@pytest.mark.parametrize("mode", BOTH)
def test_funding_received_at_a_stamp_comes_before_liquidation(mode: str) -> None:
    bars = [s.flat(100), s.flat(100), s.flat(90.4), s.flat(90.4)]
    plan = {0: [s.send("buy", 100)]}
    result = run(mode, bars, plan, {s.moment(hours=2): -0.01}, cash=1_005)
    assert payments(result) == [approx(90.4)]
    assert not result.liquidations
    assert result.value[-1] == approx(1_000 - 960 + 90.4)


# Cross, long 100 A and short 100 B: 2,000 and maintenance 2 * 50. What one pays at a
# stamp the other one receives at the same stamp: nothing happened to the wallet.
@pytest.mark.parametrize("payer", ["A", "B"])
def test_stamps_of_one_moment_are_paid_before_anybody_is_liquidated(
    payer: str,
) -> None:
    rate = 0.25 if payer == "A" else -0.25  # 2,500 each
    funding = s.stamps({s.moment(hours=2): rate})
    bars = [s.flat(100)] * 4
    feeds = [s.perp(bars, name, funding=funding) for name in "AB"]
    plan = {0: [s.send("buy", 100), s.send("sell", 100, data="B")]}
    broker = s.BROKERS["cross"](cash=2_010, leverage=10)
    result = s.run(feeds, plan, broker)
    assert sorted(payments(result)) == [approx(-2_500), approx(2_500)]
    assert not result.liquidations
    assert result.value[-1] == approx(2_000)


# Where it shows


@pytest.mark.parametrize(
    ("mode", "wallet", "balances"),
    [
        # Margin 100 less 10 paid; the rest is 10,000 - 100 - 0.50.
        pytest.param(
            *("isolated", "isolated:A", {"isolated:A": 90, "shared": 9_899.5}),
            id="isolated: the position's",
        ),
        pytest.param(
            *("cross", "shared", {"shared": 10_000 - 0.5 - 10}),
            id="cross: the shared one",
        ),
    ],
)
def test_the_wallet_that_pays(mode: str, wallet: str, balances: Any) -> None:
    result = run(mode, [s.flat(100)] * 4, {0: [BUY]}, {s.moment(hours=2): 0.01})
    assert result.fundings[0].wallet == wallet
    found = result.broker.ledger.balances
    assert found == {name: approx(amount) for name, amount in balances.items()}


# Paid funding brings liquidation nearer: 1,000 - 91 = 909 of margin.
def test_funding_moves_the_isolated_liquidation_price() -> None:
    prices = []

    def ask(strategy: Any) -> None:
        prices.append(strategy.broker.liquidation_price(strategy.data))

    plan = {0: [s.send("buy", 100)], 1: [ask], 2: [ask]}
    rates = {s.moment(hours=2): (0.01, 91.0)}
    run("isolated", [s.flat(100)] * 4, plan, rates)
    assert prices == [approx(100 - 950 / 100), approx(100 - (909 - 50) / 100)]


@pytest.mark.parametrize("mode", BOTH)
def test_the_next_close_carries_it_and_the_ledger_keeps_them_apart(mode: str) -> None:
    rates = {s.moment(hours=2): 0.01, s.moment(hours=3): -0.002}
    bars = [s.flat(100)] * 4 + [s.flat(110)] * 3
    result = run(mode, bars, {0: [BUY], 4: [s.close()]}, rates)
    closing_fee = 10 * 110 * 0.0005
    funding = -10 + 2
    assert result.sent["buy"].executed.comm == approx(FEE)
    assert result.sent["close"].executed.comm == approx(closing_fee - funding)
    (trade,) = result.trades
    assert trade.pnl == approx(10 * (110 - 100))
    assert trade.pnlcomm == approx(100 - FEE - closing_fee + funding)
    assert s.ledger_total(result.broker, "fee") == approx(-FEE - closing_fee)
    assert s.ledger_total(result.broker, "funding") == approx(funding)
    assert result.value[-1] == approx(10_000 + trade.pnlcomm)


@pytest.mark.parametrize("mode", BOTH)
def test_a_liquidated_trade_is_net_of_its_funding(mode: str) -> None:
    bars = [s.flat(100)] * 3 + [(100, 100, 80, 80), s.flat(80)]
    plan = {0: [s.send("buy", 100)]}
    result = run(mode, bars, plan, {s.moment(hours=2): 0.001}, cash=1_005)
    (trade,) = result.trades
    # 990 are left of the margin: that is what the price loss can be.
    assert trade.pnl == approx(-990)
    assert trade.pnlcomm == approx(-990 - 10 - 5)
    assert result.value[-1] == approx(0)


@pytest.mark.parametrize("mode", BOTH)
def test_funding_that_was_carried_is_carried_once(mode: str) -> None:
    plan = {
        0: [BUY],
        2: [s.close("first")],
        3: [s.send("buy", 10, "again")],
        4: [s.close("second")],
    }
    result = run(mode, [s.flat(100)] * 7, plan, {s.moment(hours=2): 0.01})
    assert result.sent["first"].executed.comm == approx(FEE + 10)
    assert result.sent["second"].executed.comm == approx(FEE)
    assert [trade.pnlcomm for trade in result.trades] == [
        approx(-2 * FEE - 10),
        approx(-2 * FEE),
    ]


# A plain feed: funding and mark are given to the broker


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("bar_time", "bar", "mark"),
    [
        pytest.param("open", 2, 102, id="times are opens"),
        # 02:00 begins the bar whose time is 03:00; its mark candle opens at 02:00.
        pytest.param("close", 3, 102, id="times are closes"),
    ],
)
def test_a_plain_feed(mode: str, bar_time: str, bar: int, mark: float) -> None:
    frame = s.candles([s.flat(100)] * 5)
    naive = frame.tz_localize(None)
    feed = bt.feeds.PandasData(
        dataname=naive, name="A", timeframe=bt.TimeFrame.Minutes, compression=60
    )
    broker = s.BROKERS[mode](cash=10_000, leverage=10, bar_time=bar_time)
    broker.add_mark("A", s.candles([s.flat(100 + hour) for hour in range(5)]))
    broker.add_funding("A", s.stamps({s.moment(hours=2): 0.01}))
    result = s.run(feed, {0: [BUY]}, broker)
    (event,) = result.fundings
    assert [number for number, _ in result.news] == [bar]
    assert event.mark_price == approx(mark)
    assert event.payment == approx(-10 * mark * 0.01)


@pytest.mark.parametrize("mode", BOTH)
def test_what_the_broker_is_given_replaces_what_the_feed_brings(mode: str) -> None:
    feed = s.perp([s.flat(100)] * 5, funding=s.stamps({s.moment(hours=2): 0.05}))
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.add_funding("A", s.stamps({s.moment(hours=3): 0.01}))
    result = s.run(feed, {0: [BUY]}, broker)
    assert [event.time for event in result.fundings] == [s.moment(hours=3)]


@pytest.mark.parametrize("mode", BOTH)
def test_each_symbol_has_its_own_stamps(mode: str) -> None:
    bars = [s.flat(100)] * 5
    rates = {"A": {s.moment(hours=2): 0.01}, "B": {s.moment(hours=3.5): -0.02}}
    feeds = [s.perp(bars, n, funding=s.stamps(rate)) for n, rate in rates.items()]
    plan = {0: [BUY, s.send("buy", 5, data="B")]}
    result = s.run(feeds, plan, s.BROKERS[mode](cash=10_000, leverage=10))
    found = {event.symbol: event.payment for event in result.fundings}
    assert found == {"A": approx(-10), "B": approx(5 * 100 * 0.02)}
