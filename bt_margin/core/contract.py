"""A perpetual contract: what one unit of size is worth, and the venue's margin rule."""

from dataclasses import dataclass, replace
from enum import StrEnum

from .errors import ParameterError
from .number import Number
from .size_tiers import SizeTiers
from .tiers import NO_MAINTENANCE, TierTable

__all__ = ["Basis", "Contract", "position_key"]


class Basis(StrEnum):
    """The price at which a venue takes a notional for a margin requirement."""

    MARK = "mark"
    ENTRY = "entry"


@dataclass(frozen=True, slots=True)
class Contract:
    """A perpetual contract as a venue lists it.

    Attributes:
        symbol: the name positions and ledger entries carry.
        tiers: maintenance margin and leverage bounds, by notional or by size.
        contract_size: base coins per contract; inverse: quote units.
        inverse: settled in the base coin instead of the quote currency.
        maintenance_basis: price of the notional that maintenance is taken on.
        closing_fee_rate: taker fee that the venue counts in maintenance, as a
            share of the notional at mark; 0 where it counts none.
        reserved_fee_rate: taker fee of a close at the position's own bankruptcy price
            that the venue counts in initial and maintenance margin alike.
        fixed_margin: initial margin of one contract, whatever the leverage, as a
            futures exchange sets it; ``None``: notional / leverage.
        size_step: sizes are multiples of it; ``None``: any size.
        price_tick: prices are multiples of it; ``None``: any price.
        min_quantity: smallest order, in contracts; ``None``: no limit.
        min_notional: smallest order, in the settle currency; ``None``: no limit.
        leg: ``"long"`` or ``"short"`` where a symbol has a position on each side
            (hedge mode); ``""``: one position.
    """

    symbol: str
    tiers: TierTable | SizeTiers
    contract_size: Number = 1
    inverse: bool = False
    maintenance_basis: Basis = Basis.MARK
    closing_fee_rate: Number = 0
    reserved_fee_rate: Number = 0
    fixed_margin: Number | None = None
    size_step: Number | None = None
    price_tick: Number | None = None
    min_quantity: Number | None = None
    min_notional: Number | None = None
    leg: str = ""

    def __post_init__(self) -> None:
        for name in ("contract_size", "fixed_margin", "size_step", "price_tick"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                where = f"{self.symbol}.{name}"
                raise ParameterError(where, value, "give a number above 0")

        for name in ("closing_fee_rate", "reserved_fee_rate"):
            if not getattr(self, name) >= 0:
                where = f"{self.symbol}.{name}"
                raise ParameterError(where, getattr(self, name), "give 0 or more")

    @property
    def key(self) -> str:
        """The name of its position in an account: the symbol, with its leg if any."""
        return position_key(self.symbol, self.leg)

    @property
    def without_maintenance(self) -> "Contract":
        """The same with nothing required: its liquidation price is bankruptcy.

        A fee that is reserved for the close at that price stays reserved (Bybit).
        """
        return replace(self, tiers=NO_MAINTENANCE, closing_fee_rate=0)

    def tiers_of(self, size: Number) -> TierTable:
        """The tiers by notional that hold for ``size`` contracts."""
        return self.tiers.at_size(abs(size) * self.contract_size)

    def notional(self, size: Number, price: Number) -> Number:
        """Unsigned worth of ``size`` contracts at ``price``, settle currency."""
        units = abs(size) * self.contract_size
        return units / price if self.inverse else units * price

    def price_of_notional(self, size: Number, notional: Number) -> Number:
        """The price at which ``size`` contracts are worth ``notional``."""
        units = abs(size) * self.contract_size
        if not self.inverse:
            return notional / units
        return units / notional if notional else float("inf")

    def pnl(self, size: Number, entry_price: Number, price: Number) -> Number:
        """Gain (+) of signed ``size`` from ``entry_price`` to ``price``."""
        units = size * self.contract_size
        if self.inverse:
            return units / entry_price - units / price
        return units * (price - entry_price)

    def price_at_cost(self, size: Number, price: Number, cost: Number) -> Number:
        """The price worse than ``price`` by ``cost`` for signed ``size``.

        A coin-settled short cannot lose more than the coins it is worth: where the
        cost is that or more, no price is bad enough, and it is infinite.
        """
        units = size * self.contract_size
        if not self.inverse:
            return price - cost / units
        coins = units / price + cost
        return units / coins if (coins > 0) is (units > 0) and coins else float("inf")

    def snapped_quantity(self, quantity: Number) -> Number:
        """``quantity`` (unsigned) on the size step, never larger."""
        return self._snapped(quantity, self.size_step, round_up=False)

    def snapped_price(self, price: Number, *, is_buy: bool) -> Number:
        """``price`` on the price tick, never better: a buy rounds up."""
        return self._snapped(price, self.price_tick, round_up=is_buy)

    @staticmethod
    def _snapped(value: Number, step: Number | None, *, round_up: bool) -> Number:
        """``value`` on a multiple of ``step``.

        Within a billionth of a step, or of a trillionth of the value, counts as on it:
        0.3 / 0.1 is 2.9999999999999996 in floats, and three steps to a trader.
        """
        if step is None:
            return value
        steps = value / step
        nearest = round(steps)
        if abs(steps - nearest) * 10**9 < 1 + nearest / 10**3:
            return step * nearest
        return step * (int(steps) + round_up)


def position_key(symbol: str, leg: str = "") -> str:
    """The name of a position in an account: the symbol, with its leg if any."""
    return f"{symbol}:{leg}" if leg else symbol
