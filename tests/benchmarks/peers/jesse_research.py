"""The peers' strategy under jesse: market orders fill at the bar's close."""

from pathlib import Path
from typing import Any

import jesse.indicators as ta
import numpy as np
import pandas as pd
from jesse import research
from jesse.strategies import Strategy

from .serving import CASH, FAST, FEE, HIGH, LEVERAGE, LOW, SIZE, SLOW, STRENGTH, serve

EXCHANGE, SYMBOL = "Binance Perpetual Futures", "BTC-USDT"
NAMES = ["open", "close", "high", "low", "volume"]  # in jesse's order
SEEN = SLOW + 60  # candles that the averages are computed over at each bar


class Crossing(Strategy):
    """Always long or short."""

    def before(self) -> None:
        candles = self.candles[-SEEN:]
        fast, slow = (ta.sma(candles, n, sequential=True) for n in (FAST, SLOW))
        strength = ta.rsi(candles, STRENGTH)
        above, was = fast[-1] > slow[-1], fast[-2] > slow[-2]
        self.rises = above and not was and strength < HIGH
        self.falls = was and not above and strength > LOW

    def should_long(self) -> bool:
        return bool(self.rises)

    def should_short(self) -> bool:
        return bool(self.falls)

    def go_long(self) -> None:
        self.buy = SIZE, self.price

    def go_short(self) -> None:
        self.sell = SIZE, self.price

    def update_position(self) -> None:
        if self.falls if self.is_long else self.rises:
            self.liquidate()

    def should_cancel_entry(self) -> bool:
        return True


def once(file: Path) -> tuple[int, float]:
    """A run; trades and value."""
    frame = pd.read_parquet(file)
    times = pd.DatetimeIndex(frame.index).as_unit("ms").asi8
    candles = np.column_stack([times, frame[NAMES].to_numpy()]).astype(float)
    terms = {
        "starting_balance": CASH,
        "fee": FEE,
        "type": "futures",
        "futures_leverage": LEVERAGE,
        "futures_leverage_mode": "isolated",
        "exchange": EXCHANGE,
        "warm_up_candles": SLOW,
    }
    place: dict[str, Any] = {"exchange": EXCHANGE, "symbol": SYMBOL}
    name = f"{EXCHANGE}-{SYMBOL}"
    found = research.backtest(
        terms,
        [{**place, "strategy": Crossing, "timeframe": "1m"}],
        [],
        {name: {**place, "candles": candles[SLOW:]}},
        {name: {**place, "candles": candles[:SLOW]}},
    )["metrics"]
    return found["total"], found["finishing_balance"]


if __name__ == "__main__":
    serve(once)
