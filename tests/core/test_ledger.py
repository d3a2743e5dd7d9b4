"""The ledger: entries in order, and balances that are nothing but their sums."""

from datetime import UTC, datetime

from bt_margin.core.ledger import Ledger, LedgerEntry, LedgerEntryKind

KIND = LedgerEntryKind
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def sample() -> Ledger:
    ledger = Ledger()
    ledger.record(None, KIND.DEPOSIT, "shared", None, 1_000)
    ledger.record(NOON, KIND.TRANSFER, "shared", "BTC", -100, "1")
    ledger.record(NOON, KIND.TRANSFER, "isolated:BTC", "BTC", 100, "1")
    ledger.record(NOON, KIND.FEE, "shared", "BTC", -2, "1")
    ledger.record(NOON, KIND.FUNDING, "isolated:BTC", "BTC", 3, "funding")
    ledger.record(NOON, KIND.FEE, "shared", "ETH", -5, "2")
    return ledger


def test_a_balance_is_the_sum_of_its_wallets_entries() -> None:
    ledger = sample()
    # 1,000 - 100 - 2 - 5 and 100 + 3
    assert ledger.balances == {"shared": 893, "isolated:BTC": 103}
    assert ledger.balance("shared") == 893


def test_a_wallet_without_entries_holds_nothing() -> None:
    assert Ledger().balance("shared") == 0


def test_entries_are_kept_in_order() -> None:
    kinds = [entry.kind for entry in sample()]
    assert kinds == [
        KIND.DEPOSIT,
        KIND.TRANSFER,
        KIND.TRANSFER,
        KIND.FEE,
        KIND.FUNDING,
        KIND.FEE,
    ]
    assert len(sample()) == 6


def test_an_entry_says_everything() -> None:
    entry = LedgerEntry(NOON, KIND.FUNDING, "isolated:BTC", "BTC", 3, "funding")
    assert entry == list(sample())[4]


def test_an_amount_of_0_leaves_no_entry() -> None:
    ledger = Ledger()
    ledger.record(NOON, KIND.FEE, "shared", "BTC", 0)
    assert list(ledger) == []
    assert ledger.balances == {}


def test_totals_by_kind_and_symbol() -> None:
    ledger = sample()
    assert ledger.total() == 996
    assert ledger.total(KIND.FEE) == -7
    assert ledger.total(KIND.FEE, symbol="BTC") == -2
    assert ledger.total(KIND.FEE, KIND.FUNDING) == -4
    assert ledger.total(symbol="BTC") == 1
    assert ledger.total(KIND.INSURANCE) == 0


def test_transfers_cancel() -> None:
    assert sample().total(KIND.TRANSFER) == 0


def test_balances_are_a_copy() -> None:
    ledger = sample()
    ledger.balances["shared"] = 0
    assert ledger.balance("shared") == 893


def test_a_fork_starts_from_the_balances_and_goes_its_own_way() -> None:
    ledger = sample()
    fork = ledger.fork()
    fork.record(NOON, KIND.FEE, "shared", None, -93)
    assert fork.balance("shared") == 800
    assert ledger.balance("shared") == 893
    assert len(fork) == 1
