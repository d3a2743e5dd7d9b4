"""The example strategies are ordinary Backtrader: they run on its own broker."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "strategies").glob("*.py"))
ALL = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
PAIR = ("BTCUSDT", "ETHUSDT")
CRASH_DAY = slice("2025-03-04", "2025-03-04")


def load(file: str, name: str) -> Any:
    path = ROOT / "strategies" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"strategies_{file}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return getattr(module, name)


Scalper = load("scalper", "Scalper")
EventTrade = load("event_trade", "EventTrade")
PairTrade = load("pair_trade", "PairTrade")
Trend = load("trend", "Trend")
Breakout = load("breakout", "Breakout")
LotteryTicket = load("lottery_ticket", "LotteryTicket")
TopUp = load("top_up", "TopUp")
Grid = load("grid", "Grid")


@pytest.fixture(scope="module")
def market() -> dict[str, pd.DataFrame]:
    files = {name: ROOT / "data" / f"{name}_1m_trade.parquet" for name in ALL}
    frames = {name: pd.read_parquet(path) for name, path in files.items()}
    return {name: frame.set_index("datetime") for name, frame in frames.items()}


@pytest.fixture(scope="module")
def crash_day(market: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {name: frame.loc[CRASH_DAY] for name, frame in market.items()}


def recording(strategy: Any) -> Any:
    """The strategy, with every finished order and trade written down."""

    class Recording(strategy):
        def __init__(self) -> None:
            self.orders: list[Any] = []
            self.trades: list[Any] = []
            super().__init__()

        def notify_order(self, order: Any) -> None:
            if not order.alive():
                self.orders.append(order)
            super().notify_order(order)

        def notify_trade(self, trade: Any) -> None:
            if trade.isclosed:
                self.trades.append(trade)

    return Recording


class VenueBroker(bt.brokers.BackBroker):
    """Liquidates: takes positions away at the close, as a margin broker does."""

    params = (("victims", ()), ("bar", 0), ("cancels", True))

    def next(self) -> None:
        super().next()
        for data, held in list(self.positions.items()):
            due = len(data) >= self.p.bar and data._name in self.p.victims
            if held.size and due:
                self.liquidate(data, held.size)

    def liquidate(self, data: Any, size: float) -> None:
        owner = self.cerebro.runningstrats[0]
        if self.p.cancels:
            for order in [order for order in self.pending if order.data is data]:
                self.cancel(order)
        kind = bt.SellOrder if size > 0 else bt.BuyOrder
        order = kind(
            owner=owner,
            data=data,
            size=abs(size),
            exectype=bt.Order.Market,
        )
        order.addcomminfo(self.getcommissioninfo(data))
        order.addinfo(liquidation="event")
        self._ocoize(order, None)
        order.submit(self)
        order.accept(self)
        self._execute(order, ago=0, price=data.close[0])
        self.p.victims = tuple(name for name in self.p.victims if name != data._name)


def run(
    strategy: Any,
    frames: dict[str, pd.DataFrame],
    names: tuple[str, ...],
    broker: Any = None,
    **params: Any,
) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.broker = broker or cerebro.broker
    cerebro.broker.setcash(10_000.0)
    cerebro.broker.setcommission(commission=0.0005, leverage=10)
    for name in names:
        cerebro.adddata(bt.feeds.PandasData(dataname=frames[name]), name=name)
    cerebro.addstrategy(recording(strategy), **params)
    return cerebro.run()[0]


def completed(strategy: Any) -> list[Any]:
    return [order for order in strategy.orders if order.status == order.Completed]


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_there_are_eight() -> None:
    assert [path.stem for path in FILES] == [
        *("breakout", "event_trade", "grid", "lottery_ticket"),
        *("pair_trade", "scalper", "top_up", "trend"),
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_one_short_strategy_that_knows_no_margin(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    tree = ast.parse(text)
    assert not [name for name in imports(tree) if name.startswith("bt_margin")]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    strategies = [
        node for node in classes if ast.unparse(node.bases[0]) == "bt.Strategy"
    ]
    assert len(strategies) == 1
    text = ast.get_docstring(strategies[0]) or ""
    assert all(word in text for word in ("Idea", "Market", "Risk", "Isolated", "Cross"))


@pytest.mark.parametrize(
    "strategy",
    [Scalper, EventTrade, PairTrade, Trend, Breakout, LotteryTicket, TopUp, Grid],
)
def test_leverage_sets_the_size(
    strategy: Any, crash_day: dict[str, pd.DataFrame]
) -> None:
    # A risk that never binds, so that the size is its margin's.
    more = {"risk": 100.0} if strategy in (EventTrade, Trend) else {}
    sizes = [
        abs(
            run(strategy, crash_day, PAIR, leverage=leverage, **more)
            .orders[0]
            .created.size
        )
        for leverage in (2.0, 4.0)
    ]
    assert sizes[1] == pytest.approx(2 * sizes[0])


def test_scalper_trades_every_data_in_brackets(
    crash_day: dict[str, pd.DataFrame],
) -> None:
    result = run(Scalper, crash_day, ALL)
    assert {trade.data._name for trade in result.trades} == set(ALL)
    children = [order for order in completed(result) if order.parent is not None]
    assert {order.exectype for order in children} == {bt.Order.Stop, bt.Order.Limit}
    entries = [order for order in completed(result) if order.parent is None]
    assert len(children) >= len(entries) - len(ALL)
    notional = abs(entries[0].executed.size * entries[0].executed.price)
    assert notional == pytest.approx(0.05 * 10 * 10_000, rel=0.05)


def test_scalper_holds_one_position_per_data(
    crash_day: dict[str, pd.DataFrame],
) -> None:
    result = run(Scalper, crash_day, PAIR)
    for name in PAIR:
        held = 0.0
        for order in completed(result):
            if order.data._name == name:
                assert held == 0 or order.executed.size == pytest.approx(-held)
                held = round(held + order.executed.size, 9)


def test_scalper_withdraws_a_stale_entry(crash_day: dict[str, pd.DataFrame]) -> None:
    result = run(Scalper, crash_day, ALL, patience=1)
    parents = [order for order in result.orders if order.parent is None]
    assert any(order.status == order.Canceled for order in parents)


@pytest.mark.parametrize("event", [None, "2025-03-04T14:10:00Z", datetime(2025, 3, 4)])
def test_event_trade_trades_once_per_data(
    market: dict[str, pd.DataFrame], event: object
) -> None:
    frames = {name: market[name].loc["2025-03-03 12:00":"2025-03-05"] for name in PAIR}
    result = run(EventTrade, frames, PAIR, event=event)
    entries = [order for order in result.orders if order.info.get("entry")]
    assert len(entries) == 2 * len(PAIR)
    assert 1 <= len(result.trades) <= len(PAIR)
    assert not any(result.getposition(data) for data in result.datas)
    if event:
        start = bt.num2date(entries[0].created.dt)
        assert 0 <= (result.event - start).total_seconds() <= 300


def test_event_trade_loses_what_it_risks(crash_day: dict[str, pd.DataFrame]) -> None:
    result = run(EventTrade, crash_day, ALL, stop_atr=1.0)
    stops = [
        order
        for order in completed(result)
        if order.exectype == bt.Order.Stop and not order.info.get("entry")
    ]
    assert stops
    losses = [trade.pnl for trade in result.trades if trade.pnl < 0]
    assert losses
    # A bar may open beyond the stop.
    assert all(loss > -1.6 * 0.01 * 10_000 for loss in losses)


def test_event_trade_does_nothing_without_its_event(
    crash_day: dict[str, pd.DataFrame],
) -> None:
    assert not run(EventTrade, crash_day, PAIR, event="2024-01-01").orders


def test_pair_trade_holds_equal_and_opposite_legs(
    crash_day: dict[str, pd.DataFrame],
) -> None:
    result = run(PairTrade, crash_day, PAIR)
    assert result.trades
    first, second = completed(result)[:2]
    assert first.data is not second.data
    sides = [order.executed.size * order.executed.price for order in (first, second)]
    assert sides[0] == pytest.approx(-sides[1], rel=0.01)
    assert abs(sides[0]) == pytest.approx(0.1 * 10 * 10_000, rel=0.05)


def test_pair_trade_stops(crash_day: dict[str, pd.DataFrame]) -> None:
    patient = run(PairTrade, crash_day, PAIR, stop=0.5)
    careful = run(PairTrade, crash_day, PAIR, stop=0.001)
    worst = [min(trade.pnl for trade in r.trades) for r in (patient, careful)]
    assert len(careful.trades) > 0
    assert worst != [worst[0]] * 2


def test_pair_trade_needs_two_datas(crash_day: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(ValueError, match="two datas"):
        run(PairTrade, crash_day, ("BTCUSDT",))


@pytest.mark.parametrize("cancels", [True, False])
@pytest.mark.parametrize("strategy", [Scalper, EventTrade, PairTrade, Trend, Breakout])
def test_a_liquidation_leaves_nothing_behind(
    strategy: Any, cancels: bool, crash_day: dict[str, pd.DataFrame]
) -> None:
    params = {} if strategy is not EventTrade else {"event": "2025-03-04 14:10:00"}
    plain = run(strategy, crash_day, PAIR, **params)
    held = next(trade for trade in plain.trades if trade.barlen > 3)
    broker = VenueBroker(
        victims=(held.data._name,), bar=held.baropen + 2, cancels=cancels
    )
    result = run(strategy, crash_day, PAIR, broker=broker, **params)
    kills = [order for order in result.orders if order.info.get("liquidation")]
    assert len(kills) == 1
    death = kills[0].executed.dt
    later = [order for order in completed(result) if order.executed.dt > death]
    of_the_dead = [order for order in later if order.data is kills[0].data]
    assert not [order for order in of_the_dead if order.created.dt < death]
    if strategy is PairTrade:
        hedge = next(order for order in later if order.data is not kills[0].data)
        assert (hedge.executed.dt - death) * 1440 < 1.5


@pytest.mark.parametrize("strategy", [Scalper, EventTrade])
def test_a_position_without_its_stop_is_closed(
    strategy: Any, crash_day: dict[str, pd.DataFrame]
) -> None:
    class Forgetful(VenueBroker):
        """Withdraws every order at a bar, as an account-wide cancel does."""

        def liquidate(self, data: Any, size: float) -> None:
            for order in list(self.pending):
                self.cancel(order)
            self.p.victims = ()

    params = {} if strategy is not EventTrade else {"event": "2025-03-04 14:10:00"}
    plain = run(strategy, crash_day, PAIR, **params)
    held = next(trade for trade in plain.trades if trade.barlen > 3)
    broker = Forgetful(victims=(held.data._name,), bar=held.baropen + 2)
    result = run(strategy, crash_day, PAIR, broker=broker, **params)
    same = [trade for trade in result.trades if trade.baropen == held.baropen]
    assert min(trade.barlen for trade in same) == 3


@pytest.mark.parametrize(
    "strategy", [Scalper, EventTrade, PairTrade, Trend, Breakout, LotteryTicket, TopUp]
)
def test_flat_prices_do_no_harm(strategy: Any) -> None:
    index = pd.date_range("2025-03-03", periods=400, freq="min", tz="UTC")
    frame = pd.DataFrame(
        {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}, index=index
    )
    own: dict[Any, dict[str, Any]] = {
        EventTrade: {"event": "2025-03-03 03:00:00"},
        Trend: {"fast": 20, "slow": 100},
    }
    params = own.get(strategy, {})
    result = run(strategy, {"A": frame, "B": frame}, ("A", "B"), **params)
    assert not result.orders


def market_orders(result: Any) -> list[Any]:
    return [o for o in completed(result) if o.exectype == bt.Order.Market]


def candles(closes: list[float]) -> pd.DataFrame:
    """Minute candles that open where the last one closed, without wicks."""
    index = pd.date_range("2025-03-03", periods=len(closes), freq="min", tz="UTC")
    opens = [closes[0], *closes[:-1]]
    pairs = list(zip(opens, closes, strict=True))
    return pd.DataFrame(
        {
            "open": opens,
            "high": [max(pair) for pair in pairs],
            "low": [min(pair) for pair in pairs],
            "close": closes,
            "volume": 1.0,
        },
        index=index,
    )


def test_trend_trails_its_stop_and_never_lets_it_back() -> None:
    # Down to 90, up by 1 a bar to 160, and down: the range is 1, so out when the close
    # is 2 below the best one.
    down, up = [100.0 - n for n in range(11)], [91.0 + n for n in range(70)]
    closes = [*down, *up, *(159.0 - n for n in range(8))]
    words = {"fast": 2, "slow": 6, "atr_period": 3, "stop_atr": 2.0}
    result = run(Trend, {"A": candles(closes)}, ("A",), **words)
    entry, leave = market_orders(result)[:2]
    assert entry.isbuy()
    assert not leave.isbuy()
    # The close of the bar before the exit is the first at 158 or below.
    assert leave.executed.price == 158


def test_breakout_enters_beyond_the_range_with_a_bracket() -> None:
    # Between 99 and 101 for a while, then a close at 104.
    closes = [100.0, 101.0, 100.0, 99.0] * 6 + [104.0, 104.0, 104.0]
    result = run(Breakout, {"A": candles(closes)}, ("A",), period=8)
    sent = market_orders(result)
    assert [order.isbuy() for order in sent] == [True]
    assert sent[0].executed.price == 104


def test_lottery_ticket_pays_or_waits() -> None:
    # A stake of 50 at 50x is worth 2,500: 25 coins at 100. Three times the stake are
    # 150, a rise by 6; out on the bar after the close at 106.
    closes = [99.0] * 5 + [100.0] * 3 + [103.0, 106.0, 107.0, 107.0]
    words = {"look_back": 4, "every": 100, "payoff": 3.0}
    result = run(LotteryTicket, {"A": candles(closes)}, ("A",), **words)
    bought, sold = market_orders(result)
    assert bought.executed.size == pytest.approx(25)
    assert (bought.executed.price, sold.executed.price) == (100, 106)


def test_lottery_ticket_stakes_once_in_a_while(
    crash_day: dict[str, pd.DataFrame],
) -> None:
    result = run(LotteryTicket, crash_day, ("BTCUSDT",), every=300, payoff=0.01)
    entries = market_orders(result)[::2]
    bars = [round(order.created.dt * 1440) for order in entries]
    assert len(bars) > 1
    assert all(b - a >= 300 for a, b in pairwise(bars))


def test_top_up_leaves_at_the_average(crash_day: dict[str, pd.DataFrame]) -> None:
    result = run(TopUp, crash_day, PAIR, dip=0.01)
    assert result.trades
    assert all(order.isbuy() for order in market_orders(result)[::2][:1])


def test_grid_answers_each_level_with_its_way_back() -> None:
    # Levels at 99.5, 99 and so on; down to 98.9 and back to 100.
    closes = [100.0, 100.0, 98.9, 98.9, 100.0, 100.0, 100.0]
    words = {"levels": 4, "step": 0.005}
    result = run(Grid, {"A": candles(closes)}, ("A",), **words)
    prices = [(order.isbuy(), order.executed.price) for order in completed(result)]
    assert prices[:2] == [(True, 99.5), (True, 99.0)]
    assert sorted(prices[2:4]) == [(False, 99.5), (False, 100.0)]


def test_grid_moves_up_when_it_holds_nothing() -> None:
    closes = [100.0, 100.0, 103.0, 103.0, 103.0]
    result = run(Grid, {"A": candles(closes)}, ("A",), levels=2, step=0.01)
    withdrawn = [order for order in result.orders if order.status == order.Canceled]
    assert len(withdrawn) == 2
    assert result.centre[result.datas[0]] == 103.0
