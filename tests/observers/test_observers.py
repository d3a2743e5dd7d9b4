"""The observers show what the broker answers, at each bar."""

import io
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin import observers
from bt_margin.core.wallet import SHARED

ACCOUNT = (observers.MarginRatio, observers.Wallets, observers.Funding)
PRICE = (observers.LiquidationPrice, observers.Liquidations)

FALL: list[float] = [
    100,
    101,
    100,
    99,
    98,
    97,
    90,
    86,
    84,
    88,
    90,
    93,
    95,
    96,
    95,
    97,
] * 2
RISE: list[float] = [50, 50, 51, 50, 52, 53, 55, 58, 61, 60, 58, 57, 55, 54, 52, 51] * 2


def bars(closes: list[float], start: str = "2024-01-01") -> pd.DataFrame:
    """Hourly candles that open where the last one closed."""
    opens = [closes[0], *closes[:-1]]
    frame = pd.DataFrame(
        {
            "open": opens,
            "high": [max(pair) * 1.002 for pair in zip(opens, closes, strict=True)],
            "low": [min(pair) * 0.998 for pair in zip(opens, closes, strict=True)],
            "close": closes,
            "volume": 10.0,
        },
        dtype=float,
    )
    frame.index = pd.date_range(start, periods=len(closes), freq="1h")
    return frame


def funding(frame: pd.DataFrame) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=8, freq="4h")
    times = times[times >= frame.index[0]]
    return pd.DataFrame({"funding_rate": 0.001}, index=times)


class Trader(bt.Strategy):
    """Longs the first feed and shorts the second, and writes down the answers."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.prices: dict[Any, dict[int, float | None]] = {d: {} for d in self.datas}

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        self.ask()
        feeds = [data for data in self.datas if data._name.startswith("coin")]
        for data, side in zip(feeds, (self.buy, self.sell), strict=False):
            if len(data) in (2, 20):
                side(data=data, size=20)
            elif len(data) == 13 and self.getposition(data).size:
                self.close(data)

    def ask(self) -> None:
        broker = self.broker
        if broker.p.margin_mode == "off":
            return
        balances = broker.ledger.balances
        self.steps.append(
            {
                "ratio": max(broker.margin_ratio(data) for data in self.datas),
                "margin_balance": broker.margin_balance(),
                "shared": balances.pop(SHARED),
                "isolated": sum(balances.values()) if balances else math.nan,
                "funding": sum(event.payment for event in broker.fundings),
            }
        )
        for data in self.datas:
            self.prices[data][len(data)] = broker.liquidation_price(data)


def prepared(
    broker: Any, *frames: pd.DataFrame, **settings: Any
) -> tuple[bt.Cerebro, list[Any]]:
    """Cerebro with every observer and a feed for each frame."""
    cerebro = bt.Cerebro(**{"stdstats": False, **settings})
    cerebro.setbroker(broker)
    feeds = [
        cerebro.adddata(
            bt_margin.PerpData(
                dataname=frame, funding=funding(frame), name=f"coin{number}"
            )
        )
        for number, frame in enumerate(frames)
    ]
    cerebro.addstrategy(Trader)
    for observer in ACCOUNT:
        cerebro.addobserver(observer)
    for observer in PRICE:
        cerebro.addobservermulti(observer)
    return cerebro, feeds


def broker(mode: str, cash: float = 600) -> Any:
    return bt_margin.MarginBroker(cash=cash, leverage=10, margin_mode=mode)


def values(observer: Any, line: str) -> list[float]:
    """A line from its first bar to its last."""
    return list(getattr(observer.lines, line).plot())


def of_kind(strategy: Any, kind: type) -> list[Any]:
    return [one for one in strategy.getobservers() if type(one) is kind]


def same(seen: list[float], asked: list[float | None]) -> None:
    """Equal to the last bit, with NaN for no answer."""
    wanted = [math.nan if value is None else value for value in asked]
    assert len(seen) == len(wanted)
    assert repr(seen) == repr([float(value) for value in wanted])


def check_account_lines(strategy: Any) -> None:
    (ratio,) = of_kind(strategy, observers.MarginRatio)
    (wallets,) = of_kind(strategy, observers.Wallets)
    (paid,) = of_kind(strategy, observers.Funding)
    steps = strategy.steps
    same(values(ratio, "margin_ratio"), [step["ratio"] for step in steps])
    for line in ("margin_balance", "shared", "isolated"):
        same(values(wallets, line), [step[line] for step in steps])
    seen, asked = values(paid, "funding"), [step["funding"] for step in steps]
    assert seen == pytest.approx(asked)


def check_price_lines(strategy: Any) -> None:
    for observer in of_kind(strategy, observers.LiquidationPrice):
        asked = strategy.prices[observer.data]
        assert list(asked)[-1] == len(observer.data)
        wanted = [asked[length] for length in range(1, len(observer.data) + 1)]
        same(values(observer, "liquidation_price"), wanted)


def marks(strategy: Any, data: Any) -> list[tuple[int, str, float]]:
    """Bar, side and price of every mark on a feed's panel."""
    (observer,) = (
        one for one in of_kind(strategy, observers.Liquidations) if one.data is data
    )
    return [
        (bar, side, price)
        for side in ("long", "short")
        for bar, price in enumerate(values(observer, side))
        if not math.isnan(price)
    ]


@pytest.mark.parametrize("stdstats", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_lines_are_what_the_broker_answers(
    mode: str, runonce: bool, stdstats: bool
) -> None:
    settings = {"runonce": runonce, "stdstats": stdstats}
    cerebro, feeds = prepared(broker(mode), bars(FALL), bars(RISE), **settings)
    (strategy,) = cerebro.run()
    margin = cerebro.broker
    assert margin.liquidations
    assert margin.fundings
    check_account_lines(strategy)
    check_price_lines(strategy)
    for feed in feeds:
        held = [price for price in strategy.prices[feed].values() if price is not None]
        assert 0 < len(held) < len(feed)
        wanted = [
            (
                int((event.time - feed_start(feed)) / timedelta(hours=1)),
                "long" if event.size > 0 else "short",
                float(event.mark_price),
            )
            for event in margin.liquidations
            if event.symbol == feed._name
        ]
        assert sorted(marks(strategy, feed)) == sorted(wanted)


def feed_start(feed: Any) -> Any:
    first = bt.num2date(feed.datetime.plot()[0])
    return pd.Timestamp(first, tz="UTC").round("s").to_pydatetime()


@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_feed_that_begins_late_and_ends_early_keeps_its_own_bars(
    mode: str, runonce: bool
) -> None:
    short = bars(RISE[:20], "2024-01-01 06:00")
    cerebro, feeds = prepared(broker(mode), bars(FALL), short, runonce=runonce)
    (strategy,) = cerebro.run()
    check_account_lines(strategy)
    check_price_lines(strategy)
    assert any(strategy.prices[feeds[1]].values())


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_resampled_clone_shows_its_instrument(mode: str) -> None:
    cerebro, (feed,) = prepared(broker(mode, cash=300), bars(FALL))
    clone = cerebro.resampledata(
        feed, timeframe=bt.TimeFrame.Minutes, compression=240, name="slow"
    )
    (strategy,) = cerebro.run()
    check_account_lines(strategy)
    check_price_lines(strategy)
    events = cerebro.broker.liquidations
    assert events
    for (bar, side, price), event in zip(marks(strategy, clone), events, strict=True):
        end = bt.num2date(clone.datetime.plot()[bar]).replace(tzinfo=event.time.tzinfo)
        assert timedelta() <= end - event.time + timedelta(seconds=1)
        assert end - event.time < timedelta(hours=4, seconds=1)
        assert (side, price) == ("long", event.mark_price)


def test_a_replayed_feed_is_followed() -> None:
    cerebro = bt.Cerebro()
    cerebro.setbroker(broker("isolated"))
    data = bt_margin.PerpData(dataname=bars(FALL), name="coin0")
    cerebro.replaydata(data, timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.addstrategy(Trader)
    for observer in (*ACCOUNT, *PRICE):
        cerebro.addobserver(observer)
    (strategy,) = cerebro.run()
    check_price_lines(strategy)


def test_one_panel_for_each_feed() -> None:
    cerebro, feeds = prepared(broker("isolated"), bars(FALL), bars(RISE))
    asked: dict[str, list[float]] = {"coin0": [], "coin1": []}

    class Asking(Trader):
        def ask(self) -> None:
            for data in self.datas:
                asked[data._name].append(self.broker.margin_ratio(data))

    cerebro.strats.clear()
    cerebro.addstrategy(Asking)
    cerebro.addobservermulti(observers.MarginRatio)
    cerebro.addobservermulti(observers.Funding)
    (strategy,) = cerebro.run()
    ratios, paid = (
        of_kind(strategy, kind) for kind in (observers.MarginRatio, observers.Funding)
    )
    for number, feed in enumerate(feeds):
        same(values(ratios[1 + number], "margin_ratio"), list(asked[feed._name]))
        assert feed._name in ratios[1 + number].plotlabel()
        own = [e.payment for e in cerebro.broker.fundings if e.symbol == feed._name]
        assert values(paid[1 + number], "funding")[-1] == pytest.approx(sum(own))
    assert ratios[0].plotlabel() == "Margin ratio, liquidation at 1"


def test_in_hedge_mode_the_leg_nearest_to_liquidation_shows() -> None:
    class Both(bt.Strategy):
        def __init__(self) -> None:
            self.sums: list[float] = []
            self.legs: list[tuple[float | None, ...]] = []

        def next(self) -> None:
            sides, data = ("long", "short"), self.data
            self.sums.append(self.broker.margin_ratio(data))
            self.legs.append(
                tuple(self.broker.liquidation_price(data, side) for side in sides)
            )
            if len(self) == 2:
                self.buy(size=10, position_side="long")
                self.sell(size=10, position_side="short")

    cerebro = bt.Cerebro(stdstats=False)
    margin = bt_margin.IsolatedBroker(cash=600, leverage=10, position_mode="hedge")
    cerebro.setbroker(margin)
    feed = cerebro.adddata(bt_margin.PerpData(dataname=bars(FALL), name="coin0"))
    cerebro.addstrategy(Both)
    for observer in (*ACCOUNT, *PRICE):
        cerebro.addobserver(observer)
    (strategy,) = cerebro.run()
    (event,) = margin.liquidations
    assert marks(strategy, feed) == [(6, "long", event.mark_price)]
    (ratio,) = of_kind(strategy, observers.MarginRatio)
    ratios = values(ratio, "margin_ratio")
    both = [bar for bar, legs in enumerate(strategy.legs) if None not in legs]
    assert both
    assert all(ratios[bar] > strategy.sums[bar] for bar in both)
    (price,) = of_kind(strategy, observers.LiquidationPrice)
    shown = values(price, "liquidation_price")
    assert {math.isnan(one) for one in shown[:2]} == {True}
    assert all(shown[bar] in strategy.legs[bar] for bar in range(2, len(shown)))


def stock_broker() -> Any:
    return bt.brokers.BackBroker(cash=600)


@pytest.mark.parametrize("make", [stock_broker, lambda: broker("off")])
def test_stock_accounting_shows_nothing(make: Callable[[], Any]) -> None:
    class Buyer(bt.Strategy):
        def next(self) -> None:
            self.buy(size=1)

    cerebro, _ = prepared(make(), bars(FALL), bars(RISE), stdstats=True)
    cerebro.strats.clear()
    cerebro.addstrategy(Buyer)
    (strategy,) = cerebro.run()
    for kind in (*ACCOUNT, *PRICE):
        assert of_kind(strategy, kind)
        for observer in of_kind(strategy, kind):
            for line in observer.lines:
                assert all(math.isnan(value) for value in line.plot())


@pytest.mark.parametrize("exactbars", [1, -1, -2])
def test_memory_can_be_saved(exactbars: int) -> None:
    cerebro, _ = prepared(
        broker("isolated"), bars(FALL), bars(RISE), exactbars=exactbars
    )
    (strategy,) = cerebro.run()
    (wallets,) = of_kind(strategy, observers.Wallets)
    assert wallets.lines.margin_balance[0] == strategy.steps[-1]["margin_balance"]
    if exactbars < 0:
        check_account_lines(strategy)
        check_price_lines(strategy)


def test_a_second_run_begins_anew() -> None:
    cerebro, _ = prepared(broker("isolated"), bars(FALL), bars(RISE))
    first, second = (cerebro.run()[0] for _ in range(2))
    for strategy in (first, second):
        check_account_lines(strategy)
    assert repr(first.steps) == repr(second.steps)


def test_writers_and_optimizations_take_them() -> None:
    cerebro, _ = prepared(broker("isolated"), bars(FALL))
    out = io.StringIO()
    cerebro.addwriter(bt.WriterFile, csv=True, out=out, close_out=False)
    cerebro.run()
    assert "MarginRatio" in out.getvalue()
    cerebro, _ = prepared(broker("cross"), bars(FALL), maxcpus=1, optreturn=False)
    cerebro.strats.clear()

    class Sized(Trader):
        params = (("number", 0),)

    cerebro.optstrategy(Sized, number=(1, 2))
    for (strategy,) in cerebro.run():
        check_account_lines(strategy)
