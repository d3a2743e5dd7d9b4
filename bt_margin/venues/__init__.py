"""Venues: pages of dated facts, found by name."""

from .binancecoinm import BINANCE_COINM
from .binanceusdm import BINANCE_USDM
from .bitmex import BITMEX
from .bybit import BYBIT
from .deribit import DERIBIT
from .dydx import DYDX
from .gate import GATE
from .generic import GENERIC
from .hyperliquid import HYPERLIQUID
from .krakenfutures import KRAKEN_FUTURES
from .kucoinfutures import KUCOIN_FUTURES
from .okx import OKX
from .phemex import PHEMEX
from .rules import (
    ContractKind,
    Controls,
    OrderMarginRule,
    PositionMode,
    Revision,
    Tiers,
)
from .venue import (
    Venue,
    base_coin,
    get_venue,
    quote_coin,
    register_venue,
    venue_names,
)

__all__ = [
    "BINANCE_COINM",
    "BINANCE_USDM",
    "BITMEX",
    "BYBIT",
    "DERIBIT",
    "DYDX",
    "GATE",
    "GENERIC",
    "HYPERLIQUID",
    "KRAKEN_FUTURES",
    "KUCOIN_FUTURES",
    "OKX",
    "PHEMEX",
    "ContractKind",
    "Controls",
    "OrderMarginRule",
    "PositionMode",
    "Revision",
    "Tiers",
    "Venue",
    "base_coin",
    "get_venue",
    "quote_coin",
    "register_venue",
    "venue_names",
]

for _page in (
    BINANCE_COINM,
    BINANCE_USDM,
    BITMEX,
    BYBIT,
    DERIBIT,
    DYDX,
    GATE,
    GENERIC,
    HYPERLIQUID,
    KRAKEN_FUTURES,
    KUCOIN_FUTURES,
    OKX,
    PHEMEX,
):
    register_venue(_page)
