"""What if: the account after an order that is not sent, and the largest that passes."""

import random
from collections.abc import Callable
from typing import Any

import backtrader as bt
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


def compare_with_doing(seed: int, venue: str, mode: str, *, hedge: bool) -> int:
    """Random orders on steps of flat bars, each previewed; how many were compared."""
    rng = random.Random(seed)
    pending: list[tuple[Any, str | None, Preview, Any, bool]] = []
    compared = 0

    def check(s: Any) -> None:
        nonlocal compared
        data, side, preview, order, is_maker = pending.pop()
        if s.broker.liquidations or (is_maker and order.alive()):
            s.env.runstop()
            return
        compared += 1
        refused = [o for o in s.refused if o.ref == order.ref]
        assert bool(refused) is (preview.refusal is not None)
        s.refused.clear()
        expected = (
            preview.size,
            preview.entry_price,
            preview.wallet,
            preview.total,
            preview.available_balance,
            preview.liquidation_price,
        )
        found = flat(state(s, data, side))
        assert found == pytest.approx(flat(expected), rel=1e-9, abs=1e-6)

    def script(s: Any, bar: int) -> None:
        if pending:
            check(s)
        if bar % 2 == 0 or bar >= len(s.data.array):
            return
        data = rng.choice(s.datas)
        side = rng.choice(["long", "short"]) if hedge else None
        is_buy, is_maker = rng.random() < 0.5, bar % 4 == 3
        scale = rng.choice([0.1, 0.5, 0.9, 1.1, 3])
        most = s.broker.max_size(data, side=side, is_buy=is_buy) or 1.0
        size = most * scale
        words = {"position_side": side} if hedge else {}
        send = s.buy if is_buy else s.sell
        mark = s.broker.mark(data)
        price = mark
        if is_maker:
            price = mark * (0.99 if is_buy else 1.01)
            words |= {"exectype": bt.Order.Limit, "price": price}
        signed = size if is_buy else -size
        preview = s.broker.what_if(data, signed, price, side=side, is_maker=is_maker)
        order = send(data=data, size=size, **words)
        pending.append((data, side, preview, order, is_maker))

    def column(start: float) -> list[Any]:
        rows, price = [], start
        for number in range(8):
            # Every fourth pair dips and peaks by 1 %, where limits rest; mark stays.
            wide = number % 2 == 1
            touched = (price, price * 1.011, price * 0.989, price)
            rows += [(price,) * 4, touched if wide else (price,) * 4]
            price *= rng.choice([0.985, 0.995, 1.0, 1.005, 1.015])
        return rows

    run(
        script,
        column(100.0),
        column(20.0),
        margin_mode=mode,
        leverage=rng.choice([2.0, 5.0, 10.0]),
        venue=venue,
        position_mode="hedge" if hedge else "one_way",
    )
    return compared


@pytest.mark.parametrize(
    ("venue", "hedge"),
    [
        pytest.param("generic", False, id="the textbook"),
        pytest.param("generic", True, id="the textbook in hedge mode"),
        pytest.param("binanceusdm", False, id="tiers at mark"),
        pytest.param("binanceusdm", True, id="tiers at mark in hedge mode"),
    ],
)
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_the_preview_is_what_happens(mode: str, venue: str, hedge: bool) -> None:
    runs = [compare_with_doing(seed, venue, mode, hedge=hedge) for seed in range(60)]
    assert sum(runs) > 400
