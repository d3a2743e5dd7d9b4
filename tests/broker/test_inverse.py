"""Inverse contracts: everything is in coin.

A contract is worth 100 quote units. 10 contracts from 50,000 are 1,000 / 50,000 = 0.02
coin; at 10x the margin is 0.002, the taker fee 0.00001, maintenance (0.5 % of the
entry notional) 0.0001. At 40,000 a long has lost 0.005, at 62,500 it has won 0.004.
"""

from typing import Any

import backtrader as bt
import pytest

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(50_000)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 50,000 in bar 1
LONG = s.send("buy", 10)
SHORT = s.send("sell", 10)
UP = [*CALM, *[s.flat(62_500)] * 3]
DOWN = [*CALM, *[s.flat(40_000)] * 3]


def coin(mode: str, cash: float = 0.01, contract_size: float = 100, **more: Any) -> Any:
    broker = s.BROKERS[mode](cash=cash, leverage=10, **more)
    return s.set_contract(broker, None, inverse=True, contract_size=contract_size)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("opening", "bars", "pnl"),
    [
        pytest.param(LONG, UP, 0.004, id="a long on the way up"),
        pytest.param(SHORT, DOWN, 0.005, id="a short on the way down"),
    ],
)
def test_a_round_trip_in_coin(mode: str, opening: Any, bars: Any, pnl: float) -> None:
    result = s.run(bars, {0: [opening], 2: [s.close()]}, coin(mode))
    assert result.value[2] == approx(0.01 - 0.00001 + pnl)
    fees = 0.0005 * (0.02 + 1_000 / bars[-1][0])
    end = 0.01 - fees + pnl
    assert (result.value[-1], result.cash[-1]) == approx((end, end))
    assert s.balances(result.broker) == approx({"shared": end})
    (trade,) = result.trades
    assert (trade.pnl, trade.commission) == approx((pnl, fees))


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("contract_size", [1, 100, 0.5])
def test_what_is_locked(mode: str, contract_size: float) -> None:
    plan = {0: [s.send("buy", 1_000 / contract_size)]}
    result = s.run([*CALM, FLAT], plan, coin(mode, contract_size=contract_size))
    assert result.cash[-1] == approx(0.01 - 0.00001 - 0.002)
    broker, data = result.broker, result.data
    assert broker.initial_margin(data) == approx(0.002)
    assert broker.maintenance_margin(data) == approx(0.0001)


# 1,000 / P = 0.02 +- the coins that may be lost: isolated 0.002 - 0.0001; cross has
# all of the 0.01 but the fee.
@pytest.mark.parametrize(
    ("mode", "side", "price"),
    [
        ("isolated", "buy", 1_000 / (0.02 + 0.0019)),
        ("isolated", "sell", 1_000 / (0.02 - 0.0019)),
        ("cross", "buy", 1_000 / (0.02 + 0.00989)),
        ("cross", "sell", 1_000 / (0.02 - 0.00989)),
    ],
)
@pytest.mark.parametrize("beyond", [False, True])
def test_liquidation(mode: str, side: str, price: float, beyond: bool) -> None:
    sign = -1 if side == "buy" else 1
    mark = price + sign * (1 if beyond else -1)
    plan = {
        0: [s.send(side, 10)],
        1: [s.act_on("liquidation_price", label="it")],
    }
    bars = [*CALM, (50_000, max(50_000, mark), min(50_000, mark), mark), s.flat(mark)]
    result = s.run(bars, plan, coin(mode))
    assert result.said["it"] == approx(price)
    assert len(result.liquidations) == beyond
    if not beyond:
        return
    (event,) = result.liquidations
    lost = 0.002 if mode == "isolated" else 0.00999
    assert event.mark_price == approx(price)
    assert event.insurance == approx(-0.0001)
    assert event.loss == approx(-lost)
    (trade,) = result.trades
    assert trade.pnl == approx(-lost)
    assert result.value[-1] == approx(0.00999 - lost)


@pytest.mark.parametrize("mode", BOTH)
def test_funding_in_coin(mode: str) -> None:
    """0.001 of 1,000 / 40,000."""
    funding = s.stamps({s.moment(hours=3): 0.001})
    feed = s.perp([*CALM, *[s.flat(40_000)] * 3], funding=funding)
    result = s.run(feed, {0: [SHORT]}, coin(mode))
    (event,) = result.fundings
    assert event.payment == approx(0.000025)
    assert s.ledger_total(result.broker, "funding") == approx(0.000025)


# Adding: the average entry of 500 / 50,000 + 500 / 25,000 is 1,000 / 0.03, not 37,500.
@pytest.mark.parametrize("mode", BOTH)
def test_the_average_entry_is_harmonic(mode: str) -> None:
    plan = {
        0: [s.send("sell", 5)],
        1: [s.send("sell", 5, "more")],
        2: [s.close()],
    }
    bars = [*CALM, s.flat(25_000), s.flat(25_000), s.flat(25_000)]
    result = s.run(bars, plan, coin(mode, cash=1))
    entry = result.sent["more"].executed.pprice
    assert entry == approx(1_000 / 0.03)
    (trade,) = result.trades
    booked = s.ledger_total(result.broker, "realized_pnl")
    assert booked == approx(0.04 - 0.03)
    assert trade.pnl == approx(booked)


@pytest.mark.parametrize("mode", BOTH)
def test_trades_add_up_to_the_ledger(mode: str) -> None:
    """In and out in parts, with a flip: the trades' net PnL is what the wallet won."""
    steps = [8, 4, -6, 3, -20, -4, 9, 11]
    prices = [50_000, 51_000, 49_000, 49_500, 50_500, 50_000, 48_500, 47_500, 48_000]
    plan: dict[int, Any] = {
        bar: [s.send("buy" if size > 0 else "sell", abs(size), f"{bar}")]
        for bar, size in enumerate(steps)
    }
    plan[len(steps)] = [s.close()]
    bars = [s.flat(price) for price in [*prices, 47_500]]
    result = s.run(bars, plan, coin(mode, cash=1))
    assert result.getposition().size == 0
    assert len(result.trades) == 3
    assert 1 + sum(trade.pnlcomm for trade in result.trades) == approx(result.value[-1])


# Sizes and targets


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("target", "size"),
    [
        pytest.param(1.0, 5, id="the value of the account: 500 of quote"),
        pytest.param(-1.0, -5, id="the same short"),
        pytest.param(3.0, 15, id="three times: leverage is for the margin only"),
    ],
)
def test_target_percent_aims_at_notional_in_coin(
    mode: str, target: float, size: float
) -> None:
    def act(strategy: Any) -> None:
        strategy.sent["it"] = strategy.order_target_percent(target=target)

    result = s.run([*CALM, FLAT], {0: [act]}, coin(mode))
    assert result.getposition().size == approx(size)
    assert result.broker.getvalue([result.data]) == approx(target * 0.01)


def test_a_refusal_shows_coin_in_all_its_digits() -> None:
    result = s.run([*CALM], {0: [s.send("buy", 60)]}, coin("isolated"))
    order = result.sent["buy"]
    assert s.status(order) == "Margin"
    # 0.12 of notional: 0.012 and 0.00006; a contract needs 0.0002 and 0.000001.
    reason = str(order.info.shortfall)
    assert "needs 0.01206 (margin and fee), available is 0.01" in reason
    largest = order.info.shortfall.largest_quantity
    assert largest == approx(0.01 / (0.0002 + 0.000001))


@pytest.mark.parametrize("mode", BOTH)
def test_analyzers_in_coin(mode: str) -> None:
    cerebro = bt.Cerebro(stdstats=True)
    cerebro.setbroker(coin(mode))
    cerebro.adddata(s.perp(DOWN))
    cerebro.addstrategy(s.Recorder, plan={0: [SHORT], 2: [s.close()]})
    for kind in (bt.analyzers.TradeAnalyzer, bt.analyzers.DrawDown):
        cerebro.addanalyzer(kind)
    strategy = cerebro.run()[0]
    trades = strategy.analyzers.tradeanalyzer.get_analysis()
    assert trades.pnl.gross.total == approx(0.005)
    drawdown = strategy.analyzers.drawdown.get_analysis()
    assert drawdown.max.moneydown == approx(0.0005 * 0.025)


# Hedge mode


# 1,000 / 50,000 - 500 / 51,200 is the coin of 500 net.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("short_at", "price"),
    [
        pytest.param(50_000, 50_000, id="both from 50,000"),
        pytest.param(51_200, 500 / (0.02 - 500 / 51_200), id="the short from 51,200"),
    ],
)
def test_two_legs_in_coin(mode: str, short_at: float, price: float) -> None:
    long = s.send("buy", 10, "long", position_side="long")
    short = s.send("sell", 5, "short", position_side="short")
    plan = {0: [long, short]} if short_at == 50_000 else {0: [long], 1: [short]}
    bars = [*CALM, *[s.flat(51_200)] * 2]
    result = s.run(bars, plan, coin(mode, position_mode="hedge"))
    position = result.getposition()
    assert (position.size, position.price) == approx((5, price))
    pnl = (0.02 - 1_000 / 51_200) - (500 / short_at - 500 / 51_200)
    fees = 0.0005 * (0.02 + 500 / short_at)
    assert result.value[-1] == approx(0.01 - fees + pnl)


# Linear contracts of a size other than 1


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("contract_size", [0.001, 1, 10])
def test_a_contract_size_scales_everything(mode: str, contract_size: float) -> None:
    """10 coins in contracts of any size: the same money."""
    broker = s.BROKERS[mode](cash=1_000, leverage=10)
    s.set_contract(broker, "A", contract_size=contract_size)
    plan = {
        0: [s.send("buy", 10 / contract_size)],
        1: [s.act_on("liquidation_price", label="it")],
        3: [s.close()],
    }
    bars = [s.flat(100), s.flat(100), s.flat(110), s.flat(110), s.flat(110)]
    result = s.run(bars, plan, broker)
    cross = 100 - (999.5 - 5) / 10
    assert result.said["it"] == approx(90.5 if mode == "isolated" else cross)
    locked = 100 if mode == "isolated" else 110 - 100
    assert result.cash[2] == approx(999.5 - locked)
    assert result.broker.getvalue() == approx(1_000 + 100 - 2_100 * 0.0005)
    (trade,) = result.trades
    assert trade.pnl == approx(100)
