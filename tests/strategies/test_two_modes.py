"""What the two modes do to the example strategies, on paths made by hand.

There are no fees; maintenance is 0.5 % of the entry notional, so a long of leverage L
from e is liquidated at e * (1 - 1 / L + 0.005).
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin

ROOT = Path(__file__).parents[2]
CASH = 10_000.0


def load(file: str, name: str) -> Any:
    path = ROOT / "strategies" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"two_modes_{file}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return getattr(module, name)


def candles(closes: list[float]) -> pd.DataFrame:
    """Minute candles that open where the last one closed, without wicks."""
    index = pd.date_range("2025-03-03", periods=len(closes), freq="min")
    opens = [closes[0], *closes[:-1]]
    rows = [
        (o, max(o, c), min(o, c), c, 1.0) for o, c in zip(opens, closes, strict=True)
    ]
    names = ["open", "high", "low", "close", "volume"]
    return pd.DataFrame(rows, index=index, columns=names, dtype=float)


def run(strategy: Any, mode: str, leverage: float, *feeds: Any, **words: Any) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    broker: Any = bt_margin.MarginBroker(cash=CASH, leverage=leverage, margin_mode=mode)
    scheme: Any = bt_margin.PerpCommission
    broker.addcommissioninfo(scheme(maker_fee_rate=0, taker_fee_rate=0))
    cerebro.setbroker(broker)
    for name, closes in zip("AB", feeds, strict=False):
        cerebro.adddata(bt_margin.PerpData(dataname=candles(closes), name=name))
    cerebro.addstrategy(strategy, leverage=leverage, **words)
    return cerebro.run()[0].broker


def added(broker: Any, ref: str) -> list[float]:
    """What went into isolated wallets, by what it was for."""
    return [
        entry.amount
        for entry in broker.ledger
        if entry.ref == ref and entry.wallet != "shared"
    ]


def test_a_ticket_loses_its_stake_or_draws_on_the_account() -> None:
    # The stake is 0.5 % of 10,000; at 50x 25 coins at 100, liquidated at 98.5.
    closes = [99.0] * 5 + [100.0] * 3 + [97.0] * 3
    words = {"look_back": 4, "every": 100}
    ticket = load("lottery_ticket", "LotteryTicket")
    isolated = run(ticket, "isolated", 50, closes, **words)
    (event,) = isolated.liquidations
    assert event.liquidation_price == pytest.approx(98.5)
    assert isolated.getvalue() == pytest.approx(CASH - 50)
    cross = run(ticket, "cross", 50, closes, **words)
    assert not cross.liquidations
    assert cross.getvalue() == pytest.approx(CASH + 25 * (97 - 100))


def test_a_dip_is_topped_up_three_times_or_has_it_all_behind_it() -> None:
    # 5 % of the account at 20x: 10,000 / 97 coins, on 500. Half of that is added each
    # time, at 94 (liquidation at 92.635), 92 (90.21) and 89 (87.785), each less than
    # 2 % away; with 1,250 the liquidation is at 97 * (1 - 0.125 + 0.005) = 85.36.
    closes = [100.0] * 50 + [97.0, 97.0, 94.0, 92.0, 89.0, 84.0, 84.0]
    words = {"period": 50, "margin_fraction": 0.05}
    isolated = run(load("top_up", "TopUp"), "isolated", 20, closes, **words)
    assert added(isolated, "add margin") == pytest.approx([250] * 3)
    (event,) = isolated.liquidations
    assert event.liquidation_price == pytest.approx(85.36)
    assert isolated.getvalue() == pytest.approx(CASH - 1_250)
    cross = run(load("top_up", "TopUp"), "cross", 20, closes, **words)
    assert not cross.liquidations
    assert cross.getvalue() == pytest.approx(CASH * (1 - 13 / 97))


def test_a_winning_breakout_gives_margin_back() -> None:
    # Bought at 104 with 2 % of the account at 25x: 5,000 / 104 coins on 200. At 112 the
    # gain of 384.62 pays for the initial margin, and 25 of maintenance must stay in the
    # wallet: of 175 half goes back, and half of the other half with the next bar.
    closes = [100.0, 101.0, 100.0, 99.0] * 6 + [104.0, 104.0, 112.0, 112.0]
    words = {"period": 8, "stop_atr": 2.0}
    breakout = load("breakout", "Breakout")
    isolated = run(breakout, "isolated", 25, closes, **words)
    assert added(isolated, "remove margin") == pytest.approx([-87.5, -43.75])
    cross = run(breakout, "cross", 25, closes, **words)
    assert cross.getvalue() == pytest.approx(isolated.getvalue())
    assert not added(cross, "remove margin")


def test_a_pair_lives_on_cross_margin_and_loses_a_leg_on_its_own() -> None:
    # A is dear at 103: 10,000 of it are sold, and 10,000 of B bought, on 1,000 each.
    # Both rise by 12 %: the short from 103 dies at 103 * 1.095 = 112.785.
    noise = [100.0, 100.1] * 10
    a = [*noise, 103.0, 103.0, 115.36, 115.36, 115.36]
    b = [100.0] * 20 + [100.0, 100.0, 112.0, 112.0, 112.0]
    words = {"period": 10, "entry_z": 2.0, "stop": 0.5}
    pair = load("pair_trade", "PairTrade")
    isolated = run(pair, "isolated", 10, a, b, **words)
    (event,) = isolated.liquidations
    assert (event.symbol, event.size) == ("A", pytest.approx(-10_000 / 103))
    assert event.liquidation_price == pytest.approx(112.785)
    assert isolated.getvalue() == pytest.approx(CASH - 1_000 + 1_200)
    cross = run(pair, "cross", 10, a, b, **words)
    assert not cross.liquidations
    assert cross.getvalue() == pytest.approx(CASH)


def test_a_stop_beyond_the_liquidation_is_reached_on_cross_margin_alone() -> None:
    # Bought at 90 with 5 % of the account at 50x: 25,000 / 90 coins on 500, which die
    # at 90 * (1 - 0.02 + 0.005) = 88.65, before the stop.
    closes = [100.0] * 12 + [90.0, 90.0, 89.5, 80.0, 80.0]
    words = {"period": 10, "entry_atr": 2.0, "stop_atr": 2.0}
    scalper = load("scalper", "Scalper")
    isolated = run(scalper, "isolated", 50, closes, **words)
    (event,) = isolated.liquidations
    assert event.liquidation_price == pytest.approx(88.65)
    assert isolated.getvalue() == pytest.approx(CASH - 500)
    cross = run(scalper, "cross", 50, closes, **words)
    assert not cross.liquidations
    # The range of the jump is 10, of ten bars: 1 on average, so the stop is 2 below.
    assert cross.getvalue() == pytest.approx(CASH - 25_000 / 90 * 2)


@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_a_grid_locks_its_margin_as_it_rests(mode: str) -> None:
    # 30 % of the account at 5x in four limits of 3,750 / 100 coins, half a percent
    # apart: they lock 37.5 * (99.5 + 99 + 98.5 + 98) / 5 = 2,962.50.
    closes = [100.0] * 4
    grid = run(load("grid", "Grid"), mode, 5, closes, levels=4, step=0.005)
    assert grid.getcash() == pytest.approx(CASH - 2_962.5)
    assert grid.getvalue() == CASH


def test_at_little_leverage_a_trend_is_the_same_in_both_modes() -> None:
    down, up = [100.0 - n for n in range(11)], [91.0 + n for n in range(70)]
    closes = [*down, *up, *(159.0 - n for n in range(8))]
    words = {"fast": 2, "slow": 6, "atr_period": 3, "stop_atr": 2.0}
    trend = load("trend", "Trend")
    values = [run(trend, mode, 3, closes, **words) for mode in ("isolated", "cross")]
    assert not any(broker.liquidations for broker in values)
    assert values[0].getvalue() == pytest.approx(values[1].getvalue())
    assert values[0].getvalue() > CASH


def test_a_jump_over_the_stop_of_an_event_costs_the_margin_at_most() -> None:
    # A stop entry fills in the jump up; the next bar falls through the liquidation of
    # the isolated long, which loses its margin, and further on cross margin.
    closes = [100.0, 100.5] * 6 + [100.0, 106.0, 107.0, 90.0, 90.0, 90.0]
    words: dict[str, Any] = {
        "period": 5,
        "risk": 1.0,
        "entry_atr": 4.0,
        "stop_atr": 40.0,
        "hold": 9,
    }
    words |= {"event": "2025-03-03 00:14", "lead": 2}
    trade = load("event_trade", "EventTrade")
    isolated = run(trade, "isolated", 10, closes, **words)
    (event,) = isolated.liquidations
    lost = -event.balances["isolated:A"]
    assert isolated.getvalue() == pytest.approx(CASH + lost)
    cross = run(trade, "cross", 10, closes, **words)
    assert cross.getvalue() < isolated.getvalue()
