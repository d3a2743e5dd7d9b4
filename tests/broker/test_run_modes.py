"""What happens does not depend on how Cerebro runs.

Two strategies hold two symbols at leverage 10 through a crash and a spike, with
funding, resting orders and a deposit: orders, trades, liquidations, funding and
ledger are the same in every mode, and the money adds up at every bar.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from backtrader import Order

from bt_margin import (
    CrossBroker,
    FundingEvent,
    IsolatedBroker,
    LiquidationEvent,
    PerpCommission,
    PerpData,
)

BARS, CRASH, DEPOSIT, SPIKE = 240, 90, 120, 180
SYMBOLS = ("X", "Y")
Step = tuple[int, int, float, int]  # bar, feed, signed size, trade id


@dataclass(frozen=True)
class Frames:
    trade: pd.DataFrame
    mark: pd.DataFrame
    funding: pd.DataFrame


@pytest.fixture(scope="module")
def market() -> dict[str, Frames]:
    """Ten-minute candles: X crashes by a third and later jumps, Y hardly moves."""
    shocks = {CRASH: -0.2, CRASH + 1: -0.18, SPIKE: 0.25, SPIKE + 1: 0.2}
    return {"X": _frames(1, shocks), "Y": _frames(2, {})}


def _frames(seed: int, shocks: dict[int, float]) -> Frames:
    rng = np.random.default_rng(seed)
    rows, last = [], 100.0
    for bar in range(BARS):
        opened = last * np.exp(0.0005 * rng.normal())
        closed = opened * np.exp(0.002 * rng.normal() + shocks.get(bar, 0.0))
        high = max(opened, closed) * np.exp(0.001 * abs(rng.normal()))
        low = min(opened, closed) * np.exp(-0.001 * abs(rng.normal()))
        rows.append([round(float(p), 2) for p in (opened, high, low, closed)])
        last = rows[-1][-1]
    index = pd.date_range("2024-01-01", periods=BARS, freq="10min", name="datetime")
    trade = pd.DataFrame(rows, index=index, columns=["open", "high", "low", "close"])
    mark = (trade * 1.0005).round(3)
    trade["volume"] = 1000.0
    # On a bar's start, inside a bar, and two in one bar.
    moments = ["00:30", "01:05", "04:00", "08:00", "12:01", "12:07", "20:00", "31:35"]
    times = pd.DatetimeIndex(
        [index[0] + pd.Timedelta(f"{moment}:00") for moment in moments]
    )
    rates = [0.0001, -0.0002, 0.0005, 0.0001, 0.0003, -0.0001, 0.0002, 0.0004]
    known = [None, 100.1, None, 99.9, None, None, None, None]
    funding = pd.DataFrame(
        {"funding_rate": rates, "mark_price": np.array(known, dtype=float)}, index=times
    )
    return Frames(trade, mark, funding)


class Holder(bt.Strategy):
    """Follows a plan, and writes down all that it is told."""

    params: Any = (("plan", ()), ("deposits", False), ("marks", None))

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.trades: list[Any] = []
        self.told: list[Any] = []
        self.stored: list[Any] = []
        self.timers = 0
        self.worth: list[tuple[float, float]] = []

    def next(self) -> None:
        bar = len(self)
        for when, feed, size, tradeid in self.p.plan:
            if when == bar:
                side = self.buy if size > 0 else self.sell
                side(data=self.datas[feed], size=abs(size), tradeid=tradeid)
        if self.p.deposits and bar == 30:
            price = self.data.close[0] * 0.5
            self.buy(size=1, exectype=Order.Limit, price=price, tradeid=9)
        if self.p.deposits and bar == DEPOSIT:
            self.broker.add_cash(600)
        if self.p.marks is not None:
            self.worth.append((self.broker.getvalue(), self._expected_value()))

    def _expected_value(self) -> float:
        total = sum(entry.amount for entry in self.broker.ledger)
        for data in self.datas:
            held = self.broker.getposition(data)
            mark = self.p.marks[data._name][bt.num2date(data.datetime[0])]
            total += held.size * (mark - held.price)
        return float(total)

    def notify_order(self, order: Any) -> None:
        self.orders.append(order)

    def notify_trade(self, trade: Any) -> None:
        self.trades.append(trade)

    def notify_liquidation(self, event: LiquidationEvent) -> None:
        self.told.append(event)

    def notify_funding(self, event: FundingEvent) -> None:
        self.told.append(event)

    def notify_store(self, message: Any, *args: Any, **kwargs: Any) -> None:
        self.stored.append(message)

    def notify_timer(self, timer: Any, when: Any, *args: Any, **kwargs: Any) -> None:
        self.timers += 1


BULLS: tuple[Step, ...] = (
    (10, 0, 30, 1),
    (20, 0, 20, 2),
    (20, 1, 40, 0),
    (140, 0, -30, 3),
)
BEARS: tuple[Step, ...] = ((12, 0, 10, 0), (15, 0, -5, 7), (145, 0, -10, 0))


@dataclass
class Outcome:
    cerebro: Any
    broker: Any
    strategies: list[Any]
    from_store: list[Any]

    @property
    def events(self) -> dict[str, Any]:
        """Everything that happened, without the process-wide references."""
        return {
            "orders": [self._orders(strategy) for strategy in self.strategies],
            "trades": [self._trades(strategy) for strategy in self.strategies],
            "liquidations": self.broker.liquidations,
            "fundings": self.broker.fundings,
            "ledger": [
                (e.time, e.kind, e.wallet, e.symbol, e.amount)
                for e in self.broker.ledger
            ],
            "value": self.broker.getvalue(),
            "cash": self.broker.getcash(),
        }

    @staticmethod
    def _orders(strategy: Any) -> list[Any]:
        return [
            (
                o.data._name,
                o.tradeid,
                o.getstatusname(),
                o.created.size,
                o.executed.size,
                o.executed.price,
                o.executed.comm,
                o.executed.pnl,
                o.executed.dt,
                o.info.get("liquidation") is not None,
            )
            for o in strategy.orders
        ]

    @staticmethod
    def _trades(strategy: Any) -> list[Any]:
        return [
            (
                t.data._name,
                t.tradeid,
                t.isclosed,
                t.size,
                t.price,
                t.pnl,
                t.pnlcomm,
                t.dtopen,
                t.dtclose,
                t.barlen,
            )
            for t in strategy.trades
        ]


def perp_feed(frames: Frames, name: str) -> Any:
    return PerpData(
        dataname=frames.trade, mark=frames.mark, funding=frames.funding, name=name
    )


def build(
    broker: Any,
    market: dict[str, Frames],
    *plans: tuple[Step, ...],
    feed: Callable[..., Any] = perp_feed,
    prepare: Callable[[Any], None] | None = None,
    **settings: Any,
) -> tuple[Any, list[Any]]:
    """A Cerebro ready to run, and the list that its store callback fills."""
    cerebro = bt.Cerebro(**{"stdstats": False, **settings})
    cerebro.setbroker(broker)
    for symbol in SYMBOLS:
        cerebro.adddata(feed(market[symbol], symbol), name=symbol)
    for number, plan in enumerate(plans):
        cerebro.addstrategy(Holder, plan=plan, deposits=number == 0)
    from_store: list[Any] = []
    cerebro.addstorecb(lambda message, *args, **kwargs: from_store.append(message))
    if prepare is not None:
        prepare(cerebro)
    return cerebro, from_store


def run(
    broker: Any, market: dict[str, Frames], *plans: Any, **settings: Any
) -> Outcome:
    cerebro, from_store = build(broker, market, *(plans or (BULLS, BEARS)), **settings)
    return Outcome(cerebro, broker, cerebro.run(), from_store)


def make_isolated() -> Any:
    return IsolatedBroker(cash=1_400, leverage=10)


def make_cross() -> Any:
    """Y stands apart, so that something is left when the shared wallet is gone."""
    broker = CrossBroker(cash=1_400, leverage=10)
    scheme: Any = PerpCommission
    broker.addcommissioninfo(scheme(margin_mode="isolated"), name="Y")
    return broker


MAKERS = {"isolated": make_isolated, "cross": make_cross}


@pytest.fixture(scope="module", params=[*MAKERS.values()], ids=[*MAKERS])
def make(request: pytest.FixtureRequest) -> Any:
    """Make a broker on which the plans come to liquidation."""
    return request.param


@pytest.fixture(scope="module")
def usual(market: dict[str, Frames]) -> dict[str, Any]:
    """What happens in Cerebro's usual mode."""
    return {mode: run(make(), market) for mode, make in MAKERS.items()}


def add_timers(cerebro: Any) -> None:
    cerebro.add_timer(when=time(3, 0), strats=True)
    cerebro.add_timer(when=time(4, 0), strats=True, cheat=True)


def add_writer(cerebro: Any) -> None:
    cerebro.addwriter(bt.WriterFile, csv=True, out=io.StringIO())


STOCK_ANALYZERS = (
    "TradeAnalyzer",
    "DrawDown",
    "TimeReturn",
    "PyFolio",
    "SQN",
    "Transactions",
    "PositionsValue",
    "GrossLeverage",
)


def add_analyzers(cerebro: Any) -> None:
    for name in STOCK_ANALYZERS:
        cerebro.addanalyzer(getattr(bt.analyzers, name), _name=name)


MODES: dict[str, dict[str, Any]] = {
    "runonce": {"runonce": True},
    "bar by bar": {"runonce": False},
    "no preload": {"preload": False},
    "exactbars 1": {"exactbars": 1},
    "exactbars 0": {"exactbars": 0},
    "exactbars -1": {"exactbars": -1},
    "exactbars -2": {"exactbars": -2},
    "oldsync": {"oldsync": True},
    "oldsync bar by bar": {"oldsync": True, "runonce": False},
    "standard observers": {"stdstats": True},
    "quick notification": {"quicknotify": True},
    "quick notification bar by bar": {"quicknotify": True, "runonce": False},
    "timers": {"prepare": add_timers},
    "a csv writer": {"prepare": add_writer, "stdstats": True},
    "all stock analyzers": {"prepare": add_analyzers},
    "all stock analyzers bar by bar": {"prepare": add_analyzers, "runonce": False},
    "trade history": {"tradehistory": True},
}


@pytest.fixture(params=[*MODES.values()], ids=[*MODES])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module", params=[*MODES.values()], ids=[*MODES])
def outcome(
    request: pytest.FixtureRequest, make: Any, market: dict[str, Frames]
) -> Outcome:
    """The run of the plans in a mode."""
    return run(make(), market, **request.param)


def test_the_market_liquidates_a_long_and_a_short(usual: dict[str, Any]) -> None:
    """The tests below are about something."""
    for outcome in usual.values():
        sizes = [e.size for e in outcome.broker.liquidations if e.symbol == "X"]
        assert sizes == [55, -40]
        assert {e.symbol for e in outcome.broker.fundings} == set(SYMBOLS)
        wallets = {e.wallet for e in outcome.broker.liquidations}
        margin_mode = outcome.broker.p.margin_mode
        assert wallets == {"isolated:X" if margin_mode == "isolated" else "shared"}


@pytest.mark.parametrize("runonce", [True, False], ids=["runonce", "bar by bar"])
def test_a_cross_wallet_takes_all_its_positions_along(
    market: dict[str, Frames], runonce: bool
) -> None:
    broker = CrossBroker(cash=1_400, leverage=10)
    outcome = run(broker, market, runonce=runonce)
    liquidated = [(event.symbol, event.size) for event in broker.liquidations]
    assert liquidated == [("X", 55), ("Y", 40), ("X", -40)]
    first, second, _ = broker.liquidations
    assert first.time == second.time
    assert broker.ledger.balances == {"shared": 0}
    assert broker.getvalue() == pytest.approx(0, abs=1e-9)
    for strategy in outcome.strategies:
        last = {(t.data._name, t.tradeid): t for t in strategy.trades}
        assert last
        assert all(trade.isclosed for trade in last.values())


def test_events_are_the_same_in_every_mode(
    outcome: Outcome, usual: dict[str, Any]
) -> None:
    expected = usual[outcome.broker.p.margin_mode].events
    assert outcome.events == expected


def test_strategies_are_told_in_every_mode(outcome: Outcome) -> None:
    broker = outcome.broker
    happened = Counter(map(id, [*broker.fundings, *broker.liquidations]))
    assert happened
    assert Counter(map(id, outcome.from_store)) == happened
    for strategy in outcome.strategies:
        assert Counter(map(id, strategy.told)) == happened
        assert Counter(map(id, strategy.stored)) == happened
        assert [event.time for event in strategy.told] == sorted(
            event.time for event in strategy.told
        )


def test_timers_are_heard(make: Any, market: dict[str, Frames]) -> None:
    outcome = run(make(), market, prepare=add_timers)
    assert [s.timers for s in outcome.strategies] == [4, 4]


def test_every_part_of_a_position_gets_its_liquidation_order(
    outcome: Outcome,
) -> None:
    """One completed order and one closed trade for each strategy and trade id."""
    crash = outcome.broker.liquidations[0]
    assert (crash.symbol, crash.size) == ("X", 55)
    forced = [
        (number, order.tradeid, order.executed.size)
        for number, strategy in enumerate(outcome.strategies)
        for order in strategy.orders
        if order.info.get("liquidation") is crash
    ]
    assert sorted(forced) == [(0, 1, -30), (0, 2, -20), (1, 0, -10), (1, 7, 5)]
    for strategy in outcome.strategies:
        for order in strategy.orders:
            event = order.info.get("liquidation")
            if event is not None:
                assert event in outcome.broker.liquidations
                assert order.status == Order.Completed
                assert order.executed.price == event.fill_price
        closed = Counter(
            (t.data._name, t.tradeid) for t in strategy.trades if t.isclosed
        )
        forced_here = Counter(
            (o.data._name, o.tradeid)
            for o in strategy.orders
            if o.info.get("liquidation") is not None
        )
        assert closed == forced_here


def test_a_resting_order_is_cancelled_with_the_position(usual: dict[str, Any]) -> None:
    for outcome in usual.values():
        resting = [o for o in outcome.strategies[0].orders if o.tradeid == 9]
        statuses = [o.getstatusname() for o in resting]
        assert statuses == ["Submitted", "Accepted", "Canceled"]


def test_no_trade_stays_open_after_its_liquidation(
    make: Any, market: dict[str, Frames], mode: dict[str, Any]
) -> None:
    settings = {**mode}
    before = settings.pop("prepare", lambda cerebro: None)

    def prepare(cerebro: Any) -> None:
        before(cerebro)
        cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="count")

    closing_y = (230, 1, -40, 0)
    plans = ((*BULLS, closing_y), BEARS)
    outcome = run(make(), market, *plans, prepare=prepare, **settings)
    totals = [s.analyzers.count.get_analysis().total for s in outcome.strategies]
    assert [(t.total, t.closed, t.open) for t in totals] == [(4, 4, 0), (3, 3, 0)]


def test_profit_of_the_trades_is_what_the_ledger_says(usual: dict[str, Any]) -> None:
    """All positions of X are closed: price, insurance, fees and funding agree."""
    for outcome in usual.values():
        closed = [
            t
            for strategy in outcome.strategies
            for t in strategy.trades
            if t.isclosed and t.data._name == "X"
        ]
        ledger = outcome.broker.ledger
        price = ledger.total("realized_pnl", "insurance", symbol="X")
        costs = ledger.total("fee", "funding", "liquidation_fee", symbol="X")
        assert sum(t.pnl for t in closed) == pytest.approx(price, rel=1e-9)
        net = sum(t.pnlcomm for t in closed)
        assert net == pytest.approx(price + costs, rel=1e-9)


def test_opposite_legs_of_one_position_both_close(
    make: Any, market: dict[str, Frames]
) -> None:
    """One strategy is long 90, the other short 30: the venue takes the 60 left."""
    long, short = ((10, 0, 90, 0),), ((11, 0, -30, 0),)

    def analyze(cerebro: Any) -> None:
        cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="count")

    outcome = run(make(), market, long, short, prepare=analyze)
    assert [event.size for event in outcome.broker.liquidations] == [60]
    assert [s.orders[-1].executed.size for s in outcome.strategies] == [-90, 30]
    totals = [s.analyzers.count.get_analysis().total for s in outcome.strategies]
    assert [(total.closed, total.open) for total in totals] == [(1, 0), (1, 0)]
    for strategy in outcome.strategies:
        assert strategy.position.size == 0


def test_a_leg_that_flips_closes_as_it_stands(
    make: Any, market: dict[str, Frames]
) -> None:
    """Long 20, then short 15, then long 35 under one trade id."""
    flips = ((5, 0, 20, 4), (8, 0, -35, 4), (11, 0, 50, 4), (12, 0, 10, 5))
    outcome = run(make(), market, flips)
    forced = [
        (o.tradeid, o.executed.size)
        for o in outcome.strategies[0].orders
        if o.info.get("liquidation") is not None
    ]
    assert forced == [(4, -35), (5, -10)]
    last = {t.tradeid: t for t in outcome.strategies[0].trades}
    assert all(t.isclosed for t in last.values())


def test_fresh_runs_are_the_same(make: Any, market: dict[str, Frames]) -> None:
    first, second = run(make(), market), run(make(), market)
    assert first.events == second.events


def test_one_broker_can_run_again(make: Any, market: dict[str, Frames]) -> None:
    broker = make()
    first, second = (run(broker, market).events for _ in range(2))
    assert first == second


@pytest.mark.parametrize("runonce", [True, False], ids=["runonce", "bar by bar"])
def test_one_cerebro_can_run_again(
    make: Any, market: dict[str, Frames], runonce: bool
) -> None:
    cerebro, from_store = build(make(), market, BULLS, BEARS, runonce=runonce)
    events = []
    for _ in range(2):
        strategies = cerebro.run()
        outcome = Outcome(cerebro, cerebro.broker, strategies, from_store)
        events.append(outcome.events)
    assert events[0]["liquidations"]
    assert events[0] == events[1]
    half = len(from_store) // 2
    assert from_store[:half] == from_store[half:]


def test_wallets_hold_the_sum_of_their_entries(outcome: Outcome) -> None:
    ledger = outcome.broker.ledger
    sums: dict[str, float] = defaultdict(float)
    for entry in ledger:
        sums[entry.wallet] += entry.amount
    assert dict(sums) == ledger.balances
    assert all(balance >= 0 for balance in sums.values())


@pytest.mark.parametrize("runonce", [True, False], ids=["runonce", "bar by bar"])
def test_value_is_wallets_plus_unrealized_profit_at_every_bar(
    make: Any, market: dict[str, Frames], runonce: bool
) -> None:
    marks = {symbol: dict(market[symbol].mark["close"].items()) for symbol in SYMBOLS}
    cerebro, _ = build(make(), market, runonce=runonce)
    cerebro.addstrategy(Holder, plan=(*BULLS, *BEARS), deposits=True, marks=marks)
    (strategy,) = cerebro.run()
    assert len(strategy.worth) == BARS
    for value, expected in strategy.worth:
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_analyzers_agree_with_the_broker(make: Any, market: dict[str, Frames]) -> None:
    outcome = run(make(), market, prepare=add_analyzers)
    broker = outcome.broker
    found = outcome.strategies[0].analyzers
    final = broker.getvalue()
    growth = np.prod([1 + r for r in found.TimeReturn.get_analysis().values()])
    assert 1_400 * growth == pytest.approx(final, rel=1e-9)
    drawdown = found.DrawDown.get_analysis()
    assert 0 < drawdown.max.drawdown <= 100
    positions = list(found.PositionsValue.get_analysis().values())
    assert len(positions) == BARS
    data = outcome.cerebro.datasbyname["Y"]
    assert positions[-1] == [0, 40 * data.close[0]]
    rows = [row for rows in found.Transactions.get_analysis().values() for row in rows]
    sold = [(size, price) for size, price, _, name, _ in rows if name == "X"]
    events = {event.fill_price for event in broker.liquidations}
    assert events <= {price for _, price in sold}
    assert sum(size for size, _ in sold) == 0
    _, values, transactions, leverage = found.PyFolio.get_pf_items()
    assert len(values) == len(leverage) == BARS
    assert len(transactions) == len(rows)


def test_a_csv_writer_writes_a_line_for_each_bar(
    make: Any, market: dict[str, Frames]
) -> None:
    out = io.StringIO()

    def add(cerebro: Any) -> None:
        cerebro.addwriter(bt.WriterFile, csv=True, out=out)

    outcome = run(make(), market, (*BULLS, *BEARS), prepare=add, stdstats=True)
    rows = [line.split(",") for line in out.getvalue().splitlines()]
    bars = [row for row in rows if row[0].isdigit()]
    assert [int(row[0]) for row in bars] == list(range(1, BARS + 1))
    column = bars[-1].index("Broker") + 2
    cash, value = (float(cell) for cell in bars[-1][column : column + 2])
    assert cash == outcome.broker.getcash()
    assert value == outcome.broker.getvalue()


RATIO_ANALYZERS = (
    *STOCK_ANALYZERS,
    "AnnualReturn",
    "Calmar",
    "LogReturnsRolling",
    "PeriodStats",
    "Returns",
    "SharpeRatio",
    "SharpeRatio_A",
    "TimeDrawDown",
    "VWR",
)


@pytest.mark.parametrize("name", RATIO_ANALYZERS)
def test_a_stock_analyzer_survives_an_account_that_is_wiped_out(
    market: dict[str, Frames], name: str
) -> None:
    """Nothing is left from the crash on, a day before the end."""

    def add(cerebro: Any) -> None:
        cerebro.addanalyzer(getattr(bt.analyzers, name), _name="found")

    broker = CrossBroker(cash=600, leverage=10)
    outcome = run(broker, market, ((10, 0, 50, 0),), prepare=add, stdstats=True)
    assert len(broker.liquidations) == 1
    assert outcome.strategies[0].analyzers.found.get_analysis() is not None


def test_a_deposit_after_a_wipe_out_is_there_to_trade_with(
    market: dict[str, Frames],
) -> None:
    broker = CrossBroker(cash=600, leverage=10)
    outcome = run(broker, market, ((10, 0, 50, 0), (140, 0, 5, 0)), stdstats=True)
    assert len(broker.liquidations) == 1
    assert outcome.strategies[0].getposition().size == 5
    assert broker.getvalue() > 590
    assert np.isfinite([broker.fundvalue, broker.fundshares]).all()


# Feeds made of other feeds


class Timed(Holder):
    """Trades at given moments, however often a bar is shown."""

    params: Any = (("at", ()),)

    def __init__(self) -> None:
        super().__init__()
        self.due = list(self.p.at)

    def next(self) -> None:
        while self.due and bt.num2date(self.data.datetime[0]) >= self.due[0][0]:
            _, size = self.due.pop(0)
            (self.buy if size > 0 else self.sell)(size=abs(size))


def run_timed(
    broker: Any, frames: Frames, add: Callable[[Any, Any], None], *at: tuple[str, float]
) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    add(cerebro, perp_feed(frames, "X"))
    moments = [(pd.Timestamp(f"2024-01-{time}"), size) for time, size in at]
    cerebro.addstrategy(Timed, at=moments)
    return Outcome(cerebro, broker, cerebro.run(), [])


def plainly(cerebro: Any, feed: Any) -> None:
    cerebro.adddata(feed, name="X")


def replayed(cerebro: Any, feed: Any) -> None:
    hours = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}
    cerebro.replaydata(feed, name="X", **hours)


def resampled(cerebro: Any, feed: Any) -> None:
    hours = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}
    cerebro.resampledata(feed, name="X", **hours)


def with_hours_beside(cerebro: Any, feed: Any) -> None:
    hours = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}
    cerebro.adddata(feed, name="X")
    cerebro.resampledata(feed, name="hours", **hours)


@pytest.mark.parametrize(
    "add", [replayed, with_hours_beside], ids=["replayed", "with hours beside"]
)
def test_events_are_the_same_when_coarser_bars_are_shown(
    make: Any, market: dict[str, Frames], add: Callable[[Any, Any], None]
) -> None:
    orders = (("01 02:50", 50.0), ("01 22:10", -40.0))
    frames = market["X"]
    plain = run_timed(make(), frames, plainly, *orders)
    shown = run_timed(make(), frames, add, *orders)
    assert plain.broker.liquidations
    assert shown.broker.liquidations == plain.broker.liquidations
    assert shown.broker.fundings == plain.broker.fundings
    assert shown.events["ledger"] == plain.events["ledger"]
    fills, expected = (
        [
            (o.executed.dt, o.executed.size, o.executed.price, o.executed.comm)
            for o in run.strategies[0].orders
            if o.executed.size
        ]
        for run in (shown, plain)
    )
    assert fills == expected


def test_a_resampled_feed_pays_the_stamps_of_the_time_it_is_held(
    make: Any, market: dict[str, Frames]
) -> None:
    """The bar of 04:00 holds the candles up to it: it opened before the stamp."""
    outcome = run_timed(make(), market["X"], resampled, ("01 03:00", 10.0))
    bought = next(o for o in outcome.strategies[0].orders if o.executed.size)
    assert bt.num2date(bought.executed.dt).hour == 4
    assert bought.executed.price == market["X"].trade["open"].loc["2024-01-01 03:10"]
    times = [f"{event.time:%d %H:%M}" for event in outcome.broker.fundings]
    assert times[:3] == ["01 04:00", "01 08:00", "01 12:01"]


# Feeds that are not ours


LOADING = (
    "runonce",
    "bar by bar",
    "no preload",
    "exactbars 1",
    "exactbars 0",
    "exactbars -1",
    "exactbars -2",
    "oldsync",
)


def run_on_stock_feeds(
    broker: Any, market: dict[str, Frames], *, mode: dict[str, Any], **settings: Any
) -> Outcome:
    """Mark and funding are given to the broker by name."""

    def stock_feed(frames: Frames, name: str) -> Any:
        return bt.feeds.PandasDirectData(
            dataname=frames.trade, openinterest=-1, **settings
        )

    for symbol in SYMBOLS:
        broker.add_mark(symbol, market[symbol].mark)
        broker.add_funding(symbol, market[symbol].funding)
    return run(broker, market, feed=stock_feed, **mode)


@pytest.mark.parametrize(
    "settings",
    [{"timeframe": bt.TimeFrame.Minutes, "compression": 10}, {}],
    ids=["says its timeframe", "keeps the default of days"],
)
@pytest.mark.parametrize("name", LOADING)
def test_a_stock_feed_does_what_ours_does_however_it_is_loaded(
    make: Any,
    market: dict[str, Frames],
    usual: dict[str, Any],
    name: str,
    settings: dict[str, Any],
) -> None:
    broker = make()
    found = run_on_stock_feeds(broker, market, mode=MODES[name], **settings).events
    assert found == usual[broker.p.margin_mode].events
