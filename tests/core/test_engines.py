"""Whatever the policy and the account: what a liquidation never does."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause, LiquidationEvent
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    Settlement,
    TierStep,
)
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.core.wallet import MarginMode, Wallet

KIND = LedgerEntryKind
MARKET, BANKRUPTCY = Settlement.MARKET, Settlement.BANKRUPTCY
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


POLICIES = {
    "textbook: all, at bankruptcy": LiquidationPolicy(),
    "Kraken: all, in the market": LiquidationPolicy(MARKET),
    "in the market with a fee and slippage": LiquidationPolicy(
        MARKET, fee_rate=exact("0.01"), slippage=exact("0.002")
    ),
    "Gate: one tier down": LiquidationPolicy(step=TierStep()),
    "OKX: the pair first, two tiers down": LiquidationPolicy(
        step=TierStep(2, 2), cross_scope=CrossScope.HEDGED_FIRST
    ),
    "one tier down, at bankruptcy": LiquidationPolicy(
        step=TierStep(), step_settlement=BANKRUPTCY
    ),
    "Hyperliquid: a fifth, and a backstop": LiquidationPolicy(
        MARKET,
        backstop=exact("2/3"),
        step=FractionStep(exact("0.2"), exact(1_000), timedelta(seconds=30)),
    ),
    "Binance: until it is compliant": LiquidationPolicy(
        step=CompliantStep(exact("0.9"), exact("0.0125")), fee_rate=exact("0.0125")
    ),
    "dYdX: the fillable price": LiquidationPolicy(
        MARKET, fee_rate=exact("0.015"), spread_rate=exact("1.5")
    ),
    "the largest loss first": LiquidationPolicy(
        MARKET,
        fee_rate=exact("0.005"),
        cross_scope=CrossScope.LARGEST_LOSS_FIRST,
    ),
}

TIERED = TierTable(
    [
        Tier(0, exact(500), exact("0.005"), 100),
        Tier(exact(500), exact(5_000), exact("0.02"), 50),
        Tier(exact(5_000), float("inf"), exact("0.05"), 10),
    ]
)
BY_SIZE = SizeTiers(
    [
        SizeTier(exact(5), exact("0.005"), 100),
        SizeTier(exact(20), exact("0.02"), 50),
        SizeTier(exact(500), exact("0.05"), 10),
    ]
)
RULES: list[dict[str, Any]] = [
    {"tiers": TIERED},
    {"tiers": TIERED, "maintenance_basis": Basis.ENTRY, "size_step": exact("0.25")},
    {"tiers": TIERED, "closing_fee_rate": exact("0.0005")},
    {"tiers": TIERED, "reserved_fee_rate": exact("0.0006")},
    {"tiers": BY_SIZE},
    {"tiers": TierTable.flat(exact("0.03"), 20)},
    {"tiers": TierTable.flat(exact(0), 20)},
]
SYMBOLS = "ABC"
PRICES = st.fractions(50, 200, max_denominator=4)


@st.composite
def accounts(draw: st.DrawFn) -> tuple[Account, Marks]:
    """Positions and legs, isolated and cross side by side, each wallet near its end.

    The balance of each wallet is drawn as what would leave it with a part of its
    maintenance, below 0 or a little above 1.
    """
    inverse = draw(st.booleans())
    marks: dict[str, Any] = {symbol: draw(PRICES) for symbol in SYMBOLS}
    account = Account(exact(10**9))
    pools: dict[Wallet, list[Position]] = {}
    for symbol in SYMBOLS:
        rules = draw(st.sampled_from(RULES))
        sides = draw(st.sampled_from([[], [1], [-1], [1, -1]]))
        for side in sides:
            leg = "" if len(sides) == 1 else "long" if side > 0 else "short"
            contract = Contract(symbol, inverse=inverse, leg=leg, **rules)
            units: Any = draw(st.integers(1, 400)) * (2_500 if inverse else 1)
            size, entry = exact(units * side) / 4, exact(draw(PRICES))
            held = Position(contract, size, entry, exact(10))
            mode = draw(st.sampled_from(MarginMode))
            wallet = account.wallet_for(contract.key, mode)
            account.put(held, wallet)
            pools.setdefault(wallet, []).append(held)
    parts = st.fractions(Fraction(-1, 2), Fraction(5, 4), max_denominator=8)
    total: Any = 0
    for wallet, pool in pools.items():
        asked = sum(p.maintenance_margin(marks[p.contract.symbol]) for p in pool)
        gained = sum(p.unrealized_pnl(marks[p.contract.symbol]) for p in pool)
        # A wallet as it was funded is not below 0; in a gap its position may be.
        balance: Any = max(0, asked * draw(parts) - gained)
        if wallet == account.shared:
            total += balance
        else:
            account.transfer(account.shared, wallet, balance)
    rest = account.balance(account.shared) - total
    account.book(KIND.DEPOSIT, -rest)
    return account, marks.__getitem__


def liquidated(
    account: Account, wallet: Wallet, marks: Marks, policy: LiquidationPolicy
) -> list[LiquidationEvent]:
    return Liquidator(policy).liquidate(
        account, wallet, marks, time=NOON, cause=Cause.PRICE
    )


def sums(account: Account) -> dict[str, Any]:
    """Balances, the slow way: from the entries."""
    found: dict[str, Any] = {}
    for entry in account.ledger:
        found[entry.wallet] = found.get(entry.wallet, 0) + entry.amount
    return found


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_liquidation(name: str, data: st.DataObject) -> None:
    policy = POLICIES[name]
    account, marks = data.draw(accounts())
    for wallet in list(account.wallets()):
        before = account.summary(wallet, marks)
        if before.surplus > 0:
            continue
        balances, shared = account.ledger.balances, account.shared
        held = {p.contract.key: p for p in account.positions_in(wallet)}
        others = {k: p for k, p in account.positions.items() if k not in held}
        owned = account.wallet_balance
        events = liquidated(account, wallet, marks, policy)
        after = account.summary(wallet, marks)
        # It is safe, or holds nothing.
        assert after.surplus > 0 or not account.positions_in(wallet)
        # No other wallet is touched; the shared one may get what is left.
        for other, balance in balances.items():
            if other not in (wallet.name, shared.name):
                assert account.ledger.balance(other) == balance
        returned: Any = 0
        if wallet != shared:
            returned = account.balance(shared) - balances.get(shared.name, 0)
            assert returned >= 0
        if not account.positions_in(wallet):
            assert account.balance(wallet) >= 0
            assert wallet == shared or account.balance(wallet) == 0
        # The trader is left with no more than there was, and not below nothing.
        left = after.margin_balance + returned
        assert 0 <= left <= max(0, before.margin_balance)
        assert {k: p for k, p in account.positions.items() if k not in held} == others
        check_sizes(account, held, events)
        # The ledger is the balance, and the events say what was booked.
        assert sums(account) == account.ledger.balances
        assert account.ledger.total(KIND.TRANSFER) == 0
        told = sum(event.loss + event.fee for event in events)
        assert account.wallet_balance == owned + told
        check_insurance(policy, events)


def check_sizes(
    account: Account, held: dict[str, Position], events: list[LiquidationEvent]
) -> None:
    """Every event closes a part, in order, and never turns a position over."""
    for key, position in held.items():
        size = position.size
        for event in events:
            if (event.symbol, event.leg) == (
                position.contract.symbol,
                position.contract.leg,
            ):
                assert event.size + event.remaining == size
                assert 0 <= event.remaining / position.size < size / position.size
                assert event.entry_price == position.entry_price
                size = event.remaining
        left = account.positions.get(key)
        assert (left.size if left else 0) == size
    assert len(events) <= 21 * len(held)


def check_insurance(policy: LiquidationPolicy, events: list[LiquidationEvent]) -> None:
    """The fund takes part only where a position ends at its bankruptcy price."""
    costs = policy.slippage or policy.spread_rate or policy.backstop
    for event in events:
        assert event.fee <= 0
        is_market = policy.settlement is MARKET and not costs
        if is_market and event.margin_before.margin_balance > 0:
            assert event.insurance == 0
        if event.margin_before.margin_balance <= 0:
            assert event.insurance >= 0
            assert event.fee == 0


@settings(max_examples=100, deadline=None)
@given(given_account=accounts(), data=st.data())
def test_the_textbook_takes_all_of_what_is_left(
    given_account: tuple[Account, Marks], data: st.DataObject
) -> None:
    account, marks = given_account
    for wallet in list(account.wallets()):
        before = account.summary(wallet, marks)
        if before.surplus <= 0:
            events = liquidated(account, wallet, marks, LiquidationPolicy())
            assert account.balance(wallet) == 0
            assert -before.margin_balance == sum(e.insurance + e.fee for e in events)


@settings(max_examples=100, deadline=None)
@given(given_account=accounts())
def test_a_fee_in_the_market_is_bounded_by_its_rate_and_by_what_is_left(
    given_account: tuple[Account, Marks],
) -> None:
    account, marks = given_account
    policy = LiquidationPolicy(MARKET, fee_rate=exact("0.01"))
    for wallet in list(account.wallets()):
        before = account.summary(wallet, marks)
        if before.surplus > 0 or before.margin_balance <= 0:
            continue
        held = {p.contract.key: p for p in account.positions_in(wallet)}
        events = liquidated(account, wallet, marks, policy)
        for event, position in zip(events, held.values(), strict=True):
            notional = position.notional(marks(position.contract.symbol))
            assert -event.fee <= notional * exact("0.01")
        assert sum(-event.fee for event in events) <= before.margin_balance


@settings(max_examples=100, deadline=None)
@given(
    given_account=accounts(),
    aim=st.sampled_from([exact("0.5"), exact("0.8"), exact("0.95")]),
    fee=st.sampled_from([exact(0), exact("0.001"), exact("0.02")]),
)
def test_after_a_compliant_step_the_wallet_is_not_above_the_ratio_aimed_at(
    given_account: tuple[Account, Marks], aim: Any, fee: Any
) -> None:
    """Where one step of every position did it; smaller tiers by size ask for less."""
    account, marks = given_account
    policy = LiquidationPolicy(step=CompliantStep(aim, fee), fee_rate=fee)
    for wallet in list(account.wallets()):
        if account.summary(wallet, marks).surplus > 0:
            continue
        count = len(account.positions_in(wallet))
        events = liquidated(account, wallet, marks, policy)
        summary = account.summary(wallet, marks)
        if len(events) == count and all(event.remaining for event in events):
            assert summary.margin_ratio <= aim


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=30, deadline=None)
@given(
    legs=st.lists(
        st.tuples(st.floats(0.01, 1000), st.sampled_from([1, -1]), st.floats(0.5, 2)),
        min_size=1,
        max_size=4,
    ),
    cash=st.floats(0.01, 100),
)
def test_in_floats_a_wallet_ends_safe_or_empty(
    name: str, legs: list[tuple[float, int, float]], cash: float
) -> None:
    account, marks = Account(cash), {}
    for number, (size, side, mark) in enumerate(legs):
        contract = Contract(f"S{number}", TierTable.flat(0.005, 125))
        account.put(Position(contract, size * side, 1.0, 10), account.shared)
        marks[f"S{number}"] = mark
    get = marks.__getitem__
    if account.summary(account.shared, get).surplus > 0:
        return
    liquidated(account, account.shared, get, POLICIES[name])
    if account.positions:
        assert account.summary(account.shared, get).surplus > 0
    else:
        assert account.wallet_balance >= 0


def test_what_cannot_be_made_compliant_goes_with_the_step() -> None:
    """A short that may keep a part, and beside it a long far below its entry.

    Closing the long costs 1.25 % of 80.75 * 51.75, which is 52.23: more than the 44.15
    that the wallet has for both. No part of the long can be kept.
    """
    account = Account(exact(10**9))
    flat: dict[str, Any] = {"tiers": TierTable.flat(exact("0.03"), 20)}
    short = Position(Contract("A", **flat), exact("-2.75"), exact("108.5"), exact(10))
    long = Position(
        Contract("B", tiers=TIERED), exact("80.75"), exact("79.75"), exact(10)
    )
    marks: dict[str, Any] = {"A": exact("148.25"), "B": exact("51.75")}
    for position in (short, long):
        account.put(position, account.shared)
    before = account.summary(account.shared, marks.__getitem__)
    account.book(KIND.DEPOSIT, before.maintenance_margin / 2 - before.margin_balance)
    policy = POLICIES["Binance: until it is compliant"]
    events = liquidated(account, account.shared, marks.__getitem__, policy)
    assert [event.symbol for event in events] == ["A", "B"]
    assert events[1].remaining == 0
    assert 0 > events[0].remaining > short.size
    assert list(account.positions) == ["A"]
    assert account.summary(account.shared, marks.__getitem__).surplus > 0
