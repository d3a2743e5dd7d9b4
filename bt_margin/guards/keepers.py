"""Keepers: guards that change an open position at the end of a bar.

The end of a bar is when a strategy could act too: what happens inside the next bar
comes after it.
"""

from dataclasses import dataclass, field
from typing import Any

from bt_margin.broker.refusal import positive_number
from bt_margin.core.margin import MarginSummary
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode

__all__ = ["PullBack", "ReduceBefore", "TopUp"]


class _Keeper:
    """A guard that lets every order through and looks at open positions."""

    def start(self, broker: Any) -> None:
        """Begin a run."""

    def objection(self, broker: Any, order: Any) -> str | None:  # noqa: ARG002
        """Let every order through."""
        return None

    def act(self, broker: Any) -> None:
        """Look at every position at the end of a bar."""
        for position in list(broker.account.positions.values()):
            key = position.contract.key
            wallet = broker.account.wallet_of(key)
            margin = broker.account.summary(wallet, broker.mark_of_symbol)
            data = broker.data_of_symbol(position.contract.symbol)
            is_isolated = broker.account.mode_of(key) is MarginMode.ISOLATED
            self._keep(broker, data, position, margin, is_isolated=is_isolated)

    def _keep(
        self,
        broker: Any,
        data: Any,
        position: Position,
        margin: MarginSummary,
        *,
        is_isolated: bool,
    ) -> None:
        raise NotImplementedError


@dataclass
class TopUp(_Keeper):
    """Margin is added to an isolated position whose ratio has risen too far.

    Attributes:
        at_ratio: margin ratio from which on it is added.
        share: what is added, as a share of the position's initial margin at entry;
            less where less is available.
        times: at most so often for one position.
        most: at most so much for one position in all; ``None``: no limit.
    """

    at_ratio: float = 0.7
    share: float = 0.5
    times: int = 3
    most: float | None = None
    _added: dict[str, list[float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("at_ratio", "share", "times"):
            positive_number(name, getattr(self, name))

    def start(self, broker: Any) -> None:  # noqa: ARG002
        """Begin a run."""
        self._added = {}

    def act(self, broker: Any) -> None:
        """Look at every position; what is gone is forgotten."""
        held = broker.account.positions
        self._added = {key: sums for key, sums in self._added.items() if key in held}
        super().act(broker)

    def _keep(
        self,
        broker: Any,
        data: Any,
        position: Position,
        margin: MarginSummary,
        *,
        is_isolated: bool,
    ) -> None:
        if not is_isolated or margin.margin_ratio < self.at_ratio:
            return
        contract = position.contract
        added, side = self._added.setdefault(contract.key, []), contract.leg or None
        wanted = position.opening_margin * self.share
        if self.most is not None:
            wanted = min(wanted, self.most - sum(added))
        amount = min(wanted, broker.max_addable(data, side))
        if amount <= 0 or len(added) >= self.times:
            return
        broker.add_margin(data, amount, side)
        added.append(amount)
        what = f"added {amount:,.2f} of margin ({len(added)} of {self.times})"
        why = f"margin ratio {margin.margin_ratio:.2f} is at {self.at_ratio:g} or more"
        broker.note_guard(self, data, what, why)


@dataclass
class PullBack(_Keeper):
    """Margin comes back from an isolated winner that no longer needs it.

    Attributes:
        at_ratio: margin ratio below which the position is comfortable.
        to_ratio: what the ratio is brought to, as far as the venue lets it.
    """

    at_ratio: float = 0.05
    to_ratio: float = 0.1

    def __post_init__(self) -> None:
        for name in ("at_ratio", "to_ratio"):
            positive_number(name, getattr(self, name))

    def _keep(
        self,
        broker: Any,
        data: Any,
        position: Position,
        margin: MarginSummary,
        *,
        is_isolated: bool,
    ) -> None:
        mark = broker.mark(data)
        if not is_isolated or position.unrealized_pnl(mark) <= 0:
            return
        if margin.margin_ratio >= self.at_ratio:
            return
        side = position.contract.leg or None
        wanted = margin.margin_balance - margin.maintenance_margin / self.to_ratio
        amount = min(wanted, broker.max_removable(data, side))
        if amount <= 0:
            return
        broker.remove_margin(data, amount, side)
        why = f"margin ratio {margin.margin_ratio:.3f} is below {self.at_ratio:g}"
        broker.note_guard(self, data, f"took {amount:,.2f} of margin back", why)


@dataclass
class ReduceBefore(_Keeper):
    """A position is reduced by market orders before the venue takes it.

    Attributes:
        at_ratio: margin ratio from which on it is reduced, at the end of every bar.
        share: of the position that is closed each time.
    """

    at_ratio: float = 0.8
    share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("at_ratio", "share"):
            positive_number(name, getattr(self, name))

    def _keep(
        self,
        broker: Any,
        data: Any,
        position: Position,
        margin: MarginSummary,
        *,
        is_isolated: bool,  # noqa: ARG002
    ) -> None:
        if margin.margin_ratio < self.at_ratio:
            return
        leg = position.contract.leg
        words = {"position_side": leg} if leg else {}
        for owner, tradeid, size in broker.legs.held(position.contract.key):
            # The broker doubles the trade ids of hedge mode again.
            own_id = tradeid // 2 if leg else tradeid
            send = broker.sell if size > 0 else broker.buy
            quantity = abs(size) * self.share
            send(owner, data, quantity, tradeid=own_id, reduce_only=True, **words)
            what = f"reduces {size:g} by {quantity:g}"
            why = f"margin ratio {margin.margin_ratio:.2f} is at {self.at_ratio:g}"
            broker.note_guard(self, data, what, f"{why} or more")
