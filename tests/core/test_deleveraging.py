"""Deleveraging: winners that a venue closes."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Contract
from bt_margin.core.deleveraging import DeleveragingEvent, DeleveragingStamp
from bt_margin.core.errors import ParameterError
from bt_margin.core.fill import apply_fill
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, MarginMode

ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def at(price: Any) -> Marks:
    return lambda _: exact(price)


def opened(
    *sizes: Any, mode: MarginMode = ISOLATED, cash: Any = 1_000, **rules: Any
) -> Account:
    """Positions of A at 100 at 10x; two sizes are two legs."""
    account = Account(exact(cash))
    tiers = TierTable.flat(exact("0.01"), 100)
    for size in sizes:
        leg = ("long" if size > 0 else "short") if len(sizes) > 1 else ""
        apply_fill(
            account,
            Contract("A", tiers, leg=leg, **rules),
            exact(size),
            exact(100),
            leverage=exact(10),
            mode=mode,
        )
    return account


def stamp(share: Any = 1, price: Any = None, symbol: str = "A") -> DeleveragingStamp:
    known = None if price is None else exact(price)
    return DeleveragingStamp(exact(0), NOON, symbol, exact(share), known)


@pytest.mark.parametrize(
    ("size", "share", "price", "mark", "closed", "pnl", "isolated"),
    [
        pytest.param(10, 1, None, 120, 10, 200, 0, id="all of a long, at mark"),
        pytest.param(-10, 1, None, 80, -10, 200, 0, id="all of a short"),
        pytest.param(10, "0.4", None, 120, 4, 80, 60, id="0.4 of it: 60 of 100 stay"),
        pytest.param(10, 1, 110, 120, 10, 100, 0, id="at the price that is said"),
    ],
)
def test_a_winner_is_closed(
    size: int,
    share: Any,
    price: Any,
    mark: int,
    closed: int,
    pnl: int,
    isolated: int,
) -> None:
    account = opened(size)
    (event,) = stamp(share, price).settle(account, at(mark))
    expected = DeleveragingEvent(
        time=NOON,
        symbol="A",
        size=closed,
        entry_price=100,
        fill_price=exact(price or mark),
        pnl=pnl,
        wallet="isolated:A",
        remaining=size - closed,
    )
    assert event == expected
    assert account.ledger.balances == {
        SHARED: 1_000 + pnl - isolated,
        "isolated:A": isolated,
    }
    # No fee; and the entries say why.
    assert account.ledger.total(LedgerEntryKind.FEE) == 0
    assert {e.ref for e in account.ledger if e.time == NOON} == {"deleveraging"}


@pytest.mark.parametrize(
    ("size", "price", "mark"),
    [
        pytest.param(10, None, 99, id="a long that loses"),
        pytest.param(-10, None, 101, id="a short that loses"),
        pytest.param(10, None, 100, id="one that neither gains nor loses"),
        pytest.param(10, 99, 120, id="one that would lose at the price said"),
    ],
)
def test_no_other_is_closed(size: int, price: Any, mark: int) -> None:
    account = opened(size)
    before = list(account.ledger)
    assert stamp(1, price).settle(account, at(mark)) == []
    assert list(account.ledger) == before


def test_of_two_legs_the_winner_is_closed() -> None:
    account = opened(10, -4, mode=CROSS)
    (event,) = stamp("0.5").settle(account, at(80))
    assert (event.leg, event.size, event.remaining) == ("short", -2, -2)
    assert (event.wallet, event.pnl) == (SHARED, 40)
    assert {k: p.size for k, p in account.positions.items()} == {
        "A:long": 10,
        "A:short": -2,
    }


def test_another_symbol_is_left_alone() -> None:
    assert stamp(symbol="B").settle(opened(10), at(120)) == []


def test_what_stays_is_on_the_size_step() -> None:
    account = opened(10, size_step=exact(4))
    # 0.3 of 10 would leave 7: 4 is the step below.
    (event,) = stamp("0.3").settle(account, at(120))
    assert (event.size, event.remaining) == (6, 4)


@pytest.mark.parametrize("share", [0, -1, "1.01"])
def test_a_share_that_cannot_be_is_refused(share: Any) -> None:
    with pytest.raises(ParameterError, match=r"closed_share is .*give a share"):
        stamp(share)


@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(-40, -1)),
    mode=st.sampled_from(MarginMode),
    mark=st.fractions(50, 200, max_denominator=4),
    share=st.fractions(Fraction(1, 10), 1, max_denominator=10),
    inverse=st.booleans(),
)
def test_it_closes_winners_only_and_costs_nothing(
    sizes: tuple[int, int], mode: MarginMode, mark: Any, share: Any, inverse: bool
) -> None:
    account = opened(*sizes, mode=mode, cash=10_000, inverse=inverse)
    before = account.wallet_balance + account.unrealized_pnl(at(mark))
    held = dict(account.positions)
    events = stamp(share).settle(account, at(mark))
    assert account.wallet_balance + account.unrealized_pnl(at(mark)) == before
    assert len(events) == (mark != 100)
    for key, position in held.items():
        is_winner = position.unrealized_pnl(mark) > 0
        left = account.positions.get(key)
        expected = position.size * (1 - share) if is_winner else position.size
        assert (left.size if left else 0) == expected
