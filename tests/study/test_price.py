"""Planned positions: answers that can be checked by hand, and published ones."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bt_margin import SizeTier, SizeTiers, Tier, TierTable, Venue, get_venue
from bt_margin.core.contract import Basis
from bt_margin.core.errors import ParameterError
from bt_margin.core.wallet import MarginMode
from bt_margin.study import PlannedPosition, plan_position
from bt_margin.venues import ContractKind, Controls, Revision, Tiers

GENERIC = get_venue("generic")


def venue(tiers: Tiers, basis: Basis = Basis.MARK, **rules: Any) -> Venue:
    terms = {"kinds": tuple(ContractKind), "tiers": tiers, **rules}
    return Venue("test", basis, 0.0002, 0.0005, **terms)


def plan(page: Venue = GENERIC, **words: Any) -> PlannedPosition:
    terms = {"side": "long", "entry_price": 65_000.0, "leverage": 10.0, **words}
    return plan_position(page, **terms)


def flat(rate: float) -> TierTable:
    return TierTable.flat(rate, 100)


# The textbook


@pytest.mark.parametrize(
    ("words", "liquidation", "bankruptcy"),
    [
        # A tenth below, and half a percent of it less: 65,000 * 0.905.
        pytest.param({}, 58_825, 58_500, id="long"),
        pytest.param({"side": "short"}, 71_175, 71_500, id="short"),
        # 6,500 + 500 - 325 may be lost
        pytest.param({"added_margin": 500}, 58_325, 58_000, id="margin added"),
        pytest.param({"margin_mode": "cross"}, 58_825, 58_500, id="cross on its own"),
        # 20,000 - 325 may be lost
        pytest.param(
            {"margin_mode": "cross", "wallet_balance": 20_000},
            45_325,
            45_000,
            id="cross",
        ),
        # Two hundred contracts of 0.01: twice the position, the same prices.
        pytest.param(
            {"size": 200, "contract_size": 0.01}, 58_825, 58_500, id="contracts"
        ),
        # With all of its worth behind it a long dies at 0.5 % of its entry.
        pytest.param({"leverage": 1}, 325, None, id="1x"),
        pytest.param({"leverage": 1, "added_margin": 325}, None, None, id="never"),
    ],
)
def test_prices_of_the_textbook(
    words: dict[str, Any], liquidation: float | None, bankruptcy: float | None
) -> None:
    found = plan(**words)
    assert found.liquidation_price == pytest.approx(liquidation)
    assert found.bankruptcy_price == pytest.approx(bankruptcy)


def test_amounts_of_the_textbook() -> None:
    found = plan(notional=130_000)
    assert found.size == 2
    assert found.initial_margin == 13_000
    assert found.maintenance_margin == pytest.approx(650)
    assert found.opening_fee == pytest.approx(65)  # 0.05 %
    assert found.order_cost == pytest.approx(13_065)
    assert found.distance == pytest.approx(-0.095)
    assert found.margin_mode is MarginMode.ISOLATED
    assert found.condition == "B + q (p - e) = |q| e m"
    assert found.formula == (
        "13,000.00 + 2 x (58,825 - 65,000) = 2 x 65,000 x 0.005 = 650.00"
    )
    assert set(found.legend) == set("Bqpem")


def test_a_plan_that_no_price_liquidates_says_so() -> None:
    found = plan(leverage=1, added_margin=325)
    assert found.distance is None
    assert found.formula == "no price above 0 liquidates it"
    assert found.maintenance_margin == pytest.approx(325)


# Rules of venues


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # Binance COIN-M: a wallet of 0.00268058 BTC behind two contracts of 100 USD
        # from 37,643.10000021, rate 0.4 %: 25,119.97445760.
        pytest.param(
            {
                "entry_price": 37_643.10000021,
                "leverage": 2,
                "size": 2,
                "contract_size": 100,
                "added_margin": 0.00268058 - 200 / 37_643.10000021 / 2,
            },
            25_119.97445760,
            id="Binance COIN-M",
        ),
    ],
)
def test_published_answers_in_coin(words: dict[str, Any], expected: float) -> None:
    page = venue(flat(0.004))
    found = plan(page, inverse=True, **words)
    assert found.liquidation_price == pytest.approx(expected, abs=0.02)


def test_a_fee_reserved_for_the_close_is_locked_and_required() -> None:
    # Bybit "Order Cost": 10,000 USD at 2,000 and 25x, taker 0.055 %: initial margin
    # 0.2, opening fee 0.00275, closing fee 0.00286, order cost 0.20561.
    page = replace(
        venue(flat(0.005), Basis.ENTRY, reserved_fee_rate=0.00055),
        taker_fee_rate=0.00055,
    )
    words = {"entry_price": 2_000, "leverage": 25, "size": 10_000, "inverse": True}
    found = plan(page, **words)
    assert found.notional == 5
    assert found.initial_margin == pytest.approx(0.2 + 0.00286)
    assert found.opening_fee == pytest.approx(0.00275)
    assert found.order_cost == pytest.approx(0.20561)
    assert found.condition == "B + q (1/e - 1/p) = |q| m / e + r"
    assert "+ 0.00286000 = 0.02786000" in found.formula
    # The fee stands on both sides: 10,000 / (5 + 0.2 - 0.025).
    assert found.liquidation_price == pytest.approx(10_000 / 5.175)


def test_bybits_long_at_50x() -> None:
    # Bybit help: one coin from 20,000 at 50x, 0.5 %: 19,700.
    page = venue(flat(0.005), Basis.ENTRY, reserved_fee_rate=0.00055)
    found = plan(page, entry_price=20_000, leverage=50)
    assert found.liquidation_price == pytest.approx(19_700)


def test_a_closing_fee_is_counted_at_the_liquidation_price() -> None:
    # freqtrade's Gate: one coin from 10 at 5x, 1 % and 0.06 %:
    # (10 - 2) / (1 - 0.01 - 0.0006) = 8.0857085.
    page = venue(flat(0.01), closing_fee_rate=0.0006)
    found = plan(page, entry_price=10, leverage=5)
    assert found.liquidation_price == pytest.approx(8.085708510208207)
    assert found.condition == "B + q (p - e) = |q| p m + |q| p f"
    assert "1 x 8.0857085 x 0.01 + 1 x 8.0857085 x 0.0006 = 0.085709" in found.formula


def test_the_deduction_of_a_progressive_table() -> None:
    # Binance's ETHUSDT of 2024-10-24: 100,000 of margin at 20x from 2,000, tier
    # 0.65 %, deduction 50 + 600,000 * 0.15 % = 950. What is left at p is
    # 1,000 p - 1,900,000, what is required 6.5 p - 950: p = 1,899,050 / 993.5.
    rows = [(0, 50_000, 0.004), (50_000, 600_000, 0.005), (600_000, 3_000_000, 0.0065)]
    page = venue(TierTable(Tier(low, high, rate, 100) for low, high, rate in rows))
    found = plan(page, entry_price=2_000, leverage=20, notional=2_000_000)
    assert found.liquidation_price == pytest.approx(1_911.474585)
    assert found.condition == "B + q (p - e) = |q| p m - c"
    assert "x 0.0065 - 950.00 = 11,474.58" in found.formula
    assert found.tier == "3 of 3: notional at mark from 600,000 to 3,000,000"


def test_tiers_by_size() -> None:
    tiers = SizeTiers([SizeTier(100, 0.004, 125), SizeTier(500, 0.005, 100)])
    found = plan(venue(tiers), entry_price=100, size=200)
    # 20,000 / 10 of margin; (20,000 - 2,000) / (200 * (1 - 0.005)) = 90.452261
    assert found.liquidation_price == pytest.approx(90.4522613)
    assert found.tier == "2 of 2, by size: up to 500"
    assert plan(venue(tiers), entry_price=100, size=100).tier.startswith("1 of 2")


def test_a_rate_that_rises_with_the_size() -> None:
    # Deribit: 25 BTC at 100,000: 1 % + 0.005 % * 25 = 1.125 %; 28,125 are required.
    tiers = SizeTiers([SizeTier(float("inf"), 0.01, 50, 0.00005)])
    page = venue(tiers, Basis.ENTRY, margin_modes=(MarginMode.CROSS,))
    found = plan(page, entry_price=100_000, size=25, leverage=20)
    assert found.maintenance_margin == pytest.approx(28_125)
    assert found.margin_mode is MarginMode.CROSS
    assert found.tier.endswith("m = 0.01 + 5e-05 x 25")
    with pytest.raises(ParameterError, match="cross margin only"):
        plan(page, margin_mode="isolated")


def test_a_requirement_that_steps_up_is_passed_over() -> None:
    # 1 % below a notional of 105,000, 10 % from there on, and no deduction.
    steps = TierTable([Tier(0, 105_000, 0.01, 50, 0), Tier(105_000, 1e9, 0.1, 10, 0)])
    found = plan(venue(steps), side="short", entry_price=100, notional=100_000)
    # At 105 there are 5,000 left: more than 1,050, less than 10,500.
    assert found.liquidation_price == pytest.approx(105)
    assert found.formula == (
        "10,000.00 - 1,000 x (105 - 100) < 1,000 x 105 x 0.1 = 10,500.00"
    )
    assert found.tier == "2 of 2: notional at mark from 105,000 to 1e+09"


def test_the_rules_of_a_day() -> None:
    earlier = Revision(date(2024, 1, 1), {"maintenance_basis": Basis.ENTRY}, "on entry")
    page = venue(flat(0.005), revisions=(earlier,))
    assert plan(page, day=date(2023, 12, 31)).liquidation_price == pytest.approx(58_825)
    # 58,500 / 0.995
    today = plan(page, day=date(2024, 1, 1))
    assert today.liquidation_price == pytest.approx(58_793.970)
    assert today == plan(page)


def test_a_venue_of_coin_settled_contracts_is_asked_for_those() -> None:
    page = venue(flat(0.005), kinds=(ContractKind.INVERSE,))
    found = plan(page)
    assert found.is_inverse
    assert (found.notional, found.size) == (1, 65_000)


@pytest.mark.parametrize(
    ("page", "words", "message"),
    [
        pytest.param(
            venue(flat(0.01), kinds=(ContractKind.LINEAR,)),
            {"inverse": True},
            "contract is 'inverse': test lists linear contracts only",
            id="contracts that are not listed",
        ),
        pytest.param(
            venue(flat(0.01), controls=Controls(adds_margin=False)),
            {"added_margin": 1},
            "test lets nobody add margin",
            id="margin that cannot be added",
        ),
        pytest.param(GENERIC, {"added_margin": -1}, "0 or more", id="less than none"),
        pytest.param(
            GENERIC,
            {"added_margin": 1, "margin_mode": "cross"},
            "no margin of its own",
            id="margin added to a cross position",
        ),
        pytest.param(
            GENERIC,
            {"wallet_balance": 1, "margin_mode": "cross"},
            "locks 6,500",
            id="a wallet that cannot carry it",
        ),
        pytest.param(
            GENERIC, {"wallet_balance": 9}, "only its own margin", id="isolated wallet"
        ),
        pytest.param(GENERIC, {"size": 0}, "size is 0", id="no size"),
        pytest.param(GENERIC, {"size": 1, "notional": 1}, "not both", id="both"),
        pytest.param(
            GENERIC, {"contract_size": 0}, "contract_size is 0", id="no contract size"
        ),
        pytest.param(
            GENERIC,
            {"tiers": TierTable.flat(0.2, 50)},
            "liquidated at once, with a margin of 6,500 and a maintenance of 13,000",
            id="dead on arrival",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    page: Venue, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        plan(page, **words)
