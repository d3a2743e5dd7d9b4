"""Markets: price candles and funding rates, read from files and checked."""

from bt_margin.data.check import as_candles, as_funding, check_candles, check_funding
from bt_margin.data.load import load_market
from bt_margin.data.market import Market, SymbolData
from bt_margin.data.survey import check_market, constant_funding
from bt_margin.data.tiers import load_tiers, write_tiers

__all__ = [
    "Market",
    "SymbolData",
    "as_candles",
    "as_funding",
    "check_candles",
    "check_funding",
    "check_market",
    "constant_funding",
    "load_market",
    "load_tiers",
    "write_tiers",
]
