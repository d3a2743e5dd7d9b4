"""Venue pages of one's own: what orders lock, who pays funding, which margin counts.

``generic`` at 10x but for the rule at hand: taker fee 0.05 %. A limit for 10 at 90 has
a margin of 90, an opening fee of 0.45 and, closed at its bankruptcy price of 81, a fee
of 0.405.
"""

from dataclasses import replace
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.wallet import FundingSource
from bt_margin.venues import OrderMarginRule

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
GENERIC: Any = bt_margin.get_venue("generic")
CLOSE = 0.0005  # the rate of the fee that is reserved for a close


def at_venue(mode: str, cash: float = 1_000, **page: Any) -> Any:
    venue = replace(GENERIC, name="here", **page)
    return s.BROKERS[mode](cash=cash, leverage=10, venue=venue)


def with_fees(mode: str, cash: float = 1_000, **rule: Any) -> Any:
    order_margin = OrderMarginRule(fees=True, **rule)
    page = {"order_margin": order_margin, "reserved_fee_rate": CLOSE}
    return at_venue(mode, cash, **page)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("orders", "locked"),
    [
        pytest.param(
            [s.limit("buy", 10, 90)], 90 + 0.45 + 0.405, id="a buy: 90 + 0.45 + 0.405"
        ),
        pytest.param(
            [s.limit("sell", 10, 110)],
            110 + 0.55 + 121 * 10 * CLOSE,
            id="a sell closes at 121",
        ),
        pytest.param(
            [s.limit("buy", 10, 90), s.limit("sell", 10, 110, "other")],
            110 + 0.55 + 121 * 10 * CLOSE,
            id="a buy and a sell: the larger",
        ),
        pytest.param(
            [s.limit("buy", 10, 90), s.limit("buy", 10, 90, "other", oco="limit")],
            90 + 0.45 + 0.405,
            id="two of one OCO group: once",
        ),
        pytest.param(
            [s.limit("buy", 10, 90), s.limit("buy", 10, 90, "other")],
            2 * (90 + 0.45 + 0.405),
            id="two buys: both",
        ),
    ],
)
def test_a_resting_order_locks_its_fees(mode: str, orders: Any, locked: float) -> None:
    result = s.run([*CALM, FLAT], {0: orders}, with_fees(mode))
    assert result.cash[-1] == approx(1_000 - locked)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("cash", "status"),
    [
        pytest.param(90 + 0.45 + 0.405 + 1e-6, "Accepted", id="just enough"),
        pytest.param(90 + 0.45 + 0.405 - 1e-6, "Margin", id="just too little"),
    ],
)
def test_the_fees_must_be_there(mode: str, cash: float, status: str) -> None:
    plan = {0: [s.limit("buy", 10, 90)]}
    result = s.run([*CALM], plan, with_fees(mode, cash))
    assert s.status(result.sent["limit"]) == status
    if status == "Margin":
        shortfall = result.sent["limit"].info.shortfall
        assert shortfall.need == approx(90.855)
        assert shortfall.largest_quantity == approx(10 * cash / 90.855)


@pytest.mark.parametrize("mode", BOTH)
def test_a_reducing_order_reserves_nothing(mode: str) -> None:
    plan = {0: [s.send("buy", 10)], 1: [s.limit("sell", 10, 110)]}
    result = s.run([*CALM, FLAT], plan, with_fees(mode))
    # 10 from 100 and its close at 90: 100 + 0.45 of margin, 0.50 paid.
    assert result.cash[1] == result.cash[2] == approx(1_000 - 0.5 - 100 - 0.45)


@pytest.mark.parametrize("mode", BOTH)
def test_fees_become_margin_when_the_order_fills(mode: str) -> None:
    """Locked 90.855; filled as maker for 0.18, of which 90.405 stay locked."""
    plan = {0: [s.limit("buy", 10, 90)]}
    bars = [*CALM, (100, 100, 90, 90), s.flat(90)]
    result = s.run(bars, plan, with_fees(mode))
    assert result.cash[1] == approx(1_000 - 90.855)
    assert result.cash[3] == approx(1_000 - 0.18 - 90.405)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("untriggered", "locked"), [(True, 110), (False, 0)])
def test_stops_lock_by_the_rule(mode: str, untriggered: bool, locked: float) -> None:
    rule = OrderMarginRule(untriggered_stops=untriggered)
    plan = {0: [s.stop("buy", 10, 110)]}
    result = s.run([*CALM, FLAT], plan, at_venue(mode, order_margin=rule))
    assert result.cash[-1] == approx(1_000 - locked)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(("open_loss", "loss"), [(True, 100), (False, 0)])
def test_open_loss_by_the_rule(mode: str, open_loss: bool, loss: float) -> None:
    """Mark stands at 90 while the last price is 100: a buy at 100 has lost 100."""
    rule = OrderMarginRule(open_loss=open_loss)
    marks = s.candles([s.flat(90)] * 3)
    bars = [s.flat(101)] * 3
    plan = {0: [s.limit("buy", 10, 100)]}
    broker = at_venue(mode, order_margin=rule)
    result = s.run(s.perp(bars, mark=marks), plan, broker)
    assert result.cash[-1] == approx(1_000 - 100 - loss)


# Funding: 10 from 100 pay 10 at 1 %.


def funded(rates: dict[Any, float], cash: float, source: FundingSource) -> Any:
    stamps = s.stamps({s.moment(hours=hour): rate for hour, rate in rates.items()})
    feed = s.perp([FLAT] * 5, funding=stamps)
    broker = at_venue("isolated", cash, funding_source=source)
    return s.run(feed, {0: [s.send("buy", 10)]}, broker)


@pytest.mark.parametrize(
    ("source", "cash", "rate", "shared", "isolated"),
    [
        pytest.param(
            *(FundingSource.POSITION, 200.5, 0.01, 100, 90),
            id="paid by the position",
        ),
        pytest.param(
            *(FundingSource.AVAILABLE, 200.5, 0.01, 90, 100),
            id="paid by what is available",
        ),
        pytest.param(
            *(FundingSource.AVAILABLE, 104.5, 0.01, 0, 94),
            id="by what is available, 4, then by the position",
        ),
        pytest.param(
            *(FundingSource.AVAILABLE, 100.5, 0.01, 0, 90),
            id="nothing is available: by the position",
        ),
        pytest.param(
            *(FundingSource.AVAILABLE, 200.5, -0.01, 110, 100),
            id="what is received goes there, too",
        ),
    ],
)
def test_who_pays_funding(
    source: FundingSource, cash: float, rate: float, shared: float, isolated: float
) -> None:
    result = funded({3: rate}, cash, source)
    held = {"shared": shared, "isolated:A": isolated}
    expected = {name: amount for name, amount in held.items() if amount}
    assert s.balances(result.broker) == approx(expected)
    (event,) = result.fundings
    assert event.payment == approx(-1_000 * rate)
    assert event.from_shared == approx(shared - (cash - 100.5))


def test_available_funding_does_not_move_the_liquidation_price() -> None:
    first = funded({3: 0.01}, 200.5, FundingSource.AVAILABLE)
    other = funded({3: 0.01}, 200.5, FundingSource.POSITION)
    prices = [r.broker.liquidation_price(r.data) for r in (first, other)]
    assert prices == approx([90.5, 91.5])


# A page instead of a name


def test_a_page_need_not_be_registered() -> None:
    broker = at_venue("isolated", taker_fee_rate=0.01)
    result = s.run([*CALM], {0: [s.send("buy", 10)]}, broker)
    assert result.value[-1] == approx(990)
    assert "here" not in bt_margin.venue_names()


@pytest.mark.parametrize("page", [None, 5, "nowhere"])
def test_what_is_no_venue(page: Any) -> None:
    with pytest.raises(bt_margin.MarginError, match="choose one of"):
        bt_margin.IsolatedBroker(venue=page)


class Buys(bt.Strategy):
    """Buys at its first bar."""

    params: Any = (("size", 1),)

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=self.p.size)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_page_travels_to_other_processes(jobs: int) -> None:
    cerebro = bt.Cerebro(stdstats=False, maxcpus=jobs)
    cerebro.setbroker(at_venue("isolated", taker_fee_rate=0.01))
    cerebro.adddata(s.perp([*CALM, FLAT]))
    cerebro.optstrategy(Buys, size=[1, 2])
    cerebro.addanalyzer(bt.analyzers.DrawDown)
    found = [run[0].analyzers.drawdown.get_analysis() for run in cerebro.run()]
    assert [one.max.moneydown for one in found] == approx([1, 2])
