"""Policy: a venue's way to liquidate, as values."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Protocol

from .errors import ParameterError
from .number import Number
from .position import Position

__all__ = [
    "CompliantStep",
    "CrossScope",
    "FractionStep",
    "LiquidationPolicy",
    "OrderScope",
    "Reduction",
    "Settlement",
    "Step",
    "TierStep",
]


class OrderScope(StrEnum):
    """Whose resting orders a liquidation cancels."""

    WALLET = "wallet"  # of every symbol whose margin the wallet holds
    SYMBOL = "symbol"  # of the liquidated symbols only
    ADDING = "adding"  # those of the wallet's symbols that could add to a position


class Settlement(StrEnum):
    """At what price the venue closes a position."""

    BANKRUPTCY = "bankruptcy"  # the trader ends with nothing of that margin
    MARKET = "market"  # mark less slippage; what is left after the fee returns


class CrossScope(StrEnum):
    """Which positions of a wallet go first when it is taken over."""

    ALL = "all"  # all at once
    HEDGED_FIRST = "hedged_first"  # what a symbol's two legs offset, then all
    LARGEST_LOSS_FIRST = "largest_loss_first"  # one after the other, until it is safe


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is remembered of a position that was closed in part.

    Attributes:
        position: as the liquidation left it; another one now was changed since.
        seconds_ago: time since then.
        place: the tier it was brought down to, from 0.
    """

    position: Position
    seconds_ago: Number
    place: int


class Step(Protocol):
    """How much of a position a venue closes before it takes all."""

    def kept(
        self,
        position: Position,
        mark: Number,
        balance: Number,
        before: Reduction | None,
    ) -> Number:
        """The share of the position that stays; 0: all of it is closed.

        Args:
            position: to be liquidated.
            mark: of its symbol.
            balance: its part of the wallet's margin balance.
            before: an earlier reduction of the same position.
        """


@dataclass(frozen=True, slots=True)
class TierStep:
    """Down to a lower tier, and again from there when that does not do.

    Attributes:
        down: how many tiers each time.
        untouched: positions in the lowest so many tiers are taken whole.
    """

    down: int = 1
    untouched: int = 1

    def kept(
        self,
        position: Position,
        mark: Number,
        balance: Number,  # noqa: ARG002
        before: Reduction | None,
    ) -> Number:
        """The share that fits the lower tier."""
        contract = position.contract
        units = abs(position.size) * contract.contract_size
        notional, tiers = position.maintenance_notional(mark), contract.tiers
        place = tiers.place(units, notional)
        if before is not None:
            place = min(place, before.place)
        if place < self.untouched:
            return 0
        return tiers.share_within(max(0, place - self.down), units, notional)


@dataclass(frozen=True, slots=True)
class FractionStep:
    """A fraction first, and the rest if that does not do for a while.

    Attributes:
        fraction: of the position.
        above_notional: smaller positions are taken whole.
        pause: a second liquidation within it takes the rest.
    """

    fraction: Number
    above_notional: Number = 0
    pause: timedelta = timedelta(0)

    def kept(
        self,
        position: Position,
        mark: Number,
        balance: Number,  # noqa: ARG002
        before: Reduction | None,
    ) -> Number:
        """The share after the fraction."""
        is_again = before and before.seconds_ago <= self.pause.total_seconds()
        if is_again or position.notional(mark) <= self.above_notional:
            return 0
        return 1 - self.fraction


@dataclass(frozen=True, slots=True)
class CompliantStep:
    """As much as makes the wallet meet its requirement again.

    Attributes:
        margin_ratio: the ratio aimed at, below 1. How far venues go is not published:
            an assumption. At 1 the next tick would liquidate again.
        cost_rate: what closing costs, as a share of the notional closed: fee and
            slippage. Where it is more than closing frees, all is taken.
    """

    margin_ratio: Number
    cost_rate: Number

    takes_rest: ClassVar[bool] = True  # what it cannot keep goes with the step

    def kept(
        self,
        position: Position,
        mark: Number,
        balance: Number,
        before: Reduction | None,  # noqa: ARG002
    ) -> Number:
        """The largest share whose requirement is the ratio aimed at.

        With ``n`` the notional, ``b`` the one that maintenance is taken on, ``f`` the
        closing fees in it, ``k`` the share kept and a tier's rate ``m`` and amount
        ``c``: balance - n (1 - k) cost = (k (b m + f) - c) / ratio. The left side
        rises with k more slowly than the right where closing helps at all.
        """
        base, aim = position.maintenance_notional(mark), self.margin_ratio
        cost = position.notional(mark) * self.cost_rate
        fees = position.closing_fees(mark)
        tiers = position.contract.tiers_of(position.size)
        for tier, floor, ceiling in reversed(tiers.bands()):
            amount = tier.maintenance_amount or 0
            relief = base * tier.maintenance_margin_rate + fees - aim * cost
            if floor >= base or relief <= 0:
                continue
            share = (aim * (balance - cost) + amount) / relief
            if floor < share * base <= min(ceiling, base):
                return share
        return 0


@dataclass(frozen=True, slots=True)
class LiquidationPolicy:
    """What a venue does with a wallet that no longer meets maintenance.

    Attributes:
        settlement: the price the trader gets for what is taken over.
        cancel: which resting orders are cancelled.
        fee_rate: share of the notional closed in the market, never more than is left.
        slippage: share of mark by which a market close is worse: an assumption.
        spread_rate: the price of a market close is worse than mark by this multiple
            of the maintenance rate times the share of maintenance that is lost
            (dYdX "fillable price"); 0: no such rule.
        backstop: share of maintenance margin; with less left than that the venue
            takes all of it, also with ``MARKET``.
        step: what is closed before all is; ``None``: nothing.
        step_settlement: the price of what a step closes.
        cross_scope: which positions of a wallet go first.
    """

    settlement: Settlement = Settlement.BANKRUPTCY
    cancel: OrderScope = OrderScope.WALLET
    fee_rate: Number = 0
    slippage: Number = 0
    spread_rate: Number = 0
    backstop: Number = 0
    step: Step | None = None
    step_settlement: Settlement = Settlement.MARKET
    cross_scope: CrossScope = CrossScope.ALL

    def __post_init__(self) -> None:
        for name in ("fee_rate", "slippage", "spread_rate", "backstop"):
            if not getattr(self, name) >= 0:
                raise ParameterError(name, getattr(self, name), "give 0 or more")
