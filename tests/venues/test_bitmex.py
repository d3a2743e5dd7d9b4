"""``bitmex``: answers of its pages, risk limits by hand, and its steps."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from bt_margin import get_venue
from bt_margin.core.account import Account
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate
from bt_margin.core.policy import OrderScope
from bt_margin.core.position import Position
from bt_margin.core.tiers import TierTable

Hold = Callable[..., Account]

BITMEX = get_venue("bitmex")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_the_example_of_a_liquidation(hold: Hold) -> None:
    # bitmex-liq-example (testnet.bitmex.com/app/liquidationExamples): long at 100 with
    # 1 % of margin: bankruptcy 99, liquidation 99.5. The tiers are those of the page.
    account = hold(BITMEX, 1, {"symbol": "XBTUSDT", "size": 1, "entry": 100})
    price = account.liquidation_price("XBTUSDT", lambda _: 100)
    assert price == pytest.approx(99.5)
    bankrupt = account.bankruptcy_price("XBTUSDT", lambda _: 100)
    assert bankrupt == pytest.approx(99)


def test_the_example_of_isolated_margin(hold: Hold) -> None:
    # bitmex.com/app/isolatedMarginExamples: 10,000 and 20 ETH at 1,000, 2 % and 1 %:
    # initial margin 400, maintenance 200, bankruptcy at 500, liquidation at 510.
    tiers = TierTable.flat(0.01, 50)
    long = {"symbol": "ETHUSDT", "size": 20, "entry": 1_000, "tiers": tiers}
    account = hold(BITMEX, 10_000, {**long, "leverage": 50})
    position = account.positions["ETHUSDT"]
    assert position.opening_margin == 400
    assert position.maintenance_margin(600) == 200
    assert account.liquidation_price("ETHUSDT", lambda _: 1_000) == 510
    assert account.bankruptcy_price("ETHUSDT", lambda _: 1_000) == 500
    # Its available balance after opening is 9,600, wherever the mark.
    assert account.available_balance(lambda _: 1_000) == 9_600


@pytest.mark.parametrize(
    ("symbol", "notional", "initial", "maintenance"),
    [
        # Each step raises both by the base maintenance (riskLimitsExamples).
        pytest.param("XBTUSDT", 999_999, 0.01, 0.005, id="to 1 million"),
        pytest.param("XBTUSDT", 1_000_001, 0.015, 0.01, id="to 2 million"),
        pytest.param("BTCUSDT", 2_500_000, 0.02, 0.015, id="to 3 million"),
        pytest.param("LTCUSDT", 2_500_000, 0.04, 0.03, id="LTC: 2 % and 1 %"),
        pytest.param("ADAUSDT", 1_500_000, 0.045, 0.03, id="ADA: 3 % and 1.5 %"),
    ],
)
def test_the_risk_limits_are_steps_of_the_whole_position(
    symbol: str, notional: float, initial: float, maintenance: float
) -> None:
    tier = BITMEX.tiers_of(symbol).at_size(1).tier_of(notional)
    assert 1 / tier.max_leverage == pytest.approx(initial)
    assert tier.maintenance_margin(notional) == pytest.approx(notional * maintenance)


@pytest.mark.parametrize(
    ("day", "maintenance"),
    [
        # 320 XBT: above 200 + 100, not above 200 + 150. Before 2021-08-31 1.5 %.
        pytest.param(date(2021, 8, 30), 4.8, id="steps of 100 XBT"),
        pytest.param(date(2021, 8, 31), 3.2, id="steps of 150 XBT"),
    ],
)
def test_the_risk_step_of_xbtusd_grew(day: date, maintenance: float) -> None:
    table = BITMEX.at(day).tiers_of("XBTUSD", inverse=True).at_size(1)
    assert table.maintenance_margin(320) == pytest.approx(maintenance)


def test_an_inverse_contract_by_hand(hold: Hold) -> None:
    # 100,000 contracts of 1 USD at 50,000 are 2 XBT: maintenance 0.01 wherever the
    # mark. With 0.02: 100,000 (1 / 50,000 - 1 / p) = -0.01 at 100,000 / 2.01.
    terms = {"inverse": True}
    long = {"symbol": "XBTUSD", "size": 100_000, "entry": 50_000, "terms": terms}
    account = hold(BITMEX, 0.02, long)
    assert account.positions["XBTUSD"].maintenance_margin(40_000) == 0.01
    price = account.liquidation_price("XBTUSD", lambda _: 50_000)
    assert price == pytest.approx(100_000 / 2.01)


def test_a_position_above_its_base_limit_is_brought_one_step_down(hold: Hold) -> None:
    # 1.6 million at entry: 1 %, 16,000. At 1,240 a short has lost 384,000 of 399,000.
    # What fits the base limit stays, with all of the 15,000: it asks for 0.5 %.
    short = {"symbol": "ETHUSDT", "size": -1_600, "entry": 1_000}
    account = hold(BITMEX, 399_000, short)
    events = liquidate(
        account,
        account.shared,
        lambda _: 1_240,
        time=NOW,
        cause=Cause.PRICE,
        policy=BITMEX.liquidation,
    )
    assert len(events) == 1
    assert -1_000 <= account.positions["ETHUSDT"].size <= -1_000_000 / 1_240
    margin = account.summary(account.shared, lambda _: 1_240)
    assert margin.margin_balance == pytest.approx(15_000)
    assert margin.maintenance_margin <= 5_000


def test_a_position_within_its_base_limit_is_taken_at_bankruptcy(hold: Hold) -> None:
    account = hold(BITMEX, 1, {"symbol": "XBTUSDT", "size": 1, "entry": 100})
    [event] = liquidate(
        account,
        account.shared,
        lambda _: 99.5,
        time=NOW,
        cause=Cause.PRICE,
        policy=BITMEX.liquidation,
    )
    assert (event.fill_price, event.insurance) == (99, -0.5)
    assert account.balance(account.shared) == 0


def test_orders_of_the_symbol_go_and_funding_is_at_4_12_and_20() -> None:
    assert BITMEX.liquidation.cancel is OrderScope.SYMBOL
    assert (BITMEX.first_funding_hour, BITMEX.funding_hours) == (4, 8)


def test_a_quanto_contract_is_linear_in_its_settle_currency() -> None:
    # 10,000 contracts of 0.000001 XBT for each USD: 20 XBT at 2,000, 0.01 XBT a dollar.
    # 1 XBT of margin less 1 % of 20 at entry may be lost: 0.8 XBT, or 80 dollars.
    tiers = TierTable.flat(0.01, 50)
    contract = BITMEX.contract("ETHUSD", tiers, contract_size=0.000001)
    position = Position(contract, 10_000, 2_000, leverage=20)
    assert position.entry_notional == pytest.approx(20)
    assert position.unrealized_pnl(2_100) == pytest.approx(1)
    account = Account(1)
    account.put(position, account.shared)
    price = account.liquidation_price("ETHUSD", lambda _: 2_000)
    assert price == pytest.approx(1_920)
