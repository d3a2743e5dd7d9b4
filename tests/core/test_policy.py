"""Policies: what a venue's step keeps of a position."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.policy import (
    CompliantStep,
    FractionStep,
    LiquidationPolicy,
    Reduction,
    TierStep,
)
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


# 1 %; 2 % less 10; 5 % less 130
TIERS = TierTable(
    [
        Tier(0, exact(1_000), exact("0.01"), 50),
        Tier(exact(1_000), exact(4_000), exact("0.02"), 25),
        Tier(exact(4_000), float("inf"), exact("0.05"), 10),
    ]
)
SIZES = SizeTiers(
    [
        SizeTier(exact(10), exact("0.01"), 50),
        SizeTier(exact(40), exact("0.02"), 25),
        SizeTier(exact(100), exact("0.05"), 10),
    ]
)


def held(size: Any, entry: Any = 100, tiers: Any = TIERS, **rules: Any) -> Position:
    return Position(Contract("A", tiers, **rules), exact(size), exact(entry), exact(10))


def reduced(place: int, seconds: Any = 0) -> Reduction:
    return Reduction(held(1), exact(seconds), place)


HUNDRED = exact(100)


@pytest.mark.parametrize(
    ("step", "size", "before", "kept"),
    [
        # Sizes at 100: 80 is 8,000, in the third tier.
        pytest.param(TierStep(), 80, None, "1/2", id="down one tier: 4,000 of 8,000"),
        pytest.param(TierStep(), -20, None, "1/2", id="a short: 1,000 of 2,000"),
        pytest.param(TierStep(2), 80, None, "1/8", id="two tiers: 1,000 of 8,000"),
        pytest.param(TierStep(2), 20, None, "1/2", id="two tiers, where one is below"),
        pytest.param(TierStep(), 10, None, 0, id="the lowest tier is taken whole"),
        pytest.param(TierStep(), 40, None, "1/4", id="4,000 fits the second tier"),
        pytest.param(TierStep(2, 2), 40, None, 0, id="two lowest tiers taken whole"),
        pytest.param(TierStep(2, 2), 80, None, "1/8", id="the third goes down"),
        pytest.param(
            TierStep(),
            50,
            reduced(1),
            "1/5",
            id="brought down to the second before: 1,000 of 5,000",
        ),
        pytest.param(TierStep(), 11, reduced(0), 0, id="to the first before: all"),
        pytest.param(TierStep(), 20, reduced(2), "1/2", id="price brought it lower"),
    ],
)
def test_a_tier_step(
    step: TierStep, size: int, before: Reduction | None, kept: Any
) -> None:
    assert exact(kept) == step.kept(held(size), HUNDRED, exact(0), before)


@pytest.mark.parametrize(
    ("down", "size", "kept"),
    [
        pytest.param(1, 80, "1/2", id="one tier: 40 of 80"),
        pytest.param(2, 80, "1/8", id="two tiers: 10 of 80"),
        pytest.param(1, 40, "1/4", id="40 are in the second tier: 10 of 40"),
        pytest.param(1, 10, 0, id="10 are in the first: all"),
        pytest.param(1, 400, "1/10", id="beyond all tiers is in the last: 40 of 400"),
    ],
)
@pytest.mark.parametrize("mark", [1, 100])
def test_a_tier_step_by_size(down: int, size: int, kept: Any, mark: int) -> None:
    position = held(size, tiers=SIZES)
    assert exact(kept) == TierStep(down).kept(position, exact(mark), exact(0), None)


def test_a_tier_step_on_the_notional_at_entry() -> None:
    # 8,000 at entry, 3,200 at mark: the tier is that of 8,000.
    position = held(80, maintenance_basis=Basis.ENTRY)
    assert TierStep().kept(position, exact(40), exact(0), None) == Fraction(1, 2)


PAUSE = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("step", "size", "before", "kept"),
    [
        pytest.param(FractionStep(exact("0.2")), 80, None, "0.8", id="a fifth goes"),
        pytest.param(
            FractionStep(exact("0.2"), exact(1_000)), 10, None, 0, id="1,000: all of it"
        ),
        pytest.param(
            FractionStep(exact("0.2"), exact(1_000)),
            11,
            None,
            "0.8",
            id="1,100: 1/5",
        ),
        pytest.param(
            FractionStep(exact("0.2"), 0, PAUSE),
            80,
            reduced(0, 30),
            0,
            id="in 30 s: all",
        ),
        pytest.param(
            FractionStep(exact("0.2"), 0, PAUSE),
            80,
            reduced(0, 31),
            "0.8",
            id="31 s on: a fifth again",
        ),
        pytest.param(
            FractionStep(exact("0.2")), 80, reduced(0, 0), 0, id="the same moment: all"
        ),
        pytest.param(
            FractionStep(exact("0.2")), 80, reduced(0, 1), "0.8", id="without a pause"
        ),
    ],
)
def test_a_fraction_step(
    step: FractionStep, size: int, before: Reduction | None, kept: Any
) -> None:
    assert exact(kept) == step.kept(held(size), HUNDRED, exact(0), before)


@pytest.mark.parametrize(
    ("aim", "cost", "balance", "kept"),
    [
        # 80 at 100: 8,000, which asks for 400 - 130 = 270
        # 0.9 * 270 = 243 = 400 k - 130
        pytest.param("0.9", 0, 270, "373/400", id="within the third tier, to 7,460"),
        # 0.9 * 60 = 54 = 160 k - 10
        pytest.param("0.9", 0, 60, "2/5", id="down into the second tier, to 3,200"),
        # 0.5 * 10 = 5 = 80 k
        pytest.param("0.5", 0, 10, "1/16", id="down into the first tier, to 500"),
        # 0.9 * (270 - 240 (1 - k)) = 400 k - 130     27 + 216 k = 400 k - 130
        pytest.param("0.9", "0.03", 270, "157/184", id="closing costs 3 %"),
        # In the second tier 160 k - 10 grows more slowly than 216 k.
        pytest.param("0.9", "0.03", 60, 0, id="where it costs more than it frees: all"),
    ],
)
def test_a_compliant_step(aim: str, cost: Any, balance: Any, kept: Any) -> None:
    step = CompliantStep(exact(aim), exact(cost))
    assert exact(kept) == step.kept(held(80), HUNDRED, exact(balance), None)


RATES = st.sampled_from([exact(rate) for rate in ("0", "0.001", "0.012", "0.03")])


@given(
    size=st.fractions(1, 100, max_denominator=4),
    side=st.sampled_from([1, -1]),
    entry=st.fractions(50, 200, max_denominator=4),
    mark=st.fractions(50, 200, max_denominator=4),
    part=st.fractions(Fraction(1, 100), 1, max_denominator=100),
    aim=st.sampled_from([exact(aim) for aim in ("0.5", "0.8", "0.95")]),
    cost=RATES,
    fee=RATES,
    reserved=RATES,
    basis=st.sampled_from(Basis),
    inverse=st.booleans(),
)
def test_a_compliant_step_keeps_the_most_that_is_compliant(
    size: Any,
    side: int,
    entry: Any,
    mark: Any,
    part: Any,
    aim: Any,
    cost: Any,
    fee: Any,
    reserved: Any,
    basis: Basis,
    inverse: bool,
) -> None:
    """The slow way: close a little more and more, and look."""
    scale = 10_000 if inverse else 1
    rules: dict[str, Any] = {
        "maintenance_basis": basis,
        "closing_fee_rate": fee,
        "reserved_fee_rate": reserved,
        "inverse": inverse,
    }
    position = held(size * side * scale, entry, **rules)
    balance = position.maintenance_margin(mark) * part

    def room(share: Any) -> Any:
        """What is above the requirement aimed at with a share kept."""
        rest = held(size * side * scale * share, entry, **rules)
        paid = position.notional(mark) * (1 - share) * cost
        return aim * (balance - paid) - rest.maintenance_margin(mark)

    kept = CompliantStep(aim, cost).kept(position, mark, balance, None)
    assert 0 <= kept < 1
    assert not kept or room(kept) == 0
    for tenth in range(1, 11):
        assert room(kept + (1 - kept) * Fraction(tenth, 10)) <= 0


@pytest.mark.parametrize("name", ["fee_rate", "slippage", "spread_rate", "backstop"])
def test_a_negative_rate_is_refused(name: str) -> None:
    wrong: dict[str, Any] = {name: -1}
    with pytest.raises(ParameterError, match=f"{name} is -1: give 0 or more"):
        LiquidationPolicy(**wrong)
