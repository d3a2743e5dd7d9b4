"""Keepers: guards that change an open position at the end of a bar.

The end of a bar is when a strategy could act too: what happens inside the next bar
comes after it.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bt_margin.broker.refusal import positive_number
from bt_margin.core.errors import ControlError, ParameterError
from bt_margin.core.margin import MarginSummary
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode

__all__ = ["PullBack", "ReduceBefore", "TopUp"]

_DUST = 1e-6  # of a position's initial margin: less is not worth moving


class _Held(NamedTuple):
    """A position as a keeper sees it; ``margin`` is that of its wallet."""

    data: Any
    position: Position
    margin: MarginSummary
    is_isolated: bool


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
            held = _Held(
                data=broker.data_of_symbol(position.contract.symbol),
                position=position,
                margin=broker.account.summary(wallet, broker.mark_of_symbol),
                is_isolated=broker.account.mode_of(key) is MarginMode.ISOLATED,
            )
            self._keep(broker, held)

    def _keep(self, broker: Any, held: _Held) -> None:
        raise NotImplementedError


@dataclass
class TopUp(_Keeper):
    """Margin is added to an isolated position whose ratio has risen too far.

    Attributes:
        at_ratio: margin ratio from which on it is added.
        share: what is added, as a share of the position's initial margin at entry;
            less where less is available.
        times: at most so often for one position; one that is open at the end of two
            bars on the same side is one position.
        most: at most so much for one position in all, settle currency; ``None``: no
            limit.
    """

    at_ratio: float = 0.7
    share: float = 0.5
    times: int = 3
    most: float | None = None
    _added: dict[tuple[str, bool], list[float]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        for name in ("at_ratio", "share", "times"):
            positive_number(name, getattr(self, name))
        if self.most is not None:
            positive_number("most", self.most)

    def start(self, broker: Any) -> None:
        """Begin a run.

        Raises:
            ControlError: the venue lets nobody add margin.
        """
        if not broker.venue.controls.adds_margin:
            raise ControlError(f"TopUp: {broker.venue.name} lets nobody add margin")
        self._added = {}

    def act(self, broker: Any) -> None:
        """Look at every position; what is gone is forgotten."""
        held = {_side_of(position) for position in broker.account.positions.values()}
        self._added = {key: sums for key, sums in self._added.items() if key in held}
        super().act(broker)

    def _keep(self, broker: Any, held: _Held) -> None:
        data, position, margin, is_isolated = held
        if not is_isolated or margin.margin_ratio < self.at_ratio:
            return
        side = position.contract.leg or None
        added = self._added.setdefault(_side_of(position), [])
        wanted = position.opening_margin * self.share
        if self.most is not None:
            wanted = min(wanted, self.most - sum(added))
        amount = min(wanted, broker.max_addable(data, side))
        if amount <= position.opening_margin * _DUST or len(added) >= self.times:
            return
        broker.add_margin(data, amount, side)
        added.append(amount)
        what = f"added {amount:,.2f} of margin ({len(added)} of {self.times})"
        why = f"margin ratio {margin.margin_ratio:.2f} is at {self.at_ratio:g} or more"
        broker.note_guard(self, data, what, why)


def _side_of(position: Position) -> tuple[str, bool]:
    """Key of a position, and whether it is long."""
    return position.contract.key, position.size > 0


@dataclass
class PullBack(_Keeper):
    """Margin comes back from an isolated winner that no longer needs it.

    Attributes:
        at_ratio: margin ratio below which the position is comfortable.
        to_ratio: what the ratio is brought to, as far as the venue lets it: above
            ``at_ratio`` and below 1.
    """

    at_ratio: float = 0.05
    to_ratio: float = 0.1

    def __post_init__(self) -> None:
        for name in ("at_ratio", "to_ratio"):
            positive_number(name, getattr(self, name))
        if not self.at_ratio < self.to_ratio < 1:
            fix = f"give a ratio above at_ratio ({self.at_ratio:g}) and below 1"
            raise ParameterError("to_ratio", self.to_ratio, fix)

    def start(self, broker: Any) -> None:
        """Begin a run.

        Raises:
            ControlError: the venue gives no margin back.
        """
        if broker.venue.controls.removal is None:
            raise ControlError(f"PullBack: {broker.venue.name} gives no margin back")

    def _keep(self, broker: Any, held: _Held) -> None:
        data, position, margin, is_isolated = held
        mark = broker.mark(data)
        if not is_isolated or position.unrealized_pnl(mark) <= 0:
            return
        if margin.margin_ratio >= self.at_ratio:
            return
        side = position.contract.leg or None
        wanted = margin.margin_balance - margin.maintenance_margin / self.to_ratio
        amount = min(wanted, broker.max_removable(data, side))
        if amount <= position.opening_margin * _DUST:
            return
        broker.remove_margin(data, amount, side)
        why = f"margin ratio {margin.margin_ratio:.3f} is below {self.at_ratio:g}"
        broker.note_guard(self, data, f"took {amount:,.2f} of margin back", why)


@dataclass
class ReduceBefore(_Keeper):
    """A position is reduced by market orders before the venue takes it.

    On cross margin the ratio is the wallet's, and every position in it is reduced.
    The strategy is told of the orders as of its own. Its resting orders against the
    position, such as a bracket's stop, become reduce-only unless they are larger than
    the position: they shall not open the other side by what is gone.

    Attributes:
        at_ratio: margin ratio from which on it is reduced, at the end of every bar.
        share: of the position that is closed each time, up to 1: all; no less than a
            size step.
    """

    at_ratio: float = 0.8
    share: float = 0.5
    _sent: dict[str, list[Any]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("at_ratio", "share"):
            positive_number(name, getattr(self, name))
        if self.share > 1:
            raise ParameterError("share", self.share, "give a share up to 1: all")

    def start(self, broker: Any) -> None:  # noqa: ARG002
        """Begin a run."""
        self._sent = {}

    def _keep(self, broker: Any, held: _Held) -> None:
        data, position, margin, _ = held
        contract, is_long = position.contract, position.size > 0
        # On a slower feed the orders of an earlier bar may still wait.
        is_waiting = any(order.alive() for order in self._sent.get(contract.key, ()))
        if margin.margin_ratio < self.at_ratio or is_waiting:
            return
        _bind_exits(broker, position)
        send, words = broker.sell if is_long else broker.buy, {}
        if contract.leg:
            words["position_side"] = contract.leg
        legs = [
            leg for leg in broker.legs.held(contract.key) if (leg[2] > 0) is is_long
        ]
        self._sent[contract.key] = sent = []
        for owner, tradeid, size in legs:
            # The broker doubles the trade ids of hedge mode again.
            own_id = tradeid // 2 if contract.leg else tradeid
            quantity = contract.snapped_quantity(abs(size) * self.share) or abs(size)
            order = send(
                owner, data, quantity, tradeid=own_id, reduce_only=True, **words
            )
            sent.append(order)
            what = f"reduces {size:g} by {quantity:g}"
            why = f"margin ratio {margin.margin_ratio:.2f} is at {self.at_ratio:g}"
            broker.note_guard(self, data, what, f"{why} or more")


def _bind_exits(broker: Any, position: Position) -> None:
    """Let resting orders that could close a position do no more than that."""
    for order in broker.live_orders():
        if (
            broker.order_terms(order).contract.key == position.contract.key
            and order.isbuy() is (position.size < 0)
            and abs(order.executed.remsize) <= abs(position.size)
        ):
            order.addinfo(reduce_only=True)
