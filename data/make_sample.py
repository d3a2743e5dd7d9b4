"""Makes the sample market: five synthetic perpetuals, 4 days of 1-minute candles.

Nothing here is real. A fair price is simulated every 5 seconds; the last price is
the fair price with a premium, a bid-ask bounce and wicks; the mark price is the
smoothed fair price with the smoothed premium, as venues build it. The events (quiet
day, crash, squeeze) are schedules, the noise around them comes from one seed.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[np.float64]
Schedule = tuple[tuple[float, float], ...]

SEED = 20250303
START = pd.Timestamp("2025-03-03", tz="UTC")
DAY = 1440
MINUTES = 4 * DAY
WARM_UP = 480  # minutes before START: averages settle, the first funding has a past
STEPS = 12  # of 5 seconds each in a minute

QUIET_END = DAY
CRASH = DAY + 14 * 60 + 10
SQUEEZE = 2 * DAY + 9 * 60
SQUEEZED = "DOGEUSDT"

# All schedules: (minutes after the event's start, value), straight lines between.
CRASH_DEPTH: Schedule = (
    (0, 0.0), (12, 0.15), (25, 0.48), (30, 0.40), (40, 1.0),
    (55, 0.68), (150, 0.55), (600, 0.50),
)  # fmt: skip
CRASH_HEAT: Schedule = ((-30, 1), (0, 3), (40, 5), (90, 3), (360, 1.3), (720, 1))
CRASH_PREMIUM: Schedule = ((0, 0), (30, -0.4), (40, -1), (50, -0.5), (120, 0))
SQUEEZE_RISE: Schedule = (
    (0, 0.0), (120, 0.08), (150, 0.045), (300, 0.18), (330, 0.10), (480, 0.26),
    (500, 0.16), (720, 0.36), (745, 0.25), (900, 0.42), (915, 0.30), (1020, 0.34),
    (1200, 0.25), (1440, 0.20), (2400, 0.20),
)  # fmt: skip
SQUEEZE_HEAT: Schedule = ((-60, 1), (120, 2.5), (900, 4), (1200, 3), (1500, 1.5))
SQUEEZE_PREMIUM: Schedule = (
    (0, 0.0), (180, -0.0012), (420, -0.003), (660, -0.008), (800, -0.015),
    (880, -0.024), (920, -0.021), (1000, -0.011), (1200, -0.004), (1500, -0.001),
    (1800, 0.0),
)  # fmt: skip
# (minute of the day-1 midnight, symbol, size): spikes of the last price alone.
WICKS = (
    (21 * 60 + 33, "SOLUSDT", -0.052),
    (DAY + 14 * 60 + 47, "ETHUSDT", -0.035),
    (DAY + 14 * 60 + 48, "XRPUSDT", -0.060),
    (DAY + 14 * 60 + 49, "DOGEUSDT", -0.075),
    (2 * DAY + 4 * 60 + 17, "BTCUSDT", -0.032),
    (2 * DAY + 19 * 60 + 42, "ETHUSDT", 0.036),
    (3 * DAY + 2 * 60 + 11, "XRPUSDT", -0.058),
    (3 * DAY + 3 * 60 + 25, "DOGEUSDT", 0.064),
)
WICK_SHAPE = np.array([0, 0, 0.1, 0.45, 1, 0.7, 0.3, 0.1, 0, 0, 0, 0])

# (first minute, hours): the funding interval in force from that minute on.
USUAL_INTERVALS = ((0, 8),)
SQUEEZE_INTERVALS = ((0, 8), (2 * DAY + 480, 4), (2 * DAY + 1200, 1))
INTEREST = 0.0001  # per 8 hours
FUNDING_CLAMP = 0.0005
FUNDING_CAP = 0.02

TRADE_MARK = ("trade", "mark")

MARKET_VOLATILITY = 0.00035  # standard deviation of a minute's log return


@dataclass(frozen=True)
class Symbol:
    """What makes one synthetic perpetual differ from the others.

    Args:
        name: of the symbol.
        price: in USDT at the start.
        decimals: of the price; the tick is 10 ** -decimals.
        beta: how strongly it follows the market factor.
        own_volatility: standard deviation of a minute's own log return.
        crash_fall: share of the fair price that the crash takes, noise apart.
        bounce: standard deviation of the last price around its premium.
        volume: coins in a usual minute.
    """

    name: str
    price: float
    decimals: int
    beta: float
    own_volatility: float
    crash_fall: float
    bounce: float
    volume: float


SYMBOLS = (
    Symbol("BTCUSDT", 92_000.0, 1, 1.0, 0.00012, 0.100, 0.00006, 90.0),
    Symbol("ETHUSDT", 2_300.0, 2, 1.2, 0.00022, 0.150, 0.00009, 1_900.0),
    Symbol("SOLUSDT", 155.0, 2, 1.4, 0.00035, 0.190, 0.00012, 21_000.0),
    Symbol("XRPUSDT", 2.6, 4, 1.3, 0.00035, 0.170, 0.00012, 900_000.0),
    Symbol("DOGEUSDT", 0.21, 5, 1.4, 0.00040, 0.205, 0.00015, 7_000_000.0),
)


def make_frames(seed: int = SEED) -> dict[str, pd.DataFrame]:
    """Makes the whole market.

    Args:
        seed: of the noise; the events stay where they are.

    Returns:
        One frame per file, by the file's name without its suffix.
    """
    rng = np.random.default_rng(seed)
    heat = _at_minutes(CRASH_HEAT, CRASH) * _clusters(rng)
    heat[: WARM_UP + QUIET_END] *= 0.4
    market = MARKET_VOLATILITY * _spread(heat) * _normal(rng) / np.sqrt(STEPS)
    frames: dict[str, pd.DataFrame] = {}
    for symbol, own_rng in zip(SYMBOLS, rng.spawn(len(SYMBOLS)), strict=True):
        frames |= _symbol_frames(symbol, market, heat, own_rng)
    return frames


def _symbol_frames(
    symbol: Symbol, market: Array, market_heat: Array, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """The trade, mark and funding frames of one symbol."""
    squeezed = symbol.name == SQUEEZED
    heat = market_heat * _clusters(rng)
    if squeezed:
        heat *= _at_minutes(SQUEEZE_HEAT, SQUEEZE)
    own = symbol.own_volatility * _spread(heat) * _normal(rng) / np.sqrt(STEPS)
    drift = np.log1p(-symbol.crash_fall * _at_steps(CRASH_DEPTH, CRASH))
    if squeezed:
        drift += _at_steps(SQUEEZE_RISE, SQUEEZE)
    walk = np.cumsum(symbol.beta * market + own)
    fair = symbol.price * np.exp(walk - walk[WARM_UP * STEPS] + drift)
    premium = _premium(symbol, rng)
    bounce = symbol.bounce * np.sqrt(_spread(heat)) * _normal(rng)
    last = fair * (1 + premium + bounce + _wicks(symbol.name))
    # Wicks stay out: a venue's mark is a median, which one odd price cannot move.
    mark = _smooth(fair, 2) * (1 + _smooth(premium + bounce, 30))
    trade = _candles(last, symbol.decimals)
    volume = symbol.volume * heat**1.3 * np.exp(0.45 * rng.standard_normal(len(heat)))
    trade["volume"] = np.maximum(_significant(volume[WARM_UP:]), 0.001)
    marks = _candles(mark, symbol.decimals)
    intervals = SQUEEZE_INTERVALS if squeezed else USUAL_INTERVALS
    return {
        f"{symbol.name}_1m_trade": trade,
        f"{symbol.name}_1m_mark": marks,
        f"{symbol.name}_funding": _funding(premium, marks, intervals),
    }


def _premium(symbol: Symbol, rng: np.random.Generator) -> Array:
    """Share by which the last price stands above the fair price, wicks apart."""
    noise = _smooth(_normal(rng), 20 * STEPS)
    premium: Array = 0.0001 + 0.0002 * noise / noise.std()
    premium += 0.05 * symbol.crash_fall * _at_steps(CRASH_PREMIUM, CRASH)
    if symbol.name == SQUEEZED:
        premium += _at_steps(SQUEEZE_PREMIUM, SQUEEZE)
    return premium


def _wicks(name: str) -> Array:
    """Share by which spikes move the last price of a symbol."""
    wicks = np.zeros((WARM_UP + MINUTES, STEPS))
    for minute, symbol, size in WICKS:
        if symbol == name:
            wicks[WARM_UP + minute] = size * WICK_SHAPE
    return wicks.ravel()


def _candles(price: Array, decimals: int) -> pd.DataFrame:
    """The 1-minute candles of a path, from START on, on the price's ticks."""
    steps = np.round(price, decimals).reshape(-1, STEPS)[WARM_UP:]
    return pd.DataFrame(
        {
            "datetime": pd.date_range(START, periods=MINUTES, freq="min", unit="ms"),
            "open": steps[:, 0],
            "high": steps.max(axis=1),
            "low": steps.min(axis=1),
            "close": steps[:, -1],
        }
    )


def _funding(
    premium: Array, marks: pd.DataFrame, intervals: tuple[tuple[int, int], ...]
) -> pd.DataFrame:
    """The funding stamps: each averages the premium since the stamp before.

    Assumption: the rate of a shorter interval is not divided (as at venues that
    scale only the interest), so short intervals make a crowded side pay more.
    """
    stamps = _stamps(intervals)
    rates = []
    for minute, hours in stamps:
        end = (WARM_UP + minute) * STEPS
        mean = premium[end - hours * 60 * STEPS : end].mean()
        interest = INTEREST * hours / 8
        rate = mean + np.clip(interest - mean, -FUNDING_CLAMP, FUNDING_CLAMP)
        rates.append(round(float(np.clip(rate, -FUNDING_CAP, FUNDING_CAP)), 8))
    rows = marks.iloc[[minute for minute, _ in stamps]]
    return pd.DataFrame(
        {
            "datetime": rows["datetime"].array,
            "funding_rate": rates,
            "mark_price": rows["open"].to_numpy(),
        }
    )


def _stamps(intervals: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The stamps as (minute, hours since the stamp before)."""
    stamps = [(0, intervals[0][1])]
    while True:
        last = stamps[-1][0]
        hours = [hours for first, hours in intervals if first <= last][-1]
        if last + 60 * hours >= MINUTES:
            return stamps
        stamps.append((last + 60 * hours, hours))


def _clusters(rng: np.random.Generator) -> Array:
    """A volatility factor per minute that stays high or low for an hour or so."""
    noise = _smooth(rng.standard_normal(WARM_UP + MINUTES), 40)
    factor: Array = np.exp(0.35 * noise / noise.std())
    return factor


def _at_minutes(schedule: Schedule, start: int) -> Array:
    """A schedule's value at the open of every minute."""
    return _at_steps(schedule, start)[::STEPS]


def _at_steps(schedule: Schedule, start: int) -> Array:
    """A schedule's value at every step; its ends hold before and after."""
    minutes = np.arange((WARM_UP + MINUTES) * STEPS) / STEPS - WARM_UP - start
    times, values = np.array(schedule, dtype=np.float64).T
    held: Array = np.interp(minutes, times, values)
    return held


def _normal(rng: np.random.Generator) -> Array:
    return rng.standard_normal((WARM_UP + MINUTES) * STEPS)


def _spread(minutes: Array) -> Array:
    """A value per minute, repeated for its steps."""
    return np.repeat(minutes, STEPS)


def _smooth(values: Array, halflife: float) -> Array:
    """The exponential moving average."""
    mean = pd.Series(values).ewm(halflife=halflife, adjust=False).mean()
    return mean.to_numpy(dtype=np.float64)


def _significant(values: Array, digits: int = 4) -> Array:
    """Values rounded to that many digits: more would be noise in the files."""
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(values)))
    return np.round(np.round(values * scale) / scale, 3)


def describe(frames: dict[str, pd.DataFrame]) -> str:
    """The tables of README.md, computed from the frames.

    Args:
        frames: as `make_frames` returns them.

    Returns:
        Three Markdown tables: the symbols, their funding, the wicks.
    """
    tables = [
        "| symbol | first | low | high | last | worst fall in 1 h | worst fall in 1 h, "
        "mark | best rise in 24 h |",
        "|---|---|---|---|---|---|---|---|",
        *(_price_row(symbol, frames) for symbol in SYMBOLS),
        "",
        "| symbol | stamps | intervals | lowest rate | highest rate | sum |",
        "|---|---|---|---|---|---|",
        *(_funding_row(symbol, frames) for symbol in SYMBOLS),
        "",
        "| wick at | symbol | last beyond the mark candle |",
        "|---|---|---|",
        *(_wick_row(minute, name, frames) for minute, name, _ in WICKS),
    ]
    return "\n".join(tables)


def _price_row(symbol: Symbol, frames: dict[str, pd.DataFrame]) -> str:
    trade, mark = (frames[f"{symbol.name}_1m_{kind}"] for kind in TRADE_MARK)
    rise = trade["high"] / trade["low"].rolling(DAY, min_periods=1).min() - 1
    prices = (
        trade["open"].iloc[0],
        trade["low"].min(),
        trade["high"].max(),
        trade["close"].iloc[-1],
    )
    cells = [f"{price:,.{symbol.decimals}f}" for price in prices]
    cells += [_move(_fall(trade)), _move(_fall(mark)), _move(rise)]
    return f"| {symbol.name} | {' | '.join(cells)} |"


def _fall(candles: pd.DataFrame) -> "pd.Series[float]":
    """Each low against the highest high of the hour up to it."""
    return candles["low"] / candles["high"].rolling(60, min_periods=1).max() - 1


def _move(moves: "pd.Series[float]") -> str:
    """The largest of some moves, with its time."""
    row = int(moves.abs().to_numpy().argmax())
    return f"{moves.iloc[row]:+.1%} ({_time(row)})"


def _funding_row(symbol: Symbol, frames: dict[str, pd.DataFrame]) -> str:
    funding = frames[f"{symbol.name}_funding"]
    rate = funding["funding_rate"]
    hours = funding["datetime"].diff().dropna().dt.total_seconds() / 3600
    counts = hours.astype(int).value_counts().sort_index(ascending=False)
    intervals = ", ".join(f"{hour}h: {count}" for hour, count in counts.items())
    rates = (rate.min(), rate.max(), rate.sum())
    cells = " | ".join(f"{value:+.4%}" for value in rates)
    return f"| {symbol.name} | {len(funding)} | {intervals} | {cells} |"


def _wick_row(minute: int, name: str, frames: dict[str, pd.DataFrame]) -> str:
    trade, mark = (frames[f"{name}_1m_{kind}"].iloc[minute] for kind in TRADE_MARK)
    below = trade["low"] / mark["low"] - 1
    above = trade["high"] / mark["high"] - 1
    return f"| {_time(minute)} | {name} | {max(below, above, key=abs):+.1%} |"


def _time(minute: int) -> str:
    return f"{START + pd.Timedelta(minutes=minute):%m-%d %H:%M}"


def main() -> None:
    """Writes the files, or prints what is in them."""
    parser = argparse.ArgumentParser(
        description="Make the synthetic sample market of 1-minute candles.",
        epilog="example: python data/make_sample.py --out sample --seed 7",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent,
        metavar="DIR",
        help="folder for the files (default: the program's own)",
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--describe",
        action="store_true",
        help="print README.md's tables, write nothing",
    )
    options = parser.parse_args()
    frames = make_frames(options.seed)
    if options.describe:
        print(describe(frames))
    else:
        write(frames, options.out)


def write(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    """Writes every frame as a parquet file.

    Args:
        frames: by file name without suffix.
        folder: made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)


if __name__ == "__main__":
    main()
