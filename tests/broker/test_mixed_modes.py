"""Mixed modes: isolated and cross positions in one account.

``generic`` at 10x, taker fee 0.05 %, maintenance 0.5 % of the entry notional. A is
isolated, B and C are cross. 10 of each from 100: margin 100, fee 0.50, maintenance 5.
"""

from dataclasses import replace
from typing import Any

import pytest

import bt_margin

from . import scenario as s
from .scenario import BOTH, approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
OTHER = {"isolated": "cross", "cross": "isolated"}


def mixed(default: str, cash: float = 1_000, **params: Any) -> Any:
    """A is isolated and the rest cross, whichever is the broker's own mode."""
    broker = s.BROKERS[default](cash=cash, leverage=10, **params)
    for name, mode in (("A", "isolated"), ("B", "cross"), ("C", "cross")):
        if mode != default:
            s.set_contract(broker, name, margin_mode=mode)
    return broker


def feeds(**bars: Any) -> list[Any]:
    return [s.perp([*CALM, *more], name) for name, more in bars.items()]


def buys(*names: str) -> dict[int, Any]:
    return {0: [s.send("buy", 10, name, data=name) for name in names]}


@pytest.mark.parametrize("default", BOTH)
def test_each_symbol_has_its_mode(default: str) -> None:
    quiet = [FLAT, FLAT]
    result = s.run(feeds(A=quiet, B=quiet, C=quiet), buys("A", "B"), mixed(default))
    modes = [result.broker.margin_mode_of(data) for data in result.datas]
    assert modes == ["isolated", "cross", "cross"]
    held = {"shared": 1_000 - 1 - 100, "isolated:A": 100}
    assert s.balances(result.broker) == approx(held)
    assert result.cash[-1] == approx(899 - 100)


# A gains or loses 50, B 30: only B's counts for what is available.
@pytest.mark.parametrize("default", BOTH)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(105, 103, id="both gain"),
        pytest.param(95, 97, id="both lose"),
        pytest.param(95, 103, id="the isolated one loses"),
        pytest.param(105, 97, id="the cross one loses"),
    ],
)
def test_only_cross_pnl_is_available(default: str, a: float, b: float) -> None:
    bars = feeds(A=[s.flat(a)], B=[s.flat(b)])
    result = s.run(bars, buys("A", "B"), mixed(default))
    assert result.value[-1] == approx(999 + 10 * (a - 100) + 10 * (b - 100))
    assert result.cash[-1] == approx(899 + 10 * (b - 100) - b)


@pytest.mark.parametrize("default", BOTH)
def test_an_isolated_liquidation_leaves_the_cross_wallet(default: str) -> None:
    bars = feeds(A=[s.flat(80), s.flat(80)], B=[FLAT, FLAT])
    result = s.run(bars, buys("A", "B"), mixed(default))
    (event,) = result.liquidations
    assert (event.symbol, event.wallet) == ("A", "isolated:A")
    assert s.balances(result.broker) == approx({"shared": 899})
    assert result.sizes[-1] == {"A": 0, "B": 10}


@pytest.mark.parametrize("default", BOTH)
def test_a_cross_liquidation_leaves_the_isolated_wallet(default: str) -> None:
    """Cash 251: 150 stay shared. B and C need 10 and lose 14 a unit at 93."""
    bars = feeds(A=[FLAT, FLAT], B=[s.flat(93)] * 2, C=[s.flat(92)] * 2)
    cash = 100 + 0.5 + 150 + 1
    plan = buys("A", "B")
    result = s.run(bars, plan, mixed(default, cash=cash))
    assert not result.liquidations
    plan = {0: [*plan[0], s.send("buy", 4, "C", data="C")]}
    bars = feeds(A=[FLAT, FLAT], B=[s.flat(88)] * 2, C=[s.flat(88)] * 2)
    result = s.run(bars, plan, mixed(default, cash=cash))
    assert {event.symbol for event in result.liquidations} == {"B", "C"}
    assert {event.wallet for event in result.liquidations} == {"shared"}
    assert s.balances(result.broker) == approx({"isolated:A": 100})
    assert result.sizes[-1] == {"A": 10, "B": 0, "C": 0}
    assert result.value[-1] == approx(100)


@pytest.mark.parametrize("default", BOTH)
def test_a_cross_liquidation_cancels_no_isolated_order(default: str) -> None:
    orders = [
        s.limit("buy", 1, 50, "of A", data="A"),
        s.limit("buy", 1, 50, "of C", data="C"),
    ]
    bars = feeds(A=[FLAT, FLAT], B=[s.flat(80)] * 2, C=[FLAT, FLAT])
    plan = {0: buys("B")[0], 1: orders}
    result = s.run(bars, plan, mixed(default, cash=180))
    assert result.liquidations
    assert s.status(result.sent["of A"]) == "Accepted"
    assert s.status(result.sent["of C"]) == "Canceled"


@pytest.mark.parametrize("default", BOTH)
def test_the_price_of_a_cross_position_knows_nothing_of_the_isolated(
    default: str,
) -> None:
    asked = [
        s.act_on("liquidation_price", label=name, data=name) for name in ("A", "B")
    ]
    bars = feeds(A=[s.flat(97), FLAT], B=[FLAT, FLAT])
    plan = {**buys("A", "B"), 2: asked}
    result = s.run(bars, plan, mixed(default))
    assert result.said["A"] == approx(90.5)
    assert result.said["B"] == approx(100 - (899 - 5) / 10)


@pytest.mark.parametrize("default", BOTH)
def test_funding_goes_to_the_wallet_of_the_position(default: str) -> None:
    funding = s.stamps({s.moment(hours=2): 0.01})
    bars = [s.perp([*CALM, FLAT, FLAT], name, funding=funding) for name in ("A", "B")]
    result = s.run(bars, buys("A", "B"), mixed(default))
    assert {e.symbol: e.wallet for e in result.fundings} == {
        "A": "isolated:A",
        "B": "shared",
    }
    held = {"shared": 899 - 10, "isolated:A": 90}
    assert s.balances(result.broker) == approx(held)


@pytest.mark.parametrize("default", BOTH)
def test_a_symbol_that_changes_its_mode_takes_its_next_position_there(
    default: str,
) -> None:
    plan = {
        **buys("A", "B"),
        1: [s.close("close A", "A")],
        2: [
            s.act_on("set_margin_mode", "cross", label="A"),
            s.act_on("set_margin_mode", "isolated", label="B", data="B"),
            s.send("buy", 10, "again", data="A"),
        ],
    }
    bars = feeds(A=[FLAT] * 3, B=[FLAT] * 3)
    result = s.run(bars, plan, mixed(default))
    assert result.said["A"] is None
    assert "another margin mode while B has a position" in str(result.said["B"])
    assert s.balances(result.broker) == approx({"shared": 1_000 - 2})
    assert result.cash[-1] == approx(998 - 200)


@pytest.mark.parametrize("default", BOTH)
def test_margin_is_added_to_the_isolated_one_only(default: str) -> None:
    """What cross needs for maintenance, 5, and what it locks, 100, stays."""
    asked = s.act_on("max_addable", label="most")
    moved = s.act_on("add_margin", 5, label="B", data="B")
    plan = {**buys("A", "B"), 1: [asked, moved]}
    result = s.run(feeds(A=[FLAT], B=[FLAT]), plan, mixed(default))
    assert result.said["most"] == approx(899 - 100)
    assert "cross margin" in str(result.said["B"])


@pytest.mark.parametrize("default", BOTH)
def test_legs_in_mixed_modes(default: str) -> None:
    def pair(name: str) -> list[Any]:
        return [
            s.send("buy", 10, f"{name}l", data=name, position_side="long"),
            s.send("sell", 10, f"{name}s", data=name, position_side="short"),
        ]

    bars = feeds(A=[s.flat(80), s.flat(80)], B=[s.flat(80), s.flat(80)])
    plan = {0: [*pair("A"), *pair("B")]}
    result = s.run(bars, plan, mixed(default, position_mode="hedge"))
    (event,) = result.liquidations
    assert (event.symbol, event.leg) == ("A", "long")
    assert result.value[-1] == approx(1_000 - 2 - 100 + 200)


def test_a_venue_with_one_mode_for_the_account_refuses_two() -> None:

    generic: Any = bt_margin.get_venue("generic")
    controls = replace(generic.controls, mode_of_account=True)
    page = replace(generic, name="here", controls=controls)
    with pytest.raises(bt_margin.MarginError, match="one margin mode for the whole"):
        s.run(feeds(A=[FLAT], B=[FLAT]), {}, mixed("isolated", venue=page))
