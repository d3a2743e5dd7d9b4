"""Positions and contracts: notional, PnL, what a fill closes and opens, snapping."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_margin.core.contract import Basis, Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.position import Position, PositionChange
from bt_margin.core.tiers import TierTable


def exact(value: Any) -> Any:
    """A Fraction where the hints say float: the model is number-generic."""
    return Fraction(value)


TIERS = TierTable.flat(exact("0.005"), 125)
LINEAR = Contract("BTCUSDT", TIERS)
SMALL = Contract("BTCUSDT", TIERS, contract_size=exact("0.01"))
INVERSE = Contract("BTCUSD", TIERS, contract_size=exact(100), inverse=True)


def held(size: Any, entry: Any, contract: Contract = LINEAR) -> Position:
    return Position(contract, exact(size), exact(entry), exact(10))


@pytest.mark.parametrize(
    ("contract", "size", "expected"),
    [
        pytest.param(LINEAR, 3, "330", id="3 coins at 110"),
        pytest.param(LINEAR, -3, "330", id="a short is worth as much"),
        pytest.param(SMALL, 3, "3.3", id="3 contracts of 0.01 coins"),
        pytest.param(INVERSE, 11, "10", id="11 contracts of 100 USD, in coin"),
    ],
)
def test_notional_at_110(contract: Contract, size: int, expected: str) -> None:
    assert exact(expected) == held(size, 100, contract).notional(exact(110))


@pytest.mark.parametrize(
    ("contract", "size", "mark", "expected"),
    [
        pytest.param(LINEAR, 3, 110, "30", id="a long gains when the price rises"),
        pytest.param(LINEAR, 3, 90, "-30", id="a long loses when it falls"),
        pytest.param(LINEAR, -3, 110, "-30", id="a short loses when it rises"),
        pytest.param(LINEAR, -3, 90, "30", id="a short gains when it falls"),
        pytest.param(SMALL, 3, 110, "0.3", id="by contract size"),
        # 1,000 USD: 10 coins at 100, 8 at 125, 20 at 50
        pytest.param(INVERSE, 10, 125, "2", id="an inverse long gains 10 - 8 coins"),
        pytest.param(INVERSE, 10, 50, "-10", id="an inverse long loses 20 - 10 coins"),
        pytest.param(INVERSE, -10, 125, "-2", id="an inverse short loses 2 coins"),
        pytest.param(INVERSE, -10, 50, "10", id="an inverse short gains 10 coins"),
    ],
)
def test_unrealized_pnl_from_100(
    contract: Contract, size: int, mark: int, expected: str
) -> None:
    assert exact(expected) == held(size, 100, contract).unrealized_pnl(exact(mark))


@pytest.mark.parametrize(
    ("basis", "fee", "expected"),
    [
        # 10 at 100, mark 110
        pytest.param(Basis.MARK, "0", "5.5", id="on mark: 1,100 * 0.005"),
        pytest.param(Basis.ENTRY, "0", "5", id="on entry: 1,000 * 0.005"),
        pytest.param(Basis.MARK, "0.001", "6.6", id="on mark, and 1,100 * 0.001"),
        pytest.param(Basis.ENTRY, "0.001", "6.1", id="on entry, the fee at mark"),
    ],
)
def test_maintenance_margin(basis: Basis, fee: str, expected: str) -> None:
    contract = Contract(
        "X", TIERS, maintenance_basis=basis, closing_fee_rate=exact(fee)
    )
    position = held(-10, 100, contract)
    assert exact(expected) == position.maintenance_margin(exact(110))
    # a short of 10 is 100 down
    assert -100 - exact(expected) == position.summary(exact(110), basis).surplus


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        pytest.param(Basis.ENTRY, 100, id="at entry: 1,000 / 10"),
        pytest.param(Basis.MARK, 110, id="at mark: 1,100 / 10"),
    ],
)
def test_initial_margin(basis: Basis, expected: int) -> None:
    assert expected == held(10, 100).initial_margin(exact(110), basis)


@pytest.mark.parametrize(
    ("size", "quantity", "closed", "opened", "pnl"),
    [
        # entry 100, fill at 110
        pytest.param(10, 5, 0, 5, 0, id="a long that adds"),
        pytest.param(-10, -5, 0, -5, 0, id="a short that adds"),
        pytest.param(10, -4, -4, 0, 40, id="a long that reduces"),
        pytest.param(-10, 4, 4, 0, -40, id="a short that reduces"),
        pytest.param(10, -10, -10, 0, 100, id="a long that closes"),
        pytest.param(-10, 10, 10, 0, -100, id="a short that closes"),
        pytest.param(10, -15, -10, -5, 100, id="a long that turns short"),
        pytest.param(-10, 15, 10, 5, -100, id="a short that turns long"),
    ],
)
def test_what_a_fill_closes_and_opens(
    size: int, quantity: int, closed: int, opened: int, pnl: int
) -> None:
    change = held(size, 100).change(exact(quantity), exact(110))
    assert PositionChange(closed, opened, pnl) == change


def test_float_dust_counts_as_flat() -> None:
    position = Position(LINEAR, 0.1 + 0.2, 100.0, 10)
    assert 0.1 + 0.2 != 0.3
    assert position.change(-0.3, 100.0).opened == 0
    assert position.change(-0.3, 100.0).closed == -(0.1 + 0.2)


def test_a_millionth_is_no_dust() -> None:
    change = held(1, 100).change(exact("-0.999999"), exact(100))
    assert PositionChange(exact("-0.999999"), 0, 0) == change


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        pytest.param(LINEAR, "175", id="linear: (10 * 100 + 30 * 200) / 40"),
        # 1,000 / 100 + 3,000 / 200 = 25 coins for 4,000 USD
        pytest.param(INVERSE, "160", id="inverse: 4,000 / (10 + 15)"),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_adding_averages_the_entry(
    contract: Contract, side: int, expected: str
) -> None:
    added = Position(contract, exact(side * 30), exact(200), exact(20))
    both = held(side * 10, 100, contract).increased(added)
    assert Position(contract, side * 40, exact(expected), 20) == both


def test_reducing_keeps_the_entry_and_closing_all_leaves_nothing() -> None:
    assert held(6, 100) == held(10, 100).reduced(exact(-4))
    assert held(10, 100).reduced(exact(-10)) is None


SIZES = st.fractions(Fraction(1, 100), 1000, max_denominator=100)
PRICES = st.fractions(1, 1000, max_denominator=100)


@given(
    contract=st.sampled_from([LINEAR, SMALL, INVERSE]),
    side=st.sampled_from([1, -1]),
    sizes=st.tuples(SIZES, SIZES),
    prices=st.tuples(PRICES, PRICES, PRICES),
)
def test_an_average_entry_has_the_pnl_of_its_parts(
    contract: Contract,
    side: int,
    sizes: tuple[Any, Any],
    prices: tuple[Any, Any, Any],
) -> None:
    one = Position(contract, side * sizes[0], prices[0], exact(10))
    other = Position(contract, side * sizes[1], prices[1], exact(10))
    expected = one.unrealized_pnl(prices[2]) + other.unrealized_pnl(prices[2])
    assert expected == one.increased(other).unrealized_pnl(prices[2])


@given(
    contract=st.sampled_from([LINEAR, SMALL, INVERSE]),
    size=SIZES,
    prices=st.tuples(PRICES, PRICES),
)
def test_a_short_gains_what_a_long_loses(
    contract: Contract, size: Any, prices: tuple[Any, Any]
) -> None:
    gain = contract.pnl(size, *prices)
    assert gain + contract.pnl(-size, *prices) == 0


@given(
    contract=st.sampled_from([LINEAR, SMALL, INVERSE]),
    size=SIZES,
    price=PRICES,
)
def test_the_price_of_a_notional_is_the_way_back(
    contract: Contract, size: Any, price: Any
) -> None:
    notional = contract.notional(size, price)
    assert price == contract.price_of_notional(size, notional)


@pytest.mark.parametrize(
    ("contract", "size", "expected"),
    [
        pytest.param(LINEAR, 10, "98", id="a long gets 2 less"),
        pytest.param(LINEAR, -10, "102", id="a short pays 2 more"),
        # 1,000 USD, 10 coins at 100: 20 coins worse is 30 coins or -10
        pytest.param(INVERSE, 10, "100/3", id="an inverse long: 1,000 / (10 + 20)"),
        pytest.param(INVERSE, -40, "200", id="an inverse short: 4,000 / (40 - 20)"),
    ],
)
def test_price_at_cost_is_worse_by_20(
    contract: Contract, size: int, expected: str
) -> None:
    price = contract.price_at_cost(exact(size), exact(100), exact(20))
    assert exact(expected) == price
    assert contract.pnl(exact(size), exact(100), price) == -20


@pytest.mark.parametrize(
    ("quantity", "step", "expected"),
    [
        pytest.param("1.2345", None, "1.2345", id="no step: as it is"),
        pytest.param("1.2399", "0.01", "1.23", id="never larger"),
        pytest.param("1.23", "0.01", "1.23", id="on the step it stays"),
        pytest.param("0.004", "0.01", "0", id="less than a step is nothing"),
        pytest.param("17", "5", "15", id="steps above 1"),
    ],
)
def test_quantities_snap_down(quantity: str, step: str | None, expected: str) -> None:
    contract = Contract("X", TIERS, size_step=None if step is None else exact(step))
    assert exact(expected) == contract.snapped_quantity(exact(quantity))


def test_three_tenths_are_three_steps_in_floats_too() -> None:
    assert 0.3 / 0.1 < 3
    contract = Contract("X", TIERS, size_step=0.1, price_tick=0.1)
    assert contract.snapped_quantity(0.3) == 0.1 * 3
    assert contract.snapped_price(0.3, is_buy=False) == 0.1 * 3


@pytest.mark.parametrize(
    ("price", "is_buy", "expected"),
    [
        pytest.param("100.26", True, "100.5", id="a buy pays more"),
        pytest.param("100.26", False, "100", id="a sell gets less"),
        pytest.param("100.5", True, "100.5", id="a buy on the tick"),
        pytest.param("100.5", False, "100.5", id="a sell on the tick"),
    ],
)
def test_prices_snap_to_the_worse_side(price: str, is_buy: bool, expected: str) -> None:
    contract = Contract("X", TIERS, price_tick=exact("0.5"))
    assert exact(expected) == contract.snapped_price(exact(price), is_buy=is_buy)


def test_a_fixed_margin_is_asked_for_each_contract_whatever_the_leverage() -> None:
    contract = Contract("ES", TIERS, fixed_margin=exact(500))
    position = Position(contract, exact(-3), exact(100), exact(10))
    assert position.initial_margin(exact(110), Basis.MARK) == 1500
    assert position.initial_margin(exact(110), Basis.ENTRY) == 1500
    # maintenance stays the venue's: 330 * 0.005
    assert exact("1.65") == position.maintenance_margin(exact(110))


@pytest.mark.parametrize(
    "name", ["contract_size", "fixed_margin", "size_step", "price_tick"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_a_contract_without_size_is_refused(name: str, value: int) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ParameterError) as refusal:
        Contract("BTC", TIERS, **options)
    assert (f"BTC.{name}", value) == (refusal.value.name, refusal.value.value)
