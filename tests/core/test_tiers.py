"""Tier tables: continuity, given amounts, refused tables, and their shape."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.errors import TierError
from bt_margin.core.margin import maintenance_margin
from bt_margin.core.tiers import Tier, TierTable

INFINITE = float("inf")


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def ladder(*rungs: tuple[str, str]) -> TierTable:
    """A table of (floor, rate) whose amounts are left to be computed."""
    floors = [exact(floor) for floor, _ in rungs]
    ends = [*floors[1:], INFINITE]
    rates = [exact(rate) for _, rate in rungs]
    return TierTable(
        Tier(floor, end, rate, 1)
        for floor, end, rate in zip(floors, ends, rates, strict=True)
    )


# The recursion: the amount below, plus the floor times the step of the rate.
BINANCE_USDM = (  # BTCUSDT 2021, gist highfestiva/b71e76f51eed84d56c1be8ebbcc286b5
    ("0", "0.004", "0"),
    ("50000", "0.005", "50"),  # 0 + 50,000 * 0.001
    ("250000", "0.01", "1300"),  # 50 + 250,000 * 0.005
    ("1000000", "0.025", "16300"),  # 1,300 + 1,000,000 * 0.015
    ("10000000", "0.05", "266300"),  # 16,300 + 10,000,000 * 0.025
    ("20000000", "0.1", "1266300"),  # 266,300 + 20,000,000 * 0.05
)
BINANCE_COINM = (  # BTCUSD in coin, Binance FAQ ceccfcfb4e3a45e3b48b0b1bb1a8ae46
    ("0", "0.004", "0"),
    ("5", "0.005", "0.005"),  # 0 + 5 * 0.001
    ("10", "0.01", "0.055"),  # 0.005 + 10 * 0.005
    ("20", "0.025", "0.355"),  # 0.055 + 20 * 0.015
    ("50", "0.05", "1.605"),  # 0.355 + 50 * 0.025
    ("100", "0.1", "6.605"),  # 1.605 + 100 * 0.05
    ("200", "0.125", "11.605"),  # 6.605 + 200 * 0.025
)


@pytest.mark.parametrize(
    "rungs",
    [
        pytest.param(BINANCE_USDM, id="the Binance USD-M BTCUSDT ladder"),
        pytest.param(BINANCE_COINM, id="the Binance COIN-M BTCUSD ladder"),
    ],
)
def test_amounts_left_out_are_computed_by_recursion(
    rungs: tuple[tuple[str, str, str], ...],
) -> None:
    table = ladder(*((floor, rate) for floor, rate, _ in rungs))
    expected = [exact(amount) for _, _, amount in rungs]
    assert expected == [tier.maintenance_amount for tier in table]


USDM = ladder(*((floor, rate) for floor, rate, _ in BINANCE_USDM))


@pytest.mark.parametrize(
    ("notional", "expected"),
    [
        pytest.param("0", "0", id="nothing asks for nothing"),
        pytest.param("49999", "199.996", id="below the first bound: 49,999 * 0.004"),
        pytest.param("50000", "200", id="on the bound both tiers ask for 200"),
        pytest.param("60000", "250", id="60,000 * 0.005 - 50"),
        pytest.param("2000000", "33700", id="2,000,000 * 0.025 - 16,300"),
        pytest.param("90000000", "7733700", id="90,000,000 * 0.1 - 1,266,300"),
    ],
)
def test_requirement_of_a_notional(notional: str, expected: str) -> None:
    assert exact(expected) == maintenance_margin(exact(notional), USDM)


def test_tier_of_a_bound_is_the_tier_that_starts_there() -> None:
    assert exact("0.005") == USDM.tier_of(exact(50_000)).maintenance_margin_rate
    below = USDM.tier_of(exact("49999.99"))
    assert exact("0.004") == below.maintenance_margin_rate


def test_beyond_the_highest_tier_its_rate_goes_on() -> None:
    table = TierTable([Tier(0, 1000, exact("0.01"), 50)])
    # 5,000 * 0.01
    assert exact(50) == table.maintenance_margin(exact(5000))


def test_explicit_amounts_are_taken_as_given() -> None:
    # A venue without deductions (whole position at one rate): amounts of 0.
    table = TierTable(
        [
            Tier(0, 1000, exact("0.01"), 50, 0),
            Tier(1000, INFINITE, exact("0.02"), 25, 0),
        ]
    )
    assert [tier.maintenance_amount for tier in table] == [0, 0]
    # 999 * 0.01, then 1,000 * 0.02: a jump, as given.
    assert exact("9.99") == table.maintenance_margin(exact(999))
    assert exact(20) == table.maintenance_margin(exact(1000))


def test_a_missing_amount_goes_on_from_the_given_one_below() -> None:
    # Binance COIN-M, the older page: 0.56 + 50 * (0.05 - 0.025) = 1.81
    table = TierTable(
        [
            Tier(0, 50, exact("0.025"), 20, exact("0.56")),
            Tier(50, 100, exact("0.05"), 10),
        ]
    )
    assert [exact("0.56"), exact("1.81")] == [t.maintenance_amount for t in table]


def test_a_flat_table_is_one_tier_for_every_notional() -> None:
    table = TierTable.flat(exact("0.005"), 125)
    assert [Tier(0, INFINITE, exact("0.005"), 125, 0)] == list(table)
    assert len(table) == 1
    assert table.max_leverage == 125
    assert exact(5 * 10**9) == table.maintenance_margin(exact(10**12))


def test_a_table_reads_from_the_lowest_notional_on() -> None:
    assert len(USDM) == 6
    floors = [tier.min_notional for tier in USDM]
    assert floors == [0, 50_000, 250_000, 1_000_000, 10_000_000, 20_000_000]


def test_the_last_band_has_no_end() -> None:
    low, high = Tier(0, 10, 0, 5, 0), Tier(10, 20, 0.5, 1, 5)
    expected = [(low, 0, 10), (high, 10, INFINITE)]
    assert expected == TierTable([low, high]).bands()


def test_tables_with_the_same_tiers_are_one_value() -> None:
    # An amount that is given and right makes the same table as one computed.
    given_amount = TierTable([Tier(0, 10, 0, 5, 0), Tier(10, 20, 0.5, 1, 5.0)])
    computed = TierTable([Tier(0, 10, 0, 5), Tier(10, 20, 0.5, 1)])
    assert given_amount == computed
    assert hash(given_amount) == hash(computed)
    assert TierTable.flat(0.004, 5) != TierTable.flat(0.005, 5)


@pytest.mark.parametrize(
    ("tiers", "place", "value", "fix"),
    [
        pytest.param([], "tiers", (), "at least one", id="an empty table"),
        pytest.param(
            [Tier(10, 100, 0.01, 50)],
            "tiers[0].min_notional",
            10,
            "at 0",
            id="a table that does not begin at 0",
        ),
        pytest.param(
            [Tier(0, 100, 0.01, 50), Tier(150, 200, 0.02, 25)],
            "tiers[1].min_notional",
            150,
            "gap: start min_notional at 100",
            id="a gap",
        ),
        pytest.param(
            [Tier(0, 100, 0.01, 50), Tier(90, 200, 0.02, 25)],
            "tiers[1].min_notional",
            90,
            "overlap: start min_notional at 100",
            id="an overlap",
        ),
        pytest.param(
            [Tier(0, 100, 0.02, 50), Tier(100, 200, 0.01, 25)],
            "tiers[1].maintenance_margin_rate",
            0.01,
            "at least 0.02",
            id="falling rates",
        ),
        pytest.param(
            [Tier(0, 100, 1, 50)],
            "tiers[0].maintenance_margin_rate",
            1,
            "fraction from 0 to 1",
            id="a rate of 1, in percent",
        ),
        pytest.param(
            [Tier(0, 100, -0.01, 50)],
            "tiers[0].maintenance_margin_rate",
            -0.01,
            "fraction from 0 to 1",
            id="a negative rate",
        ),
        pytest.param(
            [Tier(0, 100, 0.01, 50), Tier(100, 100, 0.02, 25)],
            "tiers[1].max_notional",
            100,
            "above 100",
            id="a tier that ends where it begins",
        ),
        pytest.param(
            [Tier(0, -5, 0.01, 50)],
            "tiers[0].max_notional",
            -5,
            "above 0",
            id="a tier that ends before it begins",
        ),
        pytest.param(
            [Tier(0, 100, 0.01, 0)],
            "tiers[0].max_leverage",
            0,
            "above 0",
            id="a leverage of 0",
        ),
    ],
)
def test_a_refused_table_names_place_value_and_fix(
    tiers: list[Tier], place: str, value: object, fix: str
) -> None:
    with pytest.raises(TierError) as refusal:
        TierTable(tiers)
    error = refusal.value
    assert (place, value) == (error.name, error.value)
    assert fix in error.fix
    assert f"{place} is {value!r}: {error.fix}" == str(error)


@st.composite
def tables(draw: st.DrawFn) -> TierTable:
    """A valid table: bounds that rise and rates that do not fall."""
    count = draw(st.integers(1, 6))
    widths = st.fractions(1, 1000, max_denominator=10)
    steps = st.fractions(0, Fraction(1, 8), max_denominator=1000)
    floor, rate = exact(0), exact(0)
    tiers = []
    for _ in range(count):
        end = floor + draw(widths)
        rate += draw(steps)
        tiers.append(Tier(floor, end, rate, 1))
        floor = end
    return TierTable(tiers)


NOTIONALS = st.fractions(0, 8000, max_denominator=100)


@given(table=tables())
def test_where_tiers_meet_both_ask_for_the_same(table: TierTable) -> None:
    tiers = list(table)
    for below, above in pairwise(tiers):
        floor = above.min_notional
        assert below.maintenance_margin(floor) == above.maintenance_margin(floor)


@given(table=tables(), one=NOTIONALS, other=NOTIONALS)
def test_more_notional_never_asks_for_less(
    table: TierTable, one: Any, other: Any
) -> None:
    low, high = sorted((one, other))
    assert 0 <= table.maintenance_margin(low) <= table.maintenance_margin(high)


@given(table=tables(), notional=NOTIONALS)
def test_each_rate_applies_to_the_notional_inside_its_bounds(
    table: TierTable, notional: Any
) -> None:
    # What "progressive" means, without amounts: slice by slice, like income tax.
    floors = [tier.min_notional for tier in table]
    ends = [*floors[1:], INFINITE]
    expected = exact(0)
    for tier, floor, end in zip(table, floors, ends, strict=True):
        inside = max(exact(0), min(notional, end) - floor)
        expected += inside * tier.maintenance_margin_rate
    assert expected == table.maintenance_margin(notional)
