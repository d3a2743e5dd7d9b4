"""Paths: the line of a price inside a bar, and which extreme comes first."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.path import BarPath, Polyline


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def line(*points: tuple[Any, Any]) -> Polyline:
    return Polyline((exact(share), exact(price)) for share, price in points)


@pytest.mark.parametrize(
    ("low_first", "expected"),
    [
        pytest.param(True, (100, 90, 120, 110), id="open, low, high, close"),
        pytest.param(False, (100, 120, 90, 110), id="open, high, low, close"),
    ],
)
def test_a_candle_has_four_waypoints(
    low_first: bool, expected: tuple[int, ...]
) -> None:
    path = Polyline.from_candle(100, 120, 90, 110, low_first=low_first)
    assert expected == path.prices
    assert path.shares == (0, 1 / 3, 2 / 3, 1)


@pytest.mark.parametrize(
    ("rule", "high", "low", "expected"),
    [
        # open 100
        pytest.param(BarPath.ADAPTIVE, 120, 95, True, id="the low is nearer"),
        pytest.param(BarPath.ADAPTIVE, 102, 85, False, id="the high is nearer"),
        pytest.param(BarPath.ADAPTIVE, 110, 90, True, id="as near: the low"),
        pytest.param(BarPath.ADAPTIVE, 100, 100, True, id="a bar that stands still"),
        pytest.param(BarPath.LOW_FIRST, 101, 50, True, id="low_first, always"),
        pytest.param(BarPath.HIGH_FIRST, 150, 99, False, id="high_first, always"),
    ],
)
def test_which_extreme_comes_first(
    rule: BarPath, high: int, low: int, expected: bool
) -> None:
    assert expected is rule.low_comes_first(100, high, low)


STAIRS = line((0, 100), ("1/2", 120), ("1/2", 80), (1, 90))


@pytest.mark.parametrize(
    ("share", "at", "before"),
    [
        pytest.param(0, 100, 100, id="at the open"),
        pytest.param("1/4", 110, 110, id="half way up"),
        pytest.param("1/2", 80, 120, id="at a jump: after it, and before it"),
        pytest.param("3/4", 85, 85, id="half way after the jump"),
        pytest.param(1, 90, 90, id="at the close"),
    ],
)
def test_price_at_and_before(share: Any, at: int, before: int) -> None:
    assert at == STAIRS.price_at(exact(share))
    assert before == STAIRS.price_before(exact(share))


def test_a_jump_at_the_close() -> None:
    path = line((0, 100), (1, 110), (1, 90))
    assert path.price_at(exact(1)) == 90
    assert path.price_before(exact(1)) == 110


def test_a_jump_at_the_open() -> None:
    path = line((0, 100), (0, 80), (1, 90))
    assert path.price_at(exact(0)) == 80
    assert path.price_before(exact(0)) == 100


ZIGZAG = line((0, 100), ("1/3", 90), ("2/3", 120), (1, 110))


@pytest.mark.parametrize(
    ("level", "start", "expected"),
    [
        pytest.param(100, 0, "0", id="the open itself"),
        pytest.param(95, 0, "1/6", id="on the way down"),
        pytest.param(95, "1/6", "1/6", id="where the search starts"),
        # from 90 at 1/3, 10 a ninth: 95 at 1/3 + 1/18
        pytest.param(95, "1/4", "7/18", id="the next time, on the way up"),
        pytest.param(90, 0, "1/3", id="the low itself"),
        pytest.param(120, 0, "2/3", id="the high itself"),
        pytest.param(115, "1/2", "11/18", id="on the way up, from inside a piece"),
        pytest.param(115, "2/3", "5/6", id="on the way down from the high"),
        pytest.param(110, "5/6", "1", id="the close itself"),
        pytest.param(89, 0, None, id="below the low: never"),
        pytest.param(121, 0, None, id="above the high: never"),
        pytest.param(90, "1/2", None, id="touched before the search: no more"),
    ],
)
def test_first_touch(level: int, start: Any, expected: str | None) -> None:
    touch = ZIGZAG.first_touch(exact(level), exact(start))
    assert (None if expected is None else exact(expected)) == touch


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        pytest.param(110, "1/4", id="touched before the jump"),
        pytest.param(120, "1/2", id="where the jump starts"),
        pytest.param(95, "1/2", id="jumped over: at the jump"),
        pytest.param(80, "1/2", id="where the jump lands"),
        pytest.param(70, None, id="below it: never"),
    ],
)
def test_first_touch_with_a_jump(level: int, expected: str | None) -> None:
    touch = STAIRS.first_touch(exact(level))
    assert (None if expected is None else exact(expected)) == touch


def test_clamped_bends_where_it_meets_a_bound() -> None:
    # down 10 in 1/3, up 30 in 1/3, down 10 in 1/3, held in 95..115
    held = ZIGZAG.clamped(exact(95), exact(115))
    expected = line(
        (0, 100),
        ("1/6", 95),
        ("1/3", 95),
        ("7/18", 95),
        ("11/18", 115),
        ("2/3", 115),
        ("5/6", 115),
        (1, 110),
    )
    assert expected.shares == held.shares
    assert expected.prices == held.prices


def test_a_line_inside_its_bounds_stays_as_it_is() -> None:
    held = ZIGZAG.clamped(exact(90), exact(120))
    assert (ZIGZAG.shares, ZIGZAG.prices) == (held.shares, held.prices)


PRICES = st.fractions(1, 200, max_denominator=20)


@given(
    prices=st.lists(PRICES, min_size=2, max_size=5),
    bounds=st.tuples(PRICES, PRICES),
    share=st.fractions(0, 1, max_denominator=60),
)
def test_a_clamped_line_is_the_clamped_price_everywhere(
    prices: list[Any], bounds: tuple[Any, Any], share: Any
) -> None:
    low, high = sorted(bounds)
    last = len(prices) - 1
    path = line(*((Fraction(i, last), price) for i, price in enumerate(prices)))
    expected = min(max(path.price_at(share), low), high)
    assert expected == path.clamped(low, high).price_at(share)


@given(prices=st.lists(PRICES, min_size=2, max_size=5), level=PRICES)
def test_the_first_touch_is_on_the_level_and_nothing_before_is(
    prices: list[Any], level: Any
) -> None:
    last = len(prices) - 1
    path = line(*((Fraction(i, last), price) for i, price in enumerate(prices)))
    touch = path.first_touch(level)
    if touch is None:
        assert level < min(prices) or level > max(prices)
        return
    assert level == path.price_at(touch)
    above = [path.price_at(touch * part / 16) > level for part in range(16)]
    assert not touch or len(set(above)) == 1
