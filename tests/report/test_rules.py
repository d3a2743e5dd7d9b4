"""What the pages of venues look like, in words."""

import io
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from rich.console import Console

from bt_margin import SizeTier, SizeTiers, Tier, TierTable, get_venue, venue_names
from bt_margin.core.adjust import RemovalRule
from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
    Step,
    TierStep,
)
from bt_margin.core.wallet import FundingSource, MarginMode
from bt_margin.report.rules import print_tiers, print_venue, print_venues
from bt_margin.venues import (
    ContractKind,
    Controls,
    OrderMarginRule,
    PositionMode,
    Revision,
    Tiers,
    Venue,
)

FULL = Venue(
    "full",
    Basis.MARK,
    -0.0001,
    0.0005,
    kinds=tuple(ContractKind),
    margin_modes=(MarginMode.ISOLATED, MarginMode.CROSS),
    position_modes=(PositionMode.ONE_WAY,),
    tables={"BTC": SizeTiers([SizeTier(100, 0.004, 125), SizeTier(200, 0.005, 100)])},
    inverse_tables={"ETH": TierTable.flat(0.01, 50)},
    tables_as_of=date(2025, 2, 3),
    closing_fee_rate=0.0006,
    reserved_fee_rate=0.00055,
    order_margin=OrderMarginRule(fees=True, untriggered_stops=False),
    controls=Controls(
        removal=RemovalRule(keeps_initial=False, kept_notional_share=0.1),
        auto_margin=True,
        lowers_isolated_leverage=False,
        mode_of_account=True,
    ),
    funding_source=FundingSource.AVAILABLE,
    funding_hours=1,
    liquidation=LiquidationPolicy(
        settlement=Settlement.MARKET,
        cancel=OrderScope.ADDING,
        fee_rate=0.01,
        slippage=0.002,
        spread_rate=1.5,
        backstop=0.5,
        step=TierStep(2, 2),
        cross_scope=CrossScope.HEDGED_FIRST,
    ),
    rounding="up to the tick",
    revisions=(Revision(date(2024, 5, 6), {"funding_hours": 8}, "funding came late"),),
    sources=("a help page",),
    unverified=("a guess",),
)
WIDTHS = pytest.mark.parametrize("width", [150, 100, 80])


def lines(width: int, show: Callable[..., None], *what: Any, **terms: Any) -> list[str]:
    screen = io.StringIO()
    show(
        Console(file=screen, width=width, highlight=False, markup=False), *what, **terms
    )
    return [line.rstrip() for line in screen.getvalue().splitlines()]


def page(venue: Venue) -> dict[str, str]:
    """The page by its headings, on a screen where nothing wraps."""
    found = (line.split("  ", 1) for line in lines(400, print_venue, venue)[2:])
    return {heading: value.strip() for heading, value in found}


# The list


@WIDTHS
def test_the_list_has_a_line_for_each_venue_and_fits(width: int) -> None:
    venues = [get_venue(name) for name in venue_names()]
    found = lines(width, print_venues, [*venues, FULL])
    assert len(found) == len(venues) + 2
    assert all(len(line) <= width for line in found)
    assert found[-1].split() == [
        *("full", "both", "both", "2025-02-03", "125x", "tiers,", "then", "market")
    ]


# The page


def test_every_rule_is_said_in_words() -> None:
    assert page(FULL) == {
        "contracts": "linear, settled in the quote currency; inverse, in the coin",
        "margin modes": "isolated, cross",
        "position modes": "one way",
        "fees": "maker -0.0100%, taker 0.0500%",
        "maintenance margin": "0.4000% to 1.0000% of notional at mark",
        "closing fee in maintenance": "0.0600% of notional at mark",
        "reserved closing fee": (
            "0.0550% of the value at bankruptcy,"
            " in initial and maintenance margin alike"
        ),
        "tiers": (
            "by size: the whole position has the rate of its tier;"
            " one for every notional"
        ),
        "tiers of": "BTC",
        "inverse tiers of": "ETH",
        "tiers as of": "2025-02-03",
        "highest leverage": "125x",
        "isolated margin on": "notional at entry",
        "cross margin on": "notional at mark",
        "a resting order locks": (
            "its initial margin, what it would lose at once, its opening fee and the"
            " reserved closing fee; stops once triggered"
        ),
        "margin can be added": "yes",
        "margin can be removed": (
            "down to maintenance margin, gains not counted; 10% of notional at mark"
        ),
        "margin added by itself": "if asked to",
        "leverage of an isolated position": "can be raised; its margin follows",
        "leverage changes with orders": "yes",
        "margin mode changes with orders": "no",
        "margin mode is": "of the whole account",
        "funding": "every hour, from 00:00 UTC",
        "funding is paid by": (
            "the available balance first, then the wallet of the position"
        ),
        "liquidated when": "margin balance <= maintenance margin, at mark",
        "liquidation cancels": (
            "the orders that could add to a position of the wallet"
        ),
        "it closes first": (
            "as much as brings it to 2 tiers lower, in the market; in the lowest 2 all"
        ),
        "the rest closes": "in the market: what is left after the fee returns",
        "liquidation fee": "1.0000%",
        "slippage of its close": "0.2000% of mark",
        "its price is worse by": (
            "1.5 x the maintenance rate x the share of maintenance that is lost"
        ),
        "backstop": "all is lost below 50.0% of maintenance",
        "in a cross wallet go": "what a symbol's long and short offset, then all",
        "rounding": "up to the tick",
        "before 2024-05-06": "funding came late (funding hours)",
        "source": "a help page",
        "not verified": "a guess",
    }


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(
            TierStep(),
            "as much as brings it to the next lower tier, in the market;"
            " in the lowest tier all",
            id="one tier",
        ),
        pytest.param(
            FractionStep(0.2, 100_000, timedelta(seconds=30)),
            "20%, in the market, of a notional above 100,000, else all;"
            " all if it fails again within 30 s",
            id="a fraction",
        ),
        pytest.param(
            CompliantStep(0.9, 0.001),
            "as much as it takes until maintenance is 90% of the balance,"
            " in the market",
            id="until compliant",
        ),
    ],
)
def test_what_is_closed_first(step: Step, words: str) -> None:
    policy = LiquidationPolicy(step=step)
    venue = Venue("x", Basis.MARK, 0, 0, tiers=FULL.tables["BTC"], liquidation=policy)
    assert page(venue)["it closes first"] == words


def test_a_venue_without_isolated_margin_says_nothing_of_it() -> None:
    modes = (MarginMode.CROSS,)
    venue = Venue("x", Basis.MARK, 0, 0, tiers=TierTable.flat(0, 9), margin_modes=modes)
    found = page(venue)
    assert found["margin modes"] == "cross"
    assert not [heading for heading in found if "isolated" in heading]
    assert "margin can be added" not in found


@WIDTHS
@pytest.mark.parametrize("name", venue_names())
def test_a_page_wraps_inside_the_screen(name: str, width: int) -> None:
    found = lines(width, print_venue, get_venue(name))
    assert all(len(line) <= width for line in found)
    assert found[0] == name


# Tiers


@pytest.mark.parametrize(
    ("tiers", "coin", "headings", "last"),
    [
        pytest.param(
            TierTable([Tier(0, 5, 0.004, 125), Tier(5, 10, 0.005, 100)]),
            True,
            "from to maintenance deduction highest (coin) (coin) rate (coin) leverage",
            "5 10 0.5000% 0.005 100x",
            id="by notional, in coin",
        ),
        pytest.param(
            FULL.tables["BTC"],
            False,
            "up to maintenance highest (coins) rate leverage",
            "200 0.5000% 100x",
            id="by size",
        ),
        pytest.param(
            SizeTiers([SizeTier(float("inf"), 0.01, 50, 0.00005)]),
            False,
            "up to maintenance more for highest (coins) rate each unit leverage",
            "any 1.0000% 0.005000% 50x",
            id="rising with the size",
        ),
    ],
)
def test_a_tier_table(tiers: Tiers, coin: bool, headings: str, last: str) -> None:
    found = lines(80, print_tiers, tiers, title="BTC", coin=coin)
    assert found[0] == "BTC"
    assert " ".join(found[1:3]).split() == headings.split()
    assert found[-1].split() == last.split()
