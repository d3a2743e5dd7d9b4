"""Crossing: the first moment at which a wallet on straight lines meets maintenance."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.crossing import Leg, first_crossing
from bt_margin.core.position import Position
from bt_margin.core.tiers import Tier, TierTable

INFINITE = float("inf")


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


TEXTBOOK = TierTable.flat(exact("0.005"), 125)
# nothing below 900, 10 % of what is above: amount 90
STEP = TierTable(
    [Tier(0, exact(900), 0, 100), Tier(exact(900), INFINITE, exact("0.1"), 10)]
)


def leg(
    size: Any,
    entry: Any,
    start: Any,
    end: Any,
    tiers: TierTable = TEXTBOOK,
    *,
    basis: Basis = Basis.ENTRY,
    inverse: bool = False,
) -> Leg:
    contract = Contract("X", tiers, inverse=inverse, maintenance_basis=basis)
    held = Position(contract, exact(size), exact(entry), exact(10))
    return Leg(held, exact(start), exact(end))


LONG = leg(10, 100, 100, 80)  # on 105: 105 - 200 t = 5 at 1/2


@pytest.mark.parametrize(
    ("legs", "balance", "expected"),
    [
        pytest.param([LONG], 105, "1/2", id="a long on a falling price"),
        pytest.param([LONG], 205, "1", id="only just at the end: 5 left for 5"),
        pytest.param([LONG], "205.01", None, id="a long that survives"),
        pytest.param([LONG], 5, "0", id="liquidatable where it starts"),
        pytest.param([LONG], -5, "0", id="far beyond where it starts"),
        pytest.param([leg(10, 100, 100, 100)], 6, None, id="a price that stands still"),
        pytest.param(
            [leg(-10, 100, 100, 120)], 105, "1/2", id="a short on a rising price"
        ),
        pytest.param(
            # on mark: 105 - 200 t = (1,000 - 200 t) / 200, 199 t = 100
            [leg(10, 100, 100, 80, basis=Basis.MARK)],
            105,
            "100/199",
            id="maintenance on mark",
        ),
        pytest.param(
            # long A falls 20, short B falls 20: 105 all the way, maintenance 10
            [LONG, leg(-10, 100, 100, 80)],
            105,
            None,
            id="a hedge that moves along",
        ),
        pytest.param(
            # 105 - 200 t = 10
            [LONG, leg(-10, 100, 100, 100)],
            105,
            "19/40",
            id="a hedge that stands still",
        ),
        pytest.param(
            # 105 - 200 t + 100 t = 10
            [LONG, leg(-10, 100, 100, 90)],
            105,
            "19/20",
            id="a hedge that moves half as much",
        ),
        pytest.param(
            # short 10 from 80 to 120: notional 900 at t = 1/4 (price 90);
            # 150 - 400 t = (800 + 400 t) / 10 - 90, 440 t = 160
            [leg(-10, 80, 80, 120, STEP, basis=Basis.MARK)],
            150,
            "4/11",
            id="a short that climbs into a tier on the way",
        ),
        pytest.param(
            # long 10 from 100 to 60: notional 900 at t = 1/4;
            # after it nothing is asked for: 350 - 400 t = 0
            [leg(10, 100, 100, 60, STEP, basis=Basis.MARK)],
            350,
            "7/8",
            id="a long that falls out of its tier on the way",
        ),
    ],
)
def test_linear_crossings_are_solved(
    legs: list[Leg], balance: Any, expected: str | None
) -> None:
    part = first_crossing(legs, exact(balance))
    assert (None if expected is None else exact(expected)) == part


def test_no_legs_never_cross() -> None:
    assert first_crossing([], exact(1)) is None


def test_where_a_given_requirement_jumps_the_crossing_is_the_jump() -> None:
    # Whole-position tiers: nothing below 1,000, 10 % of all from there on.
    # Short 10 at 90, price 90 to 110, worth 1,000 at 1/2: 150 - 100 = 50 are left
    # just before it, where nothing is asked for; at it 100 are.
    tiers = TierTable(
        [
            Tier(0, exact(1000), 0, 50, 0),
            Tier(exact(1000), INFINITE, exact("0.1"), 10, 0),
        ]
    )
    short = leg(-10, 90, 90, 110, tiers, basis=Basis.MARK)
    assert exact("1/2") == first_crossing([short], exact(150))


def test_an_inverse_crossing_is_found_to_float_resolution() -> None:
    # Long 1,000 USD at 100 on 1 coin, price 100 to 80, no maintenance:
    # 1 + 10 - 1,000 / p = 0 at 1,000 / 11 = 90.909..., t = (100 - p) / 20
    tiers = TierTable.flat(0, 125)
    part = first_crossing([leg(1000, 100, 100, 80, tiers, inverse=True)], exact(1))
    assert part is not None
    assert pytest.approx((100 - 1000 / 11) / 20, abs=1e-12) == float(part)


NO_MAINTENANCE = TierTable.flat(0, 125)


def test_inverse_legs_may_cross_between_two_safe_ends() -> None:
    # Short 1,000 USD at 100 falling to 50: gains 10 coins, slowly at first.
    # Short 1,000 USD at 100 rising to 1,000: loses 9 coins, at once.
    # On 2 coins: 2 at the start, 2 + 10 - 9 = 3 at the end, and in the middle
    # 2 + (1,000 / 75 - 10) - (10 - 1,000 / 550) = 2 + 3.33 - 8.18 = -2.85.
    legs = [
        leg(-1000, 100, 100, 50, NO_MAINTENANCE, inverse=True),
        leg(-1000, 100, 100, 1000, NO_MAINTENANCE, inverse=True),
    ]
    part = first_crossing(legs, exact(2))
    expected = slow_crossing(legs, exact(2))
    assert expected is not None
    assert 0 < expected < exact("1/10")
    assert part is not None
    assert pytest.approx(float(expected), abs=1e-9) == float(part)


# The slow obvious way

NEARLY_64 = 64 - Fraction(1, 10**9)  # just before a bend: a requirement may jump at it


def surplus(legs: list[Leg], balance: Any, part: Any) -> Any:
    """Margin balance less maintenance, from the words of the design."""
    total = balance
    for each in legs:
        mark = each.start + (each.end - each.start) * part
        total += each.position.unrealized_pnl(mark)
        total -= each.position.maintenance_margin(mark)
    return total


def breakpoints(legs: list[Leg]) -> list[Any]:
    """0, 1 and every part at which a leg's notional meets a tier."""
    points = {exact(0), exact(1)}
    for each in legs:
        size, contract = abs(each.position.size), each.position.contract
        move = each.end - each.start
        for tier in list(contract.tiers_of(size))[1:]:
            floor = tier.min_notional
            price = size / floor if contract.inverse else floor / size
            if move and 0 < (price - each.start) / move < 1:
                points.add((price - each.start) / move)
    return sorted(points)


def slow_crossing(legs: list[Leg], balance: Any) -> Any:
    """Sampled at 64 points between breakpoints, then bisected."""
    points = breakpoints(legs)
    samples = [
        start + (end - start) * step / 64
        for start, end in pairwise(points)
        for step in (*range(64), NEARLY_64)
    ] + [exact(1)]
    safe = exact(0)
    for sample in samples:
        if surplus(legs, balance, sample) <= 0:
            break
        safe = sample
    else:
        return None
    if not sample:
        return sample
    for _ in range(50):
        middle = (safe + sample) / 2
        if surplus(legs, balance, middle) > 0:
            safe = middle
        else:
            sample = middle
    return sample


SIZES = st.fractions(Fraction(1, 10), 100, max_denominator=10)
PRICES = st.fractions(50, 150, max_denominator=10)


@st.composite
def tier_tables(draw: st.DrawFn, *, jumps: bool = False) -> TierTable:
    """One to three tiers; with amounts that are given, where the requirement jumps."""
    floor, rate = exact(0), exact(0)
    amounts = st.integers(0, 100) if jumps else st.none()
    tiers = []
    count = draw(st.integers(1, 3))
    for number in range(1, count + 1):
        width = draw(st.fractions(10, 5000, max_denominator=1))
        end = INFINITE if number == count else floor + width
        rate += draw(st.fractions(0, Fraction(1, 10), max_denominator=100))
        tiers.append(Tier(floor, end, rate, 1, draw(amounts)))
        floor = end
    return TierTable(tiers)


@st.composite
def linear_legs(draw: st.DrawFn, *, jumps: bool = False) -> Leg:
    return leg(
        draw(SIZES) * draw(st.sampled_from([1, -1])),
        draw(PRICES),
        draw(PRICES),
        draw(PRICES),
        draw(tier_tables(jumps=jumps)),
        basis=draw(st.sampled_from(Basis)),
    )


def check_linear(legs: list[Leg], above_start: Any) -> None:
    balance = above_start - surplus(legs, 0, exact(0))
    part = first_crossing(legs, balance)
    slow = slow_crossing(legs, balance)
    if part is None:
        assert slow is None
        return
    # Exactly there, and nowhere before.
    assert surplus(legs, balance, part) == 0 or (part == 0 and above_start <= 0)
    assert all(surplus(legs, balance, part * step / 64) > 0 for step in range(64)) or (
        part == 0
    )
    if slow is not None:
        assert float(part) == pytest.approx(float(slow), abs=1e-9)
    else:  # a touch between two samples
        assert part == 1 or surplus(legs, balance, part) == 0


LINEAR = {
    "legs": st.lists(linear_legs(), min_size=1, max_size=5),
    "above_start": st.fractions(-10, 2000, max_denominator=10),
}


@settings(max_examples=60, deadline=None)
@given(**LINEAR)
def test_linear_legs_against_the_slow_way(legs: list[Leg], above_start: Any) -> None:
    check_linear(legs, above_start)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(**LINEAR)
def test_linear_legs_against_the_slow_way_at_length(
    legs: list[Leg], above_start: Any
) -> None:
    check_linear(legs, above_start)


@settings(max_examples=60, deadline=None)
@given(
    legs=st.lists(linear_legs(jumps=True), min_size=1, max_size=3),
    above_start=st.fractions(1, 2000, max_denominator=10),
)
def test_requirements_that_jump_against_the_slow_way(
    legs: list[Leg], above_start: Any
) -> None:
    balance = above_start - surplus(legs, 0, exact(0))
    part = first_crossing(legs, balance)
    slow = slow_crossing(legs, balance)
    if slow is not None:
        assert part is not None
        assert float(part) == pytest.approx(float(slow), abs=1e-9)
    elif part is not None:  # a touch from one side of a bend
        hair = Fraction(1, 10**9)
        near = [surplus(legs, balance, part + step) for step in (-hair, 0, hair)]
        assert float(min(map(abs, near))) == pytest.approx(0, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    held=st.lists(
        st.tuples(SIZES, st.sampled_from([1, -1]), PRICES, tier_tables()),
        min_size=1,
        max_size=5,
    ),
    start=PRICES,
    end=PRICES,
    above_start=st.fractions(0, 3, max_denominator=100),
)
def test_inverse_legs_of_one_coin_against_the_slow_way(
    held: list[tuple[Any, int, Any, TierTable]], start: Any, end: Any, above_start: Any
) -> None:
    # Contracts that settle in one coin follow its one price.
    legs = [
        leg(size * side, entry, start, end, tiers, basis=Basis.MARK, inverse=True)
        for size, side, entry, tiers in held
    ]
    balance = above_start - surplus(legs, 0, exact(0))
    part = first_crossing(legs, balance)
    slow = slow_crossing(legs, balance)
    if slow is None:
        assert part is None
    else:
        assert part is not None
        assert float(slow) == pytest.approx(float(part), abs=1e-9)
