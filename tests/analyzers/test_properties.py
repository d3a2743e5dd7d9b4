"""Whatever is traded, the bridge adds up and every entry belongs to one position."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bt_margin import MarginBroker, PerpCommission, Tier, TierTable, get_venue
from bt_margin.analyzers import Margin
from bt_margin.core.policy import (
    FractionStep,
    LiquidationPolicy,
    Settlement,
    TierStep,
)

MODES = ("isolated", "cross")
ROUNDING = timedelta(microseconds=2)  # a moment is a share of a bar, in floats


def run(tools: Any, seed: int, symbols: int, cash: float = 1_500, **params: Any) -> Any:
    """A random strategy on random walks, and its analyzer."""
    frames = [
        tools.random_walk(bars=150, seed=seed * 10 + n, step=0.02)
        for n in range(symbols)
    ]
    broker: Any = MarginBroker(cash=cash, leverage=15, **params)
    for n, frame in enumerate(frames):
        broker.add_mark(f"data{n}", frame * 1.001)
        rates = frame[["close"]].iloc[::8] * 0 + (-1) ** n * 0.0007
        broker.add_funding(f"data{n}", rates.rename(columns={"close": "funding_rate"}))
    return tools.record(
        broker,
        partial(tools.soup, seed=seed, fractions=bool(seed % 2)),
        *frames,
        prepare=lambda cerebro: cerebro.addanalyzer(Margin, _name="margin"),
    )


@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("symbols", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_the_bridge_adds_up(
    tools: Any, verify: Any, seed: int, symbols: int, mode: str, fill_order: str
) -> None:
    ran = run(tools, seed, symbols, margin_mode=mode, fill_order=fill_order)
    margin = ran.strategy.analyzers.margin
    verify(margin, ran.broker)
    found = margin.get_analysis()
    assert found["liquidations"]["count"] == len(ran.broker.liquidations)
    liquidated = {e.symbol for e in ran.broker.liquidations if not e.remaining}
    ended = {r["symbol"] for r in found["positions"] if r["ended_by"] == "liquidation"}
    assert liquidated == ended
    for record in found["positions"]:
        assert record["closed"] is None or record["opened"] <= record["closed"]
        closest = record["closest"]
        if closest is not None:
            assert closest["distance"] >= 0
            last = record["closed"] or closest["time"]
            assert record["opened"] - ROUNDING <= closest["time"] <= last + ROUNDING


TIERS = TierTable(
    [Tier(0, 2_000, 0.01, 50), Tier(2_000, 5_000, 0.02, 25), Tier(5_000, 1e9, 0.05, 20)]
)


@pytest.mark.parametrize("step", [TierStep(), FractionStep(0.3)], ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(4))
def test_it_adds_up_with_steps_deposits_and_deleveraging(
    tools: Any, verify: Any, seed: int, mode: str, step: Any
) -> None:
    frames = [
        tools.random_walk(bars=150, seed=seed * 10 + n, step=0.02) for n in (0, 1)
    ]
    market = Settlement.MARKET
    policy = LiquidationPolicy(settlement=market, fee_rate=0.002, step=step)
    venue = replace(get_venue("generic"), name="own", liquidation=policy)
    broker: Any = MarginBroker(
        cash=600, leverage=15, venue=venue, gap_loss="trader", margin_mode=mode
    )
    for n, frame in enumerate(frames):
        scheme: Any = PerpCommission
        broker.addcommissioninfo(scheme(tiers=TIERS), name=f"data{n}")
        broker.add_deleveraging(f"data{n}", frame.index[90].to_pydatetime(), 0.5)

    def script(strategy: Any, bar: int) -> None:
        tools.soup(strategy, bar, seed=seed)
        if bar % 40 == 20:
            strategy.broker.add_cash(50)

    ran = tools.record(
        broker,
        script,
        *frames,
        prepare=lambda cerebro: cerebro.addanalyzer(Margin, _name="margin"),
    )
    verify(ran.strategy.analyzers.margin, broker)


# Of liquidations by price a position's mark was at its liquidation price just then.
@pytest.mark.parametrize("mode", MODES)
def test_what_was_liquidated_was_the_nearest_there_is(tools: Any, mode: str) -> None:
    seen = 0
    for seed in range(4):
        ran = run(tools, seed, 2, cash=300, margin_mode=mode)
        found = ran.strategy.analyzers.margin.get_analysis()
        dead = [r for r in found["positions"] if r["was_liquidated"]]
        seen += len(dead)
        assert all(record["closest"]["distance"] == 0 for record in dead)
        assert all(one["closest"]["distance"] > 0 for one in found["near_misses"])
    assert seen


class Ends(Margin):
    """Also asks the broker for every distance at every bar's end."""

    def start(self) -> None:
        super().start()
        self.ends: dict[Any, float] = {}

    def next(self) -> None:
        super().next()
        broker = self.strategy.broker
        for data in self.strategy.datas:
            price = broker.liquidation_price(data)
            record = self._follower.book.open.get(data._name)
            if record is not None and price is not None:
                distance = abs(broker.mark(data) - price) / broker.mark(data)
                self.ends[record] = min(self.ends.get(record, distance), distance)

    def stop(self) -> None:
        self.records = self._follower.book.records
        super().stop()


# Candles of one price each: what a bar shows is its end and the fill at its open.
@pytest.mark.parametrize("mode", MODES)
def test_the_approach_is_what_the_broker_says_where_only_bar_ends_are(
    tools: Any, mode: str
) -> None:
    frames = []
    for number in range(2):
        frame = tools.random_walk(bars=150, seed=40 + number, step=0.01)
        for name in ("open", "high", "low"):
            frame[name] = frame["close"]
        frames.append(frame)

    def script(strategy: Any, bar: int) -> None:
        if bar % 30 == 5:
            strategy.buy(data=strategy.data0, size=100)
            strategy.sell(data=strategy.data1, size=60)
        elif bar % 30 == 25:
            strategy.close(data=strategy.data0)
            strategy.close(data=strategy.data1)

    ran = tools.record(
        MarginBroker(cash=5_000, leverage=10, margin_mode=mode),
        script,
        *frames,
        prepare=lambda cerebro: cerebro.addanalyzer(Ends, _name="margin"),
    )
    margin = ran.strategy.analyzers.margin
    alive = [one for one in margin.records if not one.was_liquidated]
    assert len(alive) > 3
    for record in alive:
        distance, at_ends = record.distance, margin.ends[record]
        assert distance <= at_ends * (1 + 1e-9)
        is_of_close = record.closest.time == record.closed
        assert is_of_close or distance == pytest.approx(at_ends, rel=1e-9)


# Most bars need no liquidation price: what they could show is bounded from below.
@pytest.mark.parametrize("seed", range(4))
def test_leaving_bars_out_changes_nothing(
    tools: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closest() -> Any:
        ran = run(tools, seed, 3, cash=4_000, margin_mode="cross")
        found = ran.strategy.analyzers.margin.get_analysis()
        return [record["closest"] for record in found["positions"]]

    quick = closest()
    monkeypatch.setattr(
        "bt_margin.analyzers.approach._can_beat", lambda record, *_: record is not None
    )
    assert quick == closest()
    assert any(quick)
