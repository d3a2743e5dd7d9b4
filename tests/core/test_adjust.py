"""Adjusting: what may be added and removed, and margin that is added by itself."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.adjust import (
    AutoMargin,
    RemovalRule,
    max_addable,
    max_removable,
    move_margin,
    replenish,
)
from bt_margin.core.contract import Contract
from bt_margin.core.errors import BalanceError
from bt_margin.core.fill import apply_fill
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, MarginMode

ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
RATE = "0.01"
FREE = RemovalRule(keeps_initial=False, keeps_maintenance=False)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def at(**prices: Any) -> Marks:
    marks = {symbol: exact(price) for symbol, price in prices.items()}
    return marks.__getitem__


def opened(
    size: Any = 10,
    *,
    cash: Any = 1_000,
    leverage: Any = 10,
    cross: Any = 0,
    inverse: bool = False,
) -> Account:
    """An isolated position A at 100, and a cross one B of ``cross`` at 100."""
    account = Account(exact(cash))
    tiers = TierTable.flat(exact(RATE), 100)
    for symbol, quantity, mode in (("A", size, ISOLATED), ("B", cross, CROSS)):
        if quantity:
            apply_fill(
                account,
                Contract(symbol, tiers, inverse=inverse),
                exact(quantity),
                exact(100),
                leverage=exact(leverage),
                mode=mode,
            )
    return account


def removable(account: Account, mark: Any, rule: RemovalRule) -> Any:
    return max_removable(account, "A", at(A=mark, B=100), rule)


@pytest.mark.parametrize(
    ("cross", "mark_b", "order_margin", "expected"),
    [
        # 10 at 100 at 10x: 900 stay in the shared wallet.
        pytest.param(0, 100, 0, 900, id="all that is shared"),
        pytest.param(0, 100, 250, 650, id="less what orders lock"),
        pytest.param(0, 100, 950, 0, id="never below 0"),
        # B locks 2,000 / 10; available: 900 - 200
        pytest.param(20, 100, 0, 700, id="a cross position locks its margin"),
        # available 900 + 400 - 240; in the wallet 900 - 24
        pytest.param(20, 120, 0, 876, id="its gain is no balance: maintenance stays"),
        # available 900 - 400 - 160
        pytest.param(20, 80, 0, 340, id="its loss counts"),
    ],
)
def test_what_can_be_added(
    cross: int, mark_b: int, order_margin: int, expected: int
) -> None:
    account, marks = opened(cross=cross), at(A=100, B=mark_b)
    assert max_addable(account, "A", marks, exact(order_margin)) == expected
    if cross:
        assert max_addable(account, "B", marks) == 0


SAFE = Fraction(10**9 - 1, 10**9)  # a billionth less than all above maintenance


@pytest.mark.parametrize(
    ("added", "mark", "rule", "expected"),
    [
        # 10 long at 100 on 100 + 150; initial margin at mark is a tenth, 1 % asked.
        pytest.param(150, 100, RemovalRule(), 150, id="Binance: initial margin stays"),
        # 250 - 100 - 90 = 60 and 250 - 9
        pytest.param(150, 90, RemovalRule(), 60, id="Binance: less a loss"),
        # 250 + 1,000 - 200 = 1,050 and 250 - 20
        pytest.param(150, 200, RemovalRule(), 230, id="Binance: a gain is not counted"),
        pytest.param(0, 95, RemovalRule(), 0, id="Binance: never below 0"),
        # 250 + 1,000 - 200, of a wallet of 250
        pytest.param(
            150,
            200,
            RemovalRule(keeps_maintenance=False),
            250,
            id="a gain frees the wallet, and no more than it holds",
        ),
        # 250 - 100 = 150; a tenth of 900 is 90
        pytest.param(
            150,
            90,
            RemovalRule(False, False, exact("0.1")),
            60,
            id="Hyperliquid: a tenth of the notional stays",
        ),
        pytest.param(
            150,
            120,
            RemovalRule(False, False, 0, True),
            150,
            id="Bybit: what was added by hand",
        ),
        pytest.param(150, 90, FREE, 141 * SAFE, id="no rule: still above maintenance"),
        # 100 - 90 - 9.1
        pytest.param(0, 91, FREE, exact("0.9") * SAFE, id="no rule, next to the end"),
        pytest.param(0, 90, FREE, 0, id="no rule, and beyond it"),
    ],
)
def test_what_can_be_removed(
    added: int, mark: int, rule: RemovalRule, expected: Any
) -> None:
    account = opened()
    move_margin(account, "A", exact(added), time=NOON, ref="add")
    assert removable(account, mark, rule) == expected


def test_nothing_is_removed_from_a_cross_position() -> None:
    account = opened(cross=10)
    assert max_removable(account, "B", at(A=100, B=200), FREE) == 0


def test_margin_moves_both_ways() -> None:
    account = opened()
    before = len(account.ledger)
    move_margin(account, "A", exact(30), time=NOON, ref="add")
    move_margin(account, "A", exact(-50), time=NOON, ref="remove")
    kind = LedgerEntryKind.TRANSFER
    assert list(account.ledger)[before:] == [
        LedgerEntry(NOON, kind, SHARED, "A", -30, "add"),
        LedgerEntry(NOON, kind, "isolated:A", "A", 30, "add"),
        LedgerEntry(NOON, kind, "isolated:A", "A", -50, "remove"),
        LedgerEntry(NOON, kind, SHARED, "A", 50, "remove"),
    ]
    with pytest.raises(BalanceError, match=r"'isolated:A'.*80"):
        move_margin(account, "A", exact(-81), time=NOON, ref="remove")


SIDES = st.sampled_from([1, -1])
SIZES = st.fractions(Fraction(1, 4), 40, max_denominator=4)
PRICES = st.fractions(50, 200, max_denominator=4)
RULES = st.builds(
    RemovalRule,
    st.booleans(),
    st.booleans(),
    st.sampled_from([exact(0), exact("0.1")]),
    st.booleans(),
)


@given(
    size=SIZES,
    side=SIDES,
    added=st.fractions(0, 2_000, max_denominator=4),
    mark=PRICES,
    rule=RULES,
    inverse=st.booleans(),
)
def test_what_can_be_removed_leaves_the_position_alive(
    size: Any, side: int, added: Any, mark: Any, rule: RemovalRule, inverse: bool
) -> None:
    account = opened(size * side, cash=10_000, inverse=inverse)
    move_margin(account, "A", added, time=NOON, ref="add")
    wallet, marks = account.wallet_of("A"), at(A=mark)
    assume(account.summary(wallet, marks).surplus > 0)
    most = removable(account, mark, rule)
    move_margin(account, "A", -most, time=NOON, ref="remove")
    assert account.summary(wallet, marks).surplus > 0
    assert account.balance(wallet) >= 0


@given(
    size=SIZES,
    side=SIDES,
    amount=st.fractions(Fraction(1, 4), 1_000, max_denominator=4),
    leverage=st.sampled_from([5, 10, 20]),
    inverse=st.booleans(),
)
def test_adding_margin_moves_the_liquidation_price_away(
    size: Any, side: int, amount: Any, leverage: int, inverse: bool
) -> None:
    account = opened(size * side, cash=10_000, leverage=leverage, inverse=inverse)
    marks = at(A=100)
    before = account.liquidation_price("A", marks)
    assert before is not None
    move_margin(account, "A", amount, time=NOON, ref="add")
    after = account.liquidation_price("A", marks)
    # None: so much that no price is left
    assert after is None or (after < before if side > 0 else after > before)


# Margin that is added by itself


@pytest.mark.parametrize(
    ("share", "shared", "mark", "moved", "is_saved"),
    [
        # 10 long at 100 on 100: at 90 nothing is left and 9 asked.
        pytest.param(1, 900, 90, 100, True, id="as much as the initial margin"),
        pytest.param("1/2", 900, 90, 50, True, id="half as much"),
        # 250 lost: 100 + 200 - 250 = 50 above 7.5; 100 would not have done
        pytest.param(1, 900, 75, 200, True, id="again until it is safe"),
        pytest.param(1, 60, 90, 60, True, id="what is left in the shared wallet"),
        pytest.param(1, 9, 90, 9, False, id="which may not do: 9 left for 9"),
        pytest.param(1, 0, 90, 0, False, id="or be nothing"),
        # 1,000 of entry notional hold 900 more: 1,000 - 991 = 9 above 0.09
        pytest.param(1, 5_000, "0.9", 900, True, id="at most to 1x"),
        pytest.param(0, 900, 90, 0, False, id="a rule of nothing adds nothing"),
    ],
)
def test_margin_is_added_until_the_position_is_safe(
    share: Any, shared: int, mark: Any, moved: int, is_saved: bool
) -> None:
    account = opened(cash=100 + shared)
    rules, wallet = {"A": AutoMargin(exact(share))}, account.wallet_of("A")
    assert is_saved is replenish(account, wallet, at(A=mark), rules, NOON)
    assert account.balance(wallet) == 100 + moved
    assert account.balance(account.shared) == shared - moved


def test_at_one_times_there_is_no_more_to_add() -> None:
    account = opened(leverage=1, cash=5_000, size=-10)
    rules, wallet = {"A": AutoMargin()}, account.wallet_of("A")
    assert not replenish(account, wallet, at(A=200), rules, NOON)
    assert account.balance(wallet) == 1_000


def test_only_positions_with_a_rule_get_margin() -> None:
    account = opened()
    assert not replenish(account, account.wallet_of("A"), at(A=90), {}, NOON)
    account = opened(cross=10)
    rules = {"B": AutoMargin()}
    assert not replenish(account, account.shared, at(A=100, B=1), rules, NOON)
    assert account.ledger.total(LedgerEntryKind.TRANSFER) == 0


@given(
    size=SIZES,
    side=SIDES,
    cash=st.fractions(1, 5_000, max_denominator=4),
    mark=PRICES,
    share=st.sampled_from([exact("0.25"), exact(1), exact(3)]),
)
def test_what_is_added_by_itself_is_bounded(
    size: Any, side: int, cash: Any, mark: Any, share: Any
) -> None:
    account = opened(size * side, cash=cash + size * 10)
    wallet, marks = account.wallet_of("A"), at(A=mark)
    assume(account.summary(wallet, marks).surplus <= 0)
    total = account.wallet_balance
    is_saved = replenish(account, wallet, marks, {"A": AutoMargin(share)}, NOON)
    assert is_saved is (account.summary(wallet, marks).surplus > 0)
    assert account.wallet_balance == total
    assert account.balance(account.shared) >= 0
    assert account.balance(wallet) <= account.positions["A"].entry_notional
