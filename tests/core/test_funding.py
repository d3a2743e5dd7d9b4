"""Funding: who pays whom, and from which wallet."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Contract
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import (
    FundingEvent,
    FundingStamp,
    funding_payment,
    settle_funding,
)
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, FundingSource, MarginMode

STAMP = datetime(2024, 1, 1, 8, tzinfo=UTC)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


@pytest.mark.parametrize(
    ("size", "rate", "expected"),
    [
        # 2 coins at 50,000: 100,000 * 0.0001 = 10
        pytest.param(2, "0.0001", -10, id="a positive rate: the long pays"),
        pytest.param(-2, "0.0001", 10, id="a positive rate: the short receives"),
        pytest.param(2, "-0.0001", 10, id="a negative rate: the long receives"),
        pytest.param(-2, "-0.0001", -10, id="a negative rate: the short pays"),
        pytest.param(2, "0", 0, id="a rate of 0 moves nothing"),
    ],
)
def test_funding_payment(size: int, rate: str, expected: int) -> None:
    assert expected == funding_payment(exact(size), exact(50_000), exact(rate))


@pytest.mark.parametrize(
    ("size", "contract_size", "inverse", "expected"),
    [
        pytest.param(200, "0.01", False, "-10", id="200 contracts of 0.01 coins"),
        # 1,000 contracts of 100 USD at 50,000 are 2 coins
        pytest.param(1000, "100", True, "-0.0002", id="an inverse long pays coins"),
        pytest.param(-1000, "100", True, "0.0002", id="an inverse short gets coins"),
    ],
)
def test_funding_payment_by_contract(
    size: int, contract_size: str, inverse: bool, expected: str
) -> None:
    assert exact(expected) == funding_payment(
        exact(size),
        exact(50_000),
        exact("0.0001"),
        contract_size=exact(contract_size),
        inverse=inverse,
    )


@given(
    size=st.fractions(-1000, 1000, max_denominator=100),
    mark=st.fractions(1, 10**5, max_denominator=100),
    rate=st.fractions(-1, 1, max_denominator=10**6),
    inverse=st.booleans(),
)
def test_opposite_positions_sum_to_nothing(
    size: Any, mark: Any, rate: Any, inverse: bool
) -> None:
    long = funding_payment(size, mark, rate, inverse=inverse)
    assert long + funding_payment(-size, mark, rate, inverse=inverse) == 0


@pytest.mark.parametrize(
    ("mode", "wallet"),
    [
        pytest.param(MarginMode.ISOLATED, "isolated:BTC", id="isolated: its own"),
        pytest.param(MarginMode.CROSS, SHARED, id="cross: the shared one"),
    ],
)
def test_a_stamp_is_paid_by_the_wallet_that_holds_the_position(
    mode: MarginMode, wallet: str
) -> None:
    account = Account(exact(10_000))
    contract = Contract("BTC", TierTable.flat(exact("0.005"), 125))
    apply_fill(account, contract, exact(10), exact(100), leverage=exact(10), mode=mode)
    before = account.ledger.balance(wallet)
    event = settle_funding(account, "BTC", exact("0.001"), exact(110), time=STAMP)
    # 10 * 110 * 0.001
    paid = exact("-1.1")
    assert FundingEvent(STAMP, "BTC", 10, 110, exact("0.001"), paid, wallet) == event
    entry = LedgerEntry(STAMP, LedgerEntryKind.FUNDING, wallet, "BTC", paid, "funding")
    assert entry == list(account.ledger)[-1]
    assert before + paid == account.ledger.balance(wallet)


# Available balance first (Bybit), then the position's margin


def at(price: Any) -> Marks:
    return lambda _: exact(price)


def opened(cash: Any, *sizes: Any, mode: MarginMode = MarginMode.ISOLATED) -> Account:
    """Positions of BTC at 100 at 10x; two sizes are two legs."""
    account = Account(exact(cash), funding_source=FundingSource.AVAILABLE)
    tiers = TierTable.flat(exact("0.005"), 125)
    for size in sizes:
        leg = ("long" if size > 0 else "short") if len(sizes) > 1 else ""
        contract = Contract("BTC", tiers, leg=leg)
        price, lever = exact(100), exact(10)
        apply_fill(account, contract, exact(size), price, leverage=lever, mode=mode)
    return account


def stamp(rate: Any) -> FundingStamp:
    return FundingStamp(exact(0), STAMP, "BTC", exact(rate))


@pytest.mark.parametrize(
    ("cash", "rate", "from_shared", "isolated"),
    [
        # 10 long at 100 on 100 of its own; 1,000 * 0.02 = 20
        pytest.param(150, "0.02", -20, 100, id="the shared wallet pays all"),
        pytest.param(120, "0.02", -20, 100, id="the last it has"),
        pytest.param(105, "0.02", -5, 85, id="what it has, and the margin the rest"),
        pytest.param(100, "0.02", 0, 80, id="it has nothing: the margin pays"),
        pytest.param(100, "0.12", 0, -20, id="the margin may go below 0"),
        pytest.param(105, "-0.02", 20, 100, id="what is received goes to the shared"),
    ],
)
def test_the_available_balance_pays_first(
    cash: int, rate: str, from_shared: int, isolated: int
) -> None:
    account = opened(cash, 10)
    (event,) = stamp(rate).settle(account, at(100))
    assert event.payment == -1_000 * exact(rate)
    assert event.from_shared == from_shared
    assert account.ledger.balances["isolated:BTC"] == isolated
    assert account.ledger.balances[SHARED] == cash - 100 + from_shared
    assert account.wallet_balance == cash + event.payment


def test_a_cross_position_pays_from_its_pool_all_the_same() -> None:
    account = opened(105, 10, mode=MarginMode.CROSS)
    (event,) = stamp("0.2").settle(account, at(100))
    assert (event.payment, event.from_shared, event.wallet) == (-200, 0, SHARED)
    assert account.ledger.balances == {SHARED: -95}


def test_what_cross_positions_lock_is_not_available() -> None:
    account = opened(150, 10)
    eth = Contract("ETH", TierTable.flat(exact("0.005"), 125))
    size, price, lever = exact(4), exact(100), exact(10)
    apply_fill(account, eth, size, price, leverage=lever, mode=MarginMode.CROSS)
    # 50 shared, of which 40 are locked
    (event,) = stamp("0.02").settle(account, at(100))
    assert event.from_shared == -10


@pytest.mark.parametrize(
    ("sizes", "shared", "own"),
    [
        # The long pays 10 of the 5 available and 5 of its own; the short gets 10.
        pytest.param((10, -10), 10, (95, 100), id="the long first"),
        # The short's 10 come first, and pay for the long.
        pytest.param((-10, 10), 5, (100, 100), id="the short first"),
    ],
)
def test_the_legs_pay_one_after_the_other(
    sizes: tuple[int, int], shared: int, own: tuple[int, int]
) -> None:
    account = opened(205, *sizes)
    events = stamp("0.01").settle(account, at(100))
    assert [event.leg for event in events] == [
        "long" if size > 0 else "short" for size in sizes
    ]
    balances = account.ledger.balances
    assert balances[SHARED] == shared
    assert (balances["isolated:BTC:long"], balances["isolated:BTC:short"]) == own
    assert account.wallet_balance == 205


@given(
    size=st.fractions(Fraction(1, 10), 100, max_denominator=10),
    free=st.fractions(0, 500, max_denominator=10),
    mark=st.fractions(50, 200, max_denominator=10),
    rate=st.fractions(Fraction(-1, 10), Fraction(1, 10), max_denominator=1_000),
    mode=st.sampled_from(MarginMode),
)
def test_the_funding_of_opposite_legs_sums_to_nothing(
    size: Any, free: Any, mark: Any, rate: Any, mode: MarginMode
) -> None:
    account = opened(size * 20 + free + 1, size, -size, mode=mode)
    before = account.wallet_balance
    events = stamp(rate).settle(account, at(mark))
    assert sum(event.payment for event in events) == 0
    assert account.wallet_balance == before
