"""Commission schemes: whose fees, leverage, contract and margin mode hold."""

from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.errors import ParameterError

from . import scenario as s
from .scenario import BOTH, approx

FLAT = [s.flat(100)] * 5
BUY = s.send("buy", 10)
TAKER, MAKER = 0.0005, 0.0002  # of `generic`


def answers(broker: Any, size: float = 10, price: float = 100) -> dict[str, float]:
    """What the broker says of ``size`` bought at ``price``."""
    found = {}

    def ask(strategy: Any) -> None:
        data = strategy.data
        for name in ("initial_margin", "maintenance_margin", "liquidation_price"):
            found[name] = getattr(strategy.broker, name)(data)
        found["leverage"] = strategy.broker.leverage_setting(data)
        found["cash"] = strategy.broker.getcash()

    s.run([s.flat(price)] * 4, {0: [s.send("buy", size)], 2: [ask]}, broker)
    return found


# Fees


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("scheme", "taker", "maker"),
    [
        pytest.param({}, TAKER, MAKER, id="nothing set: the venue's"),
        pytest.param({"taker_fee_rate": 0.001}, 0.001, MAKER, id="taker"),
        pytest.param({"maker_fee_rate": 0.0001}, TAKER, 0.0001, id="maker"),
        pytest.param({"maker_fee_rate": -0.0001}, TAKER, -0.0001, id="maker rebate"),
        pytest.param({"maker_fee_rate": 0, "taker_fee_rate": 0}, 0, 0, id="none"),
    ],
)
def test_fees_of_a_perp_commission(
    mode: str, scheme: Any, taker: float, maker: float
) -> None:
    broker = s.set_contract(s.BROKERS[mode](cash=10_000, leverage=10), **scheme)
    bars = [*FLAT, (100, 110, 100, 110)]
    plan = {0: [BUY], 2: [s.limit("sell", 10, 105)]}
    result = s.run(bars, plan, broker)
    assert result.sent["buy"].executed.comm == approx(1_000 * taker)
    assert result.sent["limit"].executed.comm == approx(1_050 * maker)
    assert result.value[-1] == approx(10_000 + 50 - 1_000 * taker - 1_050 * maker)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("commission", "fee"),
    [
        pytest.param({"commission": 0.001}, 1_000 * 0.001, id="a share of notional"),
        pytest.param({"commission": 0}, 0, id="none"),
        pytest.param({}, 0, id="called with nothing: none, as in stock"),
        pytest.param(
            {"commission": 0.1, "percabs": False}, 1_000 * 0.001, id="in percent"
        ),
        pytest.param(
            *({"commission": 2.5, "margin": 10.0}, 10 * 2.5),
            id="with a margin: for each contract",
        ),
        pytest.param(
            *({"commission": 1.5, "commtype": bt.CommInfoBase.COMM_FIXED}, 10 * 1.5),
            id="fixed: for each unit",
        ),
    ],
)
def test_fees_of_a_plain_setcommission(mode: str, commission: Any, fee: float) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.setcommission(**commission)
    bars = [*FLAT, (100, 110, 100, 110)]
    plan = {0: [BUY], 2: [s.limit("sell", 10, 105)]}
    result = s.run(bars, plan, broker)
    assert result.sent["buy"].executed.comm == approx(fee)
    assert s.ledger_total(broker, "fee") == approx(
        -fee - result.sent["limit"].executed.comm
    )


@pytest.mark.parametrize("mode", BOTH)
def test_a_scheme_of_the_users_own_is_honoured(mode: str) -> None:
    class PerTrade(bt.CommInfoBase):
        params = (("commission", 3.0), ("stocklike", True), ("percabs", True))

        def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:
            return float(self.p.commission)

    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.addcommissioninfo(PerTrade())
    result = s.run(FLAT, {0: [BUY], 2: [s.close()]}, broker)
    assert result.sent["buy"].executed.comm == 3
    assert result.value[-1] == 10_000 - 6


# Leverage: PerpCommission > a scheme's, if it is not 1 > the broker's


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("perp", "plain", "leverage"),
    [
        pytest.param(None, None, 10, id="the broker's"),
        pytest.param(None, 4, 4, id="a plain scheme's"),
        pytest.param(None, 1, 10, id="a plain scheme's of 1 says nothing"),
        pytest.param(25, None, 25, id="a PerpCommission's"),
        pytest.param(1, None, 1, id="a PerpCommission's of 1 is one"),
        pytest.param(25, 4, 25, id="a PerpCommission's, for the symbol"),
    ],
)
def test_whose_leverage(
    mode: str, perp: float | None, plain: float | None, leverage: float
) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    if plain is not None:
        broker.setcommission(commission=0, leverage=plain)
    if perp is not None:
        s.set_contract(broker, leverage=perp)
    found = answers(broker)
    assert found["leverage"] == leverage
    assert found["initial_margin"] == approx(1_000 / leverage)
    assert found["maintenance_margin"] == approx(1_000 * 0.005)


@pytest.mark.parametrize("mode", BOTH)
def test_a_perp_commission_without_leverage_leaves_it_to_the_broker(mode: str) -> None:
    broker = s.set_contract(s.BROKERS[mode](cash=10_000, leverage=10))
    assert answers(broker)["leverage"] == 10


# A stock futures scheme: margin is the initial margin of one contract, whatever the
# broker's leverage; maintenance stays the venue's, 0.5 % of notional.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("commission", "initial", "notional"),
    [
        pytest.param({"margin": 25.0}, 10 * 25, 1_000, id="fixed, 25 for each"),
        pytest.param(
            *({"margin": 1.0, "automargin": 0.2}, 10 * 100 * 0.2, 1_000),
            id="automargin: a fifth of the price",
        ),
        pytest.param(
            *({"margin": 25.0, "mult": 5.0}, 10 * 25, 5_000),
            id="fixed, and 5 coins to a contract",
        ),
        pytest.param(
            *({"margin": 1.0, "mult": 5.0, "automargin": -1}, 5_000, 5_000),
            id="automargin below 0: price * mult",
        ),
    ],
)
def test_margin_of_a_plain_setcommission(
    mode: str, commission: Any, initial: float, notional: float
) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.setcommission(commission=0, **commission)
    found = answers(broker)
    assert found["initial_margin"] == approx(initial)
    assert found["maintenance_margin"] == approx(notional * 0.005)
    assert found["cash"] == approx(10_000 - initial)


@pytest.mark.parametrize("mode", BOTH)
def test_mult_multiplies_profit_and_loss(mode: str) -> None:
    bars = [*FLAT[:2], s.flat(103), s.flat(103)]
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.setcommission(commission=0, mult=5.0, margin=50.0)
    result = s.run(bars, {0: [BUY], 2: [s.close()]}, broker)
    assert result.value[2] == approx(10_000 + 10 * 5 * 3)
    assert result.value[-1] == approx(10_000 + 10 * 5 * 3)


# contract_size: 10 contracts of 0.01 coins at 60,000 are a notional of 6,000
@pytest.mark.parametrize("mode", BOTH)
def test_contract_size(mode: str) -> None:
    broker = s.BROKERS[mode](cash=603, leverage=10)  # margin 600, fee 3
    s.set_contract(broker, contract_size=0.01)
    found = answers(broker, size=10, price=60_000)
    assert found["initial_margin"] == approx(600)
    assert found["maintenance_margin"] == approx(30)
    assert found["liquidation_price"] == approx(60_000 * (1 - 0.1 + 0.005))
    assert found["cash"] == approx(0)


@pytest.mark.parametrize("mode", BOTH)
def test_contract_size_in_profit_loss_and_funding(mode: str) -> None:
    bars = [s.flat(60_000)] * 2 + [s.flat(61_000)] * 3
    funding = s.stamps({s.moment(hours=3): 0.0001})
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    s.set_contract(broker, contract_size=0.01, taker_fee_rate=0)
    plan = {0: [BUY], 3: [s.close()]}
    result = s.run(s.perp(bars, funding=funding), plan, broker)
    assert result.fundings[0].payment == approx(-10 * 0.01 * 61_000 * 0.0001)
    assert result.trades[0].pnl == approx(10 * 0.01 * 1_000)
    assert result.value[-1] == approx(10_000 + 100 - 0.61)


# An inverse contract of 100 quote units: 100 long at 50,000 are 0.2 coins of notional;
# at 10x 0.02 of margin and a fee of 0.0001. At 55,000 they have won
# 100 * 100 * (1 / 50,000 - 1 / 55,000) = 0.2 - 0.181818 = 0.018182 coins.
# Liquidation: 0.02 + 10,000 * (1 / 50,000 - 1 / p) = 0.005 * 0.2, so
# 1 / p = (0.2 + 0.02 - 0.001) / 10,000.


def inverse(mode: str) -> Any:
    broker = s.BROKERS[mode](cash=0.0201, leverage=10)
    return s.set_contract(broker, contract_size=100, inverse=True)


@pytest.mark.parametrize("mode", BOTH)
def test_inverse_margin(mode: str) -> None:
    found = answers(inverse(mode), size=100, price=50_000)
    assert found["initial_margin"] == approx(0.02)
    assert found["maintenance_margin"] == approx(0.001)
    assert found["liquidation_price"] == approx(10_000 / 0.219)
    assert found["cash"] == approx(0)


@pytest.mark.parametrize("mode", BOTH)
def test_inverse_profit_and_funding(mode: str) -> None:
    bars = [s.flat(50_000)] * 2 + [s.flat(55_000)] * 3
    funding = s.stamps({s.moment(hours=3): 0.01})
    plan = {0: [s.send("buy", 100)], 3: [s.close()]}
    result = s.run(s.perp(bars, funding=funding), plan, inverse(mode))
    pnl = 10_000 / 50_000 - 10_000 / 55_000
    assert result.value[2] == approx(0.02 + pnl)
    paid = 10_000 / 55_000 * 0.01
    assert result.fundings[0].payment == approx(-paid)
    assert result.trades[0].pnl == approx(pnl)
    fee = 10_000 / 55_000 * TAKER
    assert result.value[-1] == approx(0.02 + pnl - paid - fee)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("side", "bar", "price"),
    [
        pytest.param(
            *("buy", (50_000, 50_000, 45_000, 45_000), 10_000 / 0.219), id="long"
        ),
        # 1 / p = (0.2 - 0.02 + 0.001) / 10,000
        pytest.param(
            *("sell", (50_000, 56_000, 50_000, 56_000), 10_000 / 0.181), id="short"
        ),
    ],
)
def test_inverse_liquidation(mode: str, side: str, bar: Any, price: float) -> None:
    bars = [s.flat(50_000)] * 2 + [bar, s.flat(bar[3])]
    result = s.run(bars, {0: [s.send(side, 100)]}, inverse(mode))
    (event,) = result.liquidations
    assert event.mark_price == pytest.approx(price, rel=1e-9)
    assert event.insurance == pytest.approx(-0.001, rel=1e-6)
    assert result.value[-1] == pytest.approx(0, abs=1e-12)


# Tiers: 0.4 % to 50,000, then 0.5 %, so that the amount is 50. 600 long at 100 are
# 60,000, at 10x with a margin of 6,000. `generic` takes maintenance on the entry:
# 60,000 * 0.005 - 50 = 250. 100 - (6,000 - 250) / 600 = 90.4167.
@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("size", "maintenance"),
    [
        pytest.param(400, 40_000 * 0.004, id="40,000: the first tier"),
        pytest.param(600, 60_000 * 0.005 - 50, id="60,000: the second tier"),
    ],
)
def test_tiers(mode: str, size: float, maintenance: float) -> None:
    tier = bt_margin.Tier
    tiers = [tier(0, 50_000, 0.004, 125), tier(50_000, 250_000, 0.005, 100)]
    broker = s.BROKERS[mode](cash=size * 10.05, leverage=10)
    s.set_contract(broker, tiers=bt_margin.TierTable(tiers))
    found = answers(broker, size=size)
    assert found["maintenance_margin"] == approx(maintenance)
    expected = 100 - (size * 10 - maintenance) / size
    assert found["liquidation_price"] == approx(expected)


# Margin mode by symbol: 100 long of A and of B on 10,000, and both fall to 85. A dies
# with 1,000 where it is isolated; B stands on 10,000 - 10 - 1,000.
@pytest.mark.parametrize(
    ("mode", "other"),
    [
        pytest.param("cross", "isolated", id="a cross account with one isolated"),
        pytest.param("isolated", "cross", id="an isolated account with one cross"),
    ],
)
def test_a_mixed_account(mode: str, other: str) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    isolated, cross = ("A", "B") if other == "isolated" else ("B", "A")
    s.set_contract(broker, name="A", margin_mode=other)
    fall = [*FLAT[:2], (100, 100, 85, 85), s.flat(85)]
    feeds = [s.perp(fall, "A"), s.perp(fall, "B")]
    modes: list[str] = []

    def ask(strategy: Any) -> None:
        modes.extend(strategy.broker.margin_mode_of(data) for data in strategy.datas)

    pair = [s.send("buy", 100), s.send("buy", 100, "b", data="B")]
    result = s.run(feeds, {0: pair, 1: [ask]}, broker)
    assert modes == [other, mode]
    assert [event.symbol for event in result.liquidations] == [isolated]
    assert result.liquidations[0].wallet == f"isolated:{isolated}"
    assert result.sizes[-1] == {isolated: 0, cross: 100}
    assert result.value[-1] == approx(10_000 - 10 - 1_000 - 1_500)
    assert broker.ledger.balances["shared"] == approx(10_000 - 10 - 1_000)


# Cross goes, isolated stays: B isolated at 2x, A cross at 10x
def test_a_cross_liquidation_takes_no_isolated_wallet() -> None:
    broker = s.BROKERS["cross"](cash=6_010, leverage=10)
    s.set_contract(broker, name="B", margin_mode="isolated", leverage=2)
    fall = [*FLAT[:2], (100, 100, 80, 80), s.flat(80)]
    feeds = [s.perp(fall, "A"), s.perp(fall, "B")]
    plan = {0: [s.send("buy", 100), s.send("buy", 100, "b", data="B")]}
    result = s.run(feeds, plan, broker)
    # Shared: 6,010 - 10 - 5,000 = 1,000, gone with A. B: 5,000 - 2,000.
    assert [event.symbol for event in result.liquidations] == ["A"]
    assert broker.ledger.balances == {"shared": 0, "isolated:B": 5_000}
    assert result.value[-1] == approx(3_000)


@pytest.mark.parametrize("mode", BOTH)
def test_each_symbol_has_its_own_terms(mode: str) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    s.set_contract(broker, name="A", leverage=20, taker_fee_rate=0.001)
    s.set_contract(broker, name=None, leverage=5, taker_fee_rate=0)
    feeds = [s.perp(FLAT, name) for name in "AB"]
    plan = {0: [BUY, s.send("buy", 10, "b", data="B")]}
    result = s.run(feeds, plan, broker)
    comm = [result.sent[label].executed.comm for label in ("buy", "b")]
    assert comm == [approx(1), 0]
    assert result.cash[-1] == approx(10_000 - 50 - 1 - 200)


# A lone setcommission for a name holds for that name
@pytest.mark.parametrize("mode", BOTH)
def test_setcommission_by_name(mode: str) -> None:
    broker = s.BROKERS[mode](cash=10_000, leverage=10)
    broker.setcommission(commission=0.002, leverage=4, name="B")
    feeds = [s.perp(FLAT, name) for name in "AB"]
    plan = {0: [BUY, s.send("buy", 10, "b", data="B")]}
    result = s.run(feeds, plan, broker)
    comm = [result.sent[label].executed.comm for label in ("buy", "b")]
    assert comm == [approx(1_000 * TAKER), approx(2)]
    assert result.cash[-1] == approx(10_000 - 100 - 0.5 - 250 - 2)


def test_a_plain_setcommission_where_contracts_are_inverse_is_refused() -> None:
    broker = s.BROKERS["cross"](cash=1, venue="binancecoinm")
    broker.setcommission(commission=0.001)
    with pytest.raises(ParameterError) as refusal:
        s.run(s.perp([s.flat(100)] * 3, "BTCUSD"), {}, broker)
    assert "commission of BTCUSD" in str(refusal.value)
    assert "addcommissioninfo(PerpCommission(inverse=True))" in str(refusal.value)
