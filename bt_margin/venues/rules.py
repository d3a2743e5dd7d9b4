"""Rules: the words in which a venue page is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, TypeAlias

from bt_margin.core.adjust import RemovalRule
from bt_margin.core.size_tiers import SizeTiers
from bt_margin.core.tiers import TierTable

__all__ = [
    "ContractKind",
    "Controls",
    "OrderMarginRule",
    "PositionMode",
    "Revision",
    "Tiers",
]

Tiers: TypeAlias = TierTable | SizeTiers


class ContractKind(StrEnum):
    """What a contract is settled in."""

    LINEAR = "linear"  # the quote currency
    INVERSE = "inverse"  # the base coin


class PositionMode(StrEnum):
    """How many positions a symbol can have."""

    ONE_WAY = "one_way"  # one
    HEDGE = "hedge"  # a long and a short


@dataclass(frozen=True, slots=True)
class OrderMarginRule:
    """What a resting order locks besides its initial margin.

    Attributes:
        open_loss: what it would lose at once if it filled now.
        fees: its opening fee, and the fee of a close at its bankruptcy price.
        untriggered_stops: whether stops lock before their trigger.
    """

    open_loss: bool = True
    fees: bool = False
    untriggered_stops: bool = True


@dataclass(frozen=True, slots=True)
class Controls:
    """What a trader may change while a position or orders are open.

    Attributes:
        adds_margin: whether margin can be added to an isolated position.
        removal: what must stay when margin is removed; ``None``: none can be.
        auto_margin: whether the venue adds margin by itself if asked to.
        lowers_isolated_leverage: whether an isolated position's leverage can fall.
        raises_isolated_leverage: whether it can rise.
        leverage_moves_margin: whether an isolated wallet follows a new leverage, to
            notional at entry / leverage.
        leverage_with_orders: whether leverage can change while orders rest.
        mode_with_orders: whether margin mode can change while orders rest; with a
            position it never can.
        mode_of_account: whether all symbols have one margin mode.
    """

    adds_margin: bool = True
    removal: RemovalRule | None = field(default_factory=RemovalRule)
    auto_margin: bool = False
    lowers_isolated_leverage: bool = True
    raises_isolated_leverage: bool = True
    leverage_moves_margin: bool = True
    leverage_with_orders: bool = True
    mode_with_orders: bool = False
    mode_of_account: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """A rule that held before a day.

    Attributes:
        before: the first day (UTC) of the rule that followed.
        changes: fields of the page as they were.
        note: what changed, in a sentence.
    """

    before: date
    changes: Mapping[str, Any]
    note: str
