"""Legs: which strategy and trade hold which part of a position.

Backtrader keeps one position for each feed, and trades for each strategy, feed and
trade id. A forced close needs one order for each of these, or trades stay open.
"""

from typing import Any, NamedTuple

from bt_margin.core.contract import Contract

__all__ = ["Leg", "Legs"]

_DUST = 1e-9  # of an execution: below it a remainder is float rounding


class Leg(NamedTuple):
    """What one trade holds of a position.

    Attributes:
        size: signed, to the last bit the size of Backtrader's trade.
        entry_price: average entry of the trade.
    """

    size: float = 0.0
    entry_price: float = 0.0

    def changed(self, contract: Contract, size: float, price: float) -> "Leg":
        """The leg after an execution, by the rule of Backtrader's trade."""
        after = self.size + size
        if abs(after) <= abs(self.size):
            return Leg(after, self.entry_price)
        if contract.inverse:
            before = self.size / self.entry_price if self.size else 0.0
            coins = before + size / price
            return Leg(after, after / coins if coins else price)
        return Leg(after, (self.size * self.entry_price + size * price) / after)


class Legs:
    """What each (strategy, trade id) holds, for each position by its key."""

    def __init__(self) -> None:
        self._legs: dict[str, dict[tuple[Any, int], Leg]] = {}

    def of(self, key: str, order: Any) -> Leg:
        """What the trade of an order holds."""
        return self._legs.get(key, {}).get((order.owner, order.tradeid), Leg())

    def whole(self, key: str, order: Any, closed: float) -> float:
        """The closed size of an execution, without float rounding.

        The trade counts in floats of its own: what closes it but for rounding closes
        it, so that it ends.
        """
        held = self.of(key, order).size
        return -held if abs(held + closed) <= _DUST * abs(closed) else closed

    def add(
        self, contract: Contract, order: Any, closed: float, opened: float, price: float
    ) -> None:
        """Count an execution of ``order``, in the steps in which its trade does."""
        legs = self._legs.setdefault(contract.key, {})
        leg = legs.pop((order.owner, order.tradeid), Leg())
        for size in (closed, opened):
            if size:
                leg = leg.changed(contract, size, price)
        if leg.size:
            legs[order.owner, order.tradeid] = leg

    def take(self, key: str, share: float) -> list[tuple[Any, int, Leg]]:
        """A share (up to 1: all) of each leg, which is held no more.

        Returns:
            Strategy, trade id and what is taken, of each.
        """
        legs = self._legs.pop(key, {})
        taken = {who: leg._replace(size=leg.size * share) for who, leg in legs.items()}
        if share < 1:
            # By subtraction, as the trade does it.
            self._legs[key] = {
                who: leg._replace(size=leg.size - taken[who].size)
                for who, leg in legs.items()
            }
        return [(owner, tradeid, leg) for (owner, tradeid), leg in taken.items()]

    def held(self, key: str) -> list[tuple[Any, int, float]]:
        """The legs of a position: strategy, trade id and signed size."""
        legs = self._legs.get(key, {})
        return [(owner, tradeid, leg.size) for (owner, tradeid), leg in legs.items()]
