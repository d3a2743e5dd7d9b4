"""Random orders under guards: nothing breaks, and what a guard promises holds."""

import random
from typing import Any

import backtrader as bt
import pytest

from bt_margin import guards

ORDER = bt.Order
KINDS = (ORDER.Market, ORDER.Close, ORDER.Limit, ORDER.Stop, ORDER.StopLimit)
TRAILS = (ORDER.StopTrail, ORDER.StopTrailLimit)


class Soup:
    """A script that sends anything."""

    def __init__(self, seed: int, *, hedge: bool) -> None:
        self.rng, self.hedge = random.Random(seed), hedge
        self.largest = 0.0

    def __call__(self, s: Any, bar: int) -> None:
        for _ in range(self.rng.randint(0, 3)):
            self._send(s, self.rng.choice(s.datas))
        broker = s.broker
        for position in broker.account.positions.values():
            share = position.opening_margin / broker.getvalue()
            self.largest = max(self.largest, share)

    def _send(self, s: Any, data: Any) -> None:
        rng, price = self.rng, data.close[0]
        is_buy = rng.random() < 0.5
        words: dict[str, Any] = {"data": data, "size": rng.choice([1, 20, 60, 200])}
        if self.hedge:
            words["position_side"] = rng.choice(["long", "short"])
        elif rng.random() < 0.1:
            s.close(data=data)
            return
        if rng.random() < 0.3:
            send, sign = (s.buy_bracket, 1) if is_buy else (s.sell_bracket, -1)
            words |= {"exectype": rng.choice([ORDER.Market, ORDER.Limit])}
            s.sent += send(
                price=price * (1 - sign * 0.01),
                stopprice=price * (1 - sign * rng.uniform(0.02, 0.2)),
                limitprice=price * (1 + sign * rng.uniform(0.02, 0.2)),
                **words,
            )
            return
        kind = rng.choice((*KINDS, *TRAILS))
        words |= {"exectype": kind, "reduce_only": rng.random() < 0.1}
        if kind not in (ORDER.Market, ORDER.Close):
            words["price"] = price * rng.uniform(0.95, 1.05)
        if kind in (ORDER.StopLimit, ORDER.StopTrailLimit):
            words["plimit"] = price * rng.uniform(0.95, 1.05)
        if kind in TRAILS:
            words["trailamount"] = 2.0
        live = [order for order in s.sent if order is not None and order.alive()]
        if live and rng.random() < 0.2:
            words["oco"] = rng.choice(live)
        s.sent.append((s.buy if is_buy else s.sell)(**words))


def column(seed: int, step: float) -> list[tuple[float, ...]]:
    """Candles of a random walk whose opens are the closes before."""
    rows: list[tuple[float, ...]] = []
    rng, price = random.Random(seed), 100.0
    for _ in range(40):
        closed = price * (1 + rng.uniform(-step, step))
        high = max(price, closed) * (1 + rng.uniform(0, step))
        low = min(price, closed) * (1 - rng.uniform(0, step))
        rows.append((price, high, low, closed))
        price = closed
    return rows


@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize("hedge", [False, True], ids=["one way", "hedge"])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_all_guards_together_stand_anything(
    run: Any, mode: str, hedge: bool, fill_order: str
) -> None:
    acted: set[str] = set()
    for seed in range(12):
        strategy = run(
            Soup(seed, hedge=hedge),
            column(seed, 0.03),
            guards.StopAfterLiquidation(9),
            guards.DailyLossCap(0.3),
            guards.MarginRatioCap(0.3),
            guards.LiquidationDistance(ranges=0.5, period=3),
            guards.MarginCap(0.15),
            guards.TopUp(at_ratio=0.2, share=0.2, times=2),
            guards.PullBack(),
            guards.ReduceBefore(at_ratio=0.15 if mode == "isolated" else 0.01),
            others=[column(seed + 100, 0.03)],
            margin_mode=mode,
            leverage=20.0,
            position_mode="hedge" if hedge else "one_way",
            fill_order=fill_order,
        )
        broker = strategy.broker
        acted |= {action.guard for action in broker.guard_actions}
        sums = broker.ledger.balances
        unrealized = broker.account.unrealized_pnl(broker.mark_of_symbol)
        assert broker.getvalue() == pytest.approx(sum(sums.values()) + unrealized)
        for wallet, balance in sums.items():
            kind, _, key = wallet.partition(":")
            assert (
                kind == "shared"
                or abs(balance) < 1e-6
                or (key in broker.account.positions)
            )
        for data in strategy.datas:
            held = broker.account.positions_of(data._name)
            net = sum(position.size for position in held)
            assert strategy.getposition(data).size == pytest.approx(net)
    assert acted >= {"MarginCap", "LiquidationDistance", "ReduceBefore"}


@pytest.mark.parametrize("hedge", [False, True], ids=["one way", "hedge"])
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_no_position_is_larger_than_its_cap(run: Any, mode: str, hedge: bool) -> None:
    # Prices stand still but for touches of 4 %, which limits and stops meet: what was
    # allowed at one price may fill at one that is so much better or worse.
    for seed in range(20):
        soup = Soup(seed, hedge=hedge)
        rows = [(100.0, 104.0, 96.0, 100.0)] * 40
        run(
            soup,
            rows,
            guards.MarginCap(0.1),
            others=[rows],
            margin_mode=mode,
            cash=100_000.0,
            position_mode="hedge" if hedge else "one_way",
        )
        assert 0 < soup.largest <= 0.1 * 1.06
