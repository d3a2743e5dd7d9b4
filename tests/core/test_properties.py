"""Whatever is done to an account: its books balance, and wallets stay apart."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bt_margin.core.account import Account
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import BalanceError
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import settle_funding
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate
from bt_margin.core.margin import MarginSummary
from bt_margin.core.position import Position
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.core.wallet import MarginMode, Wallet

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


TIERS = TierTable(
    [
        Tier(0, exact(500), exact("0.005"), 100),
        Tier(exact(500), exact(5000), exact("0.01"), 50),
        Tier(exact(5000), float("inf"), exact("0.05"), 10),
    ]
)
CONTRACTS = {
    "A": Contract("A", TIERS, maintenance_basis=Basis.ENTRY),
    "B": Contract("B", TIERS, closing_fee_rate=exact("0.0005")),
    "C": Contract("C", TIERS, contract_size=exact("0.1")),
}

SYMBOLS = st.sampled_from(sorted(CONTRACTS))
MODES = st.sampled_from(MarginMode)
PRICES = st.fractions(50, 200, max_denominator=4)
SIZES = st.fractions(Fraction(1, 4), 20, max_denominator=4)
SIDES = st.sampled_from([1, -1])
LEVERAGES = st.sampled_from([1, 2, 5, 10, 20])
PARTS = st.fractions(0, 1, max_denominator=8)
RATES = st.fractions(Fraction(-1, 500), Fraction(1, 500), max_denominator=10_000)


class AccountMachine(RuleBasedStateMachine):
    """A trader, a market and a venue take turns."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(exact(1))
        self.marks: dict[str, Any] = {}

    @initialize(cash=st.integers(500, 5000), marks=st.tuples(PRICES, PRICES, PRICES))
    def open_account(self, cash: int, marks: tuple[Any, Any, Any]) -> None:
        self.account = Account(exact(cash))
        self.marks = dict(zip(sorted(CONTRACTS), marks, strict=True))

    def mark(self, symbol: str) -> Any:
        return self.marks[symbol]

    def shared_balance(self) -> Any:
        return self.account.balance(self.account.shared)

    def isolated(self, symbol: str) -> bool:
        """Whether the symbol's position has a wallet of its own."""
        account = self.account
        held = symbol in account.positions
        return held and account.wallet_of(symbol) != account.shared

    # The market

    @rule(symbol=SYMBOLS, price=PRICES)
    def move(self, symbol: str, price: Any) -> None:
        self.marks[symbol] = price

    # The trader

    @rule(
        symbol=SYMBOLS,
        size=SIZES,
        side=SIDES,
        leverage=LEVERAGES,
        mode=MODES,
        part=PARTS,
    )
    def open_or_add(
        self,
        symbol: str,
        size: Any,
        side: int,
        leverage: int,
        mode: MarginMode,
        part: Any,
    ) -> None:
        """A fill that adds, after the check a broker makes first."""
        held = self.account.positions.get(symbol)
        if held is not None:
            side = 1 if held.size > 0 else -1
        price = self.marks[symbol]
        fee = -CONTRACTS[symbol].notional(size, price) * part / 500
        self.fill_checked(symbol, size * side, leverage, mode, fee)

    def fill_checked(
        self, symbol: str, quantity: Any, leverage: int, mode: MarginMode, fee: Any
    ) -> None:
        contract, price = CONTRACTS[symbol], self.marks[symbol]
        need = contract.notional(quantity, price) / leverage - fee
        available = self.account.available_balance(self.mark)
        if need > min(available, self.shared_balance()):
            return
        apply_fill(
            self.account,
            contract,
            quantity,
            price,
            leverage=exact(leverage),
            mode=mode,
            time=NOON,
            fee=fee,
        )

    @precondition(lambda self: self.account.positions)
    @rule(
        data=st.data(),
        part=PARTS,
        slip=st.fractions(Fraction(-1, 2), 1, max_denominator=8),
    )
    def reduce_or_close(self, data: st.DataObject, part: Any, slip: Any) -> None:
        """A closing fill at any price: at a gap far from the mark, too."""
        symbol = data.draw(st.sampled_from(sorted(self.account.positions)))
        position = self.account.positions[symbol]
        wallet, alone = self.account.wallet_of(symbol), self.isolated(symbol)
        # What funding may leave below 0 has its own test in test_account.
        assume(self.account.balance(wallet) >= 0)
        shared, own = self.shared_balance(), self.account.balance(wallet)
        closed = -position.size * (part or 1)
        price = self.marks[symbol] * (1 + slip)
        change = apply_fill(
            self.account,
            position.contract,
            closed,
            price,
            leverage=exact(1),
            mode=MarginMode.CROSS,
            time=NOON,
            fee=-position.contract.notional(closed, price) / 1000,
        )
        assert (closed, 0) == (change.closed, change.opened)
        if alone:
            # An isolated loss never exceeds its wallet.
            assert self.shared_balance() >= shared
            assert 0 <= self.account.balance(wallet) <= own

    @precondition(lambda self: any(map(self.isolated, self.account.positions)))
    @rule(data=st.data(), part=PARTS)
    def add_margin(self, data: st.DataObject, part: Any) -> None:
        own = [s for s in sorted(self.account.positions) if self.isolated(s)]
        symbol = data.draw(st.sampled_from(own))
        amount = min(
            self.account.available_balance(self.mark), max(0, self.shared_balance())
        )
        target = self.account.wallet_of(symbol)
        before = self.account.balance(target), self.account.wallet_balance
        self.account.transfer(self.account.shared, target, amount * part, symbol=symbol)
        after = self.account.balance(target), self.account.wallet_balance
        assert (before[0] + amount * part, before[1]) == after

    @precondition(lambda self: any(map(self.isolated, self.account.positions)))
    @rule(data=st.data())
    def ask_for_too_much(self, data: st.DataObject) -> None:
        own = [s for s in sorted(self.account.positions) if self.isolated(s)]
        source = self.account.wallet_of(data.draw(st.sampled_from(own)))
        before = len(self.account.ledger)
        amount = max(0, self.account.balance(source)) + 1
        try:
            self.account.transfer(source, self.account.shared, amount)
        except BalanceError:
            assert before == len(self.account.ledger)
        else:
            raise AssertionError("a wallet gave more than it holds")

    # The venue

    @precondition(lambda self: self.account.positions)
    @rule(data=st.data(), rate=RATES)
    def funding(self, data: st.DataObject, rate: Any) -> None:
        symbol = data.draw(st.sampled_from(sorted(self.account.positions)))
        shared, alone = self.shared_balance(), self.isolated(symbol)
        before = self.account.wallet_balance
        event = settle_funding(
            self.account, symbol, rate, self.marks[symbol], time=NOON
        )
        assert before + event.payment == self.account.wallet_balance
        if alone:
            assert shared == self.shared_balance()

    @rule()
    def liquidate_due(self) -> None:
        account = self.account
        for wallet in list(account.wallets()):
            if account.summary(wallet, self.mark).surplus <= 0:
                others = {
                    name: held
                    for name, held in account.ledger.balances.items()
                    if name != wallet.name
                }
                symbols = {p.contract.symbol for p in account.positions_in(wallet)}
                liquidate(account, wallet, self.mark, time=NOON, cause=Cause.PRICE)
                after = account.ledger.balances
                # It ends at exactly 0, and every other wallet is as it was.
                assert {**others, wallet.name: 0} == after
                assert symbols.isdisjoint(account.positions)

    # Always

    @invariant()
    def the_ledger_is_the_balance(self) -> None:
        sums: dict[str, Any] = {}
        for entry in self.account.ledger:
            sums[entry.wallet] = sums.get(entry.wallet, 0) + entry.amount
        assert sums == self.account.ledger.balances
        assert sum(sums.values()) == self.account.wallet_balance

    @invariant()
    def transfers_cancel(self) -> None:
        assert self.account.ledger.total(LedgerEntryKind.TRANSFER) == 0

    @invariant()
    def no_wallet_without_a_position_holds_money(self) -> None:
        account = self.account
        held = {wallet.name for wallet in account.wallets()} | {account.shared.name}
        lost = {n: b for n, b in account.ledger.balances.items() if n not in held and b}
        assert lost == {}

    @invariant()
    def every_position_has_one_wallet(self) -> None:
        account = self.account
        listed = [
            (wallet.name, position.contract.symbol)
            for wallet, positions in account.wallets().items()
            for position in positions
        ]
        assert sorted(s for _, s in listed) == sorted(account.positions)
        own = [name for name, _ in listed if name != account.shared.name]
        assert len(own) == len(set(own))

    @invariant()
    def available_balance_is_never_negative(self) -> None:
        assert self.account.available_balance(self.mark) >= 0


TestAccount = AccountMachine.TestCase
TestAccount.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@settings(max_examples=100, deadline=None)
@given(
    contract=st.sampled_from(sorted(CONTRACTS.values(), key=lambda c: c.symbol)),
    size=SIZES,
    side=SIDES,
    entry=PRICES,
    leverage=LEVERAGES,
    mark=PRICES,
)
def test_cross_with_one_position_is_isolated_with_the_same_balance(
    contract: Contract, size: Any, side: int, entry: Any, leverage: int, mark: Any
) -> None:
    margin = contract.notional(size, entry) / leverage
    held = Position(contract, size * side, entry, exact(leverage))
    cross = Account(margin, cross_margin_basis=Basis.ENTRY)
    cross.put(held, cross.shared)
    isolated = Account(margin)
    own = Wallet(f"isolated:{contract.symbol}", Basis.ENTRY)
    isolated.transfer(isolated.shared, own, margin)
    isolated.put(held, own)

    def marks(symbol: str) -> Any:
        return mark

    symbol = contract.symbol
    summary = isolated.summary(own, marks)
    assert isinstance(summary, MarginSummary)
    assert summary == cross.summary(cross.shared, marks)
    price = isolated.liquidation_price(symbol, marks)
    assert price == cross.liquidation_price(symbol, marks)
    (one,) = liquidate(isolated, own, marks, time=NOON, cause=Cause.PRICE)
    (other,) = liquidate(cross, cross.shared, marks, time=NOON, cause=Cause.PRICE)
    assert (one.fill_price, one.insurance, one.loss) == (
        other.fill_price,
        other.insurance,
        other.loss,
    )
    assert isolated.wallet_balance == cross.wallet_balance == 0
