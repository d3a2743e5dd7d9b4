"""Liquidators: each way to liquidate, with its arithmetic."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.deleveraging import DeleveragingStamp
from bt_margin.core.funding import FundingStamp
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause, LiquidationEvent
from bt_margin.core.liquidator import Liquidator
from bt_margin.core.number import Number
from bt_margin.core.path import Polyline
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    Reduction,
    Settlement,
    TierStep,
)
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.core.walk import BarWalk
from bt_margin.core.wallet import SHARED, MarginMode, Wallet

KIND = LedgerEntryKind
BANKRUPTCY, MARKET = Settlement.BANKRUPTCY, Settlement.MARKET
ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
BOTH = pytest.mark.parametrize("mode", list(MarginMode))


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


# 1 %; 2 % less 10; 5 % less 130
TIERS = TierTable(
    [
        Tier(0, exact(1_000), exact("0.01"), 50),
        Tier(exact(1_000), exact(4_000), exact("0.02"), 25),
        Tier(exact(4_000), float("inf"), exact("0.05"), 10),
    ]
)


def flat(rate: Any) -> TierTable:
    return TierTable.flat(exact(rate), 100)


def held(
    size: Any, symbol: str = "A", *, entry: Any = 100, tiers: Any = TIERS, **rules: Any
) -> Position:
    contract = Contract(symbol, tiers, **rules)
    return Position(contract, exact(size), exact(entry), exact(10))


def isolated(position: Position, margin: Any) -> Account:
    """1,000 in the shared wallet, ``margin`` in the position's."""
    account = Account(1_000 + exact(margin))
    wallet = account.wallet_for(position.contract.key, ISOLATED)
    account.transfer(account.shared, wallet, exact(margin))
    account.put(position, wallet)
    return account


def cross(balance: Any, *positions: Position) -> Account:
    account = Account(exact(balance))
    for each in positions:
        account.put(each, account.shared)
    return account


def on(mode: MarginMode, margin: Any, position: Position) -> Account:
    return isolated(position, margin) if mode is ISOLATED else cross(margin, position)


def at(**prices: Any) -> Marks:
    marks = {symbol: exact(price) for symbol, price in prices.items()}
    return marks.__getitem__


def liquidate(
    account: Account,
    policy: LiquidationPolicy | Liquidator,
    key: str = "A",
    seconds: int = 0,
    **marks: Any,
) -> list[LiquidationEvent]:
    """Liquidate the wallet that holds ``key``, some seconds after noon."""
    if isinstance(policy, LiquidationPolicy):
        policy = Liquidator(policy)
    return policy.liquidate(
        account,
        account.wallet_of(key),
        at(**marks),
        time=NOON + timedelta(seconds=seconds),
        cause=Cause.PRICE,
    )


def worth(account: Account, wallet: Wallet | None = None, **marks: Any) -> Any:
    """What the wallet is worth at mark: of an isolated position, its own."""
    if wallet is None:
        wallet = account.wallet_of("A") if "A" in account.positions else account.shared
    return account.summary(wallet, at(**marks)).margin_balance


def closed(events: list[LiquidationEvent]) -> list[tuple[Any, Any]]:
    """Size closed and size that stays."""
    return [(event.size, event.remaining) for event in events]


def booked(account: Account) -> dict[str, Any]:
    """Sum by kind of what was booked after the opening, transfers left out."""
    left_out = (KIND.DEPOSIT, KIND.TRANSFER)
    sums: dict[str, Any] = {}
    for entry in account.ledger:
        if entry.kind not in left_out:
            sums[entry.kind.value] = sums.get(entry.kind.value, 0) + entry.amount
    return sums


# Taken over at bankruptcy, with the fee that was reserved for it


@BOTH
@pytest.mark.parametrize(
    ("mark", "fill", "fee", "insurance"),
    [
        # 10 long at 100 on 100.9; 0.1 % of 10 * 90 is reserved.
        pytest.param(91, 90, "0.9", -10, id="10.9 left: 0.9 of fee, 10 to the fund"),
        pytest.param("89.95", "89.95", "0.4", 0, id="0.4 left: all of it is fee"),
        pytest.param(85, "89.91", 0, "49.1", id="beyond it: no fee, the fund pays"),
    ],
)
def test_a_reserved_fee_is_paid_out_of_what_is_left(
    mode: MarginMode, mark: Any, fill: Any, fee: Any, insurance: Any
) -> None:
    position = held(10, tiers=flat("0.02"), reserved_fee_rate=exact("0.001"))
    assert position.opening_margin == exact("100.9")
    account = on(mode, "100.9", position)
    (event,) = liquidate(account, LiquidationPolicy(), A=mark)
    assert (event.fill_price, event.fee) == (exact(fill), -exact(fee))
    assert event.insurance == exact(insurance)
    expected = {
        "realized_pnl": 10 * (exact(mark) - 100),
        "liquidation_fee": -exact(fee),
        "insurance": exact(insurance),
    }
    assert {kind: sum_ for kind, sum_ in expected.items() if sum_} == booked(account)
    assert account.wallet_balance == (1_000 if mode is ISOLATED else 0)


def test_an_event_says_what_stays_and_which_leg() -> None:
    long = held(80, leg="long")
    account = isolated(long, 346)
    (event,) = liquidate(
        account, LiquidationPolicy(step=TierStep(2)), key="A:long", A=99
    )
    assert (event.symbol, event.leg, event.wallet) == ("A", "long", "isolated:A:long")
    # 1,000 of 7,920 at 99
    assert event.remaining == Fraction(1_000, 99)
    assert event.size == 80 - Fraction(1_000, 99)
    assert account.positions["A:long"].size == event.remaining


# Down to a lower tier


@BOTH
@pytest.mark.parametrize(
    ("down", "fee_rate", "remaining", "left"),
    [
        # 80 long at 100 on 346: at 99 it has 266 and 0.05 * 7,920 - 130 = 266 is asked.
        pytest.param(1, 0, 40, 266, id="one tier: 40 are 3,960, below 4,000"),
        pytest.param(2, 0, 10, 266, id="two tiers: 10 are 990, below 1,000"),
        # 40 * 99 * 0.01
        pytest.param(1, "0.01", 40, "226.4", id="with a fee of 1 % on what is closed"),
    ],
)
def test_a_tier_step_closes_down_to_the_lower_tier(
    mode: MarginMode, down: int, fee_rate: Any, remaining: int, left: Any
) -> None:
    position = held(80, size_step=exact(1))
    account = on(mode, 346, position)
    wallet = account.wallet_of("A")
    assert account.summary(wallet, at(A=99)).surplus == 0
    policy = LiquidationPolicy(step=TierStep(down), fee_rate=exact(fee_rate))
    (event,) = liquidate(account, policy, A=99)
    assert closed([event]) == [(80 - remaining, remaining)]
    assert (event.fill_price, event.loss) == (99, -(80 - remaining))
    # What was closed realized its part; nothing went to a fund or to another wallet.
    assert account.balance(wallet) == 346 - (80 - remaining) + event.fee
    assert worth(account, A=99) == exact(left)
    assert booked(account).get("insurance", 0) == 0
    assert account.positions["A"].entry_price == 100


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # 80 long at 100 on 140: at 99 60 are left.
        # 40 ask for 0.02 * 3,960 - 10 = 69.2, 10 for 9.9.
        pytest.param("1", [(40, 40), (30, 10)], id="in whole contracts"),
        # Just 4,000 ask for 70, just 1,000 for 10.
        pytest.param(
            None,
            [
                (80 - Fraction(4_000, 99), Fraction(4_000, 99)),
                (Fraction(3_000, 99), Fraction(1_000, 99)),
            ],
            id="exactly to the bound",
        ),
    ],
)
@BOTH
def test_what_still_fails_goes_down_again(
    mode: MarginMode, step: str | None, expected: list[Any]
) -> None:
    size_step = None if step is None else exact(step)
    account = on(mode, 140, held(80, size_step=size_step))
    events = liquidate(account, LiquidationPolicy(step=TierStep()), A=99)
    assert closed(events) == expected
    assert worth(account, A=99) == 60


@BOTH
def test_in_the_lowest_tier_all_goes(mode: MarginMode) -> None:
    # on 85: 5 left at 99, less than the 10 that even 1,000 ask for
    account = on(mode, 85, held(80))
    events = liquidate(account, LiquidationPolicy(step=TierStep()), A=99)
    assert [event.remaining for event in events] == [
        Fraction(4_000, 99),
        Fraction(1_000, 99),
        0,
    ]
    # The last was settled at bankruptcy: the 5 went to the fund.
    assert [event.insurance for event in events] == [0, 0, -5]
    assert account.wallet_balance == (1_000 if mode is ISOLATED else 0)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        # A short that was brought down to 4,000 at 101; the price rises on, and by
        # notional it is in the third tier again: from the second it goes to 1,000.
        pytest.param(102, 1_000, id="a little later"),
        pytest.param(105, 1_000, id="much later"),
    ],
)
def test_the_next_step_starts_from_the_tier_last_reached(
    mark: int, expected: int
) -> None:
    account = isolated(held(-80), 354)
    liquidator = Liquidator(LiquidationPolicy(step=TierStep()))
    (first,) = liquidate(account, liquidator, A=101)
    assert first.remaining * 101 == -4_000
    events = liquidate(account, liquidator, A=mark, seconds=60)
    assert events[0].remaining * mark == -expected


def test_a_rising_price_makes_no_endless_series_of_small_steps() -> None:
    account = isolated(held(-80), 354)
    walk = BarWalk(account, LiquidationPolicy(step=TierStep()))
    path = Polyline([(exact(0), exact(100)), (exact(1), exact(150))])
    walk.open_bar(NOON, timedelta(hours=1), {"A": path})
    events = walk.close_bar()
    assert all(isinstance(event, LiquidationEvent) for event in events)
    assert len(events) == 3
    assert account.positions == {}


def test_a_position_that_was_changed_since_is_a_new_one() -> None:
    # The same as above, but bought back by half: 4,040 and more again later.
    account = isolated(held(-80), 354)
    liquidator = Liquidator(LiquidationPolicy(step=TierStep()))
    liquidate(account, liquidator, A=101)
    account.put(held(-80), account.wallet_of("A"))
    first, *_ = liquidate(account, liquidator, A=102, seconds=60)
    assert first.remaining * 102 == -4_000


def test_tiers_by_size_are_stepped_down_too() -> None:
    # OKX: down two tiers, then all. 1,500 at 100 on 3,900: at 99 2,400 are left.
    tiers = SizeTiers(
        [
            SizeTier(exact(200), exact("0.01"), 100),
            SizeTier(exact(500), exact("0.012"), 80),
            SizeTier(exact(2_000), exact("0.02"), 50),
        ]
    )
    account = isolated(held(1_500, tiers=tiers), 3_900)
    policy = LiquidationPolicy(step=TierStep(2, 2))
    # 1,500 * 99 * 0.02 = 2,970 asked; 200 * 99 * 0.01 = 198 after
    (event,) = liquidate(account, policy, A=99)
    assert closed([event]) == [(1_300, 200)]
    # 3,900 - 1,300 realized; at 90 200 have lost 2,000.
    assert worth(account, A=90) == 600


def test_the_large_position_of_a_pool_is_brought_down_before_a_small_one() -> None:
    # A 80 and B 10 at 100; asked 266 + 9.9 at 99; on 366 - 90 = 276 there are 0.1.
    account = cross("365.9", held(80), held(10, "B"))
    (event,) = liquidate(account, LiquidationPolicy(step=TierStep()), A=99, B=99)
    assert event.symbol == "A"
    assert sorted(account.positions) == ["A", "B"]


# A fraction first


HYPERLIQUID = LiquidationPolicy(
    MARKET, step=FractionStep(exact("0.2"), exact(1_000), timedelta(seconds=30))
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(10, [(80, 0)], id="within the pause all goes"),
        pytest.param(31, [(16, 64)], id="after the pause a fifth again"),
    ],
)
@BOTH
def test_a_fraction_goes_first(
    mode: MarginMode, seconds: int, expected: list[Any]
) -> None:
    # 100 at 100 on 298, 2 % asked: at 99 198 are left and asked for.
    account = on(mode, 298, held(100, tiers=flat("0.02")))
    wallet, liquidator = account.wallet_of("A"), Liquidator(HYPERLIQUID)
    assert closed(liquidate(account, liquidator, A=99)) == [(20, 80)]
    # 298 - 20, and 80 ask for 158.4 of the 198
    assert account.balance(wallet) == 278
    # At 98.4 150 are left, and 157.44 asked for; 64 ask for 125.952
    assert worth(account, A="98.4") == 150
    events = liquidate(account, liquidator, A="98.4", seconds=seconds)
    assert closed(events) == expected
    assert worth(account, wallet if seconds > 30 else account.shared, A="98.4") == (
        150 if mode is CROSS or seconds > 30 else 1_150
    )


def test_a_fraction_that_does_not_do_at_once_is_followed_by_all() -> None:
    # On 250: 150 left at 99, and 80 still ask for 158.4.
    account = isolated(held(100, tiers=flat("0.02")), 250)
    events = liquidate(account, HYPERLIQUID, A=99)
    assert closed(events) == [(20, 80), (80, 0)]
    # No fee, no fund: what is left returns.
    assert account.ledger.balances == {SHARED: 1_150, "isolated:A": 0}


# As much as makes it compliant


@BOTH
def test_a_compliant_step_leaves_the_ratio_aimed_at(mode: MarginMode) -> None:
    # 100 at 100 on 595, 5 % asked: at 99 495 are left and asked for; 1 % of fee.
    # 0.8 (495 - 99 (1 - k)) = 495 k      k = 316.8 / 415.8 = 16 / 21
    account = on(mode, 595, held(100, tiers=flat("0.05")))
    wallet = account.wallet_of("A")
    policy = LiquidationPolicy(
        step=CompliantStep(exact("0.8"), exact("0.01")), fee_rate=exact("0.01")
    )
    (event,) = liquidate(account, policy, A=99)
    assert closed([event]) == [(Fraction(500, 21), Fraction(1_600, 21))]
    # 9,900 * 5 / 21 * 0.01
    assert event.fee == -Fraction(495, 21)
    assert event.insurance == 0
    assert account.summary(wallet, at(A=99)).margin_ratio == exact("0.8")


def test_every_position_of_a_pool_pays_its_part_of_a_compliant_step() -> None:
    account = cross(
        "993.9", held(100, tiers=flat("0.05")), held(-20, "B", tiers=flat("0.1"))
    )
    marks = {"A": exact(99), "B": exact(110)}
    policy = LiquidationPolicy(
        step=CompliantStep(exact("0.9"), exact("0.01")), fee_rate=exact("0.01")
    )
    # 993.9 - 100 - 200 = 693.9; asked 495 + 220
    events = liquidate(account, policy, **marks)
    assert [event.symbol for event in events] == ["A", "B"]
    summary = account.summary(account.shared, at(**marks))
    assert summary.margin_ratio == exact("0.9")


@BOTH
@pytest.mark.parametrize(
    ("margin", "fee"),
    [
        # 1 % asked, 1.25 % of fee: at 99 99 are left and 123.75 would be the fee.
        pytest.param(199, 99, id="the fee takes all that is left, and no more"),
        pytest.param(230, "123.75", id="the fee, where more is left"),
    ],
)
def test_where_the_fee_is_more_than_closing_frees_all_goes(
    mode: MarginMode, margin: Any, fee: Any
) -> None:
    account = on(mode, margin, held(100, tiers=flat("0.01")))
    policy = LiquidationPolicy(
        MARKET,
        step=CompliantStep(exact("0.8"), exact("0.0125")),
        fee_rate=exact("0.0125"),
    )
    (event,) = liquidate(account, policy, A=99)
    assert closed([event]) == [(100, 0)]
    assert (event.fee, event.insurance) == (-exact(fee), 0)
    before = margin + (1_000 if mode is ISOLATED else 0)
    assert account.wallet_balance == before - 100 - exact(fee)


def test_a_compliant_step_goes_by_maintenance_at_entry_where_the_venue_does() -> None:
    # 100 at 100: 500 asked at any mark. 0.8 * 400 = 320 = 500 k
    tiers = flat("0.05")
    account = isolated(held(100, tiers=tiers, maintenance_basis=Basis.ENTRY), 1_400)
    policy = LiquidationPolicy(step=CompliantStep(exact("0.8"), 0))
    (event,) = liquidate(account, policy, A=90)
    assert event.remaining == 64
    wallet = account.wallet_of("A")
    assert account.summary(wallet, at(A=90)).margin_ratio == exact("0.8")


# dYdX: a price that is the worse the more is lost, and a bounded penalty


DYDX = LiquidationPolicy(MARKET, fee_rate=exact("0.015"), spread_rate=exact("1.5"))


@pytest.mark.parametrize(
    ("side", "margin", "rate", "fill", "fee", "left"),
    [
        # 10 at 100; 4 against it: 960 or 1,040 at mark.
        # 48 asked, 48 left: nothing lost, at mark; 960 * 0.015
        pytest.param(1, 88, "0.05", 96, "14.4", "33.6", id="at its price: at mark"),
        # 43.2 of 48: a tenth lost: 1.5 * 0.05 * 0.1 = 0.0075 of 96 worse: 7.2 less;
        # 952.8 * 0.015
        pytest.param(
            1, "83.2", "0.05", "95.28", "14.292", "21.708", id="a tenth lost: 95.28"
        ),
        # 46.8 of 52: 0.0075 of 104 = 0.78 worse: 7.8 less; 1,047.8 * 0.015
        pytest.param(
            -1, "86.8", "0.05", "104.78", "15.717", "23.283", id="a short: above mark"
        ),
        # 8.64 of 9.6: 0.0015 of 96: 1.44 less, and the penalty takes the 7.2 left
        pytest.param(
            1, "48.64", "0.01", "95.856", "7.2", 0, id="the penalty is what is left"
        ),
        # 24 of 48: half lost: 36 worse, more than is left: at bankruptcy, no penalty
        pytest.param(1, 64, "0.05", "93.6", 0, 0, id="half lost: at bankruptcy"),
    ],
)
def test_the_fillable_price(
    side: int, margin: Any, rate: str, fill: Any, fee: Any, left: Any
) -> None:
    account = isolated(held(10 * side, tiers=flat(rate)), margin)
    (event,) = liquidate(account, DYDX, A=100 - 4 * side)
    assert (event.fill_price, event.fee) == (exact(fill), -exact(fee))
    assert account.balance(account.shared) == 1_000 + exact(left)


def test_without_maintenance_nothing_of_it_is_lost() -> None:
    account = isolated(held(10, tiers=flat(0)), 40)
    (event,) = liquidate(account, DYDX, A=96)
    assert (event.fill_price, event.fee, event.insurance) == (96, 0, 0)


# Which positions of a pool go first


HEDGED = LiquidationPolicy(BANKRUPTCY, cross_scope=CrossScope.HEDGED_FIRST)


def hedged(balance: Any) -> Account:
    """10 long and 4 short at 100; at 80 120 lost, and 14 * 80 * 0.01 = 11.2 asked."""
    tiers = flat("0.01")
    long, short = held(10, tiers=tiers, leg="long"), held(-4, tiers=tiers, leg="short")
    return cross(balance, long, short)


@pytest.mark.parametrize(
    ("fee_rate", "left"),
    [
        pytest.param(0, "11.2", id="for nothing"),
        # 320 * 0.005, twice
        pytest.param("0.005", 8, id="for a fee on each"),
    ],
)
def test_the_hedged_pair_goes_first(fee_rate: Any, left: Any) -> None:
    account = hedged("131.2")
    policy = LiquidationPolicy(
        cross_scope=CrossScope.HEDGED_FIRST, fee_rate=exact(fee_rate)
    )
    long, short = liquidate(account, policy, key="A:long", A=80)
    # 6 that stay ask for 4.8: it stands.
    assert (long.leg, long.size, long.remaining) == ("long", 4, 6)
    assert (short.leg, short.size, short.remaining) == ("short", -4, 0)
    assert (long.loss, short.loss) == (-80, 80)
    assert [p.size for p in account.positions.values()] == [6]
    assert worth(account, account.shared, A=80) == exact(left)


def test_what_a_hedged_pair_does_not_save_is_taken() -> None:
    # 4 left: less than the 4.8 of what stays.
    account = hedged(124)
    events = liquidate(account, HEDGED, key="A:long", A=80)
    assert closed(events) == [(4, 6), (-4, 0), (6, 0)]
    assert [event.insurance for event in events] == [0, 0, -4]
    assert account.wallet_balance == 0


def test_without_a_pair_all_go() -> None:
    account = cross(30, held(10), held(-10, "B"))
    events = liquidate(account, HEDGED, A=99, B=101)
    assert closed(events) == [(10, 0), (-10, 0)]


@pytest.mark.parametrize(
    ("balance", "expected", "left"),
    [
        # A 10 at 100, 200 lost at 80; B 10, 50 lost at 95. 5 % asked: 40 and 47.5.
        pytest.param("337.5", ["A"], "87.5", id="without A the 87.5 do for B"),
        pytest.param(290, ["A", "B"], 40, id="40 do not: B goes too, and 40 return"),
    ],
)
def test_the_largest_loss_goes_first(
    balance: Any, expected: list[str], left: Any
) -> None:
    tiers = flat("0.05")
    account = cross(balance, held(10, tiers=tiers), held(10, "B", tiers=tiers))
    policy = LiquidationPolicy(MARKET, cross_scope=CrossScope.LARGEST_LOSS_FIRST)
    events = liquidate(account, policy, A=80, B=95)
    assert [event.symbol for event in events] == expected
    assert worth(account, account.shared, A=80, B=95) == exact(left)


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_a_bankrupt_position_takes_nothing_of_anothers_remainder(order: str) -> None:
    # 55 left; A asks for 5, B for 50. Closing costs 10 each: A ends at bankruptcy with
    # its 5, B keeps 40, whichever comes last.
    rates = {"A": "0.005", "B": "0.05"}
    positions = [held(10, symbol, tiers=flat(rates[symbol])) for symbol in order]
    account = cross(55, *positions)
    policy = LiquidationPolicy(MARKET, slippage=exact("0.01"))
    events = {event.symbol: event for event in liquidate(account, policy, A=100, B=100)}
    assert (events["A"].fill_price, events["A"].insurance) == (exact("99.5"), -5)
    assert (events["B"].fill_price, events["B"].insurance) == (99, 0)
    assert booked(account) == {"realized_pnl": -10, "insurance": -5}
    assert account.wallet_balance == 40


# The backstop, and steps at bankruptcy


@BOTH
@pytest.mark.parametrize(
    ("margin", "expected", "left"),
    [
        # 100 at 100, 2 %: 198 asked at 99, two thirds are 132
        pytest.param(232, [(20, 80), (80, 0)], 132, id="132 left: in the market"),
        pytest.param("231.9", [(100, 0)], 0, id="131.9 left: all is taken"),
    ],
)
def test_below_the_backstop_no_step_is_taken(
    mode: MarginMode, margin: Any, expected: list[Any], left: Any
) -> None:
    account = on(mode, margin, held(100, tiers=flat("0.02")))
    policy = LiquidationPolicy(
        MARKET, backstop=exact("2/3"), step=FractionStep(exact("0.2"))
    )
    assert closed(liquidate(account, policy, A=99)) == expected
    assert account.wallet_balance == left + (1_000 if mode is ISOLATED else 0)


@BOTH
def test_a_step_can_be_settled_at_bankruptcy(mode: MarginMode) -> None:
    # As above: 266 left, half of them go with 40 of 80: 99 - 133 / 40.
    account = on(mode, 346, held(80, size_step=exact(1)))
    policy = LiquidationPolicy(step=TierStep(), step_settlement=BANKRUPTCY)
    (event,) = liquidate(account, policy, A=99)
    assert closed([event]) == [(40, 40)]
    assert (event.fill_price, event.insurance) == (exact("95.675"), -133)
    assert booked(account) == {"realized_pnl": -40, "insurance": -133}
    assert worth(account, A=99) == 133


class Crumbs:
    """A step that closes next to nothing."""

    def kept(
        self,
        position: Position,
        mark: Number,
        balance: Number,
        before: Reduction | None,
    ) -> Number:
        share: Number = exact("0.999")
        return share


def test_steps_that_lead_nowhere_end() -> None:
    account = isolated(held(80), 85)
    events = liquidate(account, LiquidationPolicy(step=Crumbs()), A=99)
    assert len(events) == 21
    assert account.positions == {}
    assert sum(event.size for event in events) == 80


# What is remembered


def test_a_policy_that_changed_holds_for_the_next_liquidation() -> None:
    account = isolated(held(80), 346)
    liquidator = Liquidator(LiquidationPolicy(step=TierStep()))
    liquidate(account, liquidator, A=99)
    liquidator.policy = LiquidationPolicy()
    (event,) = liquidate(account, liquidator, A=95)
    assert event.remaining == 0


# Coin-settled shorts


@pytest.mark.parametrize("added", [0, 1])
def test_a_coin_settled_short_at_1x_is_bankrupt_at_no_price(added: int) -> None:
    # 6,000 USD short at 1,000 stand on 6 coins: even at an endless price the loss is
    # 6 coins. Maintenance of 0.5 % of 6 coins is reached at 6,000 / 0.03 = 200,000.
    tiers = flat("0.005")
    contract = Contract("A", tiers, inverse=True, maintenance_basis=Basis.ENTRY)
    account = isolated(
        Position(contract, exact(-6_000), exact(1_000), exact(1)), 6 + added
    )
    (event,) = liquidate(account, LiquidationPolicy(), A=200_000)
    assert event.fill_price == float("inf")
    assert event.loss == -6
    assert event.insurance == -(exact("0.03") + added)
    assert account.positions == {}
    assert account.ledger.balances == {SHARED: 1_000, "isolated:A": 0}


def test_a_stamp_of_a_symbol_without_a_position_asks_for_no_mark() -> None:
    account, marks = isolated(held(80), 346), at(A=100)
    stamp = FundingStamp(0, NOON, "B", exact("0.01"))
    assert stamp.settle(account, marks) == []
    share = DeleveragingStamp(0, NOON, "B", exact("0.5"))
    assert share.settle(account, marks) == []
