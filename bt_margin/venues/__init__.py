"""Venues: pages of dated facts, found by name."""

from .binanceusdm import BINANCE_USDM
from .bybit import BYBIT
from .gate import GATE
from .generic import GENERIC
from .hyperliquid import HYPERLIQUID
from .krakenfutures import KRAKEN_FUTURES
from .kucoinfutures import KUCOIN_FUTURES
from .okx import OKX
from .rules import (
    ContractKind,
    Controls,
    OrderMarginRule,
    PositionMode,
    Revision,
    Tiers,
)
from .venue import Venue, base_coin, get_venue, register_venue, venue_names

__all__ = [
    "BINANCE_USDM",
    "BYBIT",
    "GATE",
    "GENERIC",
    "HYPERLIQUID",
    "KRAKEN_FUTURES",
    "KUCOIN_FUTURES",
    "OKX",
    "ContractKind",
    "Controls",
    "OrderMarginRule",
    "PositionMode",
    "Revision",
    "Tiers",
    "Venue",
    "base_coin",
    "get_venue",
    "register_venue",
    "venue_names",
]

for _page in (
    BINANCE_USDM,
    BYBIT,
    GATE,
    GENERIC,
    HYPERLIQUID,
    KRAKEN_FUTURES,
    KUCOIN_FUTURES,
    OKX,
):
    register_venue(_page)
