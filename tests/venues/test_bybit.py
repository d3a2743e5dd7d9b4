"""Bybit: published answers and dated rules through the public page."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from bt_margin import Account, LiquidationEvent, Position, TierTable, get_venue
from bt_margin.core.adjust import max_removable, move_margin
from bt_margin.core.contract import Basis
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import Venue

BYBIT = get_venue("bybit")
LEGACY = BYBIT.at(date(2025, 9, 1))
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def held(
    venue: Venue, symbol: str, size: float, entry: float, **words: Any
) -> tuple[Account, Position]:
    """An account with one position: in a cross wallet, or isolated.

    ``margin``: all that the wallet holds; without it an isolated position has what
    the venue moves to it at ``leverage``.
    """
    margin, leverage = words.pop("margin", None), words.pop("leverage", 1)
    tiers = words.pop("tiers", None)
    if tiers is None:
        tiers = venue.tiers_of(symbol, inverse=words.get("inverse"))
    contract = venue.contract(symbol, tiers, **words)
    position = Position(contract, size, entry, leverage)
    account = Account(
        margin or 100 * position.opening_margin,
        cross_margin_basis=venue.cross_margin_basis,
        isolated_margin_basis=venue.isolated_margin_basis,
    )
    mode = MarginMode.CROSS if margin else MarginMode.ISOLATED
    wallet = account.wallet_for(contract.key, mode)
    account.put(position, wallet)
    if not margin:
        account.transfer(account.shared, wallet, position.opening_margin)
    return account, position


def price_of(venue: Venue, symbol: str, size: float, entry: float, **words: Any) -> Any:
    account, position = held(venue, symbol, size, entry, **words)
    return account.liquidation_price(position.contract.key, lambda _: entry)


def liquidated(account: Account, position: Position, venue: Venue) -> LiquidationEvent:
    """The one event of a liquidation at the position's own price."""
    key = position.contract.key
    price = account.liquidation_price(key, lambda _: position.entry_price)
    assert price is not None
    wallet = account.wallet_of(key)
    [event] = Liquidator(venue.liquidation).liquidate(
        account, wallet, lambda _: price, time=NOON, cause=Cause.PRICE
    )
    return event


# Before 2025-09-02: maintenance on entry


@pytest.mark.parametrize(
    ("size", "entry", "leverage", "rate", "expected"),
    [
        # Bybit help, Liquidation-Price-USDT-Contract
        pytest.param(1, 20_000, 50, 0.005, 19_700, id="bybit-help-long-20000"),
        # freqtrade c9ae5e1e9ff2 test_exchange.py::test_get_liquidation_price
        pytest.param(1, 10, 1, 0.01, 0.1, id="freqtrade-bybit-1"),
        pytest.param(1, 10, 3, 0.01, 6.7666666, id="freqtrade-bybit-2"),
        pytest.param(1, 10, 10, 0.01, 9.1, id="freqtrade-bybit-4"),
        pytest.param(-1, 10, 1, 0.01, 19.9, id="freqtrade-bybit-5"),
        pytest.param(-1, 10, 10, 0.01, 10.9, id="freqtrade-bybit-8"),
        # ccxt 4.5.90 bybit.py, contract v3 doc sample: 919.10, up to the tick 0.05
        pytest.param(0.1, 1198.45, 4.2, 0.005, 919.097, id="bybit-api-eth-isolated"),
    ],
)
def test_the_published_liquidation_prices(
    size: float, entry: float, leverage: float, rate: float, expected: float
) -> None:
    tiers = TierTable.flat(rate, 100)
    found = price_of(LEGACY, "XUSDT", size, entry, leverage=leverage, tiers=tiers)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "entry", "rate", "initial", "maintenance"),
    [
        # ccxt 4.5.90 bybit.py fetch_positions; taker 0.06 %, 10x, both with fee
        pytest.param(
            100, 0.3615, 0.01, 3.634521, 0.381021, id="bybit-api-im-mm-xrp-100"
        ),
        pytest.param(
            0.5, 1073.85, 0.005, 53.9824395, 2.9745645, id="bybit-api-im-mm-eth-0.5"
        ),
    ],
)
def test_the_fee_to_close_is_in_both_margins(
    size: float, entry: float, rate: float, initial: float, maintenance: float
) -> None:
    venue = replace(LEGACY, reserved_fee_rate=0.0006)
    tiers = TierTable.flat(rate, 50)
    account, _ = held(venue, "XUSDT", size, entry, leverage=10, margin=100, tiers=tiers)
    # On entry whatever the mark.
    summary = account.summary(account.shared, lambda _: entry * 1.1)
    assert summary.initial_margin == pytest.approx(initial, abs=1e-7)
    assert summary.maintenance_margin == pytest.approx(maintenance, abs=1e-7)


def test_an_inverse_order_costs_what_the_page_says() -> None:
    # bybit-ordercost-inverse: 10,000 USD at 2,000, 25x: margin 0.2, closing fee 0.00286
    _, position = held(
        BYBIT,
        "ETHUSD",
        10_000,
        2_000,
        leverage=25,
        tiers=TierTable.flat(0.01, 50),
        inverse=True,
    )
    assert position.opening_margin == pytest.approx(0.2 + 0.00286, abs=1e-9)
    assert BYBIT.taker_fee_rate * 5 == pytest.approx(0.00275, abs=1e-9)


# Since 2025-09-02: maintenance on mark


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # Bybit help 2026-05-27, with the numbers of bybit-inverse-isolated-im:
        # Q (1 + m) / (Q/EP + Q/EP/L), Q (1 - m) / (Q/EP - Q/EP/L); Q/EP 1.2, first tier
        pytest.param(60_000, 60_300 / 1.32, id="long: 45,681.82"),
        pytest.param(-60_000, 59_700 / 1.08, id="short: 55,277.78"),
    ],
)
def test_the_inverse_isolated_price_of_2026(size: float, expected: float) -> None:
    found = price_of(BYBIT, "BTCUSD", size, 50_000, leverage=10, inverse=True)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # 100,000 (1 - 0.1 + 0.5 %): entry, the first tier of early 2025
        pytest.param(date(2025, 9, 1), 90_500, id="on entry"),
        # 90,000 / (1 - 0.33 %): mark, the first tier of 2026
        pytest.param(date(2025, 9, 2), 90_000 / 0.9967, id="on mark"),
    ],
)
def test_maintenance_moved_to_mark_on_the_day(day: date, expected: float) -> None:
    found = price_of(BYBIT.at(day), "BTCUSDT", 1, 100_000, leverage=10)
    assert found == pytest.approx(expected)


def test_isolated_margin_stayed_on_entry() -> None:
    bases = (BYBIT.cross_margin_basis, BYBIT.isolated_margin_basis)
    assert bases == (Basis.MARK, Basis.ENTRY)
    bases = (LEGACY.cross_margin_basis, LEGACY.isolated_margin_basis)
    assert bases == (Basis.ENTRY, Basis.ENTRY)


@pytest.mark.parametrize(
    ("table", "amounts"),
    [
        pytest.param(BYBIT.tables["BTC"], [0, 510, 1_710], id="BTCUSDT 2026-09-25"),
        pytest.param(LEGACY.tables["BTC"], [0, 1_200], id="BTCUSDT 2025-02"),
        pytest.param(BYBIT.inverse_tables["BTC"], [0, 0.75], id="BTCUSD 2026-09-26"),
    ],
)
def test_the_published_deductions_are_those_of_the_recursion(
    table: TierTable, amounts: list[float]
) -> None:
    # 300,000 (0.5 % - 0.33 %) = 510; + 2,000,000 (0.56 % - 0.5 %) = 1,710
    assert [tier.maintenance_amount for tier in table] == amounts
    bare = TierTable(replace(tier, maintenance_amount=None) for tier in table)
    assert [tier.maintenance_amount for tier in bare] == pytest.approx(amounts)


# Liquidation and margin


def test_all_of_the_margin_is_lost_at_the_bankruptcy_price() -> None:
    # bybit-bust-50x: 10,000 at 50x is bankrupt at 9,800; the close there costs
    # 9,800 * 0.055 % = 5.39, which was reserved.
    account, position = held(BYBIT, "XUSDT", 1, 10_000, leverage=50)
    cash = account.balance(account.shared)
    bust = account.bankruptcy_price(position.contract.key, lambda _: 10_000)
    assert bust == pytest.approx(9_800)
    event = liquidated(account, position, BYBIT)
    assert event.fill_price == pytest.approx(9_800)
    assert event.fee == pytest.approx(-5.39)
    assert account.wallet_balance == pytest.approx(cash)


def test_a_higher_tier_is_left_for_the_one_below() -> None:
    # 25 BTC at 100,000: 2.46 million at the liquidation price, in the third tier
    account, position = held(BYBIT, "BTCUSDT", 25, 100_000, leverage=50)
    event = liquidated(account, position, BYBIT)
    assert event.remaining * event.mark_price == pytest.approx(2_000_000)
    assert event.fill_price == pytest.approx(98_000)


def test_no_more_than_was_added_can_be_removed() -> None:
    # Error 110078; a wallet 100 above its opening margin gives back 100, also at a loss
    account, position = held(BYBIT, "BTCUSDT", 1, 100_000, leverage=10)
    key, rule = position.contract.key, BYBIT.controls.removal
    assert rule is not None
    move_margin(account, key, 100, time=NOON, ref="add margin")
    for marks in ({"BTCUSDT": 100_000.0}, {"BTCUSDT": 95_000.0}):
        found = max_removable(account, key, marks.__getitem__, rule)
        assert found == pytest.approx(100)
