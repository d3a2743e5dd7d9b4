"""A position: size and entry of one contract, and what it asks of its wallet."""

from dataclasses import dataclass

from .contract import Basis, Contract
from .margin import MarginSummary, initial_margin
from .number import Number
from .tiers import Tier

__all__ = ["Position", "PositionChange"]


@dataclass(frozen=True, slots=True)
class Position:
    """An open position; a value: a fill makes a new one.

    Attributes:
        contract: what is held.
        size: signed, + long, in contracts; never 0.
        entry_price: average price of the size held.
        leverage: the setting under which it was last opened or added to.
    """

    contract: Contract
    size: Number
    entry_price: Number
    leverage: Number

    @property
    def opening_margin(self) -> Number:
        """What the position locks when it opens at its entry price."""
        return self.initial_margin(self.entry_price, Basis.ENTRY)

    @property
    def reserved_fee(self) -> Number:
        """Fee of a close at its own bankruptcy price that the venue reserves.

        Linear: entry * (1 - side / leverage); inverse: the notional in coin is larger
        by as much (Bybit "Order Cost", "Initial Margin").
        """
        contract = self.contract
        if not contract.reserved_fee_rate:
            return 0
        is_long = self.size > 0
        away = 1 / self.leverage if is_long is contract.inverse else -1 / self.leverage
        return self.entry_notional * (1 + away) * contract.reserved_fee_rate

    @property
    def entry_notional(self) -> Number:
        """Unsigned notional at the entry price."""
        return self.contract.notional(self.size, self.entry_price)

    def notional(self, mark_price: Number) -> Number:
        """Unsigned notional at mark."""
        return self.contract.notional(self.size, mark_price)

    def unrealized_pnl(self, mark_price: Number) -> Number:
        """Gain (+) at mark."""
        return self.contract.pnl(self.size, self.entry_price, mark_price)

    def initial_margin(self, mark_price: Number, basis: Basis) -> Number:
        """What the position locks, on the wallet's basis."""
        fee = self.reserved_fee
        if self.contract.fixed_margin is not None:
            return abs(self.size) * self.contract.fixed_margin + fee
        price = mark_price if basis is Basis.MARK else self.entry_price
        notional = self.contract.notional(self.size, price)
        return initial_margin(notional, self.leverage) + fee

    def maintenance_margin(self, mark_price: Number) -> Number:
        """Requirement at mark, on the contract's basis, with its closing fees."""
        return self.maintenance_in_tier(mark_price, self.tier(mark_price))

    def maintenance_notional(self, mark_price: Number) -> Number:
        """The notional that maintenance is taken on, at mark or at entry."""
        if self.contract.maintenance_basis is Basis.MARK:
            return self.notional(mark_price)
        return self.entry_notional

    def tier(self, mark_price: Number) -> Tier:
        """The tier at mark, on the contract's basis."""
        base = self.maintenance_notional(mark_price)
        return self.contract.tiers_of(self.size).tier_of(base)

    def closing_fees(self, mark_price: Number) -> Number:
        """The fees of a close that the venue counts in maintenance."""
        at_mark = self.notional(mark_price) * self.contract.closing_fee_rate
        return at_mark + self.reserved_fee

    def maintenance_in_tier(self, mark_price: Number, tier: Tier) -> Number:
        """Requirement at mark if ``tier`` applies."""
        base = self.maintenance_notional(mark_price)
        return tier.maintenance_margin(base) + self.closing_fees(mark_price)

    def largest_maintenance(self, low_mark: Number, high_mark: Number) -> Number:
        """The largest requirement while mark is between the two."""
        contract, tiers = self.contract, self.contract.tiers_of(self.size)
        ends = [self.notional(mark) for mark in (low_mark, high_mark)]
        fees = max(ends) * contract.closing_fee_rate + self.reserved_fee
        if contract.maintenance_basis is Basis.ENTRY:
            return tiers.maintenance_margin(self.entry_notional) + fees
        return tiers.largest_margin(min(ends), max(ends)) + fees

    def surplus(self, mark_price: Number) -> Number:
        """What the position adds to its wallet's surplus at mark."""
        return self.unrealized_pnl(mark_price) - self.maintenance_margin(mark_price)

    def surplus_in_tier(self, mark_price: Number, tier: Tier) -> Number:
        """The same if ``tier`` applies."""
        required = self.maintenance_in_tier(mark_price, tier)
        return self.unrealized_pnl(mark_price) - required

    def summary(self, mark_price: Number, basis: Basis) -> MarginSummary:
        """What the position adds to its wallet's summary."""
        return MarginSummary(
            self.unrealized_pnl(mark_price),
            self.initial_margin(mark_price, basis),
            self.maintenance_margin(mark_price),
        )

    def change(self, size: Number, price: Number) -> "PositionChange":
        """What a fill of signed ``size`` at ``price`` closes and opens.

        A remainder below a billionth of the fill is float dust and counts as flat:
        0.1 + 0.2 - 0.3 closes the position.
        """
        remaining = self.size + size
        if abs(remaining) * 10**9 < abs(size):
            return PositionChange(-self.size, 0, self._realized(-self.size, price))
        if (size > 0) is (self.size > 0):
            return PositionChange(0, size, 0)
        if (remaining > 0) is (self.size > 0):
            return PositionChange(size, 0, self._realized(size, price))
        return PositionChange(-self.size, remaining, self._realized(-self.size, price))

    def _realized(self, closed: Number, price: Number) -> Number:
        return self.contract.pnl(-closed, self.entry_price, price)

    def increased(self, added: "Position") -> "Position":
        """This position and ``added`` (same side) as one, at the later leverage."""
        contract, size = self.contract, self.size + added.size
        if contract.inverse:
            entry = size / (
                self.size / self.entry_price + added.size / added.entry_price
            )
        else:
            cost = self.entry_price * self.size + added.size * added.entry_price
            entry = cost / size
        return Position(contract, size, entry, added.leverage)

    def reduced(self, closed: Number) -> "Position | None":
        """The position after closing ``closed`` (opposite sign); ``None``: flat."""
        size = self.size + closed
        if not size:
            return None
        return Position(self.contract, size, self.entry_price, self.leverage)


@dataclass(frozen=True, slots=True)
class PositionChange:
    """How a fill splits, in signed contracts of the fill's own sign.

    Attributes:
        closed: part that reduces the position.
        opened: part that opens or adds.
        realized_pnl: gain (+) on the closed part.
    """

    closed: Number
    opened: Number
    realized_pnl: Number
