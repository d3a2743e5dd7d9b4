"""``hyperliquid``: prices of the venue, its steps, and what must stay."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from bt_margin import get_venue
from bt_margin.core.account import Account
from bt_margin.core.adjust import max_removable, move_margin
from bt_margin.core.fill import apply_fill
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import PositionMode

Hold = Callable[..., Account]

HYPERLIQUID = get_venue("hyperliquid")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Published answers


@pytest.mark.parametrize(
    ("size", "entry", "margin", "expected"),
    [
        # freqtrade tests/exchange/test_hyperliquid.py @3b1fb5af8478, at 20x
        pytest.param(0.16, 146.82, 23.482979, 0.05269872, id="hyperliquid-ft-03"),
        pytest.param(0.6, 173.06, 20.735658, 142.05186667, id="hyperliquid-ft-13"),
        pytest.param(0.33, 176.23, 19.364946, 120.56240404, id="hyperliquid-ft-22"),
        pytest.param(-0.33, 173.08, 19.01881, 225.08561715, id="hyperliquid-ft-23"),
    ],
)
def test_prices_of_the_venue_with_the_tiers_of_the_page(
    hold: Hold, size: float, entry: float, margin: float, expected: float
) -> None:
    sol = {"symbol": "SOL", "size": size, "entry": entry}
    account = hold(HYPERLIQUID, margin, sol)
    price = account.liquidation_price("SOL", lambda _: entry)
    assert price == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("symbol", "size", "entry", "margin", "highest", "expected"),
    [
        pytest.param(
            *("BTC", 0.00077, 62_739.0, 24.137992, 50, 31_708.03843631),
            id="hyperliquid-ft-06",
        ),
        pytest.param(
            *("ETH", -0.019, 2_642.8, 25.091876, 50, 3_924.18322043),
            id="hyperliquid-ft-08",
        ),
        pytest.param(
            *("DOGE", -351.0, 0.14333, 25.136807, 20, 0.20970228),
            id="hyperliquid-ft-10",
        ),
    ],
)
def test_prices_of_2024_with_the_tiers_of_that_time(
    hold: Hold,
    symbol: str,
    size: float,
    entry: float,
    margin: float,
    highest: float,
    expected: float,
) -> None:
    tiers = TierTable.flat(1 / (2 * highest), highest)
    position = {"symbol": symbol, "size": size, "entry": entry, "tiers": tiers}
    account = hold(HYPERLIQUID, margin, position)
    price = account.liquidation_price(symbol, lambda _: entry)
    assert price == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "value", "expected"),
    [
        # hyperliquid-python-sdk @7ee976d123b1, a cassette of 2023-05
        pytest.param(-0.00785, 211.64542, 173_198.69592357, id="2023-cross-btc"),
        pytest.param(-121.2, 287.244, 11.841653, id="2023-cross-dydx"),
        pytest.param(-131.8, 509.5388, 12.57589638, id="2023-cross-ape"),
        pytest.param(-76.4, 156.238, 17.0707113, id="2023-cross-op"),
    ],
)
def test_in_2023_05_maintenance_stood_still(
    hold: Hold, size: float, value: float, expected: float
) -> None:
    tiers = TierTable.flat(0.01, 50)
    one = {"symbol": "X", "size": size, "entry": -value / size, "tiers": tiers}
    rest = {"symbol": "Y", "size": -1, "entry": 3_434.815334 - value, "tiers": tiers}
    marks = {"X": -value / size, "Y": 3_434.815334 - value}

    def price_on(day: date) -> float | None:
        account = hold(HYPERLIQUID.at(day), 1_182.312496, one, rest)
        return account.liquidation_price("X", marks.__getitem__)

    assert price_on(date(2023, 5, 31)) == pytest.approx(expected, rel=1e-7)
    assert price_on(date(2023, 6, 1)) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("coin", "floor", "amount"),
    [
        # The floor times what the rate rises by there.
        pytest.param("ETH", 100_000_000, 1_333_333.33, id="1/30 - 1/50"),
        pytest.param("LTC", 20_000_000, 1_000_000, id="1/10 - 1/20"),
        pytest.param("ADA", 20_000_000, 1_000_000, id="the same group"),
        pytest.param("BNB", 3_000_000, 150_000, id="the group of 3 million"),
    ],
)
def test_the_deduction_beyond_the_floor(coin: str, floor: float, amount: float) -> None:
    tier = HYPERLIQUID.tables[coin].at_size(1).tier_of(floor)
    assert tier.min_notional == floor
    assert tier.maintenance_amount == pytest.approx(amount)


# Liquidation and controls


def test_of_a_large_position_a_fifth_goes_first_and_all_within_half_a_minute(
    hold: Hold,
) -> None:
    # 200,000 of BTC at 1.25 %: 2,500. A fifth closed at mark leaves 160,000 and all
    # of the balance. It fails again 30 s later; after 31 s 20 % more would go.
    for seconds, remaining in ((30, 0), (31, 1.28)):
        account = hold(HYPERLIQUID, 2_500, {"size": 2, "entry": 100_000})
        marks = {"BTCUSDT": 100_000.0}
        liquidator = Liquidator(HYPERLIQUID.liquidation)

        def fall(account: Account, now: datetime, known: Liquidator) -> list[float]:
            events = known.liquidate(
                *(account, account.shared, lambda _: marks["BTCUSDT"]),  # noqa: B023
                time=now,
                cause=Cause.PRICE,
            )
            return [event.size for event in events]

        assert fall(account, NOW, liquidator) == pytest.approx([0.4])
        assert account.balance(account.shared) == pytest.approx(2_500)
        # 2,500 - 1.6 * 400 = 1,860 against 1.25 % of 159,360 = 1,992
        marks["BTCUSDT"] = 99_600.0
        fall(account, NOW + timedelta(seconds=seconds), liquidator)
        held = sum(position.size for position in account.positions.values())
        assert held == pytest.approx(remaining)


def test_a_small_position_goes_whole_and_its_rest_returns(hold: Hold) -> None:
    account = hold(HYPERLIQUID, 1_250, {"size": 1, "entry": 100_000})
    [event] = Liquidator(HYPERLIQUID.liquidation).liquidate(
        account, account.shared, lambda _: 100_000, time=NOW, cause=Cause.PRICE
    )
    assert (event.size, event.fee, event.insurance) == (1, 0, 0)
    assert account.balance(account.shared) == 1_250


def test_the_backstop_takes_what_is_below_two_thirds(hold: Hold) -> None:
    # 100,000 at 1.25 %: two thirds of 1,250 are 833.33.
    account = hold(HYPERLIQUID, 833, {"size": 1, "entry": 100_000})
    [event] = Liquidator(HYPERLIQUID.liquidation).liquidate(
        account, account.shared, lambda _: 100_000, time=NOW, cause=Cause.PRICE
    )
    assert event.insurance == -833
    assert account.balance(account.shared) == 0


@pytest.mark.parametrize(
    ("leverage", "removable"),
    [
        pytest.param(2, 5_000, id="20,000 / 2 stay"),
        pytest.param(20, 4_000, id="10 % of 20,000 stay, not 20,000 / 20"),
    ],
)
def test_what_must_stay_when_margin_is_removed(
    leverage: float, removable: float
) -> None:
    account = Account(50_000)
    contract = HYPERLIQUID.contract("ETH", HYPERLIQUID.tiers_of("ETH"))
    mode = MarginMode.ISOLATED
    apply_fill(account, contract, 10, 2_000, leverage=leverage, mode=mode)
    move_margin(account, "ETH", 5_000, time=NOW, ref="by hand")
    rule = HYPERLIQUID.controls.removal
    assert rule is not None
    found = max_removable(account, "ETH", lambda _: 2_000, rule)
    assert found == pytest.approx(removable)


def test_one_position_per_coin_and_funding_by_the_hour() -> None:
    assert HYPERLIQUID.position_modes == (PositionMode.ONE_WAY,)
    assert HYPERLIQUID.funding_hours == 1
