"""``deribit``: rates that rise with the size, and cross margin alone."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from bt_margin import CrossBroker, IsolatedBroker, get_venue
from bt_margin.core.account import Account
from bt_margin.core.errors import ParameterError, UnknownNameError
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate

Hold = Callable[..., Account]

DERIBIT = get_venue("deribit")
NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "initial", "maintenance"),
    [
        # support.deribit.com 25944738177565 (Linear Perpetual) at 100,000
        pytest.param(25, 53_125, 28_125, id="25 BTC: 2.125 % and 1.125 %"),
        # 350 * (1 % + 350 * 0.005 %) = 2.75 % of 35 million
        pytest.param(350, 1_312_500, 962_500, id="deribit-linear-btc-350"),
    ],
)
def test_the_examples_of_the_page(
    hold: Hold, size: float, initial: float, maintenance: float
) -> None:
    leverage = DERIBIT.tiers_of("BTCUSDC").at_size(size).max_leverage
    long = {"size": size, "entry": 100_000, "leverage": leverage}
    position = hold(DERIBIT, 10_000_000, long).positions["BTCUSDT"]
    summary = position.summary(100_000, DERIBIT.cross_margin_basis)
    assert summary.initial_margin == pytest.approx(initial)
    assert summary.maintenance_margin == pytest.approx(maintenance)


@pytest.mark.parametrize(
    ("coins", "bound", "rate"),
    [
        # 4 % + 0.0005 % and 2 % + 0.0005 % for each SOL
        pytest.param(2_000, 20, 0.03, id="2,000 SOL: 5 % and 3 %"),
        pytest.param(192_000, 1, 0.98, id="the whole notional"),
        pytest.param(500_000, 1, 0.98, id="and no more"),
    ],
)
def test_the_slope_of_sol(coins: float, bound: float, rate: float) -> None:
    [tier] = DERIBIT.tiers_of("SOLUSDC").at_size(coins)
    assert tier.max_leverage == pytest.approx(bound)
    assert tier.maintenance_margin_rate == pytest.approx(rate)


def test_a_long_by_hand(hold: Hold) -> None:
    # 20 BTC at 50,000 with 50,000; 1.1 %: 50,000 + 20 (p - 50,000) = 0.22 p
    account = hold(DERIBIT, 50_000, {"size": 20, "entry": 50_000})
    price = account.liquidation_price("BTCUSDT", lambda _: 50_000)
    assert price == pytest.approx(950_000 / 19.78)


def test_as_much_is_closed_as_is_needed(hold: Hold) -> None:
    # 200 BTC at 50,000: 2 % of 10 million, and so much is there. With k of it kept
    # 0.95 * (200,000 - (1 - k) * 75,000) = k * 200,000: k = 118,750 / 128,750
    account = hold(DERIBIT, 200_000, {"size": 200, "entry": 50_000})
    [event] = liquidate(
        account,
        account.shared,
        lambda _: 50_000,
        time=NOW,
        cause=Cause.PRICE,
        policy=DERIBIT.liquidation,
    )
    assert event.remaining == pytest.approx(200 * 118_750 / 128_750)
    assert event.fee == pytest.approx(-75_000 * 10_000 / 128_750)


def test_isolated_margin_is_refused() -> None:
    with pytest.raises(ParameterError, match="deribit offers cross margin only"):
        IsolatedBroker(venue="deribit")
    assert CrossBroker(venue="deribit").venue is DERIBIT


def test_inverse_contracts_and_other_coins_are_refused() -> None:
    tiers = DERIBIT.tiers_of("BTC")
    with pytest.raises(ParameterError, match="lists linear contracts only"):
        DERIBIT.contract("BTC", tiers, inverse=True)
    with pytest.raises(UnknownNameError, match="give tiers"):
        DERIBIT.tiers_of("ETHUSDC")
