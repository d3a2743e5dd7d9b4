"""Markets of the benchmarks: seeded random walks of minute candles."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

START = "2024-01-01"
FUNDING_RATE = 0.0001  # every eight hours
VOLATILITY = 0.0007  # of a minute
SPREAD = 0.0003  # by which a candle reaches beyond its open and close


def walk(
    bars: int,
    *,
    seed: int = 7,
    price: float = 30_000.0,
    volatility: float = VOLATILITY,
) -> pd.DataFrame:
    """Minute candles of a random walk: open, high, low, close, volume, by time."""
    rng = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(rng.normal(0, volatility, bars)))
    opened = np.concatenate(([price], close[:-1]))
    index = pd.date_range(START, periods=bars, freq="1min", name="datetime")
    return pd.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * (1 + SPREAD),
            "low": np.minimum(opened, close) * (1 - SPREAD),
            "close": close,
            "volume": rng.uniform(1, 50, bars),
        },
        index=index,
    )


def marks_of(candles: pd.DataFrame) -> pd.DataFrame:
    """Mark candles of an hour each, on the prices of the candles themselves."""
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    return candles.resample("1h").agg(rules)


def funding_of(candles: pd.DataFrame) -> pd.DataFrame:
    """A stamp every eight hours."""
    index = pd.date_range(candles.index[0], candles.index[-1], freq="8h")
    return pd.DataFrame({"funding_rate": FUNDING_RATE}, index=index.rename("datetime"))


def write(
    folder: Path, bars: int, symbols: int, *, volatility: float = VOLATILITY
) -> list[Path]:
    """Parquet files of walks, a file for each symbol; those there are kept.

    Args:
        folder: for the files.
        bars: in each of them.
        symbols: how many.
        volatility: of a minute.
    """
    files = []
    for number in range(symbols):
        file = folder / f"S{number}_{volatility:g}_{bars}.parquet"
        if not file.exists():
            price = 30_000 / 3 ** (number % 8)
            candles = walk(bars, seed=7 + number, price=price, volatility=volatility)
            candles.to_parquet(file)
        files.append(file)
    return files


def bars_of(files: Sequence[Path]) -> int:
    """Bars in files that `write` made, together."""
    return sum(int(file.stem.rpartition("_")[2]) for file in files)
