"""Hedge: a long and a short of one symbol, and the mark that both share."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bt_margin.core.account import Account, Marks
from bt_margin.core.contract import Basis, Contract, position_key
from bt_margin.core.fill import apply_fill
from bt_margin.core.position import Position
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.core.wallet import MarginMode

ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


FLAT = TierTable.flat(exact("0.01"), 100)
TIERED = TierTable(
    [
        Tier(0, exact(500), exact("0.005"), 100),
        Tier(exact(500), exact(5_000), exact("0.01"), 50),
        Tier(exact(5_000), float("inf"), exact("0.05"), 10),
    ]
)


def leg(size: Any, symbol: str = "A", **rules: Any) -> Contract:
    """The contract of the side that holds ``size``."""
    rules.setdefault("tiers", FLAT)
    return Contract(symbol, leg="long" if size > 0 else "short", **rules)


def held(size: Any, entry: Any, symbol: str = "A", **rules: Any) -> Position:
    size = exact(size)
    return Position(leg(size, symbol, **rules), size, exact(entry), exact(10))


def cross(balance: Any, *positions: Position) -> Account:
    account = Account(exact(balance))
    for each in positions:
        account.put(each, account.shared)
    return account


def at(**prices: Any) -> Marks:
    marks = {symbol: exact(price) for symbol, price in prices.items()}
    return marks.__getitem__


def price(account: Account, mark: Any = 100, key: str = "A:long") -> Any:
    return account.liquidation_price(key, at(A=mark))


# Binance's closed form for two legs, the slow way


def closed_form(
    long: Position, short: Position, wallet: Any, others: tuple[Any, Any] = (0, 0)
) -> list[Any]:
    """Every mark at which the wallet meets maintenance.

    Exchange rules 2.2, hedge and cross: with WB the wallet, TMM and UPNL maintenance
    and unrealized PnL of other symbols, and rate m and amount c of a pair of tiers

        (WB - TMM + UPNL + c_L + c_S - Q_L EP_L + Q_S EP_S)
            / (Q_L m_L + Q_S m_S - Q_L + Q_S)

    for each pair of tiers, kept where both notionals at the price lie in their tiers.
    """
    found = set()
    q_long, q_short = long.size, -short.size
    tmm, upnl = others
    for tier_l, floor_l, ceiling_l in long.contract.tiers_of(q_long).bands():
        for tier_s, floor_s, ceiling_s in short.contract.tiers_of(q_short).bands():
            amounts = (tier_l.maintenance_amount or 0) + (
                tier_s.maintenance_amount or 0
            )
            upper = wallet - tmm + upnl + amounts
            upper += -q_long * long.entry_price + q_short * short.entry_price
            lower = q_long * tier_l.maintenance_margin_rate - q_long
            lower += q_short * tier_s.maintenance_margin_rate + q_short
            if lower:
                mark = upper / lower
                is_in_l = floor_l <= q_long * mark <= ceiling_l
                is_in_s = floor_s <= q_short * mark <= ceiling_s
                if mark > 0 and is_in_l and is_in_s:
                    found.add(mark)
    return sorted(found)


def nearest(prices: Sequence[Any], mark: Any) -> Any:
    return min(prices, key=lambda each: abs(each - mark), default=None)


SIZES = st.fractions(Fraction(1, 4), 40, max_denominator=4)
PRICES = st.fractions(50, 200, max_denominator=4)
WALLETS = st.fractions(1, 3_000, max_denominator=4)
TABLES = st.sampled_from([FLAT, TIERED])


@given(
    long_size=SIZES,
    short_size=SIZES,
    long_entry=PRICES,
    short_entry=PRICES,
    mark=PRICES,
    wallet=WALLETS,
    tiers=TABLES,
)
def test_two_legs_meet_maintenance_at_the_closed_form(
    long_size: Any,
    short_size: Any,
    long_entry: Any,
    short_entry: Any,
    mark: Any,
    wallet: Any,
    tiers: TierTable,
) -> None:
    long = held(long_size, long_entry, tiers=tiers)
    short = held(-short_size, short_entry, tiers=tiers)
    account = cross(wallet, long, short)
    expected = nearest(closed_form(long, short, wallet), mark)
    found = price(account, mark)
    assert found == price(account, mark, "A:short")
    # Two roots may be as near as each other.
    if found is None or expected is None:
        assert expected is found
    else:
        assert abs(expected - mark) == abs(found - mark)
        assert account.summary(account.shared, lambda _: found).surplus == 0


@given(
    long_size=SIZES,
    short_size=SIZES,
    other=st.fractions(-5, 5, max_denominator=4),
    wallet=WALLETS,
    mark=PRICES,
)
def test_other_symbols_are_frozen_in_the_closed_form(
    long_size: Any, short_size: Any, other: Any, wallet: Any, mark: Any
) -> None:
    assume(other)
    long, short = held(long_size, 100), held(-short_size, 100)
    third = Position(Contract("B", TIERED), other, exact(80), exact(10))
    account = cross(wallet, long, short, third)
    others = (third.maintenance_margin(exact(90)), third.unrealized_pnl(exact(90)))
    expected = nearest(closed_form(long, short, wallet, others), mark)
    found = account.liquidation_price("A:short", at(A=mark, B=90))
    if found is None or expected is None:
        assert expected is found
    else:
        assert abs(expected - mark) == abs(found - mark)


@pytest.mark.parametrize(
    ("long", "short", "wallet", "mark", "expected"),
    [
        # 100 + 10 (p - 100) + 4 (100 - p) = 0.14 p      5.86 p = 500
        pytest.param(
            10, -4, 100, 100, Fraction(500) / exact("5.86"), id="mostly long: it falls"
        ),
        # 100 + 4 (p - 100) + 10 (100 - p) = 0.14 p      6.14 p = 700
        pytest.param(
            4, -10, 100, 100, Fraction(700) / exact("6.14"), id="mostly short: it rises"
        ),
        # 100 = 0.2 p
        pytest.param(
            10, -10, 100, 100, 500, id="as long as short: maintenance alone, at 500"
        ),
        # 100 + 0.1 (p - 100) = 0.199 p      90 = 0.099 p
        pytest.param(
            10,
            "-9.9",
            100,
            100,
            Fraction(90) / exact("0.099"),
            id="a little more long: still above, where maintenance grows faster",
        ),
        # 100 + 0.2 (p - 100) = 0.198 p      80 = -0.002 p
        pytest.param(
            10, "-9.8", 100, 100, None, id="gain as fast as maintenance: no price"
        ),
        # beyond it already: 100 + 6 (p - 100) = 0.14 p, as in the first row
        pytest.param(
            10,
            -4,
            100,
            80,
            Fraction(500) / exact("5.86"),
            id="beyond it: the price that was passed",
        ),
    ],
)
def test_a_wallet_with_two_legs(
    long: Any, short: Any, wallet: Any, mark: Any, expected: Any
) -> None:
    account = cross(wallet, held(long, 100), held(short, 100))
    assert expected == price(account, mark) == price(account, mark, "A:short")


def test_at_the_price_itself_it_is_the_price() -> None:
    # A venue asks for it at the very mark that liquidates.
    there = Fraction(500) / exact("5.86")
    account = cross(100, held(10, 100), held(-4, 100))
    assert price(account, there) == there
    # With tiers too: the bends on either side are not taken for it.
    long, short = held(10, 100, tiers=TIERED), held(-4, 100, tiers=TIERED)
    account = cross(100, long, short)
    (there,) = closed_form(long, short, 100)
    assert price(account, there) == there


def test_of_a_price_on_each_side_the_nearer_one_counts() -> None:
    # 20 long and 19 short at 200 on 100, so p - 100 = maintenance:
    # 0.39 p - 5 below (1 %), 1.95 p - 405 above (5 %)
    long, short = held(20, 200, tiers=TIERED), held(-19, 200, tiers=TIERED)
    below, above = Fraction(95) / exact("0.61"), Fraction(305) / exact("0.95")
    assert closed_form(long, short, 100) == [below, above]
    account = cross(100, long, short)
    assert price(account, below + 1) == below
    assert price(account, above - 1) == above
    # Beyond either it is the one that was passed.
    assert price(account, below - 1) == below
    assert price(account, above + 1) == above


def test_two_equal_legs_pass_from_tier_to_tier_together() -> None:
    # 10 and 10 on 20: 2 * (0.01 * 10 p - 2.5) = 20, at p = 125
    account = cross(20, held(10, 80, tiers=TIERED), held(-10, 80, tiers=TIERED))
    assert price(account, 80) == 125


@pytest.mark.parametrize(
    ("long", "short", "wallet", "expected"),
    [
        # 100 + 6 (p - 100) = 0
        pytest.param(10, -4, 100, Fraction(500, 6), id="mostly long"),
        # 100 + 6 (100 - p) = 0
        pytest.param(4, -10, 100, Fraction(700, 6), id="mostly short"),
        pytest.param(10, -10, 100, None, id="a full hedge is never bankrupt"),
    ],
)
def test_the_bankruptcy_price_asks_for_nothing(
    long: int, short: int, wallet: int, expected: Any
) -> None:
    account = cross(wallet, held(long, 100), held(short, 100))
    for key in ("A:long", "A:short"):
        assert account.bankruptcy_price(key, at(A=100)) == expected


def test_maintenance_on_entry_is_frozen_for_both_legs() -> None:
    entry = Basis.ENTRY
    rules: dict[str, Any] = {"tiers": TIERED, "maintenance_basis": entry}
    # 1,000 * 0.01 - 2.5 = 7.5 and 400 * 0.005 = 2: 100 + 6 (p - 100) = 9.5
    account = cross(100, held(10, 100, **rules), held(-4, 100, **rules))
    assert price(account) == Fraction(509.5) / 6


def test_closing_fees_count_for_both_legs() -> None:
    # 100 + 6 (p - 100) = 0.14 p + 0.014 p
    fee = exact("0.001")
    account = cross(
        100, held(10, 100, closing_fee_rate=fee), held(-4, 100, closing_fee_rate=fee)
    )
    assert price(account) == Fraction(500) / exact("5.846")


def test_reserved_fees_count_for_both_legs() -> None:
    # 0.1 % of 1,000 * 0.9 and of 400 * 1.1: 0.9 + 0.44
    fee = exact("0.001")
    account = cross(
        100, held(10, 100, reserved_fee_rate=fee), held(-4, 100, reserved_fee_rate=fee)
    )
    assert price(account) == exact("501.34") / exact("5.86")


# Inverse: a straight line over 1 / price


@given(
    long_size=st.integers(1, 4_000),
    short_size=st.integers(1, 4_000),
    long_entry=PRICES,
    short_entry=PRICES,
    mark=PRICES,
    wallet=st.fractions(Fraction(1, 10), 20, max_denominator=10),
)
def test_two_inverse_legs_meet_maintenance_at_the_closed_form(
    long_size: int,
    short_size: int,
    long_entry: Any,
    short_entry: Any,
    mark: Any,
    wallet: Any,
) -> None:
    """With x = 1 / p: WB + U_L (1/EP_L - x) - U_S (1/EP_S - x) = (U_L + U_S) m x."""
    long = held(long_size, long_entry, inverse=True)
    short = held(-short_size, short_entry, inverse=True)
    account = cross(wallet, long, short)
    upper = wallet + long_size / long_entry - short_size / short_entry
    lower = long_size - short_size + (long_size + short_size) * exact("0.01")
    expected = lower / upper if lower and upper else None
    if expected is not None and expected <= 0:
        expected = None
    assert expected == price(account, mark) == price(account, mark, "A:short")


@given(
    sizes=st.tuples(st.integers(1, 400_000), st.integers(1, 400_000)),
    entries=st.tuples(PRICES, PRICES),
    mark=PRICES,
    wallet=st.fractions(1, 2_000, max_denominator=10),
)
def test_an_inverse_price_is_a_boundary_and_none_is_nearer(
    sizes: tuple[int, int], entries: tuple[Any, Any], mark: Any, wallet: Any
) -> None:
    """The slow way: look at the surplus all along the way to the price."""
    long = held(sizes[0], entries[0], inverse=True, tiers=TIERED)
    short = held(-sizes[1], entries[1], inverse=True, tiers=TIERED)
    account = cross(wallet, long, short)

    def surplus(where: Any) -> Any:
        return account.summary(account.shared, lambda _: where).surplus

    found = price(account, mark)
    if found is None:
        signs = {surplus(exact(where)) > 0 for where in (1, 10, 50, 200, 10**4)}
        assert signs == {surplus(mark) > 0}
        return
    assert surplus(found) == 0
    is_safe = surplus(mark) > 0
    for part in range(1, 10):
        turned = 1 / mark + (1 / found - 1 / mark) * part / 10
        assert found == mark or (surplus(1 / turned) > 0) is is_safe


# Isolated legs


def test_isolated_legs_are_two_positions() -> None:
    account = Account(exact(1_000))
    for size in (10, -4):
        apply_fill(
            account,
            leg(size),
            exact(size),
            exact(100),
            leverage=exact(10),
            mode=ISOLATED,
        )
    assert account.ledger.balances == {
        "shared": 860,
        "isolated:A:long": 100,
        "isolated:A:short": 40,
    }
    # 100 + 10 (p - 100) = 0.1 p; 40 + 4 (100 - p) = 0.04 p
    assert price(account) == Fraction(900) / exact("9.9")
    assert price(account, key="A:short") == Fraction(440) / exact("4.04")
    assert account.bankruptcy_price("A:long", at(A=100)) == 90
    assert account.bankruptcy_price("A:short", at(A=100)) == 110


def test_an_isolated_leg_is_no_part_of_the_cross_one() -> None:
    account = Account(exact(1_000))
    for size, mode in ((10, CROSS), (-4, ISOLATED)):
        apply_fill(
            account, leg(size), exact(size), exact(100), leverage=exact(10), mode=mode
        )
    # 960 + 10 (p - 100) = 0.1 p
    assert price(account) == Fraction(40) / exact("9.9")
    assert price(account, key="A:short") == Fraction(440) / exact("4.04")


def test_a_leg_has_the_key_of_its_symbol_and_side() -> None:
    assert [leg(1).key, leg(-1).key] == ["A:long", "A:short"]
    assert replace(leg(1), leg="").key == "A"
    assert position_key("BTC/USDT:USDT", "long") == "BTC/USDT:USDT:long"
    account = cross(100, held(10, 100), held(-4, 100), held(1, 100, "B"))
    assert [p.size for p in account.positions_of("A")] == [10, -4]


@given(
    size=SIZES,
    side=st.sampled_from([1, -1]),
    entry=PRICES,
    wallet=WALLETS,
    mark=PRICES,
    tiers=TABLES,
)
def test_one_leg_alone_has_the_price_of_a_position(
    size: Any, side: int, entry: Any, wallet: Any, mark: Any, tiers: TierTable
) -> None:
    """Split in two equal legs of one side it is the same again."""
    one = held(size * side, entry, tiers=tiers)
    alone = cross(wallet, one)
    expected = price(alone, mark, one.contract.key)
    half = replace(one, size=one.size / 2)
    # Two of one side are no hedge, but they share a mark and a flat rate as well.
    if tiers is FLAT:
        other = replace(half, contract=replace(half.contract, leg="other"))
        both = cross(wallet, half, other)
        assert expected == price(both, mark, one.contract.key)
    net = replace(one, contract=replace(one.contract, leg=""))
    assert expected == price(cross(wallet, net), mark, "A")


@given(
    sizes=st.tuples(st.floats(0.1, 40), st.floats(0.1, 40)),
    wallet=st.floats(1, 3_000),
    inverse=st.booleans(),
)
def test_in_floats_the_price_asked_for_at_itself_is_itself(
    sizes: tuple[float, float], wallet: float, inverse: bool
) -> None:
    scale = 100 if inverse else 1
    long, short = (
        Position(leg(s, tiers=TABLE, inverse=inverse), s * scale, 100.0, 10)
        for s in (sizes[0], -sizes[1])
    )
    account = Account(wallet)
    for each in (long, short):
        account.put(each, account.shared)
    there = account.liquidation_price("A:long", lambda _: 100.0)
    assume(there is not None and there < 10**6)
    assert there is not None
    again = account.liquidation_price("A:long", lambda _: there)
    assert again == pytest.approx(there, rel=1e-6)


TABLE = TierTable(
    [
        Tier(0, 500, 0.005, 100),
        Tier(500, 5_000, 0.01, 50),
        Tier(5_000, float("inf"), 0.05, 10),
    ]
)
