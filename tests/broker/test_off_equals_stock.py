"""``margin_mode="off"`` is stock Backtrader: every number is the same to the last bit.

Whatever a strategy can see of its broker is compared with ``==``: cash, value and
positions after each bar, and every notification of an order or a trade.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import MarginBroker, PerpCommission

CASH = 10_000


class CostlyToHold(bt.CommInfoBase):
    """A user's own scheme: a fee per unit, and interest on what is held."""

    params = (
        ("commission", 0.02),
        ("interest", 0.30),
        ("interest_long", True),
        ("stocklike", True),
        ("commtype", bt.CommInfoBase.COMM_FIXED),
    )

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
        fee: float = max(1.0, abs(size) * self.p.commission)
        return fee


def default_scheme(broker: Any) -> None:
    """Nothing set."""


def percent(broker: Any) -> None:
    broker.setcommission(commission=0.001)


def percent_with_leverage(broker: Any) -> None:
    broker.setcommission(commission=0.001, leverage=5)


def futures(broker: Any) -> None:
    broker.setcommission(commission=2.0, margin=300.0, mult=5.0)


def percent_with_automargin(broker: Any) -> None:
    broker.setcommission(
        commission=0.0005,
        commtype=bt.CommInfoBase.COMM_PERC,
        stocklike=False,
        automargin=0.2,
        mult=2.0,
    )


def own_scheme(broker: Any) -> None:
    broker.addcommissioninfo(CostlyToHold())


def perp_scheme(broker: Any) -> None:
    scheme: Any = PerpCommission
    broker.addcommissioninfo(scheme(leverage=5, taker_fee_rate=0.0005))


SCHEMES: dict[str, Callable[[Any], None]] = {
    "no scheme set": default_scheme,
    "percent of value": percent,
    "percent with leverage 5": percent_with_leverage,
    "futures with a fixed margin": futures,
    "percent with automargin": percent_with_automargin,
    "an own scheme with interest": own_scheme,
    "our perpetual scheme": perp_scheme,
}


def fixed_size(broker: Any) -> None:
    broker.set_filler(bt.fillers.FixedSize(size=4))


def share_of_bar(broker: Any) -> None:
    broker.set_filler(bt.fillers.FixedBarPerc(perc=1.0))


SETTINGS: dict[str, Callable[[Any], None]] = {
    "cheat on close": lambda broker: broker.set_coc(True),
    "cheat on open": lambda broker: broker.set_coo(True),
    "slippage in percent": lambda broker: broker.set_slippage_perc(0.004),
    "slippage in points": lambda broker: broker.set_slippage_fixed(0.35),
    "slippage that must match": lambda broker: broker.set_slippage_perc(
        0.01, slip_open=True, slip_match=False, slip_limit=False
    ),
    "slippage out of the bar": lambda broker: broker.set_slippage_fixed(
        0.9, slip_out=True
    ),
    "a filler of fixed size": fixed_size,
    "a filler by volume": share_of_bar,
    "shorts that take no cash": lambda broker: broker.set_shortcash(False),
    "fund mode": lambda broker: broker.set_fundmode(True, fundstartval=50.0),
    "interest apart from profit": lambda broker: broker.set_int2pnl(False),
    "no check at submission": lambda broker: broker.set_checksubmit(False),
    "end of session at its bar": lambda broker: broker.set_eosbar(True),
    "more cash set before the run": lambda broker: broker.setcash(23_456.78),
}


@pytest.fixture(params=[*SCHEMES.values()], ids=[*SCHEMES])
def scheme(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[True, False], ids=["runonce", "bar by bar"])
def runonce(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def compare(record: Any) -> Callable[..., Any]:
    """Run a script under both brokers and demand that they did the same."""

    def compare(
        setup: Callable[[Any], None], script: Any, *frames: pd.DataFrame, **run: Any
    ) -> Any:
        def outcome(broker: Any) -> Any:
            setup(broker)
            return record(broker, script, *frames, **run)

        stock = outcome(bt.brokers.BackBroker(cash=CASH))
        ours = outcome(MarginBroker(margin_mode="off", cash=CASH))
        assert stock.orders
        assert ours.orders == stock.orders
        assert ours.trades == stock.trades
        assert ours.bars == stock.bars
        return stock

    return compare


def test_off_is_stock(
    compare: Any, record: Any, walk: pd.DataFrame, any_script: Any, scheme: Any
) -> None:
    stock = compare(scheme, any_script, walk)
    broker = MarginBroker(margin_mode="off", cash=CASH)
    scheme(broker)
    ours = record(broker, any_script, walk, runonce=False)
    assert (ours.orders, ours.trades, ours.bars) == (
        stock.orders,
        stock.trades,
        stock.bars,
    )


@pytest.mark.parametrize(
    "scheme", [percent, futures, own_scheme], ids=["percent", "futures", "own scheme"]
)
@pytest.mark.parametrize("setting", [*SETTINGS.values()], ids=[*SETTINGS])
def test_off_is_stock_under_every_setting(
    compare: Any,
    walk: pd.DataFrame,
    rough_script: Any,
    scheme: Any,
    setting: Callable[[Any], None],
) -> None:
    def setup(broker: Any) -> None:
        scheme(broker)
        setting(broker)

    compare(setup, rough_script, walk)


def test_off_is_stock_when_orders_are_sent_before_the_open(
    compare: Any, walk: pd.DataFrame, rough_script: Any, runonce: bool
) -> None:
    compare(
        percent, rough_script, walk, on_open=True, cheat_on_open=True, runonce=runonce
    )


def test_off_is_stock_on_several_feeds(
    compare: Any, random_walk: Any, soup: Any, scheme: Any, runonce: bool
) -> None:
    frames = [random_walk(seed=seed) for seed in (1, 2, 3)]
    frames[1] = frames[1].drop(frames[1].index[40:60])
    compare(scheme, soup, *frames, runonce=runonce)


def test_off_is_stock_on_feeds_of_two_timeframes(
    compare: Any, random_walk: Any, soup: Any, runonce: bool
) -> None:
    slow = random_walk(bars=50, seed=4, every="4h")
    compare(percent, soup, random_walk(), slow, runonce=runonce)


@pytest.mark.parametrize("replays", [False, True], ids=["resampled", "replayed"])
def test_off_is_stock_on_a_feed_made_of_finer_bars(
    compare: Any, walk: pd.DataFrame, stock_feed: Any, soup: Any, replays: bool
) -> None:
    def add(cerebro: Any) -> None:
        ways = {True: cerebro.replaydata, False: cerebro.resampledata}
        ways[replays](
            stock_feed(walk),
            name="coarse",
            timeframe=bt.TimeFrame.Minutes,
            compression=240,
        )

    compare(percent, soup, walk, prepare=add)


@pytest.mark.parametrize("exactbars", [1, 0, -1, -2], ids="exactbars {}".format)
def test_off_is_stock_with_saved_memory(
    compare: Any, walk: pd.DataFrame, soup: Any, exactbars: int
) -> None:
    compare(futures, soup, walk, exactbars=exactbars)


def test_off_is_stock_on_daily_bars(
    compare: Any, random_walk: Any, rough_script: Any
) -> None:
    compare(percent, rough_script, random_walk(every="1D"))


@pytest.mark.parametrize("seed", range(11, 25), ids="seed {}".format)
def test_off_is_stock_in_any_market(
    compare: Any, random_walk: Any, soup: Any, seed: int
) -> None:
    setup = [*SCHEMES.values()][seed % len(SCHEMES)]
    compare(
        setup,
        lambda s, bar: soup(s, bar, seed=seed, fractions=seed % 2 == 0),
        random_walk(bars=120, seed=seed, step=0.03),
    )


def test_off_is_stock_when_cash_comes_and_goes(
    compare: Any, walk: pd.DataFrame, soup: Any
) -> None:
    def script(s: Any, bar: int) -> None:
        soup(s, bar)
        if bar % 30 == 10:
            s.broker.add_cash(1234.5 if bar % 60 == 10 else -777.7)
        if bar == 150:
            s.broker.setcash(s.broker.getcash() + 100)

    compare(percent, script, walk)


def test_off_is_stock_for_what_is_asked_inside_notifications(
    record: Any, walk: pd.DataFrame, soup: Any
) -> None:
    heard: dict[str, list[Any]] = {"stock": [], "ours": []}

    def listener(who: str) -> Any:
        class Listener(bt.Analyzer):
            def _hear(self) -> None:
                broker, data = self.strategy.broker, self.strategy.data
                held = broker.getposition(data)
                heard[who] += [
                    broker.getcash(),
                    broker.getvalue(),
                    broker.getvalue([data]),
                    (held.size, held.price, held.adjbase),
                    [order.getstatusname() for order in broker.get_orders_open()],
                ]

            def notify_order(self, order: Any) -> None:
                self._hear()

            def notify_trade(self, trade: Any) -> None:
                self._hear()

            def notify_fund(
                self, cash: float, value: float, fundvalue: float, shares: float
            ) -> None:
                heard[who] += [cash, value, fundvalue, shares]

        return Listener

    for who, broker in (
        ("stock", bt.brokers.BackBroker(cash=CASH)),
        ("ours", MarginBroker(margin_mode="off", cash=CASH)),
    ):
        futures(broker)
        analyzer = listener(who)
        record(
            broker,
            soup,
            walk,
            prepare=lambda cerebro, analyzer=analyzer: cerebro.addanalyzer(analyzer),
        )
    assert heard["stock"]
    assert heard["ours"] == heard["stock"]


def test_off_is_stock_for_the_value_of_several_feeds_at_once(
    compare: Any, random_walk: Any, soup: Any
) -> None:
    """Stock overwrites the portfolio's value when asked for some of the feeds."""
    asked: list[float] = []

    def script(s: Any, bar: int) -> None:
        soup(s, bar)
        asked.append(s.broker.getvalue(datas=s.datas[:2]))

    compare(percent, script, random_walk(), random_walk(seed=2))
    half = len(asked) // 2
    assert asked[:half] == asked[half:]


def test_off_is_stock_with_an_order_history(
    compare: Any, walk: pd.DataFrame, soup: Any
) -> None:
    history = [
        (str(walk.index[20].date()) + "T20:00:00", 5, 91.5),
        (walk.index[60].to_pydatetime(), -3, 92.5),
        (walk.index[90].to_pydatetime(), -4, 90.25),
    ]

    def add(cerebro: Any) -> None:
        cerebro.add_order_history(history, notify=True)

    stock = compare(percent, soup, walk, prepare=add)
    assert {row[5] for row in stock.orders} >= {"Historical"}


def test_off_is_stock_with_a_fund_history(compare: Any, walk: pd.DataFrame) -> None:
    """Stock reads it in bar-by-bar runs only."""
    fund = [
        [datetime(2024, 1, 1), 100.0, 10_000.0],
        [datetime(2024, 1, 3), 103.0, 10_300.0],
        [datetime(2024, 1, 5), 99.0, 12_900.0],
    ]

    def script(s: Any, bar: int) -> None:
        if bar == 5:
            s.buy(size=3)

    def add(cerebro: Any) -> None:
        cerebro.set_fund_history(fund)

    stock = compare(percent, script, walk, prepare=add, runonce=False)
    assert stock.values[-1] == 12_900.0


def test_off_runs_again_from_the_start(
    record: Any, walk: pd.DataFrame, soup: Any
) -> None:
    broker = MarginBroker(margin_mode="off", cash=CASH)
    percent(broker)
    first, second = (record(broker, soup, walk) for _ in range(2))
    assert (first.orders, first.trades, first.bars) == (
        second.orders,
        second.trades,
        second.bars,
    )


def test_off_has_nothing_in_its_ledger(
    record: Any, walk: pd.DataFrame, soup: Any
) -> None:
    run = record(MarginBroker(margin_mode="off", cash=CASH), soup, walk)
    assert list(run.broker.ledger) == []
    assert run.broker.liquidations == []
    assert run.broker.fundings == []


class Counting(MarginBroker):
    """Counts its bars, and goes on as it would."""

    params: Any = (("margin_mode", "off"),)

    def start(self) -> None:
        super().start()
        self.bars = 0

    def next(self) -> None:
        self.bars += 1
        super().next()


class Once(bt.Strategy):
    """Buys at the third bar."""

    def next(self) -> None:
        if len(self) == 3:
            self.buy(size=2)


def test_off_is_stock_in_a_class_that_has_its_own_next() -> None:
    ends = []
    for make in (Counting, bt.brokers.BackBroker):
        cerebro, broker = bt.Cerebro(), make()
        index = pd.date_range("2024-01-01", periods=30, freq="1h")
        price = pd.Series(range(100, 130), index, dtype=float)
        names = ("open", "high", "low", "close", "volume")
        frame = pd.DataFrame(dict.fromkeys(names, price))
        cerebro.adddata(bt.feeds.PandasData(dataname=frame))
        cerebro.setbroker(broker)
        cerebro.addstrategy(Once)
        cerebro.run()
        ends.append((broker.getvalue(), broker.getcash()))
        assert getattr(broker, "bars", 30) == 30
    assert ends[0] == ends[1]
