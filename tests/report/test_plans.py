"""What planned positions look like on screens of several widths."""

import io

import pytest
from rich.console import Console

from bt_margin import get_venue
from bt_margin.core.contract import Basis
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.wallet import MarginMode
from bt_margin.report.plans import print_plans
from bt_margin.study import PlannedPosition, plan_position
from bt_margin.venues import Venue

CROSS_ONLY = Venue(
    "crossonly",
    Basis.MARK,
    0,
    0.0005,
    margin_modes=(MarginMode.CROSS,),
    tiers=SizeTiers([SizeTier(float("inf"), 0.01, 50)]),
)
WIDTHS = pytest.mark.parametrize("width", [150, 100, 80])


def plan(venue: Venue, **words: float | bool) -> PlannedPosition:
    terms = {"side": "long", "entry_price": 65_000, "leverage": 10, **words}
    return plan_position(venue, **terms)  # type: ignore[arg-type]


def printed(
    width: int, *plans: PlannedPosition, refused: tuple[tuple[str, Exception], ...] = ()
) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=width, highlight=False, markup=False)
    print_plans(console, plans, refused)
    return [line.rstrip() for line in screen.getvalue().splitlines()]


@WIDTHS
def test_one_plan_is_a_page_of_two_columns(width: int) -> None:
    lines = printed(width, plan(get_venue("generic")))
    assert lines[0].startswith("long 1 BTCUSDT at generic: entry 65,000,")
    assert lines[0].endswith("leverage 10x, isolated")
    pairs = [line.rsplit(maxsplit=1) for line in lines[2:10]]
    assert pairs == [
        ["balance behind it", "6,500.00"],
        ["initial margin", "6,500.00"],
        ["opening fee", "32.50"],
        ["order cost", "6,532.50"],
        ["liquidation price", "58,825"],
        ["maintenance there", "325.00"],
        ["distance", "-9.50%"],
        ["bankruptcy price", "58,500"],
    ]
    assert all(len(line) <= width for line in lines[1:])
    text = " ".join(" ".join(lines).split())
    assert "B + q (p - e) = |q| e m" in text
    assert "1 x 65,000 x 0.005 = 325.00" in text
    assert "m maintenance rate of its tier" in text
    assert "deduction" not in text


@WIDTHS
def test_several_plans_are_a_row_each_and_fit(width: int) -> None:
    names = ("generic", "hyperliquid")
    plans = [plan(get_venue(name), notional=123_456_789.0) for name in names]
    lines = printed(width, *plans)
    assert all(len(line) <= width for line in lines[1:])
    for one in plans:
        row, *_ = (line for line in lines[2:] if line.startswith(one.venue))
        assert f"{one.liquidation_price:,.8g}" in row
        assert f"{one.order_cost:,.2f}" in row


def test_a_narrow_screen_leaves_out_what_is_needed_least() -> None:
    plans = [plan(get_venue(name), notional=1e6) for name in ("generic", "hyperliquid")]
    headings = {
        width: " ".join(" ".join(printed(width, *plans)[2:4]).split())
        for width in (150, 80)
    }
    assert "opening" in headings[150]
    assert "maintenance" in headings[150]
    assert "opening" not in headings[80]
    assert "liquidation" in headings[80]


def test_the_mode_has_a_column_where_it_differs() -> None:
    generic, cross = plan(get_venue("generic")), plan(CROSS_ONLY)
    lines = printed(100, generic, cross)
    assert lines[0].endswith("leverage 10x")
    assert any(line.split()[:2] == ["crossonly", "cross"] for line in lines)
    assert "margin" not in printed(100, generic, generic)[3].split()[:2]


def test_who_refuses_the_plan_stands_below_in_a_line() -> None:
    reason = ValueError("leverage is 60.0: " + "a reason longer than the screen " * 5)
    lines = printed(80, plan(get_venue("generic")), refused=(("other", reason),))
    assert lines[-2] == "Not possible at"
    assert lines[-1].startswith("other: leverage is 60.0")


def test_coins_have_eight_places() -> None:
    found = plan(get_venue("generic"), inverse=True)
    assert "0.10000000" in "\n".join(printed(80, found))
    assert "long 65,000 inverse BTCUSDT" in printed(80, found)[0]


def test_small_positions_keep_their_digits() -> None:
    small = plan(get_venue("generic"), entry_price=0.1)
    assert any(line.split()[-1:] == ["0.000500"] for line in printed(80, small))
