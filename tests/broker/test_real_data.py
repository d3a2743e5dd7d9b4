"""Real months through the example strategies: whatever happens, the sums are right.

What must hold at every bar, whoever trades: a wallet is the sum of its entries, the
account is its wallets and what is unrealized, an isolated wallet holds money only
under a position, and a position loses at most what was put in.
"""

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
BOTH = ("isolated", "cross")
CASH = 10_000.0
LEVERAGE = 20

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared markets are not beside this checkout"
)

MARKETS = {
    "March 2020 by the hour": (
        *("binance_usdm_1h_2019_2026", ("BTCUSDT", "ETHUSDT", "XRPUSDT")),
        *("2020-03-01", "2020-04-01"),
    ),
    "October 8 to 12, 2025, by five minutes": (
        *("binance_usdm_5m_2025_2026", ("BTCUSDT", "SOLUSDT", "PIPPINUSDT")),
        *("2025-10-08", "2025-10-13"),
    ),
    "May 6, 2025, by the minute": (
        *("binance_usdm_1m_layer_2025_05", ("BTCUSDT", "ETHUSDT", "LAYERUSDT")),
        *("2025-05-06", "2025-05-07"),
    ),
}


@cache
def load(file: str, name: str) -> Any:
    path = ROOT / "strategies" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"real_{file}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Backtrader looks up where a class was made
    spec.loader.exec_module(module)
    return getattr(module, name)


STRATEGIES = [
    ("scalper", "Scalper", {"period": 20, "entry_atr": 2.0, "margin_fraction": 0.3}),
    ("event_trade", "EventTrade", {"margin_fraction": 0.3, "risk": 0.5, "hold": 30}),
    ("pair_trade", "PairTrade", {"period": 60, "entry_z": 2.0, "stop": 0.5}),
]


@cache
def market(name: str) -> Any:
    folder, symbols, start, end = MARKETS[name]
    path = DATA / folder
    return bt_margin.load_market(path, symbols=symbols).between(start, end)


class Audit(bt.Analyzer):
    """Checks the account at every bar."""

    def next(self) -> None:
        broker = self.strategy.broker
        balances = broker.ledger.balances
        marks = broker.mark_of_symbol
        positions = broker.account.positions
        unrealized = sum(
            position.size * (marks(symbol) - position.entry_price)
            for symbol, position in positions.items()
        )
        expected = sum(balances.values()) + unrealized
        assert broker.getvalue() == pytest.approx(expected, abs=1e-6)
        assert broker.getcash() >= 0
        for wallet, balance in balances.items():
            kind, _, symbol = wallet.partition(":")
            assert balance >= -1e-9
            if kind == "isolated":
                assert balance == 0 or symbol in positions
        for data in self.strategy.datas:
            held = positions.get(data._name)
            assert broker.getposition(data).size == (held.size if held else 0)


@cache
def run(market_name: str, number: int, mode: str) -> Any:
    file, name, params = STRATEGIES[number]
    cerebro = bt.Cerebro(stdstats=False)
    maker = bt_margin.IsolatedBroker if mode == "isolated" else bt_margin.CrossBroker
    broker: Any = maker
    cerebro.setbroker(broker(cash=CASH, leverage=LEVERAGE))
    feed: Any = bt_margin.PerpData
    for symbol, data in market(market_name).items():
        frames = {"mark": data.mark, "funding": data.funding}
        cerebro.adddata(feed(dataname=data.trade, name=symbol, **frames))
    cerebro.addstrategy(load(file, name), leverage=LEVERAGE, **params)
    cerebro.addanalyzer(Audit)
    return cerebro.run()[0]


@pytest.fixture(params=list(MARKETS))
def market_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=range(len(STRATEGIES)), ids=[name for _, name, _ in STRATEGIES])
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=BOTH)
def result(market_name: str, number: int, request: pytest.FixtureRequest) -> Any:
    return run(market_name, number, request.param)


def total(entries: Any, chosen: Callable[[Any], bool]) -> float:
    return float(sum(entry.amount for entry in entries if chosen(entry)))


def test_each_balance_is_the_sum_of_its_entries(result: Any) -> None:
    ledger = result.broker.ledger
    sums: Counter[str] = Counter()
    for entry in ledger:
        sums[entry.wallet] += entry.amount
    assert len(ledger) > 1
    assert dict(sums) == pytest.approx(ledger.balances, abs=1e-6)


def test_transfers_cancel(result: Any) -> None:
    entries = list(result.broker.ledger)
    moved = [entry.amount for entry in entries if entry.kind == "transfer"]
    assert sum(moved) == pytest.approx(0, abs=1e-6)
    assert moved[::2] == [-amount for amount in moved[1::2]]


def test_what_came_in_and_what_was_made_is_what_there_is(result: Any) -> None:
    broker = result.broker
    kinds = Counter(entry.kind for entry in broker.ledger)
    assert kinds["deposit"] == 1
    made = total(broker.ledger, lambda e: e.kind not in ("deposit", "transfer"))
    assert broker.wallet_balance() == pytest.approx(CASH + made, abs=1e-6)


def test_events_and_ledger_tell_the_same(result: Any) -> None:
    broker = result.broker
    paid = sum(event.payment for event in broker.fundings)
    booked = total(broker.ledger, lambda e: e.kind == "funding")
    assert booked == pytest.approx(paid, abs=1e-6)
    kept = sum(event.insurance for event in broker.liquidations)
    liquidated = total(
        broker.ledger, lambda e: e.kind == "insurance" and e.ref == "liquidation"
    )
    assert liquidated == pytest.approx(kept, abs=1e-6)


def test_no_wallet_but_the_shared_one_holds_money_without_a_position(
    result: Any,
) -> None:
    broker = result.broker
    held = {f"isolated:{symbol}" for symbol in broker.account.positions}
    for wallet, balance in broker.ledger.balances.items():
        assert wallet == "shared" or wallet in held or balance == 0
        assert balance >= 0


# All that ever went into an isolated wallet, less what came back, is what it lost: the
# shared wallet loses no more than it put in, plus its opening fees.
def test_isolated_loses_no_more_than_what_was_put_in(
    market_name: str, number: int
) -> None:
    broker = run(market_name, number, "isolated").broker
    wallets = {entry.wallet for entry in broker.ledger} - {"shared"}
    assert wallets
    for wallet in wallets:
        moves = [entry for entry in broker.ledger if entry.wallet == wallet]
        put_in = total(moves, lambda e: e.kind == "transfer" and e.amount > 0)
        back = -total(moves, lambda e: e.kind == "transfer" and e.amount < 0)
        assert back >= 0
        rest = total(moves, lambda e: e.kind != "transfer")
        assert rest >= -put_in - 1e-6
        balance = 0.0
        for entry in moves:
            balance += entry.amount
            if entry.kind == "transfer":
                assert balance >= -1e-6
    for event in broker.liquidations:
        before = event.balances[event.wallet]
        assert event.loss >= -before - 1e-6
        assert event.loss == pytest.approx(-before, abs=1e-6)


def test_a_liquidation_takes_all_of_its_wallet_and_no_more(result: Any) -> None:
    broker = result.broker
    for event in broker.liquidations:
        assert event.margin_before.margin_balance <= (
            event.margin_before.maintenance_margin + 1e-6
        )
        own = [e for e in broker.liquidations if e.time == event.time]
        loss = sum(other.loss for other in own if other.wallet == event.wallet)
        assert loss == pytest.approx(-event.balances[event.wallet], abs=1e-6)


def test_something_happened() -> None:
    """The runs above are worth checking."""
    runs = [
        run(name, number, mode).broker
        for name in MARKETS
        for number in range(len(STRATEGIES))
        for mode in BOTH
    ]
    assert sum(len(broker.liquidations) for broker in runs) > 10
    assert sum(len(broker.fundings) for broker in runs) > 10
    wallets = {event.wallet for b in runs for event in b.liquidations}
    assert "shared" in wallets
    assert len(wallets) > 2
    kinds = {entry.kind for broker in runs for entry in broker.ledger}
    assert kinds >= {"deposit", "transfer", "realized_pnl", "fee", "funding"}
