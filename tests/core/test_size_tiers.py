"""Size tiers: rates by what is held, their bounds, and the prices they lead to."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.contract import Contract
from bt_margin.core.errors import TierError
from bt_margin.core.margin import liquidation_price
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import TierTable


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


def steps(*rungs: tuple[Any, Any, Any]) -> SizeTiers:
    """Tiers of (max_units, rate, max_leverage)."""
    return SizeTiers(SizeTier(*map(exact, rung)) for rung in rungs)


# OKX BTC-USD swap 2023, by contracts of 100 USD: 2,000 at 0.4 %, 5,000 at 0.5 %,
# 20,000 at 0.75 % (facts, exchange rules 5).
OKX = steps((2_000, "0.004", 125), (5_000, "0.005", 100), (20_000, "0.0075", "66.66"))

# Deribit linear BTC: initial 2 % + 0.005 % per coin, maintenance 1 % + 0.005 %.
DERIBIT = SizeTiers([SizeTier(exact(500), exact("0.01"), exact(50), exact("0.00005"))])


@pytest.mark.parametrize(
    ("units", "place", "rate"),
    [
        pytest.param(1, 0, "0.004", id="the smallest position is in the first tier"),
        pytest.param(2_000, 0, "0.004", id="a tier holds its largest position"),
        pytest.param("2000.001", 1, "0.005", id="a thousandth more is in the next"),
        pytest.param(5_000, 1, "0.005", id="the second tier holds its largest too"),
        pytest.param(5_001, 2, "0.0075", id="one more is in the third"),
        pytest.param(20_000, 2, "0.0075", id="the last tier's largest"),
        pytest.param(99_999, 2, "0.0075", id="beyond all tiers the last one goes on"),
    ],
)
def test_the_whole_position_has_the_rate_of_its_tier(
    units: Any, place: int, rate: str
) -> None:
    units = exact(units)
    assert place == OKX.place(units)
    assert TierTable.flat(exact(rate), OKX.at_size(units).max_leverage) == (
        OKX.at_size(units)
    )
    # No deduction: the requirement is all of the notional at one rate.
    assert exact(rate) * 7_000 == OKX.at_size(units).maintenance_margin(exact(7_000))


def test_the_requirement_jumps_where_tiers_meet() -> None:
    # 2,000 at 1: 8; a thousandth more: 2,000.001 * 0.005 = 10.000005
    asked = [
        OKX.at_size(exact(units)).maintenance_margin(exact(units))
        for units in ("2000", "2000.001")
    ]
    assert asked == [8, exact("10.000005")]


def test_floats_that_sum_to_a_bound_stay_within_it() -> None:
    tiers = SizeTiers([SizeTier(0.3, 0.004, 125), SizeTier(1.0, 0.005, 100)])
    assert 0.1 + 0.2 > 0.3
    assert tiers.place(0.1 + 0.2) == 0
    assert tiers.place(0.3001) == 1


@pytest.mark.parametrize(
    ("size", "price", "initial", "maintenance"),
    [
        # 2,500,000 * (0.02 + 0.00125) and * (0.01 + 0.00125)
        pytest.param(
            25, 100_000, 53_125, 28_125, id="Deribit: 25 BTC ask for 53,125 and 28,125"
        ),
        # deribit-linear-btc-350: 35,000,000 * (0.02 + 0.0175)
        pytest.param(
            350, 100_000, 1_312_500, 962_500, id="Deribit: 350 BTC ask for 1,312,500"
        ),
        # 10,000 * 0.02005 and * 0.01005
        pytest.param(1, 10_000, "200.5", "100.5", id="Deribit: 1 BTC at 10,000"),
    ],
)
def test_a_rate_that_slopes_with_size(
    size: int, price: int, initial: Any, maintenance: Any
) -> None:
    table = DERIBIT.at_size(exact(size))
    held = Position(
        Contract("BTC", DERIBIT), exact(size), exact(price), table.max_leverage
    )
    assert exact(initial) == held.opening_margin
    assert exact(maintenance) == held.maintenance_margin(exact(price))
    assert table.maintenance_margin(held.notional(price)) == exact(maintenance)


def test_a_slope_never_asks_for_all_of_the_notional() -> None:
    # 1 % + 0.005 % of 20,000 coins would be 101 %.
    (tier,) = DERIBIT.at_size(exact(20_000))
    assert exact("0.99") < tier.maintenance_margin_rate < 1
    assert tier.max_leverage == 1 / exact("1.02")


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        pytest.param([], r"tiers is \(\).*at least one SizeTier", id="none"),
        pytest.param(
            [SizeTier(0, 0.01, 10)],
            r"tiers\[0\].max_units is 0: give a number above 0",
            id="a tier that holds nothing",
        ),
        pytest.param(
            [SizeTier(5, 0.01, 10), SizeTier(5, 0.02, 5)],
            r"tiers\[1\].max_units is 5: give a number above 5",
            id="a tier no larger than the one before",
        ),
        pytest.param(
            [SizeTier(5, 0.02, 10), SizeTier(9, 0.01, 5)],
            r"tiers\[1\].maintenance_margin_rate is 0.01: .* at least 0.02",
            id="a rate that falls",
        ),
        pytest.param(
            [SizeTier(5, 1, 10)],
            r"tiers\[0\].maintenance_margin_rate is 1: .* below 1",
            id="a rate in percent",
        ),
        pytest.param(
            [SizeTier(5, 0.01, 0)],
            r"tiers\[0\].max_leverage is 0: give a leverage above 0",
            id="no leverage",
        ),
        pytest.param(
            [SizeTier(5, 0.01, 10, -0.1)],
            r"tiers\[0\].slope is -0.1: give 0 or more",
            id="a rate that falls within a tier",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(tiers: list[SizeTier], words: str) -> None:
    with pytest.raises(TierError, match=words):
        SizeTiers(tiers)


def test_tiers_are_a_value() -> None:
    again = SizeTiers(list(OKX))
    assert again == OKX
    assert hash(OKX) == hash(again)
    assert SizeTiers(list(OKX)[:2]) != OKX
    assert len(OKX) == 3
    assert OKX.max_leverage == 125
    assert repr(SizeTiers([SizeTier(5, 0.01, 10)])).startswith("SizeTiers([SizeTier(")


@pytest.mark.parametrize(
    ("place", "units", "share"),
    [
        pytest.param(1, 20_000, "1/4", id="of 20,000 the second tier holds 5,000"),
        pytest.param(0, 20_000, "1/10", id="of 20,000 the first holds 2,000"),
        pytest.param(2, 20_000, 1, id="the last tier holds all it has"),
        pytest.param(1, 3_000, 1, id="a tier holds no more than there is"),
    ],
)
def test_the_share_that_a_lower_tier_holds(place: int, units: int, share: Any) -> None:
    kept = OKX.share_within(place, exact(units), exact(0))
    assert exact(share) == kept
    assert place >= OKX.place(units * kept)


# The liquidation price


@pytest.mark.parametrize(
    ("size", "balance", "expected"),
    [
        # 1,000 at 100 in the first tier: 10,000 + 1,000 (p - 100) = 4 p
        pytest.param(
            1_000, 10_000, Fraction(90_000, 996), id="a long in the first tier"
        ),
        # 30,000 + 3,000 (p - 100) = 15 p, wherever the price is
        pytest.param(
            3_000, 30_000, Fraction(270_000, 2_985), id="a long in the second tier"
        ),
        # 30,000 - 3,000 (p - 100) = 15 p
        pytest.param(
            -3_000, 30_000, Fraction(330_000, 3_015), id="a short in the second tier"
        ),
    ],
)
def test_price_does_not_move_a_position_between_size_tiers(
    size: int, balance: int, expected: Any
) -> None:
    found = liquidation_price(
        exact(size), exact(100), wallet_balance=exact(balance), tiers=OKX
    )
    assert expected == found


def test_contract_size_turns_contracts_into_units() -> None:
    # 30 contracts of 100: 3,000 units, as above.
    found = liquidation_price(
        exact(30),
        exact(100),
        wallet_balance=exact(30_000),
        tiers=OKX,
        contract_size=exact(100),
    )
    assert found == Fraction(270_000, 2_985)


@given(
    size=st.fractions(Fraction(1, 10), 15_000, max_denominator=10),
    side=st.sampled_from([1, -1]),
    entry=st.fractions(1, 1_000, max_denominator=10),
    lever=st.sampled_from([2, 5, 10, 20]),
    inverse=st.booleans(),
    tiers=st.sampled_from([OKX, DERIBIT]),
)
def test_the_price_is_that_of_the_one_flat_tier(
    size: Any, side: int, entry: Any, lever: int, inverse: bool, tiers: SizeTiers
) -> None:
    """The slow way: look the rate up, and ask with one flat tier."""
    contract = Contract("", tiers, inverse=inverse)
    margin = contract.notional(size, entry) / lever

    def price(asked: Any) -> Any:
        return liquidation_price(
            size * side, entry, wallet_balance=margin, tiers=asked, inverse=inverse
        )

    found = price(tiers)
    assert price(tiers.at_size(size)) == found
    if found is not None:
        held = Position(contract, size * side, entry, lever)
        assert margin + held.surplus(found) == 0
