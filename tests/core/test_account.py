"""The account: what fills book and lock, transfers, and who shares a wallet."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import BalanceError, ParameterError
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import settle_funding
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind
from bt_margin.core.liquidation import Cause
from bt_margin.core.liquidator import liquidate
from bt_margin.core.margin import MarginSummary
from bt_margin.core.position import Position, PositionChange
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, FundingSource, GapLoss, MarginMode, Wallet

ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
KIND = LedgerEntryKind
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def perpetual(symbol: str = "BTC", rate: str = "0.005") -> Contract:
    """A linear contract with maintenance on entry: liquidation at round prices."""
    tiers = TierTable.flat(exact(rate), 125)
    return Contract(symbol, tiers, maintenance_basis=Basis.ENTRY)


BTC = perpetual()


def account_with(cash: Any = 10_000, **options: Any) -> Account:
    return Account(exact(cash), **options)


def fill(
    account: Account,
    quantity: Any,
    price: Any,
    mode: MarginMode = ISOLATED,
    *,
    contract: Contract = BTC,
    leverage: Any = 10,
    fee: Any = 0,
) -> PositionChange:
    return apply_fill(
        account,
        contract,
        exact(quantity),
        exact(price),
        leverage=exact(leverage),
        mode=mode,
        time=NOON,
        fee=exact(fee),
        ref="1",
    )


def balances(account: Account) -> dict[str, Any]:
    """What each wallet holds, empty ones left out."""
    return {name: held for name, held in account.ledger.balances.items() if held}


def at(**prices: Any) -> Marks:
    marks = {symbol: exact(price) for symbol, price in prices.items()}
    return marks.__getitem__


def movements(account: Account) -> list[tuple[str, str, Any]]:
    """Kind, wallet and amount of each entry after the opening deposit."""
    return [(e.kind.value, e.wallet, e.amount) for e in list(account.ledger)[1:]]


# Opening


def test_the_opening_deposit_is_the_first_entry() -> None:
    entry = LedgerEntry(None, KIND.DEPOSIT, SHARED, None, exact(10_000))
    assert [entry] == list(account_with().ledger)


@pytest.mark.parametrize("cash", [0, -1])
def test_an_account_without_money_is_refused(cash: int) -> None:
    with pytest.raises(ParameterError, match="cash is"):
        Account(cash)


def test_opening_isolated_moves_the_margin_and_the_shared_wallet_pays_the_fee() -> None:
    account = account_with()
    change = fill(account, 10, 100, fee="-0.5")
    assert PositionChange(0, 10, 0) == change
    assert [
        ("transfer", SHARED, -100),  # 1,000 / 10
        ("transfer", "isolated:BTC", 100),
        ("fee", SHARED, exact("-0.5")),
    ] == movements(account)
    assert {SHARED: exact("9899.5"), "isolated:BTC": 100} == balances(account)
    assert Position(BTC, 10, 100, 10) == account.positions["BTC"]


def test_every_entry_says_when_what_and_which_order() -> None:
    account = account_with()
    fill(account, 10, 100, fee="-0.5")
    expected = LedgerEntry(NOON, KIND.FEE, SHARED, "BTC", exact("-0.5"), "1")
    assert expected == list(account.ledger)[-1]


def test_opening_cross_moves_nothing_but_the_fee() -> None:
    account = account_with()
    fill(account, -10, 100, CROSS, fee="-0.5")
    assert [("fee", SHARED, exact("-0.5"))] == movements(account)
    assert account.shared == account.wallet_of("BTC")


def test_adding_moves_more_margin_and_averages_the_entry() -> None:
    account = account_with()
    fill(account, 10, 100, leverage=10)  # locks 100
    fill(account, 30, 120, leverage=20)  # locks 3,600 / 20 = 180
    assert balances(account) == {SHARED: 9_720, "isolated:BTC": 280}
    # (10 * 100 + 30 * 120) / 40 = 115
    assert Position(BTC, 40, 115, 20) == account.positions["BTC"]


def test_a_position_keeps_its_wallet_when_the_setting_changes() -> None:
    account = account_with()
    fill(account, 10, 100, ISOLATED)
    fill(account, 10, 100, CROSS)
    assert balances(account) == {SHARED: 9_800, "isolated:BTC": 200}


def test_margin_that_the_shared_wallet_does_not_have_is_refused() -> None:
    account = account_with(99)
    with pytest.raises(BalanceError, match=r"100.*'shared'.*99"):
        fill(account, 10, 100)
    assert account.positions == {}
    assert balances(account) == {SHARED: 99}


# Closing


def test_closing_all_returns_everything() -> None:
    account = account_with()
    fill(account, 10, 100, fee="-0.5")
    change = fill(account, -10, 110, fee="-0.55")
    assert PositionChange(-10, 0, 100) == change
    # 10,000 - 0.5 + 100 - 0.55
    assert {SHARED: exact("10098.95")} == balances(account)
    assert account.positions == {}


@pytest.mark.parametrize(
    ("quantity", "price", "shared", "isolated"),
    [
        # 10 long at 100, wallet 100; 4 closed release 40 with their PnL.
        pytest.param(-4, 110, 9_980, 60, id="4 of 10 at a gain of 40: 40 + 40 back"),
        pytest.param(-4, 100, 9_940, 60, id="4 of 10 at entry: 40 back"),
        pytest.param(-4, 95, 9_920, 60, id="4 of 10 at a loss of 20: 20 back"),
        pytest.param(-4, 90, 9_900, 60, id="a loss as large as the share: 0 back"),
        pytest.param(-4, 85, 9_900, 40, id="a loss of 60: the rest pays 20, 0 back"),
        pytest.param(-5, 70, 9_900, 0, id="a loss of 150: all of it, the fund 50"),
    ],
)
def test_a_partial_close_releases_its_share(
    quantity: int, price: int, shared: int, isolated: int
) -> None:
    account = account_with()
    fill(account, 10, 100)
    fill(account, quantity, price)
    expected = {SHARED: shared} | ({"isolated:BTC": isolated} if isolated else {})
    assert expected == balances(account)
    assert Position(BTC, 10 + quantity, 100, 10) == account.positions["BTC"]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("gain", [8, 0, -5])
def test_a_partial_close_leaves_the_liquidation_price(side: int, gain: int) -> None:
    account = account_with()
    fill(account, side * 10, 100)
    # 100 -/+ (100 - 5) / 10
    expected = exact("90.5") if side > 0 else exact("109.5")
    assert expected == account.liquidation_price("BTC", at())
    fill(account, -side * 4, 100 + side * gain)
    assert expected == account.liquidation_price("BTC", at())


def test_a_closing_fee_is_paid_by_the_part_that_closes() -> None:
    account = account_with()
    fill(account, 10, 100)
    fill(account, -4, 100, fee=-3)
    # the share of 40 pays 3 and 37 move back; 60 stay with 6 at 90.5
    assert balances(account) == {SHARED: 9_937, "isolated:BTC": 60}
    assert exact("90.5") == account.liquidation_price("BTC", at())


def test_a_closing_fee_beyond_the_share_moves_the_liquidation_price() -> None:
    account = account_with()
    fill(account, 10, 100)
    fill(account, -4, 90, fee=-3)
    # the share of 40 pays the loss; the fee comes out of the 60: 57 for 6
    assert balances(account) == {SHARED: 9_900, "isolated:BTC": 57}
    # entry 100, less (57 - 3) / 6
    assert exact(91) == account.liquidation_price("BTC", at())


def test_closing_cross_books_to_the_shared_wallet() -> None:
    account = account_with()
    fill(account, -10, 100, CROSS)
    fill(account, 4, 90, CROSS, fee=-1)
    assert movements(account) == [
        ("realized_pnl", SHARED, 40),
        ("fee", SHARED, -1),
    ]


@pytest.mark.parametrize("mode", [ISOLATED, CROSS])
def test_a_flip_is_a_close_then_an_open(mode: MarginMode) -> None:
    account = account_with()
    fill(account, 10, 100, mode)
    change = fill(account, -15, 110, mode, fee="-1.65")
    assert PositionChange(-10, -5, 100) == change
    assert Position(BTC, -5, 110, 10) == account.positions["BTC"]
    # 10,000 + 100 - 1.65; isolated: 550 / 10 of it with the new position
    if mode is CROSS:
        assert {SHARED: exact("10098.35")} == balances(account)
    else:
        expected = {SHARED: exact("10043.35"), "isolated:BTC": 55}
        assert expected == balances(account)
    # the fee is split by size: 10 and 5 of 15
    fees = [e.amount for e in account.ledger if e.kind is KIND.FEE]
    assert [exact("-1.1"), exact("-0.55")] == fees


def test_a_flip_may_change_the_margin_mode() -> None:
    account = account_with()
    fill(account, 10, 100, ISOLATED)
    fill(account, -15, 100, CROSS)
    assert account.shared == account.wallet_of("BTC")
    assert balances(account) == {SHARED: 10_000}


@pytest.mark.parametrize("mode", [ISOLATED, CROSS])
def test_a_tenth_and_two_tenths_less_three_tenths_is_flat(mode: MarginMode) -> None:
    account = Account(10_000.0)
    for quantity in (0.1, 0.2, -0.3):  # floats on purpose: 0.1 + 0.2 != 0.3
        apply_fill(account, BTC, quantity, 100.0, leverage=10, mode=mode)
    assert account.positions == {}
    assert account.ledger.balance("isolated:BTC") == 0
    assert pytest.approx(account.wallet_balance, abs=1e-9) == 10_000.0


# Gaps


@pytest.mark.parametrize(
    ("gap_loss", "cash", "shared", "insurance"),
    [
        # 10 long at 100 on 100, closed at 80: 200 lost.
        pytest.param(GapLoss.INSURANCE, 10_000, 9_900, 100, id="the fund pays 100"),
        pytest.param(GapLoss.TRADER, 10_000, 9_800, 0, id="the trader pays 100"),
        pytest.param(
            GapLoss.TRADER, 160, 0, 40, id="the trader pays his 60, the fund 40"
        ),
    ],
)
def test_a_close_that_loses_more_than_the_wallet(
    gap_loss: GapLoss, cash: int, shared: int, insurance: int
) -> None:
    account = account_with(cash, gap_loss=gap_loss)
    fill(account, 10, 100)
    fill(account, -10, 80)
    assert ({SHARED: shared} if shared else {}) == balances(account)
    assert insurance == account.ledger.total(KIND.INSURANCE)
    assert account.positions == {}


def test_a_cross_wallet_left_without_position_is_never_below_0() -> None:
    account = account_with(100)
    fill(account, 10, 100, CROSS)
    fill(account, -10, 80, CROSS)
    assert balances(account) == {}
    assert account.ledger.total(KIND.INSURANCE) == 100


@pytest.mark.parametrize("mode", [ISOLATED, CROSS])
def test_the_fund_pays_nothing_while_a_gain_covers_the_wallet(mode: MarginMode) -> None:
    # 10 long at 100 on 100; at 150 funding of 10 % takes 150: wallet -50, gain 500.
    account = account_with(100)
    fill(account, 10, 100, mode)
    settle_funding(account, "BTC", exact("0.1"), exact(150), time=NOON)
    assert account.balance(account.wallet_of("BTC")) == -50
    # 1 sold at 140 gains 40: the wallet is at -10, and 9 are still 360 up.
    fill(account, -1, 140, mode)
    assert account.ledger.total(KIND.INSURANCE) == 0
    assert account.wallet_balance == -10
    assert Position(BTC, 9, 100, 10) == account.positions["BTC"]


# Transfers


ISOLATED_BTC = Wallet("isolated:BTC", Basis.ENTRY)


def test_a_transfer_is_two_entries_that_cancel() -> None:
    account = account_with()
    fill(account, 10, 100)
    before = len(account.ledger)
    account.transfer(account.shared, ISOLATED_BTC, exact(30), symbol="BTC", time=NOON)
    out, into = list(account.ledger)[before:]
    assert LedgerEntry(NOON, KIND.TRANSFER, SHARED, "BTC", -30) == out
    assert LedgerEntry(NOON, KIND.TRANSFER, "isolated:BTC", "BTC", 30) == into
    assert balances(account) == {SHARED: 9_870, "isolated:BTC": 130}


@pytest.mark.parametrize("amount", ["100.01", "-1"])
def test_a_transfer_of_what_is_not_there_is_refused(amount: str) -> None:
    account = account_with()
    fill(account, 10, 100)
    before = list(account.ledger)
    with pytest.raises(BalanceError, match=r"'isolated:BTC'.*100"):
        account.transfer(ISOLATED_BTC, account.shared, exact(amount))
    assert before == list(account.ledger)


def test_a_wallet_may_give_all_it_holds() -> None:
    account = account_with()
    fill(account, 10, 100)
    account.transfer(ISOLATED_BTC, account.shared, exact(100))
    assert balances(account) == {SHARED: 10_000}


def test_within_one_wallet_nothing_moves() -> None:
    account = account_with()
    account.transfer(account.shared, account.shared, exact(99_999))
    assert movements(account) == []


# Questions


@pytest.mark.parametrize(
    ("mode", "mark", "order_margin", "expected"),
    [
        # 10 at 100, 10x, 1,000 in the account
        pytest.param(CROSS, 100, 0, 900, id="cross: 1,000 - 1,000 / 10"),
        pytest.param(CROSS, 120, 0, 1_080, id="cross: a gain of 200 counts, less 120"),
        pytest.param(CROSS, 80, 0, 720, id="cross: a loss of 200 counts, less 80"),
        pytest.param(CROSS, 100, 250, 650, id="cross: resting orders lock"),
        pytest.param(CROSS, 5, 0, 45, id="cross: 1,000 - 950 - 5"),
        pytest.param(CROSS, 100, 901, 0, id="never below 0 by orders"),
        pytest.param(CROSS, "0.1", 1, 0, id="never below 0 by price"),
        pytest.param(ISOLATED, 100, 0, 900, id="isolated: what is left shared"),
        pytest.param(ISOLATED, 150, 0, 900, id="isolated: its gain never counts"),
        pytest.param(ISOLATED, 50, 0, 900, id="isolated: its loss never counts"),
        pytest.param(ISOLATED, 100, 950, 0, id="isolated: never below 0"),
    ],
)
def test_available_balance(
    mode: MarginMode, mark: Any, order_margin: int, expected: int
) -> None:
    account = account_with(1_000)
    fill(account, 10, 100, mode)
    assert expected == account.available_balance(at(BTC=mark), exact(order_margin))


def test_a_summary_is_a_balance_and_the_positions_that_share_it() -> None:
    account = account_with(1_000)
    fill(account, 10, 100, CROSS)
    fill(account, -2, 200, CROSS, contract=perpetual("ETH"), leverage=5)
    marks = at(BTC=110, ETH=230)
    # balance 1,000 + 100 - 60; locked 1,100 / 10 + 460 / 5; asked 1,400 * 0.005
    assert MarginSummary(1_040, 202, 7) == account.summary(account.shared, marks)
    assert account.unrealized_pnl(marks) == 40
    assert account.wallet_balance == 1_000


def test_isolated_margin_is_locked_at_entry_and_cross_at_mark() -> None:
    account = account_with(1_000)
    fill(account, 10, 100)
    isolated = account.summary(account.wallet_of("BTC"), at(BTC=110))
    assert MarginSummary(200, 100, 5) == isolated
    fill(account, 10, 100, CROSS, contract=perpetual("ETH"))
    shared = account.summary(account.shared, at(ETH=110))
    # 900 + 100; 1,100 / 10
    assert MarginSummary(1_000, 110, 5) == shared


def test_the_winning_leg_pushes_the_liquidation_price_away() -> None:
    account = account_with(100)
    eth = perpetual("ETH")
    fill(account, 10, 100, CROSS)
    fill(account, 10, 100, CROSS, contract=eth)
    # 100 + 0 + 10 (p - 100) = 5 + 5      p = 91
    assert account.liquidation_price("BTC", at(ETH=100)) == 91
    # 100 + 50 + 10 (p - 100) = 10        p = 86
    assert account.liquidation_price("BTC", at(ETH=105)) == 86


def test_wallets_list_the_positions_they_hold() -> None:
    account = account_with()
    eth, sol = perpetual("ETH"), perpetual("SOL")
    fill(account, 1, 100, ISOLATED)
    fill(account, 1, 100, CROSS, contract=eth)
    fill(account, 1, 100, CROSS, contract=sol)
    held = {
        wallet.name: [p.contract.symbol for p in positions]
        for wallet, positions in account.wallets().items()
    }
    assert held == {"isolated:BTC": ["BTC"], SHARED: ["ETH", "SOL"]}


def test_a_fork_answers_what_if_and_changes_nothing() -> None:
    account = account_with()
    fill(account, 10, 100)
    fork = account.fork()
    fill(fork, -10, 50)
    fill(fork, 5, 100, CROSS, contract=perpetual("ETH"))
    assert balances(account) == {SHARED: 9_900, "isolated:BTC": 100}
    assert list(account.positions) == ["BTC"]
    # the wallet of 100 lost, the fund pays the rest
    assert balances(fork) == {SHARED: 9_900}
    assert list(fork.positions) == ["ETH"]


# Rules that change while positions are open


def test_wallets_follow_a_venue_whose_rules_changed() -> None:
    account = account_with(1_000)
    eth = perpetual("ETH")
    fill(account, 10, 100)
    fill(account, 10, 100, CROSS, contract=eth)
    before = balances(account)
    account.follow(Basis.ENTRY, Basis.MARK, FundingSource.AVAILABLE)
    assert balances(account) == before
    isolated = account.wallet_of("BTC")
    assert isolated == Wallet("isolated:BTC", Basis.MARK, FundingSource.AVAILABLE)
    assert account.wallet_of("ETH") == account.shared == Wallet(SHARED, Basis.ENTRY)
    assert [account.mode_of(key) for key in ("BTC", "ETH")] == [ISOLATED, CROSS]
    # locked at mark now, and the other at entry
    marks = at(BTC=110, ETH=110)
    assert account.summary(isolated, marks).initial_margin == 110
    assert account.summary(account.shared, marks).initial_margin == 100
    # Positions that open later are held under the new rules, too.
    fill(account, 1, 100, contract=perpetual("SOL"))
    assert account.wallet_of("SOL").margin_basis is Basis.MARK


def test_following_the_same_rules_changes_nothing() -> None:
    account = account_with(1_000)
    fill(account, 10, 100)
    wallet, shared = account.wallet_of("BTC"), account.shared
    account.follow(Basis.MARK, Basis.ENTRY, FundingSource.POSITION)
    assert (account.wallet_of("BTC"), account.shared) == (wallet, shared)


def test_positions_are_held_under_a_contract_whose_rules_changed() -> None:
    account = account_with(1_000)
    for side, size in (("long", 10), ("short", -4)):
        fill(account, size, 100, CROSS, contract=replace(BTC, leg=side))
    fill(account, 1, 100, CROSS, contract=perpetual("ETH"))
    assert account.summary(account.shared, at(BTC=100, ETH=100)).maintenance_margin == (
        exact("7.5")
    )
    account.revise(perpetual(rate="0.02"))
    # 1,400 * 0.02 and 100 * 0.005
    assert account.summary(account.shared, at(BTC=100, ETH=100)).maintenance_margin == (
        exact("28.5")
    )
    assert list(account.positions) == ["BTC:long", "BTC:short", "ETH"]
    held = [
        (p.contract.leg, p.size, p.entry_price) for p in account.positions_of("BTC")
    ]
    assert held == [("long", 10, 100), ("short", -4, 100)]


@pytest.mark.parametrize(
    ("fee", "reserved", "expected"),
    [
        # 10 long at 100 on 100
        pytest.param(0, 0, 90, id="its loss is its margin"),
        pytest.param("0.01", 0, 90, id="a closing fee in maintenance is not lost yet"),
        # on 100 + 1,000 * 0.9 * 0.001, of which the 0.9 pay for the close at 90
        pytest.param(0, "0.001", 90, id="a reserved fee pays for the close there"),
    ],
)
def test_the_bankruptcy_price_asks_for_no_requirement(
    fee: Any, reserved: Any, expected: Any
) -> None:
    account = account_with(1_000)
    contract = replace(
        BTC, closing_fee_rate=exact(fee), reserved_fee_rate=exact(reserved)
    )
    fill(account, 10, 100, contract=contract)
    assert account.bankruptcy_price("BTC", at(BTC=100)) == exact(expected)


def test_the_bankruptcy_price_of_a_pool_counts_what_others_gain() -> None:
    account = account_with(100)
    fill(account, 10, 100, CROSS)
    fill(account, 10, 100, CROSS, contract=perpetual("ETH"))
    # 100 + 50 + 10 (p - 100) = 0, and no maintenance of ETH
    assert account.bankruptcy_price("BTC", at(BTC=100, ETH=105)) == 85


# Who shares a wallet decides what a collapse costs.


def collapse(account: Account, symbol: str, marks: Marks) -> None:
    """Liquidate the wallet that holds ``symbol`` if it no longer stands."""
    wallet = account.wallet_of(symbol)
    if account.summary(wallet, marks).surplus <= 0:
        liquidate(account, wallet, marks, time=NOON, cause=Cause.PRICE)


def test_of_10_000_with_2_000_isolated_8_000_are_left() -> None:
    account = account_with(10_000)
    fill(account, 200, 100)  # 20,000 at 10x: 2,000
    collapse(account, "BTC", at(BTC=85))
    assert balances(account) == {SHARED: 8_000}
    assert account.positions == {}


@pytest.mark.parametrize(
    ("mode", "cash", "survivors", "balance"),
    [
        # Three longs of 1 at 1,000 at 5x; C falls by half and loses 500.
        pytest.param(
            ISOLATED, 1_000, ["A", "B"], 800, id="isolated: C's margin of 200 is lost"
        ),
        pytest.param(
            CROSS, 1_000, ["A", "B", "C"], 1_000, id="cross: 500 left for 15, it stands"
        ),
        pytest.param(
            CROSS, 600, ["A", "B", "C"], 600, id="cross: 100 left for 15, it stands"
        ),
        pytest.param(CROSS, 515, [], 0, id="cross: 15 left for 15, all three die"),
        pytest.param(CROSS, 400, [], 0, id="cross: beyond bankruptcy, all three die"),
    ],
)
def test_one_of_three_positions_collapses(
    mode: MarginMode, cash: int, survivors: list[str], balance: int
) -> None:
    account = account_with(cash)
    for symbol in ("A", "B", "C"):
        fill(account, 1, 1_000, mode, contract=perpetual(symbol), leverage=5)
    collapse(account, "C", at(A=1_000, B=1_000, C=500))
    assert survivors == list(account.positions)
    assert balance == account.wallet_balance
