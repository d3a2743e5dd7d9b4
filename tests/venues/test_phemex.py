"""``phemex``: a price of the venue, and its risk limits."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bt_margin import get_venue
from bt_margin.core.account import Account
from bt_margin.core.errors import UnknownNameError
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate

Hold = Callable[..., Account]

PHEMEX = get_venue("phemex")
NOW = datetime(2023, 4, 1, tzinfo=UTC)


def test_a_position_of_an_account(hold: Hold) -> None:
    # phemex-api-cross-btc (a payload in ccxt 4.5.90 phemex.py), printed as 45009; the
    # tier and the fee are those of the page.
    account = hold(PHEMEX, 439.96184445932, {"size": 0.01, "entry": 88_753.1})
    price = account.liquidation_price("BTCUSDT", lambda _: 88_753.1)
    assert price == pytest.approx(45_009, abs=0.5)


@pytest.mark.parametrize(
    ("notional", "required", "bound"),
    [
        pytest.param(2_000_000, 10_000, 66.67, id="0.5 % of the first 2 million"),
        pytest.param(3_000_000, 17_500, 66.67, id="0.75 % of the third million"),
        pytest.param(4_000_000, 25_000, 50, id="and of the fourth"),
        pytest.param(5_000_000, 35_000, 50, id="1 % of the fifth"),
    ],
)
def test_each_rate_holds_above_its_floor(
    notional: float, required: float, bound: float
) -> None:
    table = PHEMEX.tiers_of("BTCUSDT").at_size(1)
    assert table.maintenance_margin(notional) == pytest.approx(required)
    assert table.tier_of(notional).max_leverage == bound


def test_the_whole_margin_goes_with_the_position(hold: Hold) -> None:
    # At 45,009 there are 439.96 - 437.44 = 2.52 left.
    account = hold(PHEMEX, 439.96184445932, {"size": 0.01, "entry": 88_753.1})
    [event] = liquidate(
        account,
        account.shared,
        lambda _: 45_008,
        time=NOW,
        cause=Cause.PRICE,
        policy=PHEMEX.liquidation,
    )
    assert event.size == 0.01
    assert event.insurance == pytest.approx(-2.51, abs=0.01)
    assert account.balance(account.shared) == 0


def test_other_coins_need_tiers() -> None:
    with pytest.raises(UnknownNameError, match="give tiers"):
        PHEMEX.tiers_of("ETHUSDT")
