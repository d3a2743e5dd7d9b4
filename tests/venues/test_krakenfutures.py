"""Kraken Futures: published answers through the public page."""

from datetime import UTC, datetime

import pytest

from bt_margin import Account, Position, get_venue
from bt_margin.core.contract import Basis
from bt_margin.core.errors import UnknownNameError
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import PositionMode

KRAKEN = get_venue("krakenfutures")
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def held(margin: float) -> tuple[Account, Position]:
    """The page's example: 1,000 contracts of 1 USD at 8,000, 50x."""
    tiers = KRAKEN.tiers_of("BTC/USD:BTC", inverse=True)
    contract = KRAKEN.contract("BTCUSD", tiers, inverse=True)
    position = Position(contract, 1_000, 8_000, 50)
    account = Account(margin)
    account.put(position, account.wallet_for(contract.key, MarginMode.CROSS))
    return account, position


def test_the_example_of_the_equity_protection_process() -> None:
    # kraken-epp-inverse: support.kraken.com 360022835671
    account, position = held(0.01)
    key = position.contract.key
    assert position.notional(8_000) == pytest.approx(0.125)
    assert position.initial_margin(8_000, Basis.ENTRY) == pytest.approx(0.0025)
    assert position.maintenance_margin(8_000) == pytest.approx(0.00125)
    liquidation = account.liquidation_price(key, lambda _: 8_000)
    assert liquidation == pytest.approx(7_481, abs=1)
    bankruptcy = account.bankruptcy_price(key, lambda _: 8_000)
    assert bankruptcy == pytest.approx(7_407, abs=1)


def test_what_the_book_leaves_stays_with_the_trader() -> None:
    # 1,000 (1 + 1 %) / (0.125 + 0.01) = 7,481.48; 1 % of 1,000 / 7,481.48 is left
    account, position = held(0.01)
    price = 1_010 / 0.135
    wallet = account.wallet_of(position.contract.key)
    [event] = Liquidator(KRAKEN.liquidation).liquidate(
        account, wallet, lambda _: price, time=NOON, cause=Cause.PRICE
    )
    assert (event.fee, event.insurance, event.remaining) == (0, 0, 0)
    assert account.wallet_balance == pytest.approx(10 / price)


@pytest.mark.parametrize(
    ("coin", "notional", "rate", "leverage"),
    [
        ("BTC", 999_999, 0.005, 100),
        ("BTC", 1_000_000, 0.01, 50),
        ("BTC", 2_999_999, 0.01, 50),
        ("BTC", 3_000_000, 0.02, 25),
        ("DOGE", 1_999_999, 0.01, 50),
        ("DOGE", 2_000_000, 0.02, 25),
    ],
)
def test_the_whole_position_has_the_rate_of_its_level(
    coin: str, notional: float, rate: float, leverage: float
) -> None:
    table = KRAKEN.tables[coin].at_size(1)
    assert table.tier_of(notional).max_leverage == pytest.approx(leverage)
    assert table.maintenance_margin(notional) == pytest.approx(notional * rate)


@pytest.mark.parametrize(
    ("contracts", "rate", "leverage"),
    [
        # support.kraken.com 15579128794772; 17, 6.7 and 3.33 are rounded there
        (500_000, 0.01, 50),
        (500_001, 0.02, 25),
        (3_000_000, 0.03, 17),
        (6_000_000, 0.05, 10),
        (12_000_000, 0.075, 6.7),
        (12_000_001, 0.125, 4),
        (50_000_000, 0.15, 3.33),
        (75_000_000, 0.2, 2.5),
    ],
)
def test_inverse_levels_go_by_contracts(
    contracts: int, rate: float, leverage: float
) -> None:
    [tier] = KRAKEN.inverse_tables["BTC"].at_size(contracts)
    assert tier.maintenance_margin_rate == pytest.approx(rate)
    assert tier.max_leverage == pytest.approx(leverage, rel=0.02)


def test_what_is_not_known_is_refused_and_what_is_not_offered_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match=r"give tiers.*'ADA'.*BTC"):
        KRAKEN.tiers_of("ADAUSD")
    assert KRAKEN.position_modes == (PositionMode.ONE_WAY,)
    assert KRAKEN.controls.removal is None
