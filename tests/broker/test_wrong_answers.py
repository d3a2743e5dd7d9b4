"""Wrong answers that published systems give, and the right ones.

Every expected number is the arithmetic beside it. The venue is ``generic``:
maintenance 0.5 % of the entry notional, taker fee 0.05 %, settlement at bankruptcy.
"""

from typing import Any

import backtrader as bt
import pytest

import bt_margin

from . import scenario as s
from .scenario import BOTH, approx


def stock(cash: float, **commission: Any) -> Any:
    broker = bt.brokers.BackBroker(cash=cash)
    broker.setcommission(**commission)
    return broker


# 90 long at 100 on 1,000, price to 10 and later to 200

CRASH_AND_BOOM = [
    s.flat(100),
    s.flat(100),
    (100, 100, 10, 10),
    (10, 200, 10, 200),
    s.flat(200),
]
BUY_90 = {0: [s.send("buy", 90)]}


def test_stock_carries_a_long_through_minus_7100() -> None:
    result = s.run(CRASH_AND_BOOM, BUY_90, stock(1_000, leverage=10))
    assert result.value[2] == 1_000 + 90 * (10 - 100) == -7_100
    assert result.value[4] == 1_000 + 90 * (200 - 100) == 10_000


# Fee 0.0005 * 9,000 = 4.50. Isolated: the margin of 900 is lost. Cross: all is.
@pytest.mark.parametrize(
    ("mode", "liquidation_price", "left"),
    [
        pytest.param(
            "isolated", 100 - (900 - 45) / 90, 1_000 - 4.5 - 900, id="isolated"
        ),
        pytest.param("cross", 100 - (1_000 - 4.5 - 45) / 90, 0, id="cross"),
    ],
)
def test_a_long_is_liquidated_on_the_way_down_and_never_recovers(
    mode: str, liquidation_price: float, left: float
) -> None:
    result = s.run(CRASH_AND_BOOM, BUY_90, s.BROKERS[mode](cash=1_000, leverage=10))
    (event,) = result.liquidations
    assert event.liquidation_price == approx(liquidation_price)
    assert event.mark_price == approx(liquidation_price)
    assert result.value[2:] == [approx(left)] * 3
    assert result.sizes[2:] == [{"A": 0}] * 3
    assert min(result.value) >= 0


# Short 50 at 100 on 1,000, price to 1,000

TENFOLD = [s.flat(100), s.flat(100), (100, 1_000, 100, 1_000), s.flat(1_000)]
SELL_50 = {0: [s.send("sell", 50)]}


def test_stock_carries_a_short_to_minus_44000() -> None:
    result = s.run(TENFOLD, SELL_50, stock(1_000, commission=0))
    assert result.value[2] == 1_000 - 50 * (1_000 - 100) == -44_000


# Margin 5,000 / leverage, fee 0.0005 * 5,000 = 2.50.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("leverage", "need"),
    [
        pytest.param(1, 5_000 / 1 + 2.5, id="1x"),
        pytest.param(5, 5_000 / 5 + 2.5, id="5x, where only the fee does not fit"),
    ],
)
def test_a_short_is_refused_with_need_and_have(
    mode: str, leverage: float, need: float
) -> None:
    broker = s.BROKERS[mode](cash=1_000, leverage=leverage)
    result = s.run(TENFOLD, SELL_50, broker)
    order = result.sent["sell"]
    assert s.status(order) == "Margin"
    assert order.info.shortfall.need == approx(need)
    assert order.info.shortfall.have == 1_000
    assert result.value == [1_000] * 4


@pytest.mark.parametrize(
    ("mode", "liquidation_price", "left"),
    [
        pytest.param(
            "isolated", 100 + (500 - 25) / 50, 1_000 - 2.5 - 500, id="isolated"
        ),
        pytest.param("cross", 100 + (1_000 - 2.5 - 25) / 50, 0, id="cross"),
    ],
)
def test_a_short_at_10x_is_liquidated_on_the_way_up(
    mode: str, liquidation_price: float, left: float
) -> None:
    result = s.run(TENFOLD, SELL_50, s.BROKERS[mode](cash=1_000, leverage=10))
    (event,) = result.liquidations
    assert event.liquidation_price == approx(liquidation_price)
    assert event.size == -50
    assert result.value[-1] == approx(left)


# Percentage margin of 0.1: 10 units from 100 to 110 on 1,000

RISE = [s.flat(100), s.flat(100), (100, 110, 100, 110)]
BUY_10 = {0: [s.send("buy", 10)]}
TENTH = {"commission": 0, "margin": 1.0, "automargin": 0.1}


def test_stock_values_an_automargin_position_at_1110() -> None:
    result = s.run(RISE, BUY_10, stock(1_000, **TENTH))
    assert result.value[2] == approx(1_110)


@pytest.mark.parametrize("mode", BOTH)
def test_a_gain_of_100_makes_1100_of_1000(mode: str) -> None:
    broker: Any = s.BROKERS[mode](cash=1_000)
    broker.setcommission(**TENTH)
    result = s.run(RISE, BUY_10, broker)
    assert result.value[2] == 1_000 + 10 * (110 - 100) == 1_100


# A stop and the liquidation in one bar. The account holds just the margin and the
# opening fee, so that isolated and cross have the same liquidation price.


def long_from_100(mode: str, size: float, rate: float, **params: Any) -> Any:
    cash = size * 100 * (0.1 + 0.0005)
    broker = s.BROKERS[mode](cash=cash, leverage=10, **params)
    tiers = bt_margin.TierTable.flat(rate, 125)
    return s.set_contract(broker, tiers=tiers)


# Loss at the stop and at liquidation: freqtrade and jesse let the stop fill at a
# price that the position does not live to see.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("rate", "stop", "low", "size", "liquidation_price", "loss"),
    [
        pytest.param(
            *(0.05, 91, 90, 100, 100 * (1 - 0.1 + 0.05), -1_000),
            id="liquidation 95 comes before the stop at 91",
        ),
        pytest.param(
            *(0.004, 88, 85, 50, 100 * (1 - 0.1 + 0.004), -500),
            id="liquidation 90.4 comes before the stop at 88, which would lose 600",
        ),
    ],
)
def test_a_stop_beyond_the_liquidation_price_does_not_fill(
    mode: str,
    rate: float,
    stop: float,
    low: float,
    size: float,
    liquidation_price: float,
    loss: float,
) -> None:
    bars = [s.flat(100), s.flat(100), (100, 100, low, low)]
    plan = {0: [s.send("buy", size)], 1: [s.stop("sell", size, stop)]}
    result = s.run(bars, plan, long_from_100(mode, size, rate))
    (event,) = result.liquidations
    assert event.liquidation_price == approx(liquidation_price)
    assert event.mark_price == approx(liquidation_price)
    assert s.status(result.sent["stop"]) == "Canceled"
    assert result.trades[0].pnl == approx(loss)
    assert result.value[-1] == approx(0)


@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_nearer_than_the_liquidation_price_fills_first(mode: str) -> None:
    bars = [s.flat(100), s.flat(100), (100, 100, 85, 85)]
    plan = {0: [s.send("buy", 100)], 1: [s.stop("sell", 100, 95)]}
    result = s.run(bars, plan, long_from_100(mode, 100, 0.005))
    assert not result.liquidations
    assert s.status(result.sent["stop"]) == "Completed"
    assert result.sent["stop"].executed.price == 95
    # 1,005 - 5 - 100 * 5 - 0.0005 * 9,500
    assert result.value[-1] == approx(1_005 - 5 - 500 - 4.75)


# An entry by stop at 101 in a bar with low 85: which came first?


@pytest.mark.parametrize("mode", BOTH)
def test_a_low_before_the_entry_kills_nothing(mode: str) -> None:
    bars = [s.flat(100), (100, 102, 85, 101), s.flat(101)]
    plan = {0: [s.stop("buy", 100, 101)]}
    broker = s.BROKERS[mode](cash=10_100, leverage=10, bar_path="low_first")
    result = s.run(bars, plan, broker)
    assert not result.liquidations
    assert result.sent["stop"].executed.price == 101
    assert result.sizes[-1] == {"A": 100}


# A wallet of margin and fee alone: 10,100 * 0.1 + 10,100 * 0.0005 = 1,015.05.
@pytest.mark.parametrize("mode", BOTH)
def test_a_low_after_the_entry_does(mode: str) -> None:
    bars = [s.flat(100), (100, 102, 85, 101), s.flat(101)]
    plan = {0: [s.stop("buy", 100, 101)]}
    result = s.run(bars, plan, s.BROKERS[mode](cash=1_015.06, leverage=10))
    (event,) = result.liquidations
    if mode == "isolated":
        assert event.liquidation_price == approx(101 * (1 - 0.1 + 0.005))
        assert event.liquidation_price == approx(91.405)
    else:  # the cent that is left over is a ten-thousandth in price
        assert event.liquidation_price == approx(91.405 - 0.0001)
    assert result.sizes[-1] == {"A": 0}


# Cross: 50 at 100 on 1,000 falls to 1 and is back at 150


@pytest.mark.parametrize(
    ("mode", "liquidation_price", "left"),
    [
        pytest.param("cross", 100 - (1_000 - 2.5 - 25) / 50, 0, id="cross"),
        pytest.param(
            "isolated", 100 - (500 - 25) / 50, 1_000 - 2.5 - 500, id="isolated"
        ),
    ],
)
def test_a_long_that_fell_to_1_does_not_come_back(
    mode: str, liquidation_price: float, left: float
) -> None:
    bars = [s.flat(100), s.flat(100), (100, 100, 1, 1), (1, 150, 1, 150)]
    broker = s.BROKERS[mode](cash=1_000, leverage=10)
    result = s.run(bars, {0: [s.send("buy", 50)]}, broker)
    (event,) = result.liquidations
    assert event.liquidation_price == approx(liquidation_price)
    assert result.value[2:] == [approx(left)] * 2
    assert left != 1_000 + 50 * (150 - 100)


# Two legs, one winning: long A and short B, 100 each at 100. 2,010 is margin and
# fees, so the wallet is 2,000 and maintenance 2 * 50.


@pytest.mark.parametrize(
    ("mode", "dead"),
    [
        pytest.param("cross", [], id="cross counts the profit of the winning leg"),
        pytest.param("isolated", ["A"], id="isolated does not"),
    ],
)
def test_the_profit_of_the_winning_leg(mode: str, dead: list[str]) -> None:
    fall = [s.flat(100), s.flat(100), (100, 100, 75, 75), s.flat(75)]
    plan = {0: [s.send("buy", 100), s.send("sell", 100, data="B")]}
    broker = s.BROKERS[mode](cash=2_010, leverage=10)
    result = s.run([s.perp(fall, "A"), s.perp(fall, "B")], plan, broker)
    assert [event.symbol for event in result.liquidations] == dead
    # Isolated: A loses its 1,000 and no more, B gains 2,500.
    gained = 0 if mode == "cross" else -1_000 + 2_500
    assert result.value[-1] == approx(2_000 + gained)


@pytest.mark.parametrize("mode", BOTH)
def test_one_bar_from_40000_to_15000_liquidates(mode: str) -> None:
    bars = [s.flat(40_000), s.flat(40_000), (40_000, 40_000, 15_000, 39_000)]
    broker = s.BROKERS[mode](cash=4_020, leverage=10)  # margin 4,000, fee 20
    result = s.run(bars, {0: [s.send("buy", 1)]}, broker)
    (event,) = result.liquidations
    assert event.liquidation_price == approx(40_000 * (1 - 0.1 + 0.005))
    assert result.value[-1] == approx(0)


@pytest.mark.parametrize("mode", BOTH)
def test_a_funding_stamp_on_bar_5_is_paid_on_bar_5_at_mark(mode: str) -> None:
    bars = [s.flat(100)] * 8
    mark = s.candles([s.flat(101)] * 8)
    funding = s.stamps({s.moment(hours=5): 0.0001})
    feed = s.perp(bars, mark=mark, funding=funding)
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    result = s.run(feed, {0: [s.send("buy", 10)]}, broker)
    (event,) = result.fundings
    assert event.time == s.moment(hours=5)
    assert event.payment == approx(-10 * 101 * 0.0001)
    before = 10_000 - 10 * 100 * 0.0005 + 10 * (101 - 100)
    paid = before - 10 * 101 * 0.0001
    assert result.value[1:] == [approx(before)] * 4 + [approx(paid)] * 3


# Two requirements: initial margin depends on leverage, maintenance does not


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("leverage", "initial"),
    [
        pytest.param(2, 5_000, id="2x"),
        pytest.param(10, 1_000, id="10x"),
        pytest.param(100, 100, id="100x"),
    ],
)
def test_leverage_changes_initial_margin_and_never_maintenance(
    mode: str, leverage: float, initial: float
) -> None:
    found = {}

    def ask(strategy: Any) -> None:
        data = strategy.data
        found["initial"] = strategy.broker.initial_margin(data)
        found["maintenance"] = strategy.broker.maintenance_margin(data)

    plan: s.Plan = {0: [s.send("buy", 100)], 1: [ask]}
    s.run([s.flat(100)] * 3, plan, s.BROKERS[mode](cash=10_000, leverage=leverage))
    assert found == {"initial": approx(initial), "maintenance": approx(50)}


@pytest.mark.parametrize("mode", BOTH)
def test_a_position_below_initial_and_above_maintenance_margin_lives(mode: str) -> None:
    # Margin 1,000, loss 900: the 100 that are left are above 50, and below 1,000.
    bars = [s.flat(100), s.flat(100), (100, 100, 91, 91), s.flat(91)]
    broker = s.BROKERS[mode](cash=1_005, leverage=10)
    result = s.run(bars, {0: [s.send("buy", 100)]}, broker)
    assert not result.liquidations
    assert result.value[-1] == approx(1_005 - 5 - 900)
