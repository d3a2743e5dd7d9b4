"""Array indicators equal Backtrader's own, byte for byte, or raise what it raises.

Every buffer of every object that a strategy's indicators are made of is compared,
with the place its pointer was left at.
"""

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import backtrader as bt
import backtrader.indicators as ind
import numpy as np
import pytest
from backtrader import functions as fn
from backtrader import linebuffer
from backtrader.lineiterator import LineIterator
from numpy.typing import NDArray

from bt_margin.accelerate import indicators
from bt_margin.accelerate.buffers import room
from bt_margin.accelerate.indicators import accelerate_indicators, array_once
from bt_margin.accelerate.kernels import FAST, Fast
from bt_margin.accelerate.windows import Unsupported, weighted_sums, window_sums

Build = Callable[[Any], Any]
Columns = dict[str, NDArray[np.float64]]
Snapshot = list[tuple[str, int, int, bytes]]

BARS = 170
LINES = ("open", "high", "low", "close", "volume")


# Markets


class Bars(bt.feed.DataBase):
    """A feed of arrays, one bar a minute (or so many minutes) apart."""

    params = (("columns", None), ("minutes", 1))

    def start(self) -> None:
        super().start()
        self._rows: Iterator[Any] = zip(
            *(self.p.columns[name].tolist() for name in LINES), strict=True
        )
        self._bar = 0

    def _load(self) -> bool:
        row = next(self._rows, None)
        if row is None:
            return False
        self._bar += 1
        self.lines.datetime[0] = 738_000 + self._bar * self.p.minutes / 1440
        for name, value in zip(LINES, row, strict=True):
            getattr(self.lines, name)[0] = value
        return True


def walk(bars: int = BARS, seed: int = 1, step: float = 0.01) -> Columns:
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(size=bars) * step)), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opened, close) + np.round(rng.random(bars), 2)
    low = np.minimum(opened, close) - np.round(rng.random(bars), 2)
    volume = rng.integers(1, 100, bars).astype(float)
    return dict(zip(LINES, (opened, high, low, close, volume), strict=True))


def flats() -> Columns:
    """Few different prices, so ties everywhere, and hours without any change."""
    columns = walk(seed=2, step=0.05)
    columns = {name: np.round(values, -1) for name, values in columns.items()}
    for values in columns.values():
        values[90:130] = values[90]
    columns["low"] = np.minimum(columns["low"], columns["close"] - 1)
    return columns


def wide() -> Columns:
    """Neighbouring prices 18 orders of magnitude apart, of both signs."""
    rng = np.random.default_rng(3)
    columns = walk(seed=3)
    for name, values in columns.items():
        columns[name] = values * 10.0 ** rng.integers(-9, 10, BARS)
    columns["close"] *= rng.choice([-1.0, 1.0], BARS)
    return columns


def huge() -> Columns:
    """Beyond what the exact sums are made for."""
    return {name: values * 1e250 for name, values in walk(seed=4).items()}


def gaps() -> Columns:
    """No numbers at the start, and some later."""
    columns = walk(seed=5)
    for values in columns.values():
        values[:40] = np.nan
        values[140:143] = np.nan
    return columns


def zeros() -> Columns:
    """Zeros of both signs among small whole numbers."""
    rng = np.random.default_rng(6)
    return {
        name: rng.integers(-2, 3, BARS) * rng.choice([-1.0, 1.0], BARS)
        for name in LINES
    }


def short() -> Columns:
    return walk(bars=7)


MARKETS = (walk, flats, wide, huge, gaps, zeros, short)


# Runs


class Building(bt.Strategy):
    """Builds the indicators that are asked for."""

    params = (("build", None),)

    def __init__(self) -> None:
        self.built = self.p.build(self)


def prepare(build: Build, *markets: Columns) -> Any:
    """A Cerebro whose strategy builds the indicators; without the walk of bars."""

    cerebro = bt.Cerebro(stdstats=False)
    for place, columns in enumerate(markets):
        cerebro.adddata(Bars(columns=columns, minutes=5 if place else 1))
    cerebro.addstrategy(Building, build=build)
    return cerebro


def accelerate(cerebro: Any) -> None:
    stock = cerebro._runonce

    def runonce(strategies: list[bt.Strategy]) -> None:
        with array_once(strategies):
            stock(strategies)

    cerebro._runonce = runonce


def lines_of(item: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every line below an object, with where it was found."""
    for place, child in enumerate(item._lineiterators[LineIterator.IndType]):
        name = f"{path}/{place}:{type(child).__name__.rstrip('0123456789')}"
        if isinstance(child, bt.LineSeries):
            for number, line in enumerate(child.lines):
                yield f"{name}.{number}", line
            yield from lines_of(child, name)
        else:
            yield name, child


def outcome(cerebro: Any, *, fast: bool) -> Snapshot | str:
    """All buffers after the ``once`` phase, or the error that ended it."""
    found: Snapshot = []

    def only_once(strategies: list[Any]) -> None:
        strategy = strategies[0]
        if fast:
            with array_once(strategies):
                strategy._once()
        else:
            strategy._once()
        for name, line in (*lines_of(strategy), *feed_lines(strategy)):
            found.append((name, line.idx, line.lencount, line.array.tobytes()))

    cerebro._runonce = only_once
    try:
        cerebro.run()
    except Exception as error:  # whatever stock raises, ours raises
        return f"{type(error).__name__}: {error}"
    return found


def feed_lines(strategy: Any) -> Iterator[tuple[str, Any]]:
    for place, data in enumerate(strategy.datas):
        for number, line in enumerate(data.lines):
            yield f"data{place}.{number}", line


def difference(build: Build, *markets: Columns) -> str:
    """The first line that differs, or nothing."""
    stock = outcome(prepare(build, *markets), fast=False)
    ours = outcome(prepare(build, *markets), fast=True)
    if isinstance(stock, str) or isinstance(ours, str):
        return "" if stock == ours else f"{stock!s:.80} / {ours!s:.80}"
    assert len(stock) == len(ours)
    for expected, got in zip(stock, ours, strict=True):
        if expected != got:
            return _where(expected, got)
    return ""


def _where(expected: Any, got: Any) -> str:
    if expected[:3] != got[:3]:
        return f"{expected[:3]} / {got[:3]}"
    stock, ours = (np.frombuffer(row[3]) for row in (expected, got))
    bar = int(np.flatnonzero(stock.view(np.int64) != ours.view(np.int64))[0])
    return f"{got[0]} bar {bar}: {stock[bar]!r} / {ours[bar]!r}"


@pytest.fixture(autouse=True)
def _short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicators, "STRETCH", 64)


# The table


def on_data(cls: Any, **parameters: Any) -> Build:
    return lambda s: cls(s.data, **parameters)


def on_lines(rule: Any, names: tuple[str, ...]) -> Build:
    return lambda s: rule(*(getattr(s.data, name) for name in names))


def each(cls: Any, *values: Any, word: str = "period") -> dict[str, Build]:
    return {
        f"{cls.__name__}({word}={value})": on_data(cls, **{word: value})
        for value in values
    }


def crossed(cls: Any) -> Build:
    return lambda s: cls(ind.SMA(s.data, period=3), ind.SMA(s.data, period=8))


AVERAGES = (
    ind.SMA,
    ind.EMA,
    ind.SMMA,
    ind.WMA,
    ind.HMA,
    ind.DEMA,
    ind.TEMA,
    ind.KAMA,
    ind.ZLEMA,
    ind.ZLIndicator,
    ind.DMA,
)
CASES: dict[str, Build] = {}
for _cls in AVERAGES:
    CASES |= each(_cls, 4, 14, 30)
for _cls in (ind.SMA, ind.EMA, ind.SMMA, ind.WMA, ind.Highest, ind.SumN):
    CASES |= each(_cls, 1, 2, 97)
for _cls in (
    ind.RSI,
    ind.RSI_SMA,
    ind.RSI_EMA,
    ind.RSI_Safe,
    ind.RMI,
    ind.BollingerBands,
    ind.BollingerBandsPct,
    ind.ATR,
    ind.StochasticFast,
    ind.Stochastic,
    ind.StochasticFull,
    ind.ADX,
    ind.ADXR,
    ind.DMI,
    ind.DM,
    ind.DI,
    ind.PlusDI,
    ind.MinusDI,
    ind.Highest,
    ind.Lowest,
    ind.AnyN,
    ind.AllN,
    ind.SumN,
    ind.Average,
    ind.ExponentialSmoothing,
    ind.FindFirstIndexHighest,
    ind.FindFirstIndexLowest,
    ind.FindLastIndexHighest,
    ind.FindLastIndexLowest,
    ind.PercentRank,
    ind.StdDev,
    ind.MeanDev,
    ind.ROC,
    ind.ROC100,
    ind.Momentum,
    ind.MomentumOscillator,
    ind.CCI,
    ind.WilliamsR,
    ind.PctChange,
    ind.AroonUpDown,
    ind.AroonOscillator,
    ind.LaguerreRSI,
    ind.LaguerreFilter,
    ind.ParabolicSAR,
    ind.DPO,
):
    CASES |= each(_cls, 5, 20)
CASES |= each(ind.LaguerreRSI, 0.2, 0.9, word="gamma")
CASES |= each(ind.StochasticFast, True, word="safediv")
CASES |= each(ind.ParabolicSAR, 0.2, word="af")
CASES |= each(ind.ZLIndicator, 1, 7, word="gainlimit")
CASES |= {
    cls.__name__: on_data(cls)
    for cls in (
        ind.MACD,
        ind.MACDHisto,
        ind.TrueRange,
        ind.TrueHigh,
        ind.TrueLow,
        ind.UpDay,
        ind.DownDay,
        ind.UpDayBool,
        ind.UpMove,
        ind.Accum,
        ind.WilliamsAD,
        ind.UltimateOscillator,
        ind.TSI,
        ind.Trix,
        ind.TrixSignal,
        ind.KST,
        ind.PPO,
        ind.PGO,
        ind.AwesomeOscillator,
        ind.Ichimoku,
        ind.PivotPoint,
        ind.DemarkPivotPoint,
        ind.SMAEnvelope,
        ind.SMAOscillator,
        ind.DV2,
    )
}
CASES |= {
    cls.__name__: crossed(cls)
    for cls in (ind.CrossOver, ind.CrossUp, ind.CrossDown, ind.NonZeroDifference)
}


def _flipped(rule: Any, right: Any, left: Any) -> Any:
    return rule(left, right)


OPERATORS = (
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.pow,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
)
for _op in OPERATORS:
    CASES |= {
        f"{_op.__name__}(lines)": on_lines(_op, ("close", "open")),
        f"{_op.__name__}(line, 3)": on_lines(partial(_flipped, _op, 3), ("close",)),
        f"{_op.__name__}(100.5, line)": on_lines(partial(_op, 100.5), ("close",)),
    }
CASES |= {
    "abs": lambda s: abs(s.data.close - 100.0),
    "neg": lambda s: -s.data.close,
    "pow(0.5)": lambda s: pow(s.data.high, 0.5),
    "delay": lambda s: s.data.close(-3),
    "delay(0)": lambda s: s.data.close(0),
    "ahead": lambda s: s.data.close(5),
    "big int": lambda s: s.data.close > 2**80,
    "numpy number": lambda s: s.data.close * np.float64(2.5),
    "And": lambda s: bt.And(s.data.close > s.data.open, s.data.volume, s.data.low),
    "And(one)": lambda s: bt.And(s.data.close),
    "Or": lambda s: bt.Or(s.data.close > s.data.open, s.data.volume > 50.0),
    "All": lambda s: bt.All(s.data.close, s.data.open, 1.0),
    "Any": lambda s: bt.Any(s.data.close > s.data.open, 0.0),
    "Max": lambda s: bt.Max(s.data.close, s.data.open, 0.0),
    "Min": lambda s: bt.Min(0.0, s.data.close, s.data.open),
    "Sum": lambda s: bt.Sum(s.data.close, s.data.open, s.data.high, 0.1),
    "Reduce": lambda s: fn.Reduce(operator.mul, s.data.close, s.data.open),
    "If": lambda s: bt.If(s.data.close > s.data.open, s.data.high, 0.5),
    "Cmp": lambda s: bt.Cmp(s.data.close, s.data.open),
    "CmpEx": lambda s: fn.CmpEx(s.data.close, s.data.open, 1.0, s.data.low, 3),
    "DivByZero": lambda s: bt.DivByZero(s.data.close, s.data.open, zero=7.0),
    "DivZeroByZero": lambda s: fn.DivZeroByZero(
        s.data.close, s.data.open - s.data.close
    ),
    "ApplyN": lambda s: ind.ApplyN(s.data, period=4, func=lambda v: v[0] - v[-1]),
    "ReduceN": lambda s: ind.ReduceN(lambda x, y: x - y, period=4),
    "WeightedAverage": lambda s: ind.WeightedAverage(
        s.data, period=3, coef=0.5, weights=(0.1, -2.0, 0.7)
    ),
    "few weights": lambda s: ind.WeightedAverage(s.data, period=3, weights=(1.0, 2.0)),
    "seed": lambda s: ind.Accum(s.data, seed=3.5),
    "number as data": lambda s: ind.CrossOver(s.data.close, 100.0),
    "volume": lambda s: [ind.SMA(s.data.volume, period=9), ind.RSI(s.data.volume)],
    "nested": lambda s: ind.CrossOver(
        ind.EMA(ind.RSI_Safe(s.data.high - s.data.low), period=5),
        ind.SMA(ind.StdDev(ind.Highest(s.data.close, period=4)), period=7),
    ),
    "one as data of another": lambda s: [
        ind.MACD(ind.WMA(s.data, period=6)),
        ind.LaguerreRSI(ind.EMA(s.data, period=6)),
        ind.ZLIndicator(ind.EMA(s.data, period=6)),
        ind.ParabolicSAR(s.data, period=12),
    ],
}


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: str(market.__name__))
@pytest.mark.parametrize("build", CASES.values(), ids=CASES)
def test_equals_stock(build: Build, market: Callable[[], Columns]) -> None:
    assert difference(build, market()) == ""


def test_every_indicator_of_backtrader_with_its_defaults() -> None:
    slow = {ind.Hurst, ind.HeikinAshi, ind.haDelta}  # its own loop; only in next mode
    named: list[Any] = list(vars(ind).values())
    classes: set[Any] = {
        cls for cls in named if isinstance(cls, type) and issubclass(cls, bt.Indicator)
    }
    tried = 0
    for cls in sorted(classes - slow, key=str):
        if cls.aliased:
            continue
        datas = ("close", "open")[: cls._mindatas]
        for build in (on_lines(cls, ()), on_lines(cls, datas)):
            assert (cls.__name__, difference(build, walk())) == (cls.__name__, "")
        tried += 1
    assert tried > 100


@pytest.mark.parametrize("bars", [1, 20_000])
def test_long_stretches_and_one_bar(monkeypatch: pytest.MonkeyPatch, bars: int) -> None:
    monkeypatch.setattr(indicators, "STRETCH", 8192)

    def build(strategy: Any) -> Any:
        slow = ind.SMA(strategy.data, period=200)
        return [
            ind.CrossOver(ind.EMA(strategy.data, period=1), slow),
            ind.RSI_Safe(strategy.data),
            ind.BollingerBands(strategy.data),
            ind.KAMA(strategy.data.high, period=50),
            ind.Highest(strategy.data.high, period=5000),
            ind.AroonUpDown(strategy.data),
            ind.WMA(strategy.data, period=21),
        ]

    assert difference(build, walk(bars, step=0.001)) == ""


# Sums


@pytest.mark.parametrize("period", [1, 2, 3, 7, 30, 97, 200])
@pytest.mark.parametrize("seed", range(5))
def test_sums_are_rounded_once(period: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    normal, exponent = rng.normal(size=500), rng.integers(0, 60, 500)
    supported = 0
    for values in (
        normal,
        np.round(100 + np.cumsum(normal), 2),
        normal * 10.0 ** rng.integers(-9, 10, 500),
        rng.integers(-3, 4, 500) * 2.0**exponent + rng.integers(-3, 4, 500) * 2.0**-10,
        np.where(normal > 0, 0.0, -0.0),
    ):
        weights = rng.normal(size=period).tolist()
        windows = [values[n : n + period] for n in range(len(values) - period + 1)]
        sums = np.array([math.fsum(window) for window in windows])
        weighted = np.array(
            [math.fsum(map(operator.mul, window, weights)) for window in windows]
        )
        assert window_sums(values, period).tobytes() == sums.tobytes()
        with suppress(Unsupported):
            ours = weighted_sums(values, weights)
            supported += 1
            assert ours.tobytes() == weighted.tobytes()
    assert supported >= 3


def test_sums_halfway_between_two_doubles_go_to_the_even_one() -> None:
    one, ulp = 2.0**60, 2.0**8
    for third in (0.0, 2.0**-20, -(2.0**-20)):
        for second in (ulp / 2, ulp * 1.5):
            values = np.array([one, second, third])
            assert window_sums(values, 3)[0] == math.fsum(values)


def test_sums_out_of_reach_are_refused() -> None:
    with pytest.raises(Unsupported):
        window_sums(np.array([1e100, 1.0, 1e-100]), 3)


# Runs


def watching(strategy: Any) -> Any:
    fast, slow = ind.SMA(strategy.data, period=5), ind.EMA(strategy.data, period=12)
    return [
        ind.CrossOver(fast, slow),
        ind.RSI(strategy.data, period=7),
        ind.ATR(strategy.datas[-1], period=4),
    ]


def seen(
    accelerated: bool, *markets: Columns, resample: bool = False, **options: Any
) -> str:
    """What the strategy of a whole run read, bar by bar."""
    rows: list[Any] = []

    class Strategy(bt.Strategy):
        lines: Any = ("spread",)

        def __init__(self) -> None:
            self.built = watching(self)
            self.lines.spread = self.data.high - self.data.low

        def next(self) -> None:
            values = [item[0] for item in (*self.built, self.lines.spread)]
            if values[0] > 0:
                self.buy()
            elif values[0] < 0:
                self.close()
            rows.append((len(self), [len(d) for d in self.datas], values))

        def stop(self) -> None:
            rows.append(self.broker.getvalue())

    cerebro = bt.Cerebro(**options)
    feeds = [
        Bars(
            columns=columns,
            minutes=5 if place else 1,
            timeframe=bt.TimeFrame.Minutes,
            compression=5 if place else 1,
        )
        for place, columns in enumerate(markets)
    ]
    for feed in feeds:
        cerebro.adddata(feed)
    if resample:
        cerebro.resampledata(feeds[0], timeframe=bt.TimeFrame.Minutes, compression=7)
    cerebro.addstrategy(Strategy)
    if accelerated:
        accelerate(cerebro)
    strategy = cerebro.run()[0]
    assert not {"_once", "once"} & set(vars(strategy))
    observers = [
        [list(line.array) for line in observer.lines]
        for observer in strategy.getobservers()
    ]
    return repr((rows, observers))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stdstats": False},
        {"runonce": False},
        {"exactbars": True},
        {"oldsync": True},
        {"cheat_on_open": True},
    ],
    ids=str,
)
def test_whole_runs_are_the_same(options: dict[str, Any]) -> None:
    ours = seen(True, walk(), **options)
    assert ours == seen(False, walk(), **options)
    assert len(ours) > 5_000


def test_two_datas_of_different_length() -> None:
    slower = {name: values[:40] for name, values in walk(seed=9).items()}
    assert seen(True, walk(), slower) == seen(False, walk(), slower)


def test_resampled_data() -> None:
    assert seen(True, walk(), resample=True) == seen(False, walk(), resample=True)


def test_indicators_across_clocks() -> None:
    """Of lines with different lengths, and coupled ones, which only ``next`` fills."""
    for build in (
        lambda s: ind.SMA(s.data1, period=3) - s.data1.close,
        lambda s: s.data.close > s.data1.close(),
        lambda s: s.data.close > s.data1.close,
        lambda s: s.data1.close > s.data.close,
        lambda s: ind.CrossOver(s.data1, s.data),
        lambda s: ind.CrossOver(s.data, s.data1),
        lambda s: ind.ParabolicSAR(s.data1),
    ):
        slower = {name: values[:40] for name, values in walk(seed=9).items()}
        assert difference(build, walk(), slower) == ""


def test_strategy_lines_keep_their_bindings() -> None:
    def build(strategy: Any) -> Any:
        own = bt.LineBuffer()
        average = ind.SMA(strategy.data, period=5)
        average.lines[0].addbinding(own)
        own.forward(size=BARS)
        strategy.own = own
        return average

    found = []
    for fast in (False, True):
        cerebro = prepare(build, walk())
        outcome(cerebro, fast=fast)
        found.append(cerebro.runstrats[0][0].own.array.tobytes())
    assert found[0] == found[1]


# What is the user's own


class NextOnly(ind.SMA):
    """Computes in ``next``, so its array may not be filled from below."""

    def next(self) -> None:
        self.lines[0][0] = self.data[0] * 2


class OwnNext(ind.Average):
    def next(self) -> None:
        self.lines[0][0] = 7.0


class OwnOnce(ind.Average):
    def once(self, start: int, end: int) -> None:
        super().once(start, end)
        for bar in range(start, end):
            self.line.array[bar] += 1


class OwnStart(ind.EMA):
    def oncestart(self, start: int, end: int) -> None:
        self.line.array[start] = 1.0


class OwnFunc(ind.Highest):
    func = staticmethod(lambda values: values[0])


class OwnForward(ind.Average):
    def forward(self, value: float = 5.0, size: int = 1) -> None:
        super().forward(5.0, size)


class Composite(bt.Indicator):
    lines: Any = ("band", "other")
    params = (("period", 5),)

    def __init__(self) -> None:
        self.lines.band = ind.SMA(self.data, period=self.p.period) * 1.01
        self.lines.other = bt.Max(self.lines.band, self.data.close(-1))


@pytest.mark.parametrize(
    "cls", [NextOnly, OwnNext, OwnOnce, OwnStart, OwnFunc, OwnForward, Composite]
)
def test_a_users_own_indicator(cls: Any) -> None:
    assert difference(lambda s: ind.EMA(cls(s.data, period=4), period=3), walk()) == ""


def test_an_object_with_a_method_of_its_own() -> None:
    def build(strategy: Any) -> Any:
        item = ind.Average(strategy.data, period=3)

        def once(start: int, end: int) -> None:
            for bar in range(start, end):
                item.line.array[bar] = bar

        item.once = once
        return item

    assert difference(build, walk()) == ""
    found = outcome(prepare(build, walk()), fast=True)
    assert np.frombuffer(found[0][3])[50] == 50  # type: ignore[arg-type]


# Leaving nothing behind


def test_the_strategy_is_as_it_was_even_if_it_raises() -> None:
    kept = []

    class Strategy(bt.Strategy):
        def __init__(self) -> None:
            self.built = watching(self)
            kept.append(self)

        def next(self) -> None:
            assert "_once" in vars(self)
            raise RuntimeError("of the strategy")

    cerebro = bt.Cerebro()
    cerebro.adddata(Bars(columns=walk()))
    cerebro.addstrategy(Strategy)
    accelerate(cerebro)
    with pytest.raises(RuntimeError, match="of the strategy"):
        cerebro.run()
    assert "_once" not in vars(kept[0])
    assert type(kept[0])._once is LineIterator._once


def test_only_that_strategy_is_touched() -> None:
    before = {cls: dict(vars(cls)) for cls in (bt.Strategy, bt.Indicator, ind.Average)}

    def build(strategy: Any) -> Any:
        undo = accelerate_indicators(strategy)
        assert accelerate_indicators(strategy)() is None  # a second time: no effect
        assert "_once" in vars(strategy)
        undo()
        undo()
        assert "_once" not in vars(strategy)

    outcome(prepare(build, walk()), fast=False)
    assert {cls: dict(vars(cls)) for cls in before} == before


def test_a_strategy_with_its_own_once_is_left_alone() -> None:
    called = []

    class Strategy(bt.Strategy):
        def _once(self) -> None:
            called.append(len(self.data))
            super()._once()

    cerebro = bt.Cerebro()
    cerebro.adddata(Bars(columns=walk()))
    cerebro.addstrategy(Strategy)
    accelerate(cerebro)
    cerebro.run()
    assert called == [0]


def test_division_by_zero_raises_where_stock_does() -> None:
    found = outcome(
        prepare(lambda s: ind.RSI_SMA(s.data, period=3), flats()), fast=True
    )
    assert found == "ZeroDivisionError: float division by zero"


# The tests themselves


WITNESSES: dict[Any, Build] = {
    linebuffer._LineDelay: lambda s: s.data.close(-1),
    linebuffer._LineForward: lambda s: s.data.close(2),
    linebuffer.LinesOperation: lambda s: s.data.close * 2.0,
    linebuffer.LineOwnOperation: lambda s: abs(s.data.close),
    fn.DivByZero: CASES["DivByZero"],
    fn.DivZeroByZero: CASES["DivZeroByZero"],
    fn.Cmp: CASES["Cmp"],
    fn.CmpEx: CASES["CmpEx"],
    fn.If: CASES["If"],
    fn.MultiLogic: CASES["Max"],
    ind.Average: lambda s: ind.SMA(s.data),
    ind.WeightedAverage: lambda s: ind.WMA(s.data),
    ind.OperationN: lambda s: ind.Highest(s.data, period=3),
    ind.ExponentialSmoothing: lambda s: ind.MACD(s.data),
    ind.ExponentialSmoothingDynamic: lambda s: ind.KAMA(s.data),
    ind.Accum: lambda s: ind.Accum(s.data),
    ind.NonZeroDifference: CASES["CrossOver"],
    ind.LaguerreRSI: lambda s: ind.LaguerreRSI(s.data),
    ind.LaguerreFilter: lambda s: ind.LaguerreFilter(s.data),
    ind.ZeroLagIndicator: lambda s: ind.DMA(s.data),
    ind.ParabolicSAR: lambda s: ind.ParabolicSAR(s.data),
}


@pytest.mark.parametrize("cls", FAST, ids=lambda cls: str(cls.__name__))
def test_a_wrong_last_digit_is_noticed(
    monkeypatch: pytest.MonkeyPatch, cls: Any
) -> None:
    """So each fast way is really taken, and really compared."""
    fast: Fast = FAST[cls]

    def spoiled(item: Any, start: int, end: int) -> None:
        fast.kernel(item, start, end)
        values = room(item, start, end)
        values[-3] = np.nextafter(values[-3], np.inf)

    assert difference(WITNESSES[cls], walk()) == ""
    monkeypatch.setitem(FAST, cls, replace(fast, kernel=spoiled))
    assert difference(WITNESSES[cls], walk()) != ""


def test_common_indicators_never_need_stock_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = []
    tried = indicators._done

    def done(fast: Fast, item: Any, start: int, end: int) -> bool:
        possible = tried(fast, item, start, end)
        if not possible:
            refused.append(type(item).__name__)
        return possible

    monkeypatch.setattr(indicators, "_done", done)
    by_hand = {"ApplyN", "ReduceN", "Reduce", "And(one)", "few weights"}
    unusual = {
        "one as data of another",
        "big int",
        "numpy number",
        "pow(100.5, line)",
        "pow(lines)",
    }
    for name, build in CASES.items():
        refused.clear()
        found = outcome(prepare(build, walk()), fast=True)
        if name not in by_hand | unusual and not isinstance(found, str):
            assert (name, refused) == (name, [])
