"""Whatever is ordered on whatever bars, the account and Backtrader agree.

Random orders and changes of margin on random bars of two feeds, in hedge, mixed and
inverse accounts. After every bar:

* the entries of the ledger sum to the balance of each wallet
* Backtrader's position is the sum of the account's legs, and so are its open trades
* an isolated wallet is not below 0, and one without a position holds nothing
* `getvalue` is what the wallets hold and what is unrealized
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import backtrader as bt
import pytest
from backtrader import Order
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bt_margin
from bt_margin.core.policy import FractionStep, LiquidationPolicy, Settlement

from . import scenario as s
from .scenario import BOTH

EXAMPLES = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
KINDS = (
    Order.Market,
    Order.Market,
    Order.Market,
    Order.Limit,
    Order.Stop,
    Order.StopLimit,
    Order.StopTrail,
)
GENERIC: Any = bt_margin.get_venue("generic")
STEPWISE = LiquidationPolicy(
    settlement=Settlement.MARKET,
    fee_rate=0.002,
    step=FractionStep(fraction=0.3, pause=timedelta(hours=3)),
)
PARTLY = replace(GENERIC, name="partly", liquidation=STEPWISE)

share = st.sampled_from([0.01, 0.02, 0.05, 0.1, 1 / 3, 1.0])
orders = st.tuples(
    st.just("order"),
    st.sampled_from("AB"),
    st.booleans(),  # buys
    share,  # of what 30x the cash can buy
    st.sampled_from(KINDS),
    st.floats(0.9, 1.1),  # price / last
    st.sampled_from(["long", "short"]),
    st.booleans(),  # reduce-only
)
acts = st.one_of(
    orders,
    orders,
    st.tuples(st.just("bracket"), st.sampled_from("AB"), st.booleans(), share),
    st.tuples(
        st.just("close"), st.sampled_from("AB"), st.sampled_from(["long", "short"])
    ),
    st.tuples(st.just("cancel")),
    st.tuples(st.just("leverage"), st.sampled_from("AB"), st.integers(1, 100)),
    st.tuples(
        st.just("mode"), st.sampled_from("AB"), st.sampled_from(["isolated", "cross"])
    ),
    st.tuples(
        st.just("margin"),
        st.sampled_from("AB"),
        st.sampled_from(["long", "short"]),
        st.floats(-1, 1),  # of what can be added or removed
    ),
)
gaps = st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.03, -0.06, 0.15])
steps = st.lists(
    st.tuples(
        st.lists(acts, min_size=1, max_size=5),
        st.tuples(*[st.floats(-0.04, 0.04)] * 2),  # close of A and B / open - 1
        st.tuples(*[st.floats(0, 0.02)] * 4),  # how far high and low reach beyond
        st.tuples(*[gaps] * 2),
    ),
    min_size=6,
    max_size=14,
)


def bars_of(drawn: Any, feed: int, start: float) -> list[Any]:
    bars, last = [s.flat(start)], start
    for _, moves, wicks, gaps in drawn:
        opened = last * (1 + gaps[feed])
        last = opened * (1 + moves[feed])
        high = max(opened, last) * (1 + wicks[feed])
        bars.append((opened, high, min(opened, last) * (1 - wicks[feed + 2]), last))
    return [*bars, s.flat(last)]


class Anything(bt.Strategy):
    """Acts as drawn, and holds the account against Backtrader at every bar."""

    params: Any = (("steps", ()),)

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def next(self) -> None:
        self.check()
        number = len(self) - 1
        if number < len(self.p.steps):
            for name, *words in self.p.steps[number][0]:
                try:
                    getattr(self, f"do_{name}")(*words)
                except bt_margin.MarginError:
                    self.check()  # whatever was refused left the account whole

    # What can be done

    @property
    def is_hedged(self) -> bool:
        return bool(self.broker.p.position_mode == "hedge")

    def quantity(self, data: Any, part: float) -> float:
        notional = max(self.broker.getvalue(), 0) * 30 * part
        contract = self.broker.terms(data).contract
        return float(notional / contract.notional(1, data.close[0]))

    def do_order(
        self,
        name: str,
        buys: bool,
        part: float,
        kind: int,
        at: float,
        side: str,
        reduces: bool,
    ) -> None:
        data = self.getdatabyname(name)
        price, words = data.close[0] * at, {}
        if kind == Order.StopLimit:
            words["plimit"] = price * 1.001
        if kind == Order.StopTrail:
            words["trailpercent"] = 0.02
        if self.is_hedged:
            words["position_side"] = side
        if reduces:
            words["reduce_only"] = True
        if kind != Order.Market:
            words["price"] = price
        send = self.buy if buys else self.sell
        size = self.quantity(data, part)
        self.sent.append(send(data=data, size=size, exectype=kind, **words))

    def do_bracket(self, name: str, buys: bool, part: float) -> None:
        data = self.getdatabyname(name)
        sign, price = (1 if buys else -1), data.close[0]
        words: dict[str, Any] = {}
        if self.is_hedged:
            words["oargs"] = {"position_side": "long" if buys else "short"}
        send = self.buy_bracket if buys else self.sell_bracket
        self.sent += send(
            data=data,
            size=self.quantity(data, part),
            exectype=Order.Market,
            stopprice=price * (1 - sign * 0.03),
            limitprice=price * (1 + sign * 0.03),
            **words,
        )

    def do_close(self, name: str, side: str) -> None:
        data = self.getdatabyname(name)
        if self.is_hedged:
            self.broker.close_leg(self, data, side)
        else:
            self.close(data=data)

    def do_cancel(self) -> None:
        for order in self.sent:
            if order.alive():
                self.cancel(order)

    def do_leverage(self, name: str, leverage: int) -> None:
        self.broker.set_leverage(self.getdatabyname(name), leverage)

    def do_mode(self, name: str, mode: str) -> None:
        self.broker.set_margin_mode(self.getdatabyname(name), mode)

    def do_margin(self, name: str, side: str, part: float) -> None:
        data, broker = self.getdatabyname(name), self.broker
        words = (side,) if self.is_hedged else ()
        if part > 0:
            broker.add_margin(data, part * broker.max_addable(data, *words), *words)
        else:
            most = broker.max_removable(data, *words)
            broker.remove_margin(data, -part * most, *words)

    # What always holds

    def check(self) -> None:
        broker, account = self.broker, self.broker.account
        scale = 1e-9 * broker.p.cash
        summed: dict[str, float] = {}
        for entry in broker.ledger:
            summed[entry.wallet] = summed.get(entry.wallet, 0) + entry.amount
        assert summed == pytest.approx(broker.ledger.balances, abs=scale)
        held = {wallet.name for wallet in account.wallets()}
        for name, balance in broker.ledger.balances.items():
            if name != "shared":
                assert balance >= -scale
                assert name in held or abs(balance) <= scale
        worth = broker.wallet_balance() + account.unrealized_pnl(broker.mark_of_symbol)
        assert broker.getvalue() == pytest.approx(worth, abs=scale)
        assert broker.getcash() >= 0
        self.check_sizes()

    def check_sizes(self) -> None:
        account = self.broker.account
        for data in self.datas:
            legs = account.positions_of(data._name)
            net = sum(leg.size for leg in legs)
            assert self.getposition(data).size == net
            trades = [group[-1] for group in self._trades[data].values()]
            sizes = {trade.tradeid: trade.size for trade in trades if trade.isopen}
            if self.is_hedged:
                ids = {"long": 0, "short": 1}
                expected = {ids[leg.contract.leg]: leg.size for leg in legs}
            else:
                expected = {0: net} if legs else {}
            assert sizes == pytest.approx(expected, rel=1e-12)
            for leg in legs:
                assert leg.contract.leg != "long" or leg.size > 0
                assert leg.contract.leg != "short" or leg.size < 0


def run_anything(broker: Any, drawn: Any) -> Any:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    for feed, (name, start) in enumerate((("A", 100.0), ("B", 7.0))):
        cerebro.adddata(s.perp(bars_of(drawn, feed, start), name))
    cerebro.addstrategy(Anything, steps=drawn)
    return cerebro.run()[0]


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("fill_order", ["queue", "path"])
@pytest.mark.parametrize("venue", [GENERIC, PARTLY], ids=["at once", "in steps"])
@pytest.mark.parametrize("position_mode", ["one_way", "hedge"])
@EXAMPLES
@given(drawn=steps)
def test_linear(
    mode: str, fill_order: str, venue: Any, position_mode: str, drawn: Any
) -> None:
    broker = s.BROKERS[mode](
        cash=1_000,
        leverage=20,
        venue=venue,
        fill_order=fill_order,
        position_mode=position_mode,
    )
    run_anything(broker, drawn)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("position_mode", ["one_way", "hedge"])
@EXAMPLES
@given(drawn=steps)
def test_inverse(mode: str, position_mode: str, drawn: Any) -> None:
    broker = s.BROKERS[mode](
        cash=3, leverage=20, venue=PARTLY, position_mode=position_mode
    )
    s.set_contract(broker, None, inverse=True, contract_size=10)
    strategy = run_anything(broker, drawn)
    done = [
        trade
        for groups in strategy._trades.values()
        for group in groups.values()
        for trade in group
    ]
    booked = sum(
        s.ledger_total(broker, kind)
        for kind in ("realized_pnl", "insurance", "fee", "liquidation_fee")
    )
    # What trades won, those that are open included, is what the ledger booked; a loss
    # beyond an isolated wallet is no entry of the trade.
    gaps = sum(
        entry.amount
        for entry in broker.ledger
        if entry.kind == "insurance" and entry.ref.startswith("order")
    )
    assert sum(t.pnlcomm for t in done) == pytest.approx(booked - gaps, abs=1e-8)


@pytest.mark.parametrize("position_mode", ["one_way", "hedge"])
@EXAMPLES
@given(drawn=steps)
def test_mixed(position_mode: str, drawn: Any) -> None:
    broker = bt_margin.IsolatedBroker(
        cash=1_000, leverage=20, position_mode=position_mode
    )
    s.set_contract(broker, "B", margin_mode="cross", contract_size=0.1)
    run_anything(broker, drawn)
