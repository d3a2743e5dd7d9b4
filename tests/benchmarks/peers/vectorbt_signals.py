"""The peers' strategy under vectorbt: signals as arrays, no bar by bar code."""

from pathlib import Path

import pandas as pd
import vectorbt as vbt

from .serving import CASH, FAST, FEE, HIGH, LOW, SIZE, SLOW, STRENGTH, serve

WILDER = 2 * STRENGTH - 1  # the span whose smoothing is Wilder's of that period


def once(file: Path) -> tuple[int, float]:
    """A run; trades and value."""
    candles = pd.read_parquet(file)
    fast, slow = (vbt.MA.run(candles["close"], period) for period in (FAST, SLOW))
    strength = vbt.RSI.run(candles["close"], WILDER, ewm=True).rsi
    portfolio = vbt.Portfolio.from_signals(
        candles["close"],
        entries=fast.ma_crossed_above(slow) & (strength < HIGH),
        short_entries=fast.ma_crossed_below(slow) & (strength > LOW),
        price=candles["open"].shift(-1),  # of the bar after the signal
        size=SIZE,
        size_type="amount",
        upon_opposite_entry="Reverse",
        fees=FEE,
        init_cash=CASH,
        freq="1min",
    )
    return portfolio.trades.count(), float(portfolio.final_value())


if __name__ == "__main__":
    serve(once)
