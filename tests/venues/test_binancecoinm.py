"""``binancecoinm``: answers of the venue in coin."""

from collections.abc import Callable

import pytest

from bt_margin import get_venue
from bt_margin.core.account import Account
from bt_margin.core.errors import ParameterError, UnknownNameError

Hold = Callable[..., Account]

COINM = get_venue("binancecoinm")
TERMS = {"contract_size": 100}  # USD


def test_a_position_of_an_account(hold: Hold) -> None:
    # binancecoinm payload in ccxt 4.5.90 binance.py (binance-coinm-isolated-btc); the
    # wallet is printed with 8 decimals, so the price is good to 0.02.
    long = {"symbol": "BTCUSD", "size": 2, "entry": 37_643.10000021, "terms": TERMS}
    account = hold(COINM, 0.00268058, long)
    position, mark = account.positions["BTCUSD"], 38_103.05510455
    price = account.liquidation_price("BTCUSD", lambda _: mark)
    assert price == pytest.approx(25_119.9744576, abs=0.02)
    assert position.unrealized_pnl(mark) == pytest.approx(6.413e-05, abs=1e-8)
    assert position.notional(mark) == pytest.approx(0.00524892, abs=1e-8)


def test_the_maintenance_of_the_faq(hold: Hold) -> None:
    # binance-coinm-mm-faq: 100 contracts of 100 USD at 25,000 are 0.4 BTC; 0.4 %.
    long = {"symbol": "BTCUSD", "size": 100, "entry": 25_000, "terms": TERMS}
    position = hold(COINM, 1, long).positions["BTCUSD"]
    assert position.notional(25_000) == pytest.approx(0.4)
    assert position.maintenance_margin(25_000) == pytest.approx(0.0016)


def test_the_amount_at_300_btc_is_that_of_the_faq() -> None:
    # binance-coinm-cum-300btc: 12.5 % and 11.605, so 37.5 - 11.605.
    tier = COINM.tiers_of("BTCUSD").at_size(1).tier_of(300)
    assert tier.maintenance_margin_rate == 0.125
    assert tier.maintenance_amount == pytest.approx(11.605)
    assert tier.maintenance_margin(300) == pytest.approx(25.895)


@pytest.mark.parametrize(
    ("coins", "required", "bound"),
    [
        # 5 * 0.4 % = 5 * 0.5 % - 0.005 = 0.02; 10 * 0.5 % - 0.005 = 10 * 1 % - 0.055
        pytest.param(4.999, 0.019996, 125, id="below 5 BTC"),
        pytest.param(5, 0.02, 100, id="5 BTC"),
        pytest.param(10, 0.045, 50, id="10 BTC"),
        pytest.param(20, 0.145, 20, id="20 BTC: 20 * 2.5 % - 0.355"),
    ],
)
def test_the_tiers_are_by_coin(coins: float, required: float, bound: float) -> None:
    table = COINM.tiers_of("BTCUSD").at_size(1)
    assert table.maintenance_margin(coins) == pytest.approx(required)
    assert table.tier_of(coins).max_leverage == bound


def test_a_long_climbs_the_tiers_as_the_price_falls(hold: Hold) -> None:
    # 2,000 contracts are 4 BTC at 50,000 and 5 BTC at 40,000.
    long = {"symbol": "BTCUSD", "size": 2_000, "entry": 50_000, "terms": TERMS}
    position = hold(COINM, 2, long).positions["BTCUSD"]
    assert position.tier(50_000).maintenance_margin_rate == 0.004
    assert position.tier(39_999).maintenance_margin_rate == 0.005


def test_it_lists_inverse_contracts_of_btc() -> None:
    tiers = COINM.tiers_of("BTCUSD")
    assert COINM.is_inverse
    assert COINM.contract("BTCUSD", tiers).inverse
    with pytest.raises(ParameterError, match="lists inverse contracts only"):
        COINM.contract("BTCUSD", tiers, inverse=False)
    with pytest.raises(UnknownNameError, match="give tiers"):
        COINM.tiers_of("ETHUSD")
