"""Sizers: the quantity of an order that names none, by hand.

Prices stand at 100 unless a row says otherwise; the account has 10,000 and 10x; the
taker fee is 0.05 %, the maintenance 0.5 % of the notional at entry.
"""

from collections.abc import Callable
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin import sizers
from bt_margin.core.errors import ParameterError

Script = Callable[[Any, int], None]
FLAT = [(100.0,) * 4] * 4
# High and low 1 from the close: every true range is 2.
WIDE = [(100.0, 101.0, 99.0, 100.0)] * 6


def candles(rows: list[Any]) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=len(rows), freq="1h", name="datetime")
    full = [row if isinstance(row, tuple) else (row,) * 4 for row in rows]
    columns = ["open", "high", "low", "close"]
    return pd.DataFrame(full, index=index, columns=columns, dtype=float).assign(
        volume=1000.0
    )


class Scripted(bt.Strategy):
    params: Any = (("script", None),)

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.statuses: list[tuple[int, str]] = []

    def notify_order(self, order: Any) -> None:
        self.statuses.append((order.ref, order.getstatusname()))

    def next(self) -> None:
        self.p.script(self, len(self))


def run(
    sizer: Any,
    script: Script,
    rows: list[Any] | None = None,
    *,
    broker: Any = None,
    scheme: Any = None,
    words: dict[str, Any] | None = None,
    **params: Any,
) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    if broker is None:
        broker = bt_margin.MarginBroker(
            **{"cash": 10_000.0, "leverage": 10.0, **(words or {})}
        )
    if scheme is not None:
        broker.addcommissioninfo(scheme)
    cerebro.setbroker(broker)
    cerebro.adddata(bt_margin.PerpData(dataname=candles(rows or FLAT)), name="BTC")
    cerebro.addstrategy(Scripted, script=script)
    cerebro.addsizer(sizer, **params)
    return cerebro.run()[0]


def at_bar(number: int, *, buys: bool = True, **order: Any) -> Script:
    """A script that sends one order without a size."""

    def script(s: Any, bar: int) -> None:
        if bar == number:
            s.sent.append((s.buy if buys else s.sell)(**order))

    return script


def sent_size(*args: Any, bar: int = 1, buys: bool = True, **words: Any) -> float:
    """Size of the order that a sizer made; 0 where nothing was sent."""
    strategy = run(args[0], at_bar(bar, buys=buys), **words)
    (order,) = strategy.sent
    return 0.0 if order is None else abs(float(order.created.size))


def stock_broker(**scheme: Any) -> Any:
    broker = bt.brokers.BackBroker(cash=10_000.0)
    broker.setcommission(**scheme)
    return broker


BROKERS = [
    pytest.param({"words": {"margin_mode": "isolated"}}, id="isolated"),
    pytest.param({"words": {"margin_mode": "cross"}}, id="cross"),
    pytest.param(
        {"words": {"margin_mode": "off"}, "scheme": "perp"}, id="stock accounting"
    ),
    pytest.param({"stock": {"leverage": 10.0}}, id="stock's own broker"),
    pytest.param({"stock": {"margin": 10.0, "mult": 1.0}}, id="stock's own futures"),
]


def made(case: dict[str, Any]) -> dict[str, Any]:
    """A fresh broker for a case."""
    if "stock" in case:
        return {"broker": stock_broker(**case["stock"])}
    words = dict(case)
    if words.get("scheme"):
        scheme: Any = bt_margin.PerpCommission
        words["scheme"] = scheme(leverage=10.0)
    return words


# FixedFraction


@pytest.mark.parametrize("buys", [True, False], ids=["buy", "sell"])
@pytest.mark.parametrize("case", BROKERS)
def test_two_percent_of_ten_thousand_at_ten_times_is_twenty_coins(
    case: dict[str, Any], buys: bool
) -> None:
    # 200 of margin carry 2,000 of notional: 20 at 100.
    size = sent_size(sizers.FixedFraction, buys=buys, fraction=0.02, **made(case))
    assert size == pytest.approx(20)


@pytest.mark.parametrize("case", BROKERS)
def test_an_order_against_the_position_closes_it(case: dict[str, Any]) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent.append(s.buy(size=3))
        if bar == 2:
            s.sent.append(s.sell())

    strategy = run(sizers.FixedFraction, script, fraction=0.02, **made(case))
    assert strategy.sent[1].created.size == -3
    assert strategy.position.size == 0


@pytest.mark.parametrize(
    "case",
    [
        pytest.param({"words": {"margin_mode": "isolated"}}, id="isolated"),
        pytest.param({"words": {"margin_mode": "cross"}}, id="cross"),
        pytest.param(
            {"stock": {"leverage": 10.0, "commission": 0.0005}}, id="stock's own broker"
        ),
        pytest.param({"stock": {"margin": 10.0, "commission": 0.05}}, id="futures"),
    ],
)
def test_all_of_the_account_leaves_room_for_the_fee(case: dict[str, Any]) -> None:
    # A coin locks 10 and costs 0.05: 10,000 / 10.05, and that is bought.
    strategy = run(sizers.FixedFraction, at_bar(1), fraction=1.0, **made(case))
    (order,) = strategy.sent
    assert order.created.size == pytest.approx(10_000 / 10.05)
    assert order.status == order.Completed


def test_the_quantity_is_on_the_size_step() -> None:
    # 20 coins on steps of 0.3: 19.8.
    scheme: Any = bt_margin.PerpCommission
    size = sent_size(sizers.FixedFraction, fraction=0.02, scheme=scheme(size_step=0.3))
    assert size == pytest.approx(19.8)


def test_an_inverse_contract_is_counted_in_coin() -> None:
    # 100 coin as margin at 10x are 1,000 coin of notional; a contract of 100 quote
    # units at 100 is worth 1 coin.
    scheme: Any = bt_margin.PerpCommission
    size = sent_size(
        sizers.FixedFraction,
        fraction=0.01,
        scheme=scheme(inverse=True, contract_size=100),
    )
    assert size == pytest.approx(1_000)


def test_in_hedge_mode_a_buy_is_a_long_and_a_sell_a_short() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.sent.append(s.buy(position_side="long"))
        if bar == 2:
            s.sent.append(s.sell(position_side="short"))

    strategy = run(
        sizers.FixedFraction,
        script,
        fraction=0.02,
        words={"position_mode": "hedge", "margin_mode": "isolated"},
    )
    # The long's fee of 1 is gone: 2 % of 9,999 at 10x.
    broker = strategy.broker
    assert broker.get_leg(strategy.data, "long").size == pytest.approx(20)
    assert broker.get_leg(strategy.data, "short").size == pytest.approx(-19.998)


@pytest.mark.parametrize(
    ("sizer", "params"),
    [
        (sizers.FixedFraction, {"fraction": 0}),
        (sizers.FixedFraction, {"fraction": "much"}),
        (sizers.RiskToStop, {"risk": -1}),
        (sizers.RiskToStop, {"distance": 0}),
        (sizers.Kelly, {"win_rate": 0.5}),
        (sizers.Kelly, {"win_rate": 2, "payoff": 1}),
        (sizers.Kelly, {"cap": 0}),
        (sizers.VolatilityMargin, {"ranges": 0}),
        (sizers.VolatilityMargin, {"period": 1.5}),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(sizer: Any, params: Any) -> None:
    with pytest.raises(ParameterError):
        run(sizer, at_bar(1), **params)


# RiskToStop


@pytest.mark.parametrize(
    ("buys", "expected"),
    [
        # In at 100, out at 98: 2 lost, fees 0.05 and 0.049.
        pytest.param(True, 100 / (2 + 0.05 + 0.049), id="a long"),
        # In at 100, out at 102: fees 0.05 and 0.051.
        pytest.param(False, 100 / (2 + 0.05 + 0.051), id="a short"),
    ],
)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param({"words": {"margin_mode": "isolated"}}, id="isolated"),
        pytest.param({"words": {"margin_mode": "cross"}}, id="cross"),
        pytest.param({"stock": {"leverage": 10.0, "commission": 0.0005}}, id="stock"),
    ],
)
def test_one_percent_is_lost_at_a_stop_two_percent_away(
    case: dict[str, Any], buys: bool, expected: float
) -> None:
    size = sent_size(
        sizers.RiskToStop, buys=buys, risk=0.01, distance=0.02, **made(case)
    )
    assert size == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_the_loss_at_the_stop_is_the_risk(mode: str) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.stop_price = 96.0
            s.sent.append(s.buy())
            s.sell(size=s.sent[0].size, exectype=bt.Order.Stop, price=96.0)

    rows = [100, 100, (100, 100, 95, 95), 95]
    strategy = run(
        sizers.RiskToStop, script, rows, risk=0.01, words={"margin_mode": mode}
    )
    assert strategy.broker.getvalue() == pytest.approx(9_900)
    assert strategy.position.size == 0


def test_the_stop_may_be_a_function_of_the_feed_and_the_side() -> None:
    def script(s: Any, bar: int) -> None:
        s.stop_price = lambda data, is_buy: data.close[0] * (0.9 if is_buy else 1.1)
        if bar == 1:
            s.sent.append(s.sell())

    strategy = run(sizers.RiskToStop, script, risk=0.01)
    # 10 lost and 0.05 + 0.055 of fees: 100 / 10.105.
    assert abs(strategy.sent[0].created.size) == pytest.approx(100 / 10.105)


def test_a_stop_so_near_asks_for_more_than_there_is() -> None:
    # 100 / (0.01 + 0.1) = 909 coins would do; risk of 10 % asks for 9,090: 995.02 go.
    size = sent_size(sizers.RiskToStop, risk=0.1, distance=0.0001)
    assert size == pytest.approx(10_000 / 10.05)


def test_a_stop_on_the_wrong_side_is_an_error_that_says_so() -> None:
    def script(s: Any, bar: int) -> None:
        s.stop_price = 101.0
        s.buy()

    with pytest.raises(ParameterError, match="below the price 100"):
        run(sizers.RiskToStop, script)


def test_without_a_stop_the_error_says_where_to_put_one() -> None:
    with pytest.raises(ParameterError, match=r"strategy\.stop_price"):
        run(sizers.RiskToStop, at_bar(1))


# Kelly


@pytest.mark.parametrize("case", BROKERS[:4])
def test_kelly_of_known_odds(case: dict[str, Any]) -> None:
    # 0.6 - 0.4 / 1 = 0.2 of 10,000 at 10x: 200 coins.
    size = sent_size(sizers.Kelly, win_rate=0.6, payoff=1, cap=1.0, **made(case))
    assert size == pytest.approx(200)


def test_kelly_is_capped_and_never_negative() -> None:
    capped = sent_size(sizers.Kelly, win_rate=0.6, payoff=1, cap=0.05)
    assert capped == pytest.approx(50)
    assert sent_size(sizers.Kelly, win_rate=0.4, payoff=1) == 0


@pytest.mark.parametrize("broker", ["margin", "stock"])
def test_kelly_is_measured_on_closed_trades(broker: str) -> None:
    # Long 10 from 100: +20, +20, -10: win rate 2/3, payoff 2: 2/3 - 1/6 = 1/2.
    steps = [100, 100, 102, 102, 100, 100, 102, 102, 100, 100, 99, 99, 100, 100, 100]
    sizes: list[float] = []

    def script(s: Any, bar: int) -> None:
        if bar in (1, 5, 9):
            s.buy(size=10)
        if bar in (3, 7, 11):
            s.sell(size=10)
        if bar == 7:
            sizes.append(s.getsizing())  # one trade is closed: not enough
        if bar == 13:
            sizes.append(s.getsizing())

    scheme: Any = bt_margin.PerpCommission
    words: dict[str, Any] = {
        "scheme": scheme(maker_fee_rate=0, taker_fee_rate=0, leverage=10.0)
    }
    if broker == "stock":
        words = {"broker": stock_broker(leverage=10.0)}
    rows = [(p, p, p, p) for p in map(float, steps)]
    run(sizers.Kelly, script, rows, min_trades=3, cap=0.9, fraction=0.01, **words)
    # 1 % of 10,020 (stock counts leverage its own way) at 102; a half of 10,030 at 100.
    if broker == "margin":
        assert sizes[0] == pytest.approx(0.01 * 10_040 * 10 / 102, rel=1e-3)
        assert sizes[1] == pytest.approx(0.5 * 10_030 * 10 / 100)
    else:
        assert sizes[1] == pytest.approx(0.5 * 10_030 * 10 / 100, rel=1e-3)


# VolatilityMargin


def test_the_leverage_comes_down_until_the_distance_is_kept() -> None:
    # True ranges of 2: 6 away, so 94 = 100 (1 - 1/L + 0.005): L = 1 / 0.065.
    def script(s: Any, bar: int) -> None:
        if bar == 4:
            s.sent.append(s.buy())

    strategy = run(
        sizers.VolatilityMargin,
        script,
        WIDE,
        fraction=0.02,
        ranges=3,
        period=3,
        words={"leverage": 50.0},
    )
    broker, data = strategy.broker, strategy.data
    assert broker.leverage_setting(data) == pytest.approx(1 / 0.065)
    assert strategy.position.size == pytest.approx(200 / 0.065 / 100)
    assert broker.liquidation_price(data) == pytest.approx(94)


def test_a_short_keeps_its_distance_above() -> None:
    # 106 = 100 (1 + 1/L - 0.005): L = 1 / 0.065.
    strategy = run(
        sizers.VolatilityMargin,
        at_bar(4, buys=False),
        WIDE,
        fraction=0.02,
        period=3,
        words={"leverage": 50.0},
    )
    assert strategy.broker.liquidation_price(strategy.data) == pytest.approx(106)


def test_a_leverage_that_keeps_the_distance_is_kept() -> None:
    # 10x is liquidated at 90.5: 9.5 away, 6 are asked for.
    strategy = run(
        sizers.VolatilityMargin, at_bar(4), WIDE, fraction=0.02, ranges=3, period=3
    )
    assert strategy.broker.leverage_setting(strategy.data) == 10
    assert strategy.position.size == pytest.approx(20)


def test_without_enough_bars_nothing_is_traded() -> None:
    size = sent_size(sizers.VolatilityMargin, bar=3, rows=WIDE, period=3)
    assert size == 0


def test_a_distance_that_no_leverage_keeps_trades_nothing_and_moves_none() -> None:
    # At 1x a long is liquidated at 0.5: 99.5 away, of 2 times 60 asked for.
    strategy = run(
        sizers.VolatilityMargin, at_bar(4), WIDE, ranges=60, period=3, fraction=0.5
    )
    assert strategy.sent == [None]
    assert strategy.broker.leverage_setting(strategy.data) == 10


def test_cross_margin_brings_the_size_down() -> None:
    # q at 100 with 10,000 behind: 94 where 10,000 - 0.05 q - 6 q = 0.5 q: the
    # requirement of `generic` is at entry.
    strategy = run(
        sizers.VolatilityMargin,
        at_bar(4),
        WIDE,
        fraction=1.0,
        ranges=3,
        period=3,
        words={"margin_mode": "cross", "leverage": 50.0},
    )
    assert strategy.position.size == pytest.approx(10_000 / 6.55)
    assert strategy.broker.liquidation_price(strategy.data) == pytest.approx(94)
    assert strategy.broker.leverage_setting(strategy.data) == 50


def test_while_an_order_rests_the_leverage_stays() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 3:
            s.buy(size=1, exectype=bt.Order.Limit, price=50.0)
        if bar == 4:
            s.sent.append(s.buy())

    strategy = run(
        sizers.VolatilityMargin, script, WIDE, period=3, words={"leverage": 50.0}
    )
    # 50x is liquidated 1.5 % away at any size.
    assert strategy.sent == [None]
    assert strategy.broker.leverage_setting(strategy.data) == 50


def test_in_hedge_mode_an_open_leg_keeps_its_leverage() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 2:
            s.buy(size=1, position_side="long")
            s.sell(size=1, position_side="short")
        if bar == 4:
            s.sent.append(s.buy(position_side="long"))

    strategy = run(
        sizers.VolatilityMargin,
        script,
        WIDE,
        period=3,
        words={"leverage": 50.0, "position_mode": "hedge"},
    )
    for side in ("long", "short"):
        assert strategy.broker.get_leg(strategy.data, side).leverage == 50


@pytest.mark.parametrize("case", BROKERS[2:])
def test_stock_accounting_knows_no_liquidation_price(case: dict[str, Any]) -> None:
    size = sent_size(sizers.VolatilityMargin, fraction=0.02, **made(case))
    assert size == pytest.approx(20)
