"""Dated rules: a venue's page as it held on the day of each bar.

Bars are of 8 hours from 2024-01-01: bars 0 to 2 are the first day, bar 3 begins the
second. 10 from 100 at 10x: margin 100, taker fee 0.50, maintenance 0.5 % (5).
"""

import logging
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

import bt_margin
from bt_margin.core.contract import Basis
from bt_margin.core.policy import LiquidationPolicy, Settlement
from bt_margin.core.wallet import FundingSource
from bt_margin.venues import Controls, Revision

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
LONG = s.send("buy", 10)
GENERIC: Any = bt_margin.get_venue("generic")
flat_tiers = bt_margin.TierTable.flat


def page(before: dict[str, Any] | None = None, **now: Any) -> Any:
    """A page whose rules are ``now`` from the second day on; first they differed."""
    change = Revision(date(2024, 1, 2), before or {}, "a change")
    return replace(GENERIC, name="here", revisions=(change,), **now)


def broker(mode: str, venue: Any, **params: Any) -> Any:
    settings = {"cash": 1_000, "leverage": 10, **params}
    return s.BROKERS[mode](venue=venue, **settings)


def run(bars: Any, plan: Any, ours: Any, **feed: Any) -> Any:
    return s.run(s.perp(bars, freq="8h", **feed), plan, ours)


def ask(name: str, label: str) -> Any:
    return s.act_on(name, label=label)


# Tiers


@pytest.mark.parametrize("mode", BOTH)
def test_tiers_of_the_day_hold_for_an_open_position(mode: str) -> None:
    """0.5 % on the first day, 2 % from the second: 5, then 20."""
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.02, 125))
    plan = {
        0: [LONG],
        2: [ask("maintenance_margin", "first"), ask("liquidation_price", "lp")],
        3: [ask("maintenance_margin", "second"), ask("liquidation_price", "then")],
    }
    result = run([FLAT] * 5, plan, broker(mode, venue))
    wallet = 100 if mode == "isolated" else 999.5
    said = [result.said[key] for key in ("first", "second")]
    assert said == approx([5, 20])
    prices = [result.said[key] for key in ("lp", "then")]
    assert prices == approx([100 - (wallet - 5) / 10, 100 - (wallet - 20) / 10])


@pytest.mark.parametrize("mode", BOTH)
def test_a_new_tier_liquidates_when_its_day_comes(mode: str) -> None:
    """At 92 there are 20 left; from the second day 20 are required."""
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.02, 125))
    cash = 1_000 if mode == "isolated" else 100.5
    bars = [FLAT, FLAT, *[s.flat(92)] * 3]
    result = run(bars, {0: [LONG]}, broker(mode, venue, cash=cash))
    (event,) = result.liquidations
    assert event.time == s.moment(days=1)
    assert (event.margin_before.margin_balance, event.mark_price) == approx((20, 92))
    assert result.getposition().size == 0


@pytest.mark.parametrize("mode", BOTH)
def test_an_earlier_page_alone_is_a_page(mode: str) -> None:
    """All bars lie before the day of change: the page as it was."""
    venue = page({"tiers": flat_tiers(0.02, 125)}, tiers=flat_tiers(0.005, 125))
    result = run([FLAT] * 3, {0: [LONG]}, broker(mode, venue))
    assert result.broker.maintenance_margin(result.data) == approx(20)


@pytest.mark.parametrize("mode", BOTH)
def test_in_hedge_mode_both_legs_follow(mode: str) -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.02, 125))
    plan = {
        0: [
            s.send("buy", 10, "long", position_side="long"),
            s.send("sell", 10, "short", position_side="short"),
        ],
        2: [s.act_on("maintenance_margin", label="first")],
        4: [s.close_leg("long")],
    }
    result = run([FLAT] * 6, plan, broker(mode, venue, position_mode="hedge"))
    assert result.said["first"] == approx(10)
    assert result.broker.maintenance_margin() == approx(20)
    assert len(result.trades) == 1


# Leverage


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize("chosen", [False, True])
def test_leverage_above_a_new_bound_becomes_the_bound(
    mode: str, chosen: bool, caplog: pytest.LogCaptureFixture
) -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.005, 20))
    plan: dict[int, Any] = {
        0: [s.act_on("set_leverage", 50)] if chosen else [],
        3: [LONG],
        4: [ask("initial_margin", "it")],
    }
    ours = broker(mode, venue, leverage=10 if chosen else 50)
    with caplog.at_level(logging.WARNING, "bt_margin"):
        result = run([FLAT] * 6, plan, ours)
    assert "leverage 50.0 is above the new bound and becomes 20" in caplog.text
    assert result.said["it"] == approx(50)
    assert result.broker.leverage_setting(result.data) == 20


def test_a_new_bound_stays_after_a_change_of_mode() -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.005, 20))
    plan = {4: [s.act_on("set_margin_mode", "cross")]}
    result = run([FLAT] * 6, plan, broker("isolated", venue, leverage=50))
    assert result.broker.leverage_setting(result.data) == 20


def test_leverage_above_the_bound_of_the_first_day_is_refused() -> None:
    venue = page({"tiers": flat_tiers(0.005, 20)}, tiers=flat_tiers(0.005, 125))
    with pytest.raises(bt_margin.MarginError, match="allow at most 20"):
        run([FLAT] * 3, {}, broker("isolated", venue, leverage=50))


# Fees, policy, margin basis, funding, controls


@pytest.mark.parametrize("mode", BOTH)
def test_fees_of_the_day(mode: str) -> None:
    venue = page({"taker_fee_rate": 0.001}, taker_fee_rate=0.0002)
    plan = {0: [LONG], 3: [s.close()]}
    result = run([FLAT] * 6, plan, broker(mode, venue))
    assert s.ledger_total(result.broker, "fee") == approx(-1 - 0.2)


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("fall", "insurance"),
    [
        pytest.param(2, -5, id="the first day: what is left goes to the fund"),
        pytest.param(4, 0, id="the second: it comes back"),
    ],
)
def test_the_policy_of_the_day(mode: str, fall: int, insurance: float) -> None:
    venue = page(
        {"liquidation": LiquidationPolicy()},
        liquidation=LiquidationPolicy(settlement=Settlement.MARKET),
    )
    cash = 1_000 if mode == "isolated" else 100.5
    bars = [FLAT] * 6
    bars[fall] = (100, 100, 90, 90)
    result = run(bars, {0: [LONG]}, broker(mode, venue, cash=cash))
    (event,) = result.liquidations
    assert event.insurance == approx(insurance)


def test_the_margin_basis_of_the_day() -> None:
    """Cross at 110: 100 locked at entry, from the second day 110 at mark."""
    venue = page({"cross_margin_basis": Basis.ENTRY}, cross_margin_basis=Basis.MARK)
    plan = {0: [LONG]}
    bars = [FLAT, FLAT, *[s.flat(110)] * 3]
    result = run(bars, plan, broker("cross", venue))
    assert result.cash[2:4] == approx([999.5 + 100 - 100, 999.5 + 100 - 110])
    assert s.balances(result.broker) == approx({"shared": 999.5})


def test_the_maintenance_basis_of_the_day() -> None:
    venue = page({"maintenance_basis": Basis.ENTRY}, maintenance_basis=Basis.MARK)
    plan = {0: [LONG], 2: [ask("maintenance_margin", "it")]}
    bars = [FLAT, FLAT, *[s.flat(110)] * 3]
    result = run(bars, plan, broker("isolated", venue))
    assert result.said["it"] == approx(5)
    assert result.broker.maintenance_margin(result.data) == approx(5.5)


def test_the_funding_wallet_of_the_day() -> None:
    venue = page(
        {"funding_source": FundingSource.AVAILABLE},
        funding_source=FundingSource.POSITION,
    )
    stamps = s.stamps({s.moment(hours=16): 0.01, s.moment(hours=32): 0.01})
    ours = broker("isolated", venue)
    result = run([FLAT] * 6, {0: [LONG]}, ours, funding=stamps)
    assert [event.from_shared for event in result.fundings] == approx([-10, 0])
    held = {"shared": 899.5 - 10, "isolated:A": 90}
    assert s.balances(result.broker) == approx(held)


def test_the_controls_of_the_day() -> None:
    venue = page({"controls": Controls(adds_margin=False)})
    plan = {
        0: [LONG],
        1: [s.act_on("add_margin", 5, label="first")],
        3: [s.act_on("add_margin", 5, label="second")],
    }
    result = run([FLAT] * 6, plan, broker("isolated", venue))
    assert "here does not allow adding margin" in str(result.said["first"])
    assert result.said["second"] is None


def test_added_margin_and_automatic_margin_outlive_the_day() -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, controls=GENERIC.controls)
    plan = {
        0: [LONG],
        1: [s.act_on("add_margin", 50), s.act_on("set_auto_margin")],
    }
    bars = [*[FLAT] * 4, (100, 100, 80, 80), s.flat(80)]
    result = run(bars, plan, broker("isolated", venue))
    assert not result.liquidations
    assert s.balances(result.broker) == approx(
        {"shared": 899.5 - 150, "isolated:A": 250}
    )


def test_own_tiers_of_a_contract_stay() -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.02, 125))
    ours = s.set_contract(broker("isolated", venue), tiers=flat_tiers(0.01, 100))
    result = run([FLAT] * 6, {0: [LONG]}, ours)
    assert result.broker.maintenance_margin(result.data) == approx(10)


def test_a_page_without_changes_is_the_page() -> None:
    """Money, cash and orders are those of a page that never changed."""
    plan = {0: [LONG], 2: [s.limit("sell", 4, 101)], 4: [s.close()]}
    bars = [FLAT, FLAT, FLAT, (100, 102, 99, 100), FLAT, FLAT]
    runs = [run(bars, plan, broker("isolated", venue)) for venue in (GENERIC, page())]
    for result in runs:
        assert result.value == runs[0].value
        assert result.cash == runs[0].cash


@pytest.mark.parametrize("mode", BOTH)
def test_two_runs_of_one_broker_begin_on_the_first_day(mode: str) -> None:
    venue = page({"tiers": flat_tiers(0.005, 125)}, tiers=flat_tiers(0.02, 125))
    ours = broker(mode, venue)
    plan = {0: [LONG], 2: [ask("maintenance_margin", "it")]}
    said = [run([FLAT] * 6, plan, ours).said["it"] for _ in range(2)]
    assert said == approx([5, 5])
