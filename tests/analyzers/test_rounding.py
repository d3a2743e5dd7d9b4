"""Rounded tables add up in both directions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bt_margin.analyzers.rounding import round_table

cells = st.fractions(min_value=-1000, max_value=1000, max_denominator=10**6)
tables = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: st.lists(
        st.lists(
            st.one_of(st.just(Fraction(0)), cells), min_size=shape[1], max_size=shape[1]
        ),
        min_size=shape[0],
        max_size=shape[0],
    )
)


@given(tables)
def test_cells_and_sums_are_rounded_up_or_down(table: list[list[Fraction]]) -> None:
    exact = sum(map(sum, table))
    total = round(exact)
    rounded = round_table(table, total)
    assert sum(map(sum, rounded)) == total
    off = [
        abs(Fraction(one) - cell)
        for row, line in zip(table, rounded, strict=True)
        for cell, one in zip(row, line, strict=True)
    ]
    assert max(off) < 2  # the largest cell took what the total was rounded by
    assert [one >= 1 for one in off].count(True) <= 1
    columns = zip(*table, strict=True), zip(*rounded, strict=True)
    lines = [*zip(table, rounded, strict=True), *zip(*columns, strict=True)]
    for exact_line, line in lines:
        assert abs(Fraction(sum(line)) - sum(exact_line)) < 2


@given(tables)
def test_zero_stays_zero(table: list[list[Fraction]]) -> None:
    rounded = round_table(table, round(sum(map(sum, table))))
    largest = max(abs(cell) for row in table for cell in row)
    for row, line in zip(table, rounded, strict=True):
        for cell, one in zip(row, line, strict=True):
            if cell == 0 != largest:
                assert one == 0


def test_thirds() -> None:
    third = Fraction(1, 3)
    rounded = round_table([[third] * 3] * 3, 3)
    assert [sum(row) for row in rounded] == [1, 1, 1]
    assert [sum(column) for column in zip(*rounded, strict=True)] == [1, 1, 1]


def test_an_empty_table() -> None:
    assert round_table([], 0) == []
    assert round_table([[]], 0) == [[]]
