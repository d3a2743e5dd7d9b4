"""Two crashes at five venues: the program that makes the table `crashes.txt`.

``python tests/golden/crashes.py`` prints it. A long is opened at the market with the
first bar of the day and held; what each venue's rules made of it is one line. The
candles, mark candles and funding are Binance's at every venue, so that nothing but
the rules differs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backtrader as bt

import bt_margin

MARKET = (
    Path(__file__).parents[2].parent / "shared" / "data" / "binance_usdm_1h_2019_2026"
)
VENUES = ("binanceusdm", "bybit", "okx", "hyperliquid", "dydx")
MODES = ("isolated", "cross")


@dataclass(frozen=True)
class Case:
    """A long that is held through a crash.

    Attributes:
        symbol: what is held.
        start: first day, UTC.
        end: first day after it.
        notional: about, at entry, in quote currency.
        leverage: the setting.
    """

    symbol: str
    start: str
    end: str
    notional: float
    leverage: float


CASES = (
    Case("BTCUSDT", "2020-03-12", "2020-03-14", 40_000, 10),
    Case("BTCUSDT", "2020-03-12", "2020-03-14", 4_000_000, 10),
    Case("XRPUSDT", "2025-10-10", "2025-10-12", 40_000, 5),
    Case("LTCUSDT", "2025-10-10", "2025-10-12", 40_000, 5),
    Case("ADAUSDT", "2025-10-10", "2025-10-12", 40_000, 5),
    Case("ADAUSDT", "2025-10-10", "2025-10-12", 2_000_000, 5),
)


class Hold(bt.Strategy):
    """Buys once, and keeps the liquidation price that it has then."""

    params = (("size", 1.0),)

    def __init__(self) -> None:
        self.entry = self.liquidation_price = None

    def notify_order(self, order: Any) -> None:
        if order.status == order.Completed and order.isbuy() and self.entry is None:
            self.entry = order.executed.price

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=self.p.size)
        if self.entry and self.liquidation_price is None and self.position:
            self.liquidation_price = self.broker.liquidation_price(self.data)


HEADING = (
    *("symbol", "day", "notional", "mode", "venue", "entry", "liquidation at"),
    *("closings", "first", "last", "fill", "fees", "funding", "fund", "left"),
)


def rows() -> Iterator[tuple[str, ...]]:
    """The lines of the table: a heading, then one for each case, mode and venue."""
    yield HEADING
    for case in CASES:
        market = bt_margin.load_market(
            MARKET, symbols=[case.symbol], start=case.start, end=case.end
        )
        for mode in MODES:
            for venue in VENUES:
                yield line_of(case, run(case, market, mode, venue), mode, venue)


def run(case: Case, market: Any, mode: str, venue: str) -> Any:
    """The strategy after its run."""
    frames = market[case.symbol]
    size = round(case.notional / float(frames.trade["open"].iloc[0]), 3)
    # Twice what the position locks: cross margin has as much again behind it.
    cash = 2 * case.notional / case.leverage
    cerebro = bt.Cerebro(stdstats=False)
    make: Any = bt_margin.MarginBroker
    cerebro.setbroker(
        make(cash=cash, leverage=case.leverage, margin_mode=mode, venue=venue)
    )
    feed: Any = bt_margin.PerpData
    cerebro.adddata(
        feed(dataname=frames.trade, mark=frames.mark, funding=frames.funding),
        name=case.symbol,
    )
    cerebro.addstrategy(Hold, size=size)
    return cerebro.run()[0]


def line_of(case: Case, strategy: Any, mode: str, venue: str) -> tuple[str, ...]:
    """What a venue made of a case."""
    ledger, events = strategy.broker.ledger, strategy.broker.liquidations
    kind, price = bt_margin.LedgerEntryKind, strategy.liquidation_price
    sizes = [event.size for event in events]
    worth = sum(event.size * event.fill_price for event in events)
    return (
        *(case.symbol, case.start, f"{case.notional:.0f}", mode, venue),
        *(f"{strategy.entry:.7g}", "none" if price is None else f"{price:.7g}"),
        str(len(events)),
        *(f"{events[end].time:%m-%d %H:%M}" if events else "-" for end in (0, -1)),
        f"{worth / sum(sizes):.7g}" if events else "-",
        f"{ledger.total(kind.FEE, kind.LIQUIDATION_FEE):.2f}",
        f"{ledger.total(kind.FUNDING):.2f}",
        f"{ledger.total(kind.INSURANCE):.2f}",
        f"{strategy.broker.getvalue():.2f}",
    )


def table() -> str:
    """The table as text, columns aligned."""
    lines = list(rows())
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in text) + "\n"


if __name__ == "__main__":
    print(table(), end="")
