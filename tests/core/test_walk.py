"""The bar walk: what happens inside one bar, in order of time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_margin.core.account import Account
from bt_margin.core.adjust import AutoMargin
from bt_margin.core.contract import Basis, Contract
from bt_margin.core.deleveraging import DeleveragingEvent, DeleveragingStamp
from bt_margin.core.errors import InvariantError
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import FundingEvent, FundingStamp
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause, LiquidationEvent
from bt_margin.core.path import BEFORE_OPEN, BarPath, Polyline
from bt_margin.core.policy import (
    CompliantStep,
    FractionStep,
    LiquidationPolicy,
    Settlement,
)
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.core.walk import BarWalk
from bt_margin.core.wallet import SHARED, MarginMode

KIND = LedgerEntryKind
ISOLATED, CROSS = MarginMode.ISOLATED, MarginMode.CROSS
START = datetime(2024, 1, 1, tzinfo=UTC)
LENGTH = timedelta(hours=8)


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def perpetual(symbol: str) -> Contract:
    """0.5 % on entry: 10x long from 100 goes at 90.5, its short at 109.5."""
    tiers = TierTable.flat(exact("0.005"), 125)
    return Contract(symbol, tiers, maintenance_basis=Basis.ENTRY)


def opened(
    *fills: tuple[str, Any, Any], mode: MarginMode = ISOLATED, cash: Any = 1_000
) -> Account:
    """An account after fills of (symbol, quantity, price) at 10x."""
    account = Account(exact(cash))
    for symbol, quantity, price in fills:
        fill(account, symbol, quantity, price, mode)
    return account


def fill(
    account: Account,
    symbol: str,
    quantity: Any,
    price: Any,
    mode: MarginMode = ISOLATED,
    fee: Any = 0,
) -> None:
    apply_fill(
        account,
        perpetual(symbol),
        exact(quantity),
        exact(price),
        leverage=exact(10),
        mode=mode,
        fee=exact(fee),
    )


def line(*points: tuple[Any, Any]) -> Polyline:
    return Polyline((exact(share), exact(price)) for share, price in points)


def still(price: Any) -> Polyline:
    return line((0, price), (1, price))


def stamp(share: Any, symbol: str, rate: Any, mark: Any = None) -> FundingStamp:
    """A stamp at a share of the bar; in the gap: five minutes before it."""
    share = exact(share)
    gap = timedelta(minutes=-5) if share < 0 else timedelta()
    time = START + LENGTH * float(max(share, 0)) + gap
    known = None if mark is None else exact(mark)
    return FundingStamp(share, time, symbol, exact(rate), known)


def walk_on(
    account: Account,
    stamps: Sequence[FundingStamp] = (),
    *,
    last: dict[str, Any] | None = None,
    walk_class: type[BarWalk] = BarWalk,
    **paths: Polyline,
) -> BarWalk:
    """A walk before the open of a bar; ``last``: marks at the close before it."""
    walk = walk_class(account)
    before = {symbol: still(price) for symbol, price in (last or {}).items()}
    if before:
        walk.open_bar(START - LENGTH, LENGTH, before)
    walk.open_bar(START, LENGTH, paths, stamps)
    return walk


def story(events: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Funding as (symbol, payment), liquidation as (symbol, cause, mark)."""
    return [
        (event.symbol, event.payment)
        if isinstance(event, FundingEvent)
        else (event.symbol, event.cause, event.mark_price)
        for event in events
    ]


# One position and a price


@pytest.mark.parametrize(
    ("size", "path", "expected"),
    [
        pytest.param(
            10,
            line((0, 100), ("1/2", 80), (1, 120)),
            [("A", Cause.PRICE, exact("90.5"))],
            id="a long goes at 90.5, and never recovers",
        ),
        pytest.param(
            -10,
            line((0, 100), ("1/2", 120), (1, 80)),
            [("A", Cause.PRICE, exact("109.5"))],
            id="a short goes at 109.5, and never recovers",
        ),
        pytest.param(
            10,
            line((0, 100), ("1/2", "90.5"), (1, 120)),
            [("A", Cause.PRICE, exact("90.5"))],
            id="touched is enough",
        ),
        pytest.param(
            10, line((0, 100), ("1/2", "90.51"), (1, 120)), [], id="a hair above stands"
        ),
        pytest.param(
            10,
            line((0, 100), (1, "90.5")),
            [("A", Cause.PRICE, exact("90.5"))],
            id="touched at the close",
        ),
    ],
)
def test_a_price_liquidates(size: int, path: Polyline, expected: list[Any]) -> None:
    walk = walk_on(opened(("A", size, 100)), A=path)
    assert expected == story(walk.advance(1))


def test_a_requirement_that_jumps_kills_between_two_safe_ends() -> None:
    # Whole-position tiers: 1 % below 1,000, 5 % of all from there on.
    # Long 10 at 101 on 55, price 101 to 99: 55 for 50.5 at the start, and at the end
    # 35 for 9.9; but 55 + 10 (p - 101) = 0.5 p at 955 / 9.5 = 100.53, above 1,000.
    tiers = TierTable(
        [
            Tier(0, exact(1000), exact("0.01"), 50, 0),
            Tier(exact(1000), float("inf"), exact("0.05"), 10, 0),
        ]
    )
    account = Account(exact(55))
    apply_fill(
        account,
        Contract("A", tiers),
        exact(10),
        exact(101),
        leverage=exact(20),
        mode=CROSS,
    )
    walk = walk_on(account, A=line((0, 101), (1, 99)))
    mark = exact(955) / exact("9.5")
    assert story(walk.advance(1)) == [("A", Cause.PRICE, mark)]


def test_the_moment_of_a_liquidation() -> None:
    # 100 to 81 in the whole bar: 90.5 at one half, four hours on
    walk = walk_on(opened(("A", 10, 100)), A=line((0, 100), (1, 81)))
    (event,) = walk.advance(1)
    assert event.time == START + LENGTH / 2
    assert isinstance(event, LiquidationEvent)
    assert exact("90.5") == event.liquidation_price
    assert exact(90) == event.fill_price


@pytest.mark.parametrize(
    ("cash", "entry", "quantity", "bars"),
    [
        # rows of wrong answers seen elsewhere
        pytest.param(1_000, 100, 90, [(100, 100, 10, 10)], id="90 long at 100, to 10"),
        pytest.param(
            1_000, 100, 50, [(100, 150, 1, 150)], id="50 at 100, to 1, back to 150"
        ),
        pytest.param(
            5_000,
            40_000,
            1,
            [(40_000, 40_000, 15_000, 39_000)],
            id="entry 40,000, one bar with low 15,000",
        ),
        pytest.param(
            1_000, 100, -50, [(100, 1_000, 100, 1_000)], id="50 short at 100, to 1,000"
        ),
    ],
)
@pytest.mark.parametrize("mode", [ISOLATED, CROSS])
def test_the_dead_do_not_recover(
    cash: int, entry: int, quantity: int, bars: list[Any], mode: MarginMode
) -> None:
    account = opened(("A", quantity, entry), mode=mode, cash=cash)
    margin = exact(abs(quantity) * entry) / 10
    walk = BarWalk(account)
    for candle in [*bars, (200, 250, 100, 200)]:
        path = Polyline.from_candle(*map(exact, candle), low_first=True)
        walk.open_bar(START, LENGTH, {"A": path})
        walk.advance(1)
    assert account.positions == {}
    assert (cash - margin if mode is ISOLATED else 0) == account.wallet_balance


# Gaps


@pytest.mark.parametrize("mode", [ISOLATED, CROSS])
def test_a_bar_that_opens_beyond_liquidation_liquidates_at_its_open(
    mode: MarginMode,
) -> None:
    account = opened(("A", 10, 100), mode=mode, cash=100)
    walk = walk_on(account, last={"A": 95}, A=line((0, 70), (1, 130)))
    (event,) = walk.advance(0)
    assert isinstance(event, LiquidationEvent)
    assert (event.time, event.mark_price, event.cause) == (START, 70, Cause.PRICE)
    assert exact("90.5") == event.liquidation_price
    assert exact(90) == event.fill_price
    # 100 - 300: the fund pays 200
    assert exact(200) == event.insurance
    assert account.wallet_balance == 0


def test_what_lies_between_bars_is_not_traded() -> None:
    # closes at 100, opens at 91: never at 90.5
    account = opened(("A", 10, 100))
    walk = walk_on(account, last={"A": 100}, A=still(91))
    assert walk.advance(1) == []


def test_a_jump_inside_a_bar_liquidates_where_it_lands() -> None:
    account = opened(("A", 10, 100))
    path = line((0, 100), ("1/2", 100), ("1/2", 85), (1, 100))
    assert story(walk_on(account, A=path).advance(1)) == [("A", Cause.PRICE, 85)]


def test_a_touch_just_before_a_jump_back_liquidates() -> None:
    account = opened(("A", 10, 100))
    path = line((0, 100), ("1/2", "90.5"), ("1/2", 100), (1, 100))
    (event,) = walk_on(account, A=path).advance(1)
    assert event.time == START + LENGTH / 2


# Funding


@pytest.mark.parametrize(
    ("size", "rate", "payment"),
    [
        pytest.param(10, "0.001", -1, id="long, positive: pays"),
        pytest.param(10, "-0.001", 1, id="long, negative: receives"),
        pytest.param(-10, "0.001", 1, id="short, positive: receives"),
        pytest.param(-10, "-0.001", -1, id="short, negative: pays"),
    ],
)
def test_a_stamp_pays_at_the_mark_of_its_moment(
    size: int, rate: str, payment: int
) -> None:
    # 90 at the open, 110 at the close: 100 half way; 10 * 100 * 0.001
    account = opened(("A", size, 100))
    stamps = [stamp("1/2", "A", rate)]
    walk = walk_on(account, stamps, A=line((0, 95), (1, 105)))
    (event,) = walk.advance(1)
    assert isinstance(event, FundingEvent)
    assert (payment, 100) == (event.payment, event.mark_price)
    assert START + timedelta(hours=4) == event.time
    assert 1_000 + payment == account.wallet_balance


def test_a_mark_known_at_the_stamp_is_used() -> None:
    walk = walk_on(
        opened(("A", 10, 100)), [stamp("1/2", "A", "0.001", 103)], A=still(100)
    )
    assert [("A", exact("-1.03"))] == story(walk.advance(1))


def test_a_bar_can_hold_several_stamps() -> None:
    stamps = [stamp("2/3", "A", "0.002"), stamp(0, "A", "0.001"), stamp("1/3", "A", 0)]
    walk = walk_on(opened(("A", 10, 100)), stamps, A=still(100))
    assert story(walk.advance(1)) == [("A", -1), ("A", 0), ("A", -2)]


def test_each_stamp_is_paid_once() -> None:
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp("1/2", "A", "0.001")], A=still(100))
    assert walk.advance(exact("1/4")) == []
    assert story(walk.advance(exact("1/2"))) == [("A", -1)]
    assert walk.advance(1) == []
    assert account.ledger.total(KIND.FUNDING) == -1


def test_funding_then_liquidation_at_one_moment() -> None:
    # At 91 a wallet of 100 has 10 left and needs 5; 1 % of 910 is 9.1.
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp("1/2", "A", "0.01")], A=still(91))
    funding, liquidation = walk.advance(1)
    assert [("A", exact("-9.1")), ("A", Cause.FUNDING, 91)] == story(
        [funding, liquidation]
    )
    assert START + timedelta(hours=4) == funding.time == liquidation.time
    assert account.wallet_balance == 900


def test_at_an_open_beyond_liquidation_funding_is_paid_first() -> None:
    # Opens at 90 with 0 left for 5: it goes either way, after it has paid 0.9.
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp(0, "A", "0.001")], last={"A": 100}, A=still(90))
    expected = [("A", exact("-0.9")), ("A", Cause.PRICE, 90)]
    assert expected == story(walk.advance(0))


def test_funding_received_at_the_moment_of_the_touch_saves() -> None:
    # 90.5 is touched at one half, where 10 * 90.5 * 0.01 = 9.05 come in.
    account = opened(("A", 10, 100))
    path = line((0, 100), ("1/2", "90.5"), (1, 100))
    walk = walk_on(account, [stamp("1/2", "A", "-0.01")], A=path)
    assert [("A", exact("9.05"))] == story(walk.advance(1))


def test_all_funding_of_a_moment_comes_before_its_liquidations() -> None:
    # Cross, 30 for 10: A pays 25 and B receives 25 at the same moment.
    account = opened(("A", 10, 100), ("B", 10, 100), mode=CROSS, cash=30)
    stamps = [stamp("1/2", "A", "0.025"), stamp("1/2", "B", "-0.025")]
    walk = walk_on(account, stamps, A=still(100), B=still(100))
    assert story(walk.advance(1)) == [("A", -25), ("B", 25)]


def test_a_stamp_at_the_start_is_paid_before_the_fills_of_the_bar() -> None:
    # Held at the stamp: it pays, although the bar's first fill closes it.
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp(0, "A", "0.001")], A=still(100))
    assert story(walk.advance(0)) == [("A", -1)]
    fill(account, "A", -10, 100)
    assert walk.advance(1) == []
    assert account.wallet_balance == 999


@pytest.mark.parametrize(
    ("share", "opens"),
    [
        pytest.param(0, 0, id="opened by the first fill of the bar"),
        pytest.param("1/4", "1/2", id="opened after a stamp inside the bar"),
        pytest.param(BEFORE_OPEN, 0, id="opened after a stamp in the gap"),
    ],
)
def test_a_position_opened_after_a_stamp_does_not_pay_it(
    share: Any, opens: Any
) -> None:
    account = Account(exact(1_000))
    walk = walk_on(account, [stamp(share, "A", "0.001")], A=still(100))
    assert walk.advance(exact(opens)) == []
    fill(account, "A", 10, 100)
    assert walk.advance(1) == []
    assert account.ledger.total(KIND.FUNDING) == 0


def test_a_position_closed_before_a_stamp_does_not_pay_it() -> None:
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp("1/2", "A", "0.001")], A=still(100))
    walk.advance(exact("1/4"))
    fill(account, "A", -10, 100)
    assert walk.advance(1) == []


def test_a_liquidated_position_pays_no_more() -> None:
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp("3/4", "A", "0.001")], A=line((0, 100), (1, 81)))
    assert [("A", Cause.PRICE, exact("90.5"))] == story(walk.advance(1))


def test_a_stamp_in_the_gap_is_paid_at_the_last_close() -> None:
    account = opened(("A", 10, 100))
    stamps = [stamp(BEFORE_OPEN, "A", "0.001")]
    walk = walk_on(account, stamps, last={"A": 96}, A=still(104))
    # 10 * 96 * 0.001
    assert [("A", exact("-0.96"))] == story(walk.advance(0))


def test_a_stamp_in_the_gap_liquidates_before_the_open() -> None:
    # At 91 there are 10 for 5; 9.1 are paid: it goes, whatever the open brings.
    account = opened(("A", 10, 100))
    stamps = [stamp(BEFORE_OPEN, "A", "0.01")]
    walk = walk_on(account, stamps, last={"A": 91}, A=still(150))
    expected = [("A", exact("-9.1")), ("A", Cause.FUNDING, 91)]
    assert expected == story(walk.advance(0))


# Causes


def test_a_stamp_that_is_not_the_reason_is_not_the_cause() -> None:
    # Beyond liquidation by the price alone: 99 (0 left), whatever 0.9 does.
    account = opened(("A", 10, 100))
    path = line((0, 100), ("1/2", 100), ("1/2", 90), (1, 90))
    walk = walk_on(account, [stamp("1/2", "A", "0.001")], A=path)
    assert story(walk.advance(1))[-1] == ("A", Cause.PRICE, 90)


def test_a_fee_can_be_the_cause() -> None:
    # Cross on 100 at 91: 10 for 5; a fee of 6 on closing 1 for 0 leaves 4.
    account = opened(("A", 10, 100), mode=CROSS, cash=100)
    walk = walk_on(account, A=still(91))
    walk.advance(0)
    fill(account, "A", -1, 91, CROSS, fee=-6)
    walk.note_fee(account.wallet_of("A"), exact(-6))
    # 100 - 9 - 6 - 81 = 4 for 4.5
    assert story(walk.advance(1)) == [("A", Cause.FEE, 91)]


def test_a_fee_is_no_cause_after_its_moment() -> None:
    # A fee of 0.5 leaves 9.5 for 4.5 or more; then the price goes on.
    account = opened(("A", 10, 100), mode=CROSS, cash=100)
    walk = walk_on(account, A=line((0, 91), (1, 80)))
    walk.advance(0)
    fill(account, "A", -1, 91, CROSS, fee="-0.5")
    walk.note_fee(account.wallet_of("A"), exact("-0.5"))
    # 90.5 + 9 (p - 100) = 4.5     p = 100 - 86 / 9
    expected = [("A", Cause.PRICE, 100 - exact(86) / 9)]
    assert expected == story(walk.advance(1))


def test_a_later_jump_is_not_blamed_on_the_fee() -> None:
    # 90.5 after the fee, 9 left; the jump to 90.42 leaves 4.28 for 4.5. Without the
    # fee of 0.5 it would stand: but that was paid a while ago.
    account = opened(("A", 10, 100), mode=CROSS, cash=100)
    path = line((0, 91), ("1/2", 91), ("1/2", "90.42"), (1, "90.42"))
    walk = walk_on(account, A=path)
    walk.advance(0)
    fill(account, "A", -1, 91, CROSS, fee="-0.5")
    walk.note_fee(account.wallet_of("A"), exact("-0.5"))
    assert story(walk.advance(1)) == [("A", Cause.PRICE, exact("90.42"))]


# Several symbols


@pytest.mark.parametrize(
    ("path", "moment"),
    [
        # long 10 A, short 10 B on 105; A falls from 100 to 80; maintenance 10
        pytest.param(line((0, 100), (1, 80)), None, id="B falls too: alive"),
        # 105 - 200 t = 10
        pytest.param(still(100), "19/40", id="B stands still: dies at 19/40"),
        # 105 - 200 t + 100 t = 10
        pytest.param(line((0, 100), (1, 90)), "19/20", id="B falls half as much"),
        # to 1/4 only A falls (50), then B falls as fast: alive
        pytest.param(
            line((0, 100), ("1/4", 100), (1, 85)), None, id="B follows a while later"
        ),
        # to 1/2 both fall by 10; then B jumps back: 105 - 100 = 5
        pytest.param(
            line((0, 100), ("1/2", 90), ("1/2", 100), (1, 100)),
            "1/2",
            id="B jumps back half way",
        ),
    ],
)
def test_two_cross_legs_walk_on_their_joint_path(
    path: Polyline, moment: str | None
) -> None:
    account = opened(("A", 10, 100), ("B", -10, 100), mode=CROSS, cash=105)
    walk = walk_on(account, A=line((0, 100), (1, 80)), B=path)
    events = walk.advance(1)
    if moment is None:
        assert events == []
        return
    share = exact(moment)
    expected = [
        ("A", Cause.PRICE, 100 - 20 * share),
        ("B", Cause.PRICE, path.price_at(share)),
    ]
    assert expected == story(events)
    assert {START + LENGTH * float(share)} == {event.time for event in events}
    assert account.positions == {}
    assert account.wallet_balance == 0


def test_the_tiers_of_both_legs_bend_the_joint_path() -> None:
    # Shorts of 10 from 80, both to 120 in the bar; 10 % of all above 900 (amount 90).
    # Notional 900 at 1/4: after it 2 (800 + 400 t) / 10 - 180 are asked for.
    # 300 - 800 t = 80 t - 20, t = 320 / 880 = 4/11
    tiers = TierTable(
        [Tier(0, exact(900), 0, 100), Tier(exact(900), float("inf"), exact("0.1"), 10)]
    )
    account = Account(exact(300))
    for symbol in ("A", "B"):
        apply_fill(
            account,
            Contract(symbol, tiers),
            exact(-10),
            exact(80),
            leverage=exact(10),
            mode=CROSS,
        )
    path = line((0, 80), (1, 120))
    walk = walk_on(account, A=path, B=path)
    # 80 + 40 * 4/11
    mark = exact(1040) / 11
    expected = [("A", Cause.PRICE, mark), ("B", Cause.PRICE, mark)]
    assert expected == story(walk.advance(1))


def test_a_symbol_without_a_new_bar_stands_still() -> None:
    # B was left at 105, 50 down: 105 - 50 - 200 t = 10
    account = opened(("A", 10, 100), ("B", -10, 100), mode=CROSS, cash=105)
    walk = walk_on(account, last={"A": 100, "B": 105}, A=line((0, 100), (1, 80)))
    events = walk.advance(1)
    # 100 - 20 * 45 / 200
    expected = [("A", Cause.PRICE, exact("95.5")), ("B", Cause.PRICE, 105)]
    assert expected == story(events)


def test_isolated_positions_die_each_at_its_own_moment() -> None:
    # B falls twice as fast as A: 9.5 at 19/80 and at 19/40
    account = opened(("A", 10, 100), ("B", 10, 100))
    walk = walk_on(account, A=line((0, 100), (1, 80)), B=line((0, 100), (1, 60)))
    events = walk.advance(1)
    assert [event.symbol for event in events] == ["B", "A"]
    moments = [START + LENGTH * part for part in (19 / 80, 19 / 40)]
    assert moments == [event.time for event in events]
    assert {n: b for n, b in account.ledger.balances.items() if b} == {SHARED: 800}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(line((0, 100), (1, "90.5")), id="touched at the close"),
        pytest.param(
            line((0, 100), ("1/2", "90.5"), ("1/2", 100), (1, 100)),
            id="touched just before a jump back",
        ),
        pytest.param(line((0, 100), ("1/2", 90), (1, 100)), id="passed on the way"),
    ],
)
def test_isolated_positions_on_one_path_die_together(path: Polyline) -> None:
    walk = walk_on(opened(("A", 10, 100), ("B", 10, 100)), A=path, B=path)
    events = walk.advance(1)
    assert [event.symbol for event in events] == ["A", "B"]
    assert len({event.time for event in events}) == 1


# Orders between


@pytest.mark.parametrize(
    ("rule", "alive"),
    [
        pytest.param(BarPath.LOW_FIRST, True, id="the low was before the entry"),
        pytest.param(BarPath.ADAPTIVE, False, id="adaptive: the high comes first"),
    ],
)
def test_an_extreme_before_the_entry_cannot_kill(rule: BarPath, alive: bool) -> None:
    # open 100, low 85, high 102, close 101; a stop entry at 101, 10x
    low_first = rule.low_comes_first(100, 102, 85)
    prices = [exact(price) for price in (100, 102, 85, 101)]
    path = Polyline.from_candle(*prices, low_first=low_first)
    account = Account(exact(1_000))
    walk = walk_on(account, A=path)
    touch = path.first_touch(exact(101))
    assert touch is not None
    assert walk.advance(touch) == []
    fill(account, "A", 5, 101)
    events = walk.advance(1)
    assert alive is not bool(events)
    if events:
        # entry 101, times 1 - 0.10 + 0.005
        assert pytest.approx(91.405) == float(story(events)[0][2])


def test_time_never_goes_back() -> None:
    walk = walk_on(opened(("A", 10, 100)), A=still(100))
    walk.advance(exact("1/2"))
    assert walk.advance(exact("1/4")) == []
    assert exact("1/2") == walk.share
    assert walk.time == START + LENGTH / 2


def test_the_mark_before_the_open_is_the_last_close() -> None:
    walk = walk_on(opened(("A", 10, 100)), last={"A": 100}, A=line((0, 95), (1, 105)))
    assert (walk.share, walk.mark("A")) == (BEFORE_OPEN, 100)
    walk.advance(0)
    assert walk.mark("A") == 95
    walk.advance(exact("1/2"))
    assert walk.mark("A") == 100
    walk.open_bar(START + LENGTH, LENGTH, {})
    assert walk.mark("A") == 105


def test_a_walk_without_a_bar_has_no_time() -> None:
    with pytest.raises(InvariantError, match="no bar"):
        _ = BarWalk(Account(1_000)).time


# Margin that is added by itself


@pytest.mark.parametrize(
    ("shared", "path", "expected", "left"),
    [
        # 10 long at 100 on 100 dies at 90.5, on 200 at 80.5, on 300 at 70.5.
        pytest.param(
            900,
            line((0, 100), (1, 85)),
            [],
            {SHARED: 800, "isolated:A": 200},
            id="once",
        ),
        pytest.param(
            900,
            line((0, 100), (1, 75)),
            [],
            {SHARED: 700, "isolated:A": 300},
            id="twice",
        ),
        pytest.param(
            900,
            line((0, 80), (1, 80)),
            [],
            {SHARED: 700, "isolated:A": 300},
            id="twice at an open beyond the first",
        ),
        pytest.param(
            120,
            line((0, 100), (1, 75)),
            [("A", Cause.PRICE, exact("78.5"))],
            {SHARED: 0, "isolated:A": 0},
            id="as far as it goes: 220 do until 78.5",
        ),
        pytest.param(
            900,
            line((0, 100), (exact("1/2"), "90.5"), (1, 100)),
            [],
            {SHARED: 800, "isolated:A": 200},
            id="at a touch",
        ),
    ],
)
def test_margin_is_added_at_the_price_that_would_liquidate(
    shared: int, path: Polyline, expected: list[Any], left: dict[str, int]
) -> None:
    account = opened(("A", 10, 100), cash=100 + shared)
    walk = walk_on(account, A=path)
    walk.auto_margin["A"] = AutoMargin()
    assert story(walk.close_bar()) == expected
    assert account.ledger.balances == left


def test_margin_is_added_where_funding_would_liquidate() -> None:
    account = opened(("A", 10, 100))
    walk = walk_on(account, [stamp("1/2", "A", "0.1")], A=still(100))
    walk.auto_margin["A"] = AutoMargin()
    assert story(walk.close_bar()) == [("A", -100)]
    assert account.ledger.balances == {SHARED: 800, "isolated:A": 100}


# Deleveraging


def test_a_deleveraging_falls_into_its_moment() -> None:
    account = opened(("A", 10, 100))
    due = DeleveragingStamp(exact("1/2"), START + LENGTH / 2, "A", exact("1/2"))
    walk = BarWalk(account)
    walk.open_bar(START, LENGTH, {"A": line((0, 100), (1, 120))}, [due])
    (event,) = walk.close_bar()
    assert isinstance(event, DeleveragingEvent)
    # 5 at 110, and half of the margin with them
    assert (event.fill_price, event.pnl, event.remaining) == (110, 50, 5)
    assert account.ledger.balances == {SHARED: 1_000, "isolated:A": 50}
    assert walk.close_bar() == []


def test_without_the_winner_of_a_pool_the_loser_may_fail() -> None:
    # Pool of 20: A 10 long gains 100, B 10 long loses 100; 10 are asked for.
    account = opened(("A", 10, 100), ("B", 10, 100), mode=CROSS, cash=20)
    due = DeleveragingStamp(exact("1/2"), START + LENGTH / 2, "A", exact(1), exact(101))
    paths = {"A": line((0, 100), (0, 110), (1, 110)), "B": still(90)}
    walk = BarWalk(account)
    walk.open_bar(START - LENGTH, LENGTH, {"A": still(100), "B": still(100)})
    walk.open_bar(START, LENGTH, paths, [due])
    won, lost = walk.close_bar()
    # It is closed at 101 instead: 20 + 10 - 100 left.
    assert isinstance(won, DeleveragingEvent)
    assert isinstance(lost, LiquidationEvent)
    assert (won.pnl, lost.symbol, lost.insurance) == (10, "B", 70)
    assert account.wallet_balance == 0


# The fast path against the slow obvious one


POLICIES = st.sampled_from(
    [
        LiquidationPolicy(),
        LiquidationPolicy(Settlement.MARKET, fee_rate=exact("0.01")),
        LiquidationPolicy(step=FractionStep(exact("0.2"), 0, timedelta(hours=1))),
        LiquidationPolicy(step=CompliantStep(exact("0.8"), 0)),
    ]
)


class DetailedWalk(BarWalk):
    """A walk that never takes a bar for calm."""

    def _is_calm(self, target: float) -> bool:
        return False


CANDLE_PRICES = st.fractions(80, 120, max_denominator=4)
SHARES = st.fractions(0, 1, max_denominator=12)


@st.composite
def bars(draw: st.DrawFn) -> dict[str, Polyline]:
    """A line for each of two symbols, with three waypoints inside."""
    return {
        symbol: line(
            *(
                (share, draw(CANDLE_PRICES))
                for share in (0, exact("1/4"), exact("1/2"), exact("3/4"), 1)
            )
        )
        for symbol in ("A", "B")
    }


@st.composite
def stamp_lists(draw: st.DrawFn) -> list[FundingStamp]:
    rates = st.fractions(Fraction(-1, 100), Fraction(1, 100), max_denominator=1000)
    shares = draw(st.lists(SHARES, max_size=3, unique=True))
    symbols = st.sampled_from(["A", "B"])
    return [stamp(share, draw(symbols), draw(rates)) for share in shares]


WALKS = {
    "sides": st.tuples(st.sampled_from([10, -10]), st.sampled_from([10, -10])),
    "mode": st.sampled_from(MarginMode),
    "cash": st.fractions(200, 600, max_denominator=1),
    "paths": st.lists(bars(), min_size=1, max_size=2),
    "stamps": stamp_lists(),
    "policy": POLICIES,
    "is_auto": st.booleans(),
}


def outcome(
    walk_class: type[BarWalk],
    stops: Sequence[Any],
    sides: tuple[int, int],
    mode: MarginMode,
    cash: Any,
    paths: list[dict[str, Polyline]],
    stamps: list[FundingStamp],
    policy: LiquidationPolicy,
    is_auto: bool,
) -> tuple[list[Any], list[Any]]:
    """Ledger and events after bars walked with these stops."""
    account = opened(("A", sides[0], 100), ("B", sides[1], 100), mode=mode, cash=cash)
    walk = walk_class(account, policy)
    if is_auto:
        walk.auto_margin["A"] = AutoMargin(exact("1/2"))
    events: list[Any] = []
    for number, path in enumerate(paths):
        start = START + number * LENGTH
        walk.open_bar(start, LENGTH, path, stamps)
        for stop in stops:
            events += walk.advance(exact(stop))
    moved = [(e.kind, e.wallet, e.symbol, e.amount) for e in account.ledger]
    return moved, story(events)


@settings(max_examples=60, deadline=None)
@given(**WALKS)
def test_a_calm_bar_equals_the_detailed_walk(**given_walk: Any) -> None:
    expected = outcome(DetailedWalk, [1], **given_walk)
    assert expected == outcome(BarWalk, [1], **given_walk)


@settings(max_examples=60, deadline=None)
@given(stops=st.lists(SHARES, max_size=4), **WALKS)
def test_stops_on_the_way_change_nothing(stops: list[Any], **given_walk: Any) -> None:
    expected = outcome(BarWalk, [1], **given_walk)
    assert expected == outcome(BarWalk, [*sorted(stops), 1], **given_walk)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(stops=st.lists(SHARES, max_size=4), **WALKS)
def test_every_way_to_walk_ends_the_same_at_length(
    stops: list[Any], **given_walk: Any
) -> None:
    expected = outcome(DetailedWalk, [1], **given_walk)
    assert expected == outcome(BarWalk, [*sorted(stops), 1], **given_walk)
