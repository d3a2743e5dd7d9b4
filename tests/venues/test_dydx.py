"""``dydx``: answers of its documentation, and the fillable price."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bt_margin import get_venue
from bt_margin.core.account import Account
from bt_margin.core.liquidation import Cause, LiquidationEvent
from bt_margin.core.liquidator import liquidate
from bt_margin.core.tiers import TierTable
from bt_margin.venues import PositionMode

Hold = Callable[..., Account]

DYDX = get_venue("dydx")
NOW = datetime(2025, 12, 1, tzinfo=UTC)


def liquidated(account: Account, marks: dict[str, float]) -> list[LiquidationEvent]:
    return liquidate(
        account,
        account.shared,
        marks.__getitem__,
        time=NOW,
        cause=Cause.PRICE,
        policy=DYDX.liquidation,
    )


def test_the_example_of_the_documentation(hold: Hold) -> None:
    # dydx-doc-isolated (v4-documentation @3e475b73231a, liquidations): equity 1,000,
    # short 3 at 3,000, 5 %.
    tiers = TierTable.flat(0.05, 10)
    short = {"symbol": "ETH-USD", "size": -3, "entry": 3_000, "tiers": tiers}
    account = hold(DYDX, 1_000, short)
    price = account.liquidation_price("ETH-USD", lambda _: 3_000)
    assert price is not None
    assert price == pytest.approx(3_174.6, abs=0.02)
    required = account.positions["ETH-USD"].maintenance_margin(price)
    assert required == pytest.approx(476.2, abs=0.02)


@pytest.mark.parametrize(
    ("symbol", "bound", "rate"),
    [
        pytest.param("BTC-USD", 50, 0.012, id="BTC: 2 % and 1.2 %"),
        pytest.param("ETH-USD", 50, 0.012, id="ETH: 2 % and 1.2 %"),
        pytest.param("SOL-USD", 20, 0.03, id="SOL: 5 % and 3 %"),
        pytest.param("LTC-USD", 10, 0.06, id="assumed: 10 % and 6 %"),
    ],
)
def test_a_market_has_one_fraction(symbol: str, bound: float, rate: float) -> None:
    [tier] = DYDX.tiers_of(symbol).at_size(1)
    assert tier.max_leverage == bound
    assert tier.maintenance_margin_rate == rate


def test_a_long_of_btc_by_hand(hold: Hold) -> None:
    # 1,000 + p - 50,000 = 1.2 % p: 49,000 / 0.988
    account = hold(DYDX, 1_000, {"size": 1, "entry": 50_000})
    price = account.liquidation_price("BTCUSDT", lambda _: 50_000)
    assert price == pytest.approx(49_595.1417)


@pytest.mark.parametrize(
    ("size", "mark", "fill"),
    [
        # 500 of 594 are left, so the price is worse by
        # 1.5 * 1.2 % * 94 / 594 = 0.284848 %: 141 of 49,500.
        pytest.param(1, 49_500, 49_359, id="a long gets less"),
        # 500 of 606: 1.8 % * 106 / 606 * 50,500 = 159
        pytest.param(-1, 50_500, 50_659, id="a short pays more"),
    ],
)
def test_the_fillable_price(hold: Hold, size: float, mark: float, fill: float) -> None:
    account = hold(DYDX, 1_000, {"size": size, "entry": 50_000})
    [event] = liquidated(account, {"BTCUSDT": mark})
    assert event.fill_price == pytest.approx(fill)
    # 1.5 % would be more than the 359 (341) that are left: the fee takes them.
    assert event.fee == pytest.approx(abs(fill - mark) - 500)
    assert account.balance(account.shared) == pytest.approx(0)


def test_a_market_that_asks_for_more_is_closed_in_part(hold: Hold) -> None:
    # 100,000 at 6 % with 6,000: k of it stays where
    # 0.95 * (6,000 - (1 - k) * 1,500) = k * 6,000: k = 4,275 / 4,575
    ltc = {"symbol": "LTC-USD", "size": 1_000, "entry": 100}
    account = hold(DYDX, 6_000, ltc)
    [event] = liquidated(account, {"LTC-USD": 100})
    assert event.remaining == pytest.approx(1_000 * 4_275 / 4_575)
    assert event.fee == pytest.approx(-1_500 * 300 / 4_575)


def test_a_negative_account_ends_at_bankruptcy(hold: Hold) -> None:
    # dydx-bust-long-below-mm has the account at -1 beside 5,000 of value: 1,000 less
    # 1,100 here, and the fund pays 100.
    account = hold(DYDX, 1_000, {"size": 1, "entry": 50_000})
    [event] = liquidated(account, {"BTCUSDT": 48_900})
    assert event.fill_price == 49_000
    assert event.insurance == 100


def test_one_position_per_market_and_funding_by_the_hour() -> None:
    assert DYDX.position_modes == (PositionMode.ONE_WAY,)
    assert DYDX.funding_hours == 1
