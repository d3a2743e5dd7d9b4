"""Real crashes under a strategy that asks everything, acts, and listens to every hook.

What it is told must be what the account holds, at every bar.
"""

from functools import cache
from pathlib import Path
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.errors import MarginError

DATA = Path(__file__).parents[3] / "shared" / "data"
CASH = 10_000.0

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the shared markets are not beside this checkout"
)

MARKETS = {
    "March 2020 by the hour": (
        *("binance_usdm_1h_2019_2026", ("BTCUSDT", "ETHUSDT")),
        *("2020-03-08", "2020-03-18"),
    ),
    "October 2025 by five minutes": (
        *("binance_usdm_5m_2025_2026", ("SOLUSDT", "PIPPINUSDT")),
        *("2025-10-10 12:00", "2025-10-11 06:00"),
    ),
    "LAYER in May 2025 by the minute": (
        *("binance_usdm_1m_layer_2025_05", ("BTCUSDT", "LAYERUSDT")),
        *("2025-05-05 11:10", "2025-05-05 14:10"),
    ),
}


@cache
def market(name: str) -> Any:
    folder, symbols, start, end = MARKETS[name]
    return bt_margin.load_market(DATA / folder, symbols=symbols).between(start, end)


class Curious(bt.Strategy):
    """Goes in and out every 20 bars, long and short, and asks at every bar."""

    params = (("size", 0.4), ("acts", False), ("hedge", False))

    def __init__(self) -> None:
        self.asked = self.acted = 0
        self.told: dict[str, list[Any]] = {"liquidation": [], "funding": []}
        self.warned: list[Any] = []

    def notify_liquidation(self, event: Any) -> None:
        self.told["liquidation"].append(event)

    def notify_funding(self, event: Any) -> None:
        self.told["funding"].append(event)

    def notify_margin_warning(self, event: Any) -> None:
        # Told at the end of the bar: the wallet is as it was judged.
        wallets = {w.name: w for w in self.broker.account.wallets()}
        now = self.broker.account.summary(
            wallets[event.wallet], self.broker.mark_of_symbol
        )
        assert now == event.margin
        assert event.margin.margin_ratio >= event.threshold
        self.warned.append(event)

    def next(self) -> None:
        for number, data in enumerate(self.datas):
            self.ask(data)
            self.trade(data, number)
        if self.p.acts:
            self.act()

    def trade(self, data: Any, number: int) -> None:
        step, is_buy = len(self) % 20, (len(self) // 20 + number) % 2 == 0
        most = self.broker.max_size(data, **self.leg(is_buy), is_buy=is_buy)
        if step == 1:
            words = self.sided(is_buy)
            (self.buy if is_buy else self.sell)(data, self.p.size * most, **words)
        elif step == 19 and self.p.hedge:
            for side in ("long", "short"):
                self.broker.close_leg(self, data, side)
        elif step == 19:
            self.close(data)

    def leg(self, is_buy: bool) -> dict[str, Any]:
        return {"side": "long" if is_buy else "short"} if self.p.hedge else {}

    def sided(self, is_buy: bool) -> dict[str, Any]:
        if not self.p.hedge:
            return {}
        return {"position_side": "long" if is_buy else "short"}

    def ask(self, data: Any) -> None:
        """Every question, and whether the answers agree with each other."""
        broker = self.broker
        mark = broker.mark(data)
        total, own = broker.margin_summary(), broker.margin_summary(data)
        assert total.margin_balance == pytest.approx(broker.getvalue())
        assert broker.margin_balance() == total.margin_balance
        assert broker.available_balance() == broker.getcash() >= 0
        assert broker.initial_margin() == total.initial_margin
        assert broker.wallet_balance() == pytest.approx(
            sum(float(entry.amount) for entry in broker.ledger), abs=1e-9
        )
        assert broker.maintenance_margin(data) == own.maintenance_margin
        assert broker.margin_ratio(data) == own.margin_ratio
        assert broker.wallet_balance(data) <= broker.wallet_balance() + 1e-9
        assert broker.leverage_setting(data) > 0
        assert broker.margin_mode_of(data) == broker.p.margin_mode
        price = broker.liquidation_price(data)
        bankrupt = broker.bankruptcy_price(data)
        held = broker.getposition(data).size
        if price is not None and not self.p.hedge:
            # It lives: the price lies beyond the mark, bankruptcy beyond that.
            assert (mark - price) * held > 0
            assert bankrupt is None or (price - bankrupt) * held >= 0
            beyond = price * (1 - 1e-9 if held > 0 else 1 + 1e-9)
            assert (beyond - mark) * held < 0
        for is_buy in (True, False):
            self.preview(data, is_buy)
        self.asked += 1

    def preview(self, data: Any, is_buy: bool) -> None:
        broker, words = self.broker, self.leg(is_buy)
        entries = len(broker.ledger)
        most = broker.max_size(data, is_buy=is_buy, **words)
        sign = 1 if is_buy else -1
        if most:
            fits = broker.what_if(data, sign * most, **words)
            assert fits.refusal is None
            assert fits.available_balance >= 0
            assert fits.fee <= 0
        more = broker.what_if(data, sign * (most * (1 + 1e-6) + 1e-6), **words)
        assert more.refusal is not None
        assert more.closed + sign * more.refusal.largest_quantity == pytest.approx(
            sign * most, rel=1e-6, abs=1e-6
        )
        assert len(broker.ledger) == entries

    def act(self) -> None:
        """Moves margin, leverage and cash within their limits, and back."""
        broker, data = self.broker, self.datas[len(self) % len(self.datas)]
        held = broker.getposition(data).size
        if held and broker.margin_mode_of(data) == "isolated":
            added = min(50.0, broker.max_addable(data))
            removed = min(20.0, broker.max_removable(data))
            for method, amount in (
                (broker.add_margin, added),
                (broker.remove_margin, removed),
            ):
                if amount > 0:
                    before = broker.wallet_balance(data)
                    method(data, amount)
                    sign = 1 if method == broker.add_margin else -1
                    after = before + sign * amount
                    assert broker.wallet_balance(data) == pytest.approx(after)
                    self.acted += 1
        if len(self) % 7 == 0:
            before = broker.leverage_setting(data), len(broker.ledger)
            try:
                broker.set_leverage(data, 8.0 + len(self) % 5)
                self.acted += 1
            except MarginError:
                after = broker.leverage_setting(data), len(broker.ledger)
                assert after == before
        if len(self) == 30:
            broker.add_cash(100.0)
            broker.set_auto_margin(data, True)
            self.acted += 2


def run(name: str, mode: str, **words: Any) -> Any:
    params = {key: words.pop(key) for key in ("acts", "hedge") if key in words}
    settings = {"cash": CASH, "leverage": 20, "margin_mode": mode, **words}
    if params.get("hedge"):
        settings["position_mode"] = "hedge"
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(bt_margin.MarginBroker(**settings))
    feed: Any = bt_margin.PerpData
    for symbol, data in market(name).items():
        frames = {"mark": data.mark, "funding": data.funding}
        cerebro.adddata(feed(dataname=data.trade, name=symbol, **frames))
    cerebro.addstrategy(Curious, **params)
    return cerebro.run()[0]


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(MARKETS))
def test_everything_is_asked_at_every_bar(name: str, mode: str) -> None:
    strategy = run(name, mode)
    bars = len(market(name)[MARKETS[name][1][0]].trade)
    assert strategy.asked == 2 * bars
    assert strategy.told["liquidation"] == strategy.broker.liquidations
    assert strategy.told["funding"] == strategy.broker.fundings
    assert strategy.broker.fundings


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(MARKETS))
def test_everything_is_asked_at_every_bar_in_hedge_mode(name: str, mode: str) -> None:
    strategy = run(name, mode, hedge=True)
    assert strategy.asked


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(MARKETS))
def test_a_strategy_acts_within_its_limits(name: str, mode: str) -> None:
    strategy = run(name, mode, acts=True)
    least = 10 if mode == "cross" else 100
    assert strategy.acted >= least
    assert strategy.broker.ledger.total("deposit") == CASH + 100


@pytest.mark.parametrize("mode", ["isolated", "cross"])
@pytest.mark.parametrize("name", list(MARKETS))
def test_a_lower_threshold_warns_no_later(name: str, mode: str) -> None:
    firsts = []
    for threshold in (0.05, 0.1, 0.2):
        warned = run(name, mode, warning_ratio=threshold).warned
        assert all(event.threshold == threshold for event in warned)
        firsts += [warned[0].time] if warned else []
    assert firsts == sorted(firsts)
    assert firsts or mode == "cross"
