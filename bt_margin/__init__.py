"""Backtest any Backtrader strategy as a leveraged crypto perpetual.

Swap the broker and nothing else::

    cerebro.setbroker(bt_margin.IsolatedBroker(cash=10_000, leverage=10))
"""

from bt_margin import analyzers as analyzers
from bt_margin import guards as guards
from bt_margin import observers as observers
from bt_margin import plotting as plotting
from bt_margin import sizers as sizers
from bt_margin.broker import (
    CrossBroker,
    IsolatedBroker,
    MarginBroker,
    PerpCommission,
    PerpData,
)
from bt_margin.core.account import Account
from bt_margin.core.adjust import AutoMargin
from bt_margin.core.contract import Contract
from bt_margin.core.deleveraging import DeleveragingEvent
from bt_margin.core.errors import MarginError
from bt_margin.core.funding import FundingEvent, funding_payment
from bt_margin.core.ledger import Ledger, LedgerEntry, LedgerEntryKind
from bt_margin.core.liquidation import LiquidationEvent
from bt_margin.core.margin import (
    MarginSummary,
    bankruptcy_price,
    initial_margin,
    liquidation_price,
    maintenance_margin,
)
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTier, SizeTiers
from bt_margin.core.tiers import Tier, TierTable
from bt_margin.data.load import load_market
from bt_margin.data.sample import sample_market
from bt_margin.data.survey import check_market
from bt_margin.data.tiers import load_tiers
from bt_margin.study import Comparison, compare
from bt_margin.venues import Venue, get_venue, register_venue, venue_names

__all__ = [
    "Account",
    "AutoMargin",
    "Comparison",
    "Contract",
    "CrossBroker",
    "DeleveragingEvent",
    "FundingEvent",
    "IsolatedBroker",
    "Ledger",
    "LedgerEntry",
    "LedgerEntryKind",
    "LiquidationEvent",
    "MarginBroker",
    "MarginError",
    "MarginSummary",
    "PerpCommission",
    "PerpData",
    "Position",
    "SizeTier",
    "SizeTiers",
    "Tier",
    "TierTable",
    "Venue",
    "bankruptcy_price",
    "check_market",
    "compare",
    "funding_payment",
    "get_venue",
    "initial_margin",
    "liquidation_price",
    "load_market",
    "load_tiers",
    "maintenance_margin",
    "register_venue",
    "sample_market",
    "venue_names",
]
