"""Funding: who pays whom, and from which wallet."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.account import Account
from bt_margin.core.contract import Contract
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import FundingEvent, funding_payment, settle_funding
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, MarginMode

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
