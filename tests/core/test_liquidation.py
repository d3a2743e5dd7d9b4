"""Liquidation: bankruptcy settlement, the insurance fund, shares of a cross wallet."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import InvariantError
from bt_margin.core.fill import apply_fill
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause, LiquidationEvent, bankruptcy_shares
from bt_margin.core.liquidator import liquidate
from bt_margin.core.margin import MarginSummary
from bt_margin.core.policy import LiquidationPolicy, OrderScope, Settlement
from bt_margin.core.position import Position
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import SHARED, GapLoss, MarginMode, Wallet

KIND = LedgerEntryKind
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
OWN = Wallet("isolated:A", Basis.ENTRY)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def contract(symbol: str, rate: str = "0.005", *, inverse: bool = False) -> Contract:
    tiers = TierTable.flat(exact(rate), 125)
    entry = Basis.ENTRY
    return Contract(symbol, tiers, inverse=inverse, maintenance_basis=entry)


def position(
    symbol: str, size: Any, entry: Any, rate: str = "0.005", *, inverse: bool = False
) -> Position:
    held = contract(symbol, rate, inverse=inverse)
    return Position(held, exact(size), exact(entry), exact(10))


def isolated(held: Position, margin: Any, cash: Any = 1_000) -> Account:
    """An account with one isolated position on ``margin``."""
    account = Account(exact(cash))
    account.transfer(account.shared, OWN, exact(margin))
    account.put(held, OWN)
    return account


def cross(balance: Any, *held: Position) -> Account:
    account = Account(exact(balance))
    for each in held:
        account.put(each, account.shared)
    return account


def at(**prices: Any) -> Marks:
    marks = {symbol: exact(price) for symbol, price in prices.items()}
    return marks.__getitem__


def close_out(account: Account, wallet: Wallet, **marks: Any) -> list[LiquidationEvent]:
    return liquidate(account, wallet, at(**marks), time=NOON, cause=Cause.PRICE)


@pytest.mark.parametrize(
    ("size", "mark", "fill", "realized", "insurance"),
    [
        # 10 at 100 on 100: bankrupt at 90 (long) and 110 (short)
        pytest.param(
            10, "90.5", 90, -95, -5, id="a long at its price: the fund gets 5"
        ),
        pytest.param(10, "90.2", 90, -98, -2, id="a long beyond it: the fund gets 2"),
        pytest.param(10, "90", 90, -100, 0, id="a long at bankruptcy"),
        pytest.param(10, "85", 90, -150, 50, id="a long in a gap: the fund pays 50"),
        pytest.param(-10, "109.5", 110, -95, -5, id="a short at its price"),
        pytest.param(-10, "115", 110, -150, 50, id="a short in a gap"),
    ],
)
def test_an_isolated_position_ends_at_its_bankruptcy_price(
    size: int, mark: str, fill: int, realized: int, insurance: int
) -> None:
    account = isolated(position("A", size, 100), 100)
    (event,) = close_out(account, OWN, A=mark)
    assert fill == event.fill_price
    assert insurance == event.insurance
    assert event.loss == -100
    assert realized == account.ledger.total(KIND.REALIZED_PNL)
    assert insurance == account.ledger.total(KIND.INSURANCE)
    assert account.balance(OWN) == 0
    assert account.balance(account.shared) == 900
    assert account.positions == {}


def test_an_event_says_what_the_account_looked_like() -> None:
    account = isolated(position("A", 10, 100), 100)
    expected = LiquidationEvent(
        time=NOON,
        symbol="A",
        size=exact(10),
        entry_price=exact(100),
        mark_price=exact(90),
        liquidation_price=exact("90.5"),
        fill_price=exact(90),
        margin_before=MarginSummary(exact(0), exact(100), exact(5)),
        fee=0,
        insurance=0,
        loss=exact(-100),
        cause=Cause.PRICE,
        wallet="isolated:A",
        balances={SHARED: exact(900), "isolated:A": exact(100)},
    )
    assert [expected] == close_out(account, OWN, A=90)


@pytest.mark.parametrize(
    ("size", "mark", "fill"),
    [
        # 1,000 USD at 100 are 10 coins; 1 coin of margin.
        # long: 1,000 / (10 + 1); short: 1,000 / (10 - 1), wherever the mark is
        pytest.param(1000, 92, exact(1000) / 11, id="a long before bankruptcy"),
        pytest.param(1000, 80, exact(1000) / 11, id="a long beyond it"),
        pytest.param(-1000, 110, exact(1000) / 9, id="a short before bankruptcy"),
        pytest.param(-1000, 150, exact(1000) / 9, id="a short beyond it"),
    ],
)
def test_an_inverse_position_ends_at_its_bankruptcy_price(
    size: int, mark: int, fill: Any
) -> None:
    account = isolated(position("A", size, 100, inverse=True), 1, 5)
    (event,) = close_out(account, OWN, A=mark)
    assert fill == event.fill_price
    assert event.loss == -1
    assert account.balance(OWN) == 0
    assert account.balance(account.shared) == 4


def test_a_cross_wallet_is_split_pro_rata_to_maintenance() -> None:
    # 12 left; maintenance 5 and 15: shares of 3 and 9.
    account = cross(12, position("A", 10, 100), position("B", -30, 100))
    first, second = close_out(account, account.shared, A=100, B=100)
    # 100 - 3 / 10 and 100 + 9 / 30
    assert exact("99.7") == first.fill_price
    assert exact("100.3") == second.fill_price
    assert [first.insurance, second.insurance] == [-3, -9]
    assert account.wallet_balance == 0


def test_what_a_cross_wallet_lacks_is_split_too() -> None:
    # 100 - 20 * 10 - 0 = -100; maintenance 5 and 15: -25 and -75 for the fund
    account = cross(100, position("A", 10, 100), position("B", 30, 100))
    first, second = close_out(account, account.shared, A=80, B=100)
    assert [first.insurance, second.insurance] == [25, 75]
    # 80 + 25 / 10 and 100 + 75 / 30
    assert [exact("82.5"), exact("102.5")] == [first.fill_price, second.fill_price]
    assert account.wallet_balance == 0


def test_each_position_of_a_cross_wallet_reports_its_own_price() -> None:
    account = cross(105, position("A", 10, 100), position("B", 10, 100))
    first, second = close_out(account, account.shared, A="90.5", B=100)
    # The other's mark as it is: 105 + 10 (p - 100) = 10 for A, with B at 100;
    # 105 - 95 + 10 (p - 100) = 10 for B, with A at 90.5.
    assert [exact("90.5"), exact(100)] == [
        first.liquidation_price,
        second.liquidation_price,
    ]
    assert first.margin_before == second.margin_before


def test_a_cross_liquidation_takes_no_isolated_wallet() -> None:
    account = cross(1_000, position("B", 10, 100))
    account.transfer(account.shared, OWN, exact(900))
    account.put(position("A", 10, 100), OWN)
    close_out(account, account.shared, A=100, B=90)
    assert account.ledger.balances == {SHARED: 0, "isolated:A": 900}
    assert list(account.positions) == ["A"]


def test_without_maintenance_shares_go_by_notional() -> None:
    # 1,000 and 3,000 of 40: 10 and 30
    held = [
        (position("A", 10, 100, "0"), exact(100)),
        (position("B", -30, 100, "0"), exact(100)),
    ]
    assert bankruptcy_shares(held, exact(40)) == [10, 30]


def test_a_wallet_without_position_is_never_liquidated() -> None:
    account = Account(exact(1_000))
    with pytest.raises(InvariantError, match="shared"):
        close_out(account, account.shared)


def test_the_textbook_policy_is_the_default() -> None:
    expected = LiquidationPolicy(Settlement.BANKRUPTCY, OrderScope.WALLET)
    assert expected == LiquidationPolicy()


AMOUNTS = st.fractions(Fraction(1, 10), 1000, max_denominator=100)
SIDES = st.sampled_from([1, -1])


@given(
    legs=st.lists(st.tuples(AMOUNTS, SIDES, AMOUNTS, AMOUNTS), min_size=1, max_size=4),
    cash=AMOUNTS,
)
def test_a_liquidated_wallet_ends_at_exactly_0(
    legs: list[tuple[Any, int, Any, Any]], cash: Any
) -> None:
    held = [
        position(f"S{number}", size * side, entry)
        for number, (size, side, entry, _) in enumerate(legs)
    ]
    marks = {f"S{number}": leg[3] for number, leg in enumerate(legs)}
    account = cross(cash, *held)
    before = account.summary(account.shared, marks.__getitem__).margin_balance
    events = liquidate(
        account, account.shared, marks.__getitem__, time=NOON, cause=Cause.PRICE
    )
    assert account.wallet_balance == 0
    assert account.positions == {}
    # What was left goes to the fund, what was missing comes from it,
    assert -before == sum(event.insurance for event in events)
    # each position's part is its loss at the price it got,
    assert -cash == sum(event.loss for event in events)
    # and per position PnL at mark and insurance add up to that loss.
    for event in events:
        assert event.loss == account.ledger.total(
            KIND.REALIZED_PNL, KIND.INSURANCE, symbol=event.symbol
        )


@example(sizes=[999.9, 333.3, 0.001], cash=0.07, mark=0.7)
@given(
    sizes=st.lists(st.floats(0.001, 1000), min_size=1, max_size=4),
    cash=st.floats(0.01, 1e6),
    mark=st.floats(0.5, 2),
)
def test_in_floats_no_dust_is_left(
    sizes: list[float], cash: float, mark: float
) -> None:
    account = Account(cash)
    for number, size in enumerate(sizes):
        symbol = f"S{number}"
        held = Contract(symbol, TierTable.flat(0.005, 125))
        account.put(Position(held, size, 1.0, 10), account.shared)
    liquidate(account, account.shared, lambda _: mark, time=NOON, cause=Cause.PRICE)
    assert account.wallet_balance == 0


@pytest.mark.parametrize(
    ("gap_loss", "shared", "insurance", "fill_price"),
    [
        # 100 of margin, 10 from 100 to 70: 300 lost, 200 more than there is.
        pytest.param(GapLoss.INSURANCE, 900, 200, 90, id="the fund pays 200"),
        pytest.param(GapLoss.TRADER, 700, 0, 70, id="the shared wallet pays 200"),
    ],
)
def test_who_pays_for_a_gap_beyond_the_margin(
    gap_loss: GapLoss, shared: int, insurance: int, fill_price: int
) -> None:
    account = Account(exact(1000), gap_loss=gap_loss)
    contract = Contract("BTC", TierTable.flat(0, 100))
    size, price, lever = exact(10), exact(100), exact(10)
    isolated = MarginMode.ISOLATED
    apply_fill(account, contract, size, price, leverage=lever, mode=isolated)
    wallet = account.wallet_of("BTC")
    (event,) = liquidate(
        account, wallet, lambda _: exact(70), time=NOON, cause=Cause.PRICE
    )
    assert account.balance(account.shared) == shared
    assert account.balance(wallet) == 0
    assert (event.insurance, event.fill_price) == (insurance, fill_price)


# Closed in the market: what is left after slippage and fee returns


def closed_in_the_market(
    mode: MarginMode, fee_rate: Any, slippage: Any = 0
) -> tuple[Account, LiquidationEvent]:
    """10 long from 100 at 10x on 1,000, closed at 92 with 20 of margin left."""
    account = Account(exact(1000))
    contract = Contract("BTC", TierTable.flat(0, 100))
    lever = exact(10)
    apply_fill(account, contract, exact(10), exact(100), leverage=lever, mode=mode)
    wallet = account.wallet_of("BTC")
    policy = LiquidationPolicy(
        Settlement.MARKET, fee_rate=exact(fee_rate), slippage=exact(slippage)
    )
    (event,) = liquidate(
        account,
        wallet,
        lambda _: exact(92),
        time=NOON,
        cause=Cause.PRICE,
        policy=policy,
    )
    return account, event


@pytest.mark.parametrize(
    ("fee_rate", "slippage", "price", "fee", "left"),
    [
        pytest.param(0, 0, 92, 0, 920, id="all of the 20 returns"),
        # 920 * 0.01 = 9.2
        pytest.param("0.01", 0, 92, "-9.2", "910.8", id="the fee is taken"),
        pytest.param("0.05", 0, 92, -20, 900, id="the fee is at most what is left"),
        # 92 * 0.99 = 91.08: 10.8 left, less 910.8 * 0.01 = 9.108
        pytest.param("0.01", "0.01", "91.08", "-9.108", "901.692", id="slippage, fee"),
    ],
)
def test_a_market_close_returns_what_is_left(
    fee_rate: Any, slippage: Any, price: Any, fee: Any, left: Any
) -> None:
    account, event = closed_in_the_market(MarginMode.ISOLATED, fee_rate, slippage)
    assert (event.fill_price, event.fee) == (exact(price), exact(fee))
    assert event.insurance == 0
    assert account.balance(account.shared) == exact(left)
    assert account.wallet_balance == exact(left)


def test_a_market_close_in_cross_leaves_the_rest_in_the_pool() -> None:
    account, event = closed_in_the_market(MarginMode.CROSS, "0.01")
    # 1,000 - 80 - 9.2
    assert account.balance(account.shared) == exact("910.8")
    assert event.margin_before.margin_balance == 920


def test_a_market_close_beyond_bankruptcy_is_paid_by_the_fund() -> None:
    # 92 * 0.97 = 89.24, below the bankruptcy price of 90: settled there, no fee.
    account, event = closed_in_the_market(MarginMode.ISOLATED, "0.01", "0.03")
    assert (event.fill_price, event.fee) == (90, 0)
    assert account.wallet_balance == 900


@pytest.mark.parametrize(
    ("mark", "left"),
    [
        # 5 % of 1,000 is asked for, and two thirds of it are 33 1/3.
        pytest.param(94, 940, id="40 left: they return"),
        pytest.param(93, 900, id="30 left: the backstop takes them"),
    ],
)
def test_below_the_backstop_nothing_returns(mark: int, left: int) -> None:
    account = Account(exact(1000))
    contract = Contract(
        "BTC", TierTable.flat(exact("0.05"), 20), maintenance_basis=Basis.ENTRY
    )
    isolated, lever = MarginMode.ISOLATED, exact(10)
    apply_fill(account, contract, exact(10), exact(100), leverage=lever, mode=isolated)
    policy = LiquidationPolicy(Settlement.MARKET, backstop=exact("2/3"))
    liquidate(
        account,
        account.wallet_of("BTC"),
        lambda _: exact(mark),
        time=NOON,
        cause=Cause.PRICE,
        policy=policy,
    )
    assert account.wallet_balance == left
