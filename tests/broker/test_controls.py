"""Controls: margin, leverage and mode changed while a position is open.

``generic`` at 10x, taker fee 0.05 %, maintenance 0.5 % of the entry notional. 10 from
100: margin 100, fee 0.50, maintenance 5. Cash 1,000: 899.50 stay in the shared wallet.
"""

from dataclasses import replace
from typing import Any

import backtrader as bt
import pytest

import bt_margin
from bt_margin.core.adjust import AutoMargin, RemovalRule
from bt_margin.venues import Controls

from . import scenario as s
from .scenario import approx

FLAT = s.flat(100)
CALM = [FLAT, FLAT]  # an order of bar 0 fills at 100 in bar 1
LONG = s.send("buy", 10)
SHORT = s.send("sell", 10)
LEFT = 1_000 - 100 - 0.5  # shared wallet of an isolated account
GENERIC: Any = bt_margin.get_venue("generic")
BALANCE = "BalanceError"
CONTROL = "ControlError"
PARAMETER = "ParameterError"


def broker(mode: str = "isolated", **params: Any) -> Any:
    return s.BROKERS[mode](**{"cash": 1_000, "leverage": 10, **params})


def at_venue(**controls: Any) -> Any:
    return replace(GENERIC, name="here", controls=Controls(**controls))


def state(strategy: Any) -> Any:
    """Everything that a refusal must leave as it was."""
    ours = strategy.broker
    return (
        len(ours.ledger),
        s.balances(ours),
        dict(ours.account.positions),
        ours.leverage_setting(strategy.data),
        ours.margin_mode_of(strategy.data),
        ours.getcash(),
        ours.getvalue(),
        dict(ours._walk.auto_margin),
    )


def tried(method: str, *words: Any) -> Any:
    """An act: try a change, and keep the state before and after it."""

    def act(strategy: Any) -> None:
        strategy.said["before"] = state(strategy)
        s.act_on(method, *words, label="it")(strategy)
        strategy.said["after"] = state(strategy)

    return act


# Adding and removing margin


@pytest.mark.parametrize(
    ("opening", "liquidation_price"),
    [
        # 90.5 with 100 of margin; 50 more carry the price 5 further.
        pytest.param(LONG, 85.5, id="a long: 85.5"),
        pytest.param(SHORT, 114.5, id="a short: 114.5"),
    ],
)
def test_added_margin_moves_the_liquidation_price(
    opening: Any, liquidation_price: float
) -> None:
    plan = {
        0: [opening],
        1: [s.act_on("add_margin", 50), s.act_on("liquidation_price", label="it")],
    }
    result = s.run([*CALM, FLAT], plan, broker())
    assert result.said["it"] == approx(liquidation_price)
    held = {"shared": LEFT - 50, "isolated:A": 150}
    assert s.balances(result.broker) == approx(held)
    assert result.cash[-1] == approx(LEFT - 50)
    assert result.value[-1] == approx(999.5)


def test_added_margin_saves_a_position_and_comes_back_with_it() -> None:
    plan = {0: [LONG], 1: [s.act_on("add_margin", 50)], 2: [s.close()]}
    bars = [*CALM, (100, 100, 88, 95), s.flat(95)]
    result = s.run(bars, plan, broker())
    assert not result.liquidations
    end = 999.5 - 50 - 950 * 0.0005
    assert s.balances(result.broker) == approx({"shared": end})


def test_a_transfer_is_two_entries_that_cancel() -> None:
    plan = {0: [LONG], 1: [s.act_on("add_margin", 50), s.act_on("remove_margin", 20)]}
    result = s.run([*CALM], plan, broker())
    moves = [
        (entry.ref, entry.wallet, entry.amount)
        for entry in result.broker.ledger
        if entry.ref in {"add margin", "remove margin"}
    ]
    assert moves == [
        ("add margin", "shared", -50),
        ("add margin", "isolated:A", 50),
        ("remove margin", "isolated:A", -20),
        ("remove margin", "shared", 20),
    ]


@pytest.mark.parametrize(
    ("mark", "removable"),
    [
        # 100 + 50 stand on the position, of which 10 * mark / 10 must stay.
        pytest.param(100, 50, id="at the entry: what was added"),
        # 150 + 200 of gain - 120, but without the gain 150 - 5: the smaller.
        pytest.param(120, 145, id="in profit: but not what is unrealized"),
        pytest.param(97, 150 - 30 - 97, id="at a loss: less"),
        pytest.param(90, 0, id="far down: nothing"),
    ],
)
def test_what_can_be_removed(mark: float, removable: float) -> None:
    asked = s.act_on("max_removable", label="it")
    plan = {0: [LONG], 1: [s.act_on("add_margin", 50)], 2: [asked]}
    result = s.run([*CALM, s.flat(mark)], plan, broker())
    assert result.said["it"] == approx(removable)


@pytest.mark.parametrize("method", ["add_margin", "remove_margin"])
def test_the_whole_of_a_limit_can_be_moved(method: str) -> None:
    limit = "max_addable" if method == "add_margin" else "max_removable"

    def act(strategy: Any) -> None:
        ours, data = strategy.broker, strategy.data
        getattr(ours, method)(data, getattr(ours, limit)(data))
        strategy.said["left"] = getattr(ours, limit)(data)

    plan = {0: [LONG], 1: [s.act_on("add_margin", 50), act]}
    result = s.run([*CALM, FLAT], plan, broker())
    assert result.said["left"] == approx(0)
    assert not result.liquidations


def test_what_can_be_added_is_not_what_orders_lock() -> None:
    """A limit for 10 at 90 locks 90."""
    plan = {
        0: [LONG],
        1: [s.limit("buy", 10, 90)],
        2: [s.act_on("max_addable", label="it")],
    }
    result = s.run([*CALM, FLAT], plan, broker())
    assert result.said["it"] == approx(LEFT - 90)


def test_nothing_can_be_added_where_the_venue_adds_none() -> None:
    plan = {0: [LONG], 1: [s.act_on("max_addable", label="it")]}
    result = s.run([*CALM], plan, broker(venue=at_venue(adds_margin=False)))
    assert result.said["it"] == 0.0


@pytest.mark.parametrize(
    ("rule", "removable"),
    [
        pytest.param(RemovalRule(), 50, id="down to the initial margin"),
        pytest.param(
            RemovalRule(keeps_initial=False),
            *(145,),
            id="down to maintenance, without what is unrealized",
        ),
        pytest.param(
            RemovalRule(keeps_initial=False, kept_notional_share=0.12),
            30,
            id="a share of the notional: 150 - 120",
        ),
        pytest.param(RemovalRule(only_added=True), 50, id="only what was added"),
        pytest.param(None, 0, id="nothing at all"),
    ],
)
def test_removal_by_the_rule_of_a_venue(rule: Any, removable: float) -> None:
    page = at_venue(removal=rule)
    asked = s.act_on("max_removable", label="it")
    plan = {0: [LONG], 1: [s.act_on("add_margin", 50), asked]}
    result = s.run([*CALM], plan, broker(venue=page))
    assert result.said["it"] == pytest.approx(removable, rel=1e-8)


# Refusals: the message names the limit, and nothing is half done.


@pytest.mark.parametrize(
    ("opening", "words", "venue", "kind", "message"),
    [
        pytest.param(
            *(LONG, ("add_margin", 900), GENERIC, BALANCE, "the limit is 899.5"),
            id="more margin than there is",
        ),
        pytest.param(
            *(LONG, ("remove_margin", 1), GENERIC, BALANCE, "the limit is 0"),
            id="margin that must stay",
        ),
        pytest.param(
            *(LONG, ("add_margin", 0), GENERIC, PARAMETER, "above 0"),
            id="an amount of 0",
        ),
        pytest.param(
            *(LONG, ("add_margin", -5), GENERIC, PARAMETER, "above 0"),
            id="an amount below 0",
        ),
        pytest.param(
            *(LONG, ("add_margin", float("nan")), GENERIC, PARAMETER, "above 0"),
            id="an amount that is no number",
        ),
        pytest.param(
            *(None, ("add_margin", 5), GENERIC, CONTROL, "A has no position"),
            id="margin for no position",
        ),
        pytest.param(
            LONG,
            ("add_margin", 5),
            at_venue(adds_margin=False),
            *(CONTROL, "here does not allow adding margin"),
            id="a venue that adds none",
        ),
        pytest.param(
            LONG,
            ("remove_margin", 5),
            at_venue(removal=None),
            *(CONTROL, "here does not allow removing margin"),
            id="a venue that gives none back",
        ),
        pytest.param(
            LONG,
            ("set_auto_margin", True),
            at_venue(),
            *(CONTROL, "here does not allow automatic margin"),
            id="a venue without automatic margin",
        ),
        pytest.param(
            *(LONG, ("set_leverage", 126), GENERIC, PARAMETER, "at most 125"),
            id="leverage above the tiers",
        ),
        pytest.param(
            *(LONG, ("set_leverage", 0), GENERIC, PARAMETER, "above 0"),
            id="leverage of 0",
        ),
        pytest.param(
            LONG,
            ("set_leverage", 0.5),
            # 10 from 100 at 0.5x: 2,000, of which 100 are there.
            GENERIC,
            BALANCE,
            "leverage 0.5 needs 1,900 more on A, and the shared wallet holds 899.5:"
            " deposit 1,000.5, or choose a higher leverage",
            id="lower leverage than the account can pay",
        ),
        pytest.param(
            LONG,
            ("set_leverage", 5),
            at_venue(lowers_isolated_leverage=False),
            *(CONTROL, "here does not allow a lower leverage of an open isolated"),
            id="a venue that lowers none",
        ),
        pytest.param(
            LONG,
            ("set_leverage", 20),
            at_venue(raises_isolated_leverage=False),
            *(CONTROL, "here does not allow a higher leverage of an open isolated"),
            id="a venue that raises none",
        ),
        pytest.param(
            LONG,
            ("set_margin_mode", "cross"),
            *(GENERIC, CONTROL, "another margin mode while A has a position"),
            id="another mode with a position",
        ),
        pytest.param(
            *(None, ("set_margin_mode", "both"), GENERIC, PARAMETER, "isolated, cross"),
            id="a mode there is not",
        ),
        pytest.param(
            None,
            ("set_margin_mode", "cross"),
            replace(GENERIC, name="here", margin_modes=("isolated",)),
            *(PARAMETER, "here offers isolated margin only"),
            id="a mode that the venue does not offer",
        ),
    ],
)
def test_a_refused_change_changes_nothing(
    opening: Any, words: Any, venue: Any, kind: str, message: str
) -> None:
    plan = {0: [opening] if opening else [], 1: [tried(*words)]}
    result = s.run([*CALM], plan, broker(venue=venue))
    assert type(result.said["it"]).__name__ == kind
    assert message in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


def test_a_limit_of_the_message_is_taken() -> None:
    def act(strategy: Any) -> None:
        s.act_on("add_margin", 1e9, label="it")(strategy)
        limit = float(str(strategy.said["it"]).rpartition(" ")[2])
        strategy.broker.add_margin(strategy.data, limit)

    result = s.run([*CALM, s.flat(99.7)], {0: [LONG], 2: [act]}, broker())
    assert s.balances(result.broker).keys() == {"isolated:A"}


@pytest.mark.parametrize("method", ["add_margin", "remove_margin"])
def test_cross_margin_needs_no_transfer(method: str) -> None:
    plan = {0: [LONG], 1: [tried(method, 5)]}
    result = s.run([*CALM], plan, broker("cross"))
    assert "cross margin, which needs no transfer" in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


# Automatic margin: 100 each time, while the shared wallet has it.


@pytest.mark.parametrize(
    ("rule", "low", "added", "is_dead"),
    [
        pytest.param(True, 85, 100, False, id="85: one time 100"),
        pytest.param(True, 75, 200, False, id="75: two times"),
        pytest.param(AutoMargin(0.5), 89, 50, False, id="half of it at 89"),
        pytest.param(False, 85, 0, True, id="switched off"),
        # Down to a leverage of 1 no more than 900 are added, of 899.50.
        pytest.param(True, 0.4, 899.5, True, id="0.4: all that there was"),
    ],
)
def test_automatic_margin(rule: Any, low: float, added: float, is_dead: bool) -> None:
    on = s.act_on("set_auto_margin", True)
    plan = {0: [LONG], 1: [on, s.act_on("set_auto_margin", rule, label="it")]}
    result = s.run([*CALM, (100, 100, low, low), s.flat(low)], plan, broker())
    moved = [
        entry.amount
        for entry in result.broker.ledger
        if entry.ref == "auto margin" and entry.amount > 0
    ]
    assert sum(moved) == approx(added)
    assert bool(result.liquidations) is is_dead


# Leverage


@pytest.mark.parametrize(
    ("leverage", "margin"),
    [pytest.param(5, 200, id="5x: 200"), pytest.param(20, 50, id="20x: 50")],
)
def test_the_wallet_follows_a_new_leverage(leverage: float, margin: float) -> None:
    plan = {0: [LONG], 1: [s.act_on("set_leverage", leverage)]}
    result = s.run([*CALM, FLAT], plan, broker())
    held = {"shared": 999.5 - margin, "isolated:A": margin}
    assert s.balances(result.broker) == approx(held)
    assert result.broker.leverage_setting(result.data) == leverage


def test_where_the_venue_says_so_only_the_next_fill_has_the_new_leverage() -> None:
    plan = {
        0: [LONG],
        1: [s.act_on("set_leverage", 20), s.send("buy", 10, "more")],
    }
    page = at_venue(leverage_moves_margin=False)
    result = s.run([*CALM, FLAT], plan, broker(venue=page))
    held = {"shared": 1_000 - 1 - 150, "isolated:A": 150}
    assert s.balances(result.broker) == approx(held)


def test_a_higher_leverage_that_would_liquidate_is_refused() -> None:
    """At 97 the position has lost 30; at 30x it would stand on 33.33.

    Initial margin at mark is 970 / 30 = 32.33 then, of which 100 - 30 are there: 37.67
    can go, and not the 66.67 that 30x lets go.
    """
    plan = {0: [LONG], 2: [tried("set_leverage", 30)]}
    result = s.run([*CALM, s.flat(97)], plan, broker())
    words = "would take 66.666667 of margin from A: 37.666667 can be removed"
    assert words in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


def test_cross_locks_by_the_new_leverage() -> None:
    plan = {0: [LONG], 1: [s.act_on("set_leverage", 5)]}
    result = s.run([*CALM, FLAT], plan, broker("cross"))
    assert result.cash[-1] == approx(999.5 - 200)
    assert s.balances(result.broker) == approx({"shared": 999.5})


def test_resting_orders_count_at_the_new_leverage() -> None:
    """At 1x a limit for 10 at 90 asks for 900, where 10x asked for 90."""
    order = s.limit("buy", 10, 90)
    plan = {0: [LONG], 1: [order], 2: [tried("set_leverage", 1)]}
    result = s.run([*CALM, FLAT], plan, broker("cross"))
    assert "asks for 900.5 more" in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


def test_an_account_that_lacks_margin_may_raise_its_leverage() -> None:
    """Cross, 60 from 100 with 1,000: at 90 there are 397, and 540 are locked."""
    plan = {0: [s.send("buy", 60)], 2: [tried("set_leverage", 20)]}
    result = s.run([*CALM, s.flat(90), s.flat(90)], plan, broker("cross"))
    assert result.said["it"] is None
    assert result.cash[-1] == approx(1_000 - 3 - 600 - 270)


def test_the_same_leverage_changes_nothing_at_any_venue() -> None:
    page = at_venue(
        lowers_isolated_leverage=False,
        raises_isolated_leverage=False,
        leverage_with_orders=False,
    )
    added = s.act_on("add_margin", 50)
    plan = {0: [LONG], 1: [added, s.limit("buy", 1, 50), tried("set_leverage", 10)]}
    result = s.run([*CALM], plan, broker(venue=page))
    assert result.said["it"] is None
    before, after = result.said["before"], result.said["after"]
    assert before == after


def test_leverage_with_orders_where_the_venue_minds() -> None:
    page = at_venue(leverage_with_orders=False)
    plan = {0: [s.limit("buy", 1, 50)], 1: [tried("set_leverage", 5)]}
    result = s.run([*CALM], plan, broker(venue=page))
    assert "a change of leverage while orders rest" in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


def test_a_fixed_margin_gives_way_to_a_chosen_leverage() -> None:
    """A futures scheme asks for 25 a contract; at 10x it is 10, also when adding."""
    ours = broker()
    ours.setcommission(commission=0, margin=25, mult=1, name="A")
    plan = {
        0: [LONG],
        1: [s.act_on("set_leverage", 10), s.send("buy", 10, "more")],
    }
    result = s.run([*CALM, FLAT], plan, ours)
    assert s.balances(result.broker) == approx({"shared": 800, "isolated:A": 200})
    assert result.broker.initial_margin(result.data) == approx(200)


# Mode


def test_a_symbol_changes_its_mode_while_it_is_flat() -> None:
    plan = {
        0: [LONG],
        1: [s.close()],
        2: [s.act_on("set_margin_mode", "cross"), s.send("buy", 10, "again")],
    }
    result = s.run([*CALM, FLAT, FLAT], plan, broker())
    assert result.broker.margin_mode_of(result.data) == "cross"
    assert s.balances(result.broker) == approx({"shared": 1_000 - 1.5})


def test_the_same_mode_changes_nothing_at_any_venue() -> None:
    plan = {0: [LONG], 1: [tried("set_margin_mode", "isolated")]}
    result = s.run([*CALM], plan, broker())
    assert result.said["it"] is None
    assert result.said["before"] == result.said["after"]


def test_orders_keep_the_mode_where_the_venue_minds() -> None:
    page = at_venue(mode_with_orders=False)
    plan = {0: [s.limit("buy", 1, 50)], 1: [tried("set_margin_mode", "cross")]}
    result = s.run([*CALM], plan, broker(venue=page))
    assert "another margin mode while orders of A rest" in str(result.said["it"])
    assert result.said["before"] == result.said["after"]


def test_the_mode_of_an_account_changes_for_every_symbol_or_for_none() -> None:
    page = at_venue(mode_of_account=True)
    feeds = [s.perp([FLAT] * 5), s.perp([FLAT] * 5, "B")]
    mode = "set_margin_mode"
    plan = {
        0: [s.send("buy", 1, data="B")],
        1: [s.act_on(mode, "cross", label="held"), s.close(data="B")],
        2: [s.act_on(mode, "cross", label="flat")],
    }
    result = s.run(feeds, plan, broker(venue=page))
    assert "another margin mode while B has a position" in str(result.said["held"])
    assert result.said["flat"] is None
    modes = [result.broker.margin_mode_of(data) for data in result.datas]
    assert modes == ["cross", "cross"]


# Before the first bar, before the run, and with stock accounting


class SetsAtStart(s.Recorder):
    """Sets leverage and mode in ``start``."""

    def start(self) -> None:
        self.broker.set_leverage(self.data, 4)
        self.broker.set_margin_mode(self.data, "cross")


@pytest.mark.parametrize("runonce", [True, False])
def test_leverage_and_mode_can_be_set_in_start(runonce: bool) -> None:
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    cerebro.setbroker(broker())
    cerebro.adddata(s.perp([*CALM, FLAT]))
    cerebro.addstrategy(SetsAtStart, plan={0: [LONG]})
    result = cerebro.run()[0]
    assert result.cash[-1] == approx(999.5 - 250)
    assert result.broker.margin_mode_of(result.data) == "cross"


@pytest.mark.parametrize(
    ("method", "words"),
    [("set_leverage", (5,)), ("set_margin_mode", ("cross",)), ("add_margin", (5,))],
)
def test_before_a_run_there_is_nothing_to_change(method: str, words: Any) -> None:
    feed = s.perp([*CALM])
    with pytest.raises(bt_margin.MarginError, match="the run has not begun"):
        getattr(broker(), method)(feed, *words)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("set_leverage", (5,)),
        ("set_margin_mode", ("cross",)),
        ("add_margin", (5,)),
        ("remove_margin", (5,)),
        ("set_auto_margin", (True,)),
        ("max_addable", ()),
        ("get_leg", ("long",)),
    ],
)
def test_stock_accounting_knows_no_margin(method: str, words: Any) -> None:
    stock = bt_margin.MarginBroker(margin_mode="off")
    plan = {1: [s.act_on(method, *words, label="it")]}
    result = s.run([*CALM], plan, stock)
    assert "stock accounting" in str(result.said["it"])


# Hedge mode: each leg has its own wallet.


def test_margin_of_a_leg() -> None:
    long = s.send("buy", 10, "long", position_side="long")
    short = s.send("sell", 10, "short", position_side="short")
    plan = {
        0: [long, short],
        1: [
            s.act_on("add_margin", 50, label="which"),
            s.act_on("add_margin", 50, "short", label="it"),
        ],
    }
    result = s.run([*CALM, FLAT], plan, broker(position_mode="hedge"))
    assert "in hedge mode give side" in str(result.said["which"])
    held = {"shared": 749, "isolated:A:long": 100, "isolated:A:short": 150}
    assert s.balances(result.broker) == approx(held)


def test_a_new_leverage_is_for_both_legs_or_for_none() -> None:
    long = s.send("buy", 10, "long", position_side="long")
    short = s.send("sell", 10, "short", position_side="short")
    plan = {
        0: [long, short],
        1: [s.act_on("set_leverage", 5), tried("set_leverage", 1.9)],
    }
    result = s.run([*CALM, FLAT], plan, broker(position_mode="hedge"))
    assert type(result.said["it"]).__name__ == BALANCE
    assert result.said["before"] == result.said["after"]
    held = {"shared": 599, "isolated:A:long": 200, "isolated:A:short": 200}
    assert s.balances(result.broker) == approx(held)
