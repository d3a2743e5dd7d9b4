"""KuCoin Futures: published answers through the public page."""

from datetime import UTC, datetime

import pytest

from bt_margin import Account, Position, TierTable, get_venue
from bt_margin.core.errors import UnknownNameError
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.wallet import MarginMode

KUCOIN = get_venue("kucoinfutures")
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def held(
    size: float, entry: float, margin: float, rate: float, contract_size: float = 1
) -> tuple[Account, str]:
    """A wallet of ``margin`` with one position under one rate."""
    tiers = TierTable.flat(rate, 50)
    contract = KUCOIN.contract("ETHUSDT", tiers, contract_size=contract_size)
    account = Account(margin)
    wallet = account.wallet_for(contract.key, MarginMode.CROSS)
    account.put(Position(contract, size, entry, 23), wallet)
    return account, contract.key


def test_the_cross_price_of_the_page() -> None:
    # kucoin-cross-btc-eth, support 35084431335065: the ETH position's part of equity is
    # 22.62 % of its value. (-3,800 - 3,800 * 0.2262) / -(1 + 1 % + 0.06 %) = 4,610.69
    account, key = held(-100, 3_800, 3_800 * 0.2262, 0.01, contract_size=0.01)
    price = account.liquidation_price(key, lambda _: 3_800)
    assert price == pytest.approx(4_610.7, abs=0.5)


def test_the_isolated_prices_of_the_api_sample() -> None:
    # kucoin-api-isolated-eth-long: ccxt 4.5.90 kucoin.py. 0.50637594 of maintenance on
    # 0.02 * 4,182.1; it is at entry there, at mark here.
    rate = 0.50637594 / (0.02 * 4_182.1) - KUCOIN.closing_fee_rate
    account, key = held(0.02, 4_182.1, 3.68897586, rate)
    price = account.liquidation_price(key, lambda _: 4_182.1)
    assert price == pytest.approx(4_023.0, rel=0.0003)
    account, key = held(0.02, 4_182.1, 3.6366087, rate)
    price = account.bankruptcy_price(key, lambda _: 4_182.1)
    assert price == pytest.approx(4_000.25, abs=0.05)


@pytest.mark.parametrize(
    ("notional", "rate", "leverage"),
    [
        (99_999, 0.004, 125),
        (100_001, 0.005, 100),
        (999_999, 0.007, 75),
        (2_000_001, 0.017, 30),
        (12_000_000, 0.1, 5),
        pytest.param(9e9, 0.1, 5, id="beyond what is known"),
    ],
)
def test_the_whole_position_has_the_rate_of_its_level(
    notional: float, rate: float, leverage: float
) -> None:
    table = KUCOIN.tables["BTC"].at_size(1)
    assert table.tier_of(notional).max_leverage == leverage
    assert table.maintenance_margin(notional) == pytest.approx(notional * rate)


def test_a_position_is_taken_over_whole_with_its_margin() -> None:
    # 4,000 at 20x: bankrupt at 3,800
    account, key = held(1, 4_000, 200, 0.01)
    price = account.liquidation_price(key, lambda _: 4_000)
    assert price is not None
    assert price == pytest.approx(3_800 / (1 - 0.0106))
    [event] = Liquidator(KUCOIN.liquidation).liquidate(
        account, account.shared, lambda _: price, time=NOON, cause=Cause.PRICE
    )
    assert event.fill_price == pytest.approx(3_800)
    assert account.wallet_balance == 0


def test_other_coins_and_inverse_contracts_need_tiers() -> None:
    with pytest.raises(UnknownNameError, match=r"give tiers.*'ETH'.*BTC"):
        KUCOIN.tiers_of("ETHUSDT")
    with pytest.raises(UnknownNameError, match=r"give tiers.*'BTC'"):
        KUCOIN.tiers_of("BTCUSD", inverse=True)
