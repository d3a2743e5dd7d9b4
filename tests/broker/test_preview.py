"""What if: the account after an order that is not sent, and the largest that passes."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin.broker import Preview
from bt_margin.core.errors import MarginError

from .conftest import candles

Script = Callable[[Any, int], None]


class Scripted(bt.Strategy):
    """Sends what a script says at each bar, and keeps what orders became."""

    params = (("script", None),)

    def __init__(self) -> None:
        self.refused: list[Any] = []

    def notify_order(self, order: Any) -> None:
        if order.status in (order.Margin, order.Rejected):
            self.refused.append(order)

    def next(self) -> None:
        self.p.script(self, len(self))


def run(script: Script, prices: list[Any], *feeds: list[Any], **params: Any) -> Any:
    """A run on flat bars at each price, or on candles where four are given."""
    cerebro = bt.Cerebro(stdstats=False)
    words = {"cash": 10_000.0, "leverage": 10.0, **params}
    cerebro.setbroker(bt_margin.MarginBroker(**words))
    for number, column in enumerate([prices, *feeds]):
        rows = [p if isinstance(p, tuple) else (p,) * 4 for p in column]
        marks = [(row[0],) * 4 for row in rows]
        feed = bt_margin.PerpData(dataname=candles(rows), mark=candles(marks))
        cerebro.adddata(feed, name=("BTC", "ETH")[number])
    cerebro.addstrategy(Scripted, script=script)
    return cerebro.run()[0]


def first_preview(ask: Callable[[Any], Preview], **params: Any) -> Preview:
    found: list[Preview] = []

    def script(strategy: Any, bar: int) -> None:
        if bar == 1:
            found.append(ask(strategy))

    run(script, [100.0, 100.0], **params)
    return found[0]


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_long_of_a_thousand_at_ten_times(mode: str) -> None:
    # 10 at 100 with 10x lock 100, cost 0.5 of taker fee, ask for 0.5 % of 1,000.
    preview = first_preview(
        lambda s: s.broker.what_if(s.data, 10), margin_mode=mode, leverage=10.0
    )
    assert (preview.size, preview.entry_price) == (10, 100)
    assert preview.fee == pytest.approx(-0.5)
    assert preview.wallet.initial_margin == pytest.approx(100)
    assert preview.wallet.maintenance_margin == pytest.approx(5)
    assert preview.available_balance == pytest.approx(10_000 - 100 - 0.5)
    assert preview.refusal is None
    if mode == "isolated":
        # The price falls by (100 - 5) / 10 from 100.
        assert preview.liquidation_price == pytest.approx(90.5)
        assert preview.distance == pytest.approx(-0.095)
        assert preview.bankruptcy_price == pytest.approx(90)
    else:
        # 9,999.5 stand behind 1,000: no fall can take them all.
        assert preview.liquidation_price is None
        assert preview.distance is None


def test_a_refusal_names_the_largest_quantity_that_passes() -> None:
    # A coin at 100 locks 10 and costs 0.05: 10,000 / 10.05 = 995.02.
    preview = first_preview(lambda s: s.broker.what_if(s.data, 2_000))
    assert preview.refusal is not None
    assert preview.refusal.largest_quantity == pytest.approx(10_000 / 10.05)
    assert preview.refusal.need == pytest.approx(2_000 * 10.05)
    assert preview.refusal.have == pytest.approx(10_000)
    assert preview.size == 0
    assert preview.available_balance == pytest.approx(10_000)


@pytest.mark.parametrize("is_buy", [True, False])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_the_largest_size_passes_and_a_little_more_does_not(
    mode: str, is_buy: bool
) -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            largest = s.broker.max_size(s.data, is_buy=is_buy)
            assert largest == pytest.approx(10_000 / 10.05)
            side = 1 if is_buy else -1
            assert s.broker.what_if(s.data, side * largest).refusal is None
            more = largest * (1 + 1e-9)
            assert s.broker.what_if(s.data, side * more).refusal is not None

    run(script, [100.0, 100.0], margin_mode=mode)


def test_the_largest_size_against_a_position_closes_it_and_opens_beyond() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)
        if bar == 2:
            # The close returns 100 and costs 0.5: 10,000 - 0.5 - 0.5 are left.
            expected = 10 + 9_999 / 10.05
            assert s.broker.max_size(s.data, is_buy=False) == pytest.approx(expected)

    run(script, [100.0] * 3)


def test_the_largest_size_is_on_the_step_and_within_the_tier() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            # Leverage 10 is allowed up to a notional of 500: 5 coins, on 0.3: 4.8.
            assert s.broker.max_size(s.data) == pytest.approx(4.8)

    tiers = bt_margin.TierTable(
        [bt_margin.Tier(0, 500, 0.005, 10), bt_margin.Tier(500, 10**9, 0.01, 5)]
    )
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.IsolatedBroker(cash=10_000, leverage=10)
    scheme: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(scheme(tiers=tiers, size_step=0.3))
    cerebro.setbroker(broker)
    cerebro.adddata(bt_margin.PerpData(dataname=candles([(100,) * 4] * 2)))
    cerebro.addstrategy(Scripted, script=script)
    cerebro.run()


def test_what_closes_and_what_opens_is_told_apart() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=10)
        if bar == 2:
            flip = s.broker.what_if(s.data, -15)
            assert (flip.closed, flip.opened, flip.size) == (-10, -5, -5)
            # Also where the opening part is refused: the close is not.
            flip = s.broker.what_if(s.data, -5_000)
            assert (flip.closed, flip.opened, flip.size) == (-10, -4_990, 0)

    run(script, [100.0] * 3)


def test_a_refusal_may_leave_resting_orders_out() -> None:
    def script(s: Any, bar: int) -> None:
        if bar == 1:
            s.buy(size=900, exectype=bt.Order.Limit, price=90.0)
        if bar == 2:
            # 8,100 are locked: 500 coins at 100 cost 5,025.
            what_if = s.broker.what_if
            assert what_if(s.data, 500).refusal is not None
            assert what_if(s.data, 500, counts_orders=False).refusal is None

    run(script, [100.0] * 3)


def test_asking_changes_nothing() -> None:
    def script(s: Any, bar: int) -> None:
        entries = len(s.broker.ledger)
        s.broker.what_if(s.data, 5)
        s.broker.what_if(s.data, -500, price=90)
        s.broker.max_size(s.data)
        assert len(s.broker.ledger) == entries
        assert not s.broker.account.positions

    run(script, [100.0] * 3)


def test_stock_accounting_knows_no_margin_to_preview() -> None:
    def script(s: Any, bar: int) -> None:
        with pytest.raises(MarginError, match="stock accounting"):
            s.broker.what_if(s.data, 1)
        with pytest.raises(MarginError, match="stock accounting"):
            s.broker.max_size(s.data)

    run(script, [100.0] * 2, margin_mode="off")


# What is previewed is what happens


def state(strategy: Any, data: Any, side: str | None) -> tuple[Any, ...]:
    """What a preview tells, as the account tells it afterwards."""
    broker = strategy.broker
    symbol = f"{data._name}:{side}" if side else data._name
    account, marks = broker.account, broker.mark_of_symbol
    held = account.positions.get(symbol)
    wallet = account.wallet_of(symbol) if held else account.shared
    return (
        held.size if held else 0,
        held.entry_price if held else None,
        account.summary(wallet, marks),
        broker.margin_summary(),
        broker.available_balance(),
        account.liquidation_price(symbol, marks) if held else None,
        account.bankruptcy_price(symbol, marks) if held else None,
    )


def flat(parts: Any) -> list[float]:
    """Numbers of a state, side by side; a price that is not there counts -1."""
    numbers: list[float] = []
    for part in parts:
        if hasattr(part, "surplus"):
            numbers += [
                part.margin_balance,
                part.initial_margin,
                part.maintenance_margin,
            ]
        else:
            numbers.append(-1.0 if part is None else float(part))
    return numbers


@dataclass(frozen=True)
class Case:
    """Where orders are previewed: cash that spans tiers, in coin for inverse ones."""

    venue: str = "generic"
    feeds: tuple[tuple[str, float], ...] = (("BTC", 100.0), ("ETH", 20.0))
    cash: float = 10_000.0
    start: str = "2026-01-01"
    hedge: bool = False
    inverse: bool = False


class Doing:
    """Random orders on steps of flat bars, each previewed, sent and looked at.

    Orders go out at odd bars and fill in the next, in which mark stands still. Funding
    falls into odd bars; some far orders rest from even bars on.

    Attributes:
        seen: how many previews were compared, and of which kind.
    """

    def __init__(self, seed: int, name: str, mode: str, bars: int) -> None:
        self.rng, self.mode = random.Random(f"{name} {mode} {seed}"), mode
        self.case = CASES[name]
        self.bars = bars
        self.pending: tuple[Any, str | None, Preview, Any, bool] | None = None
        self.resting: list[Any] = []
        self.seen: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        case, cerebro = self.case, bt.Cerebro(stdstats=False)
        leverage = self.rng.choice([2.0, 5.0, 10.0])
        mode = "hedge" if case.hedge else "one_way"
        words = {"cash": case.cash, "leverage": leverage, "venue": case.venue}
        broker = bt_margin.MarginBroker(
            margin_mode=self.mode, position_mode=mode, **words
        )
        if case.inverse:
            scheme: Any = bt_margin.PerpCommission
            broker.addcommissioninfo(scheme(inverse=True, contract_size=100))
        cerebro.setbroker(broker)
        for name, price in case.feeds:
            rows = self.column(price)
            marks = [(row[0],) * 4 for row in rows]
            every, start = "1h", case.start
            feed = bt_margin.PerpData(
                dataname=candles(rows, every, start),
                mark=candles(marks, every, start),
                funding=self.funding(),
            )
            cerebro.adddata(feed, name=name)
        cerebro.addstrategy(Scripted, script=self.step)
        cerebro.run()
        self.seen["funding"] = len(broker.fundings)
        return self.seen

    def column(self, price: float) -> list[Any]:
        rows: list[Any] = []
        for number in range(self.bars // 2):
            # Every other pair dips and peaks by 1 %, where limits rest; mark stays.
            touched = (price, price * 1.011, price * 0.989, price)
            rows += [(price,) * 4, touched if number % 2 else (price,) * 4]
            price *= self.rng.choice([0.985, 0.995, 1.0, 1.005, 1.015])
        return rows

    def funding(self) -> pd.DataFrame:
        half = pd.Timestamp(self.case.start) + pd.Timedelta("30min")
        times = [half + pd.Timedelta(hours=bar) for bar in range(2, self.bars, 2)]
        rates = [self.rng.uniform(-0.002, 0.002) for _ in times]
        return pd.DataFrame({"funding_rate": rates}, index=times)

    def step(self, s: Any, bar: int) -> None:
        if self.pending:
            self.check(s, *self.pending)
            self.pending = None
        if bar % 2 == 0 and bar < self.bars - 2 and self.rng.random() < 0.3:
            self.rest(s)
        elif bar % 2 and bar < self.bars:
            self.send(s, is_maker=bar % 4 == 3)

    def leg(self, is_buy: bool) -> tuple[str | None, dict[str, Any]]:
        """A leg that an order names, and the words in which it does."""
        if not self.case.hedge:
            return None, {}
        side = self.rng.choice(["long", "short"])
        return side, {"position_side": side}

    def rest(self, s: Any) -> None:
        """A limit or a stop far from the price."""
        data, is_buy = self.rng.choice(s.datas), self.rng.random() < 0.5
        side, words = self.leg(is_buy)
        most = s.broker.max_size(data, side=side, is_buy=is_buy)
        if not most:
            return
        kind = self.rng.choice([bt.Order.Limit, bt.Order.Stop])
        is_below = is_buy is (kind == bt.Order.Limit)
        price = s.broker.mark(data) * (0.7 if is_below else 1.3)
        send, size = s.buy if is_buy else s.sell, 0.2 * most
        self.resting.append(
            send(data=data, size=size, exectype=kind, price=price, **words)
        )

    def send(self, s: Any, *, is_maker: bool) -> None:
        rng, data = self.rng, self.rng.choice(s.datas)
        is_buy = rng.random() < 0.5
        side, words = self.leg(is_buy)
        scale = rng.choice([0.1, 0.5, 0.9, 1.1, 3])
        most = s.broker.max_size(data, side=side, is_buy=is_buy)
        size = (most or self.case.cash / s.broker.mark(data)) * scale
        price = s.broker.mark(data)
        if is_maker:
            price *= 0.99 if is_buy else 1.01
            words |= {"exectype": bt.Order.Limit, "price": price}
        signed = size if is_buy else -size
        preview = s.broker.what_if(data, signed, price, side=side, is_maker=is_maker)
        order = (s.buy if is_buy else s.sell)(data=data, size=size, **words)
        self.pending = data, side, preview, order, is_maker

    def check(
        self,
        s: Any,
        data: Any,
        side: str | None,
        preview: Preview,
        order: Any,
        is_maker: bool,
    ) -> None:
        if s.broker.liquidations or (is_maker and order.alive()):
            s.env.runstop()
            return
        refused = [o for o in s.refused if o.ref == order.ref]
        s.refused.clear()
        assert bool(refused) is (preview.refusal is not None)
        expected = (
            preview.size,
            preview.entry_price,
            preview.wallet,
            preview.total,
            preview.available_balance,
            preview.liquidation_price,
            preview.bankruptcy_price,
        )
        found, wanted = flat(state(s, data, side)), flat(expected)
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-10 * self.case.cash)
        self.seen["compared"] += 1
        self.seen["maker"] += is_maker and not refused
        self.seen["refused"] += bool(refused)
        self.seen["resting"] += any(one.alive() for one in self.resting)


ADA = (("ADA", 1.0), ("BTC", 100.0))
COINS = (("BTCUSD", 50_000.0), ("BTC/USD:BTC", 50_000.0))  # settled in one coin
CASES = {
    "the textbook": Case(),
    "the textbook in hedge mode": Case(hedge=True),
    "the textbook, inverse": Case(feeds=COINS, cash=5.0, inverse=True),
    "binanceusdm": Case("binanceusdm", start="2024-01-01"),
    "binanceusdm in hedge mode": Case("binanceusdm", hedge=True, cash=300_000.0),
    "binancecoinm": Case("binancecoinm", COINS[:1], cash=2.0, inverse=True),
    "bybit on mark": Case("bybit", cash=300_000.0),
    "bybit on entry": Case("bybit", cash=300_000.0, start="2024-01-01"),
    "bybit in hedge mode": Case("bybit", cash=300_000.0, hedge=True),
    "bybit, inverse": Case("bybit", COINS, cash=30.0, inverse=True),
    "okx by size": Case("okx", ADA, cash=60_000.0),
    "okx by size in hedge mode": Case("okx", ADA, cash=60_000.0, hedge=True),
    "hyperliquid": Case("hyperliquid", ADA, cash=4_000_000.0),
}


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_preview_is_what_happens(name: str, mode: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(39):  # 1,014 accounts in all
        seen += Doing(seed, name, mode, bars=8).run()
    assert seen["compared"] >= 100  # above 2,600 in all
    for kind in ("maker", "refused", "resting", "funding"):
        assert seen[kind] >= 10, kind


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_preview_is_what_happens_on_many_accounts(name: str, mode: str) -> None:
    for seed in range(1_000, 1_200):
        Doing(seed, name, mode, bars=24).run()
