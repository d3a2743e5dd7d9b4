"""Runs: a strategy over parquet files, with Backtrader's or our feed, broker, loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, Literal

import backtrader as bt
import pandas as pd

from bt_margin import MarginBroker, PerpCommission, PerpData
from bt_margin.accelerate import install

from . import markets
from .measuring import Outcome

CASH = 1_000_000
FEE = 0.0005  # of notional
LEVERAGE = 5


@dataclass(frozen=True)
class Way:
    """Whose feed, broker and loop a run takes."""

    feed: Literal["pandas", "perp"] = "perp"
    broker: Literal["stock", "off", "isolated", "cross"] = "isolated"
    loop: Literal["stock", "ours"] = "ours"


STOCK = Way("pandas", "stock", "stock")
OURS: dict[str, Way] = {
    "isolated": Way(broker="isolated"),
    "cross": Way(broker="cross"),
}


@dataclass(frozen=True)
class Job:
    """What is run.

    Attributes:
        trader: the strategy.
        files: parquet files of one-minute candles, one for each feed.
        params: of the strategy.
        compression: minutes of the bars to which the feeds are resampled; 1: as is.
        keeps_fast: whether the feeds are there as they are as well.
        stdstats: whether Backtrader's own observers look on.
        carries: whether our feeds come with marks of an hour and funding.
        analyzers: more than the one that counts trades.
    """

    trader: Any
    files: Sequence[Path] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    compression: int = 1
    keeps_fast: bool = False
    stdstats: bool = False
    carries: bool = False
    analyzers: Sequence[Any] = ()


def beside(file: Path, kind: str) -> Path:
    """Where the marks or the funding of a file of candles are."""
    return file.with_stem(f"{file.stem}_{kind}")


def write_beside(files: Sequence[Path]) -> None:
    """Write marks and funding for files of candles, if they are not there."""
    for file in files:
        candles = None
        of = {"marks": markets.marks_of, "funding": markets.funding_of}
        for kind, made in of.items():
            if beside(file, kind).exists():
                continue
            candles = pd.read_parquet(file) if candles is None else candles
            made(candles).to_parquet(beside(file, kind))


def feed_of(file: Path, way: Way, *, carries: bool) -> Any:
    """A feed of a file's candles."""
    candles = pd.read_parquet(file)
    if way.feed == "pandas":
        return bt.feeds.PandasData(dataname=candles, timeframe=bt.TimeFrame.Minutes)
    if not carries:
        return PerpData(dataname=candles)
    marks, funding = (pd.read_parquet(beside(file, k)) for k in ("marks", "funding"))
    return PerpData(dataname=candles, mark=marks, funding=funding)


def broker_of(way: Way) -> Any:
    """A broker with the cash, the fee and the leverage of all benchmarks."""
    if way.broker == "stock":
        broker = bt.brokers.BackBroker(cash=CASH)
        broker.setcommission(commission=FEE, leverage=LEVERAGE)
        return broker
    broker = MarginBroker(
        margin_mode=way.broker,
        venue="generic",
        leverage=LEVERAGE,
        cash=CASH,
        accelerate=way.loop == "ours",
    )
    fees = {"maker_fee_rate": FEE, "taker_fee_rate": FEE}
    broker.addcommissioninfo(PerpCommission(leverage=LEVERAGE, **fees))
    return broker


def cerebro_of(job: Job, way: Way, **words: Any) -> Any:
    """A Cerebro with feeds and broker, and no strategy yet."""
    cerebro = bt.Cerebro(stdstats=job.stdstats, **words)
    cerebro.setbroker(broker_of(way))
    for file in job.files:
        feed = feed_of(file, way, carries=job.carries)
        if job.compression == 1 or job.keeps_fast:
            cerebro.adddata(feed, name=file.stem)
        if job.compression > 1:
            slow = {"timeframe": bt.TimeFrame.Minutes, "compression": job.compression}
            name = f"{file.stem} slow" if job.keeps_fast else file.stem
            cerebro.resampledata(feed, name=name, **slow)
    return cerebro


def started(cerebro: Any, way: Way) -> Any:
    """Run a Cerebro; the strategy."""
    if way.broker == "stock" and way.loop == "ours":
        install(cerebro)
    return cerebro.run()[0]


def trades_of(analyzer: Any) -> int:
    """How many trades a `TradeAnalyzer` saw begin."""
    return int(analyzer.get_analysis().total.total)


def run(job: Job, way: Way) -> Outcome:
    """A run in processor time, from the parquet files to the analyzer's result."""
    began = process_time()
    cerebro = cerebro_of(job, way)
    cerebro.addstrategy(job.trader, **job.params)
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    for analyzer in job.analyzers:
        cerebro.addanalyzer(analyzer)
    strategy = started(cerebro, way)
    trades, value = trades_of(strategy.analyzers.trades), cerebro.broker.getvalue()
    return Outcome(process_time() - began, trades, value)
