"""One run: a strategy on a market at one venue, leverage and mode."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import pandas as pd

from bt_margin.analyzers import Refusal
from bt_margin.broker import Ambiguity, MarginBroker, PerpCommission, PerpData
from bt_margin.core.errors import (
    MarginError,
    ParameterError,
    StrategyError,
    UnknownNameError,
)
from bt_margin.core.funding import FundingEvent
from bt_margin.core.ledger import LedgerEntry
from bt_margin.core.liquidation import LiquidationEvent
from bt_margin.core.path import BarPath
from bt_margin.data import Market
from bt_margin.venues import ContractKind, Tiers, Venue, quote_coin

from .figures import Figures, figures_of
from .recorder import Execution, Recorder
from .source import StrategySource

__all__ = ["RUN_KEYS", "Run", "Setup", "run"]

RUN_KEYS = ("venue", "leverage", "mode")  # what tells the runs of a comparison apart


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is made of.

    Attributes:
        source: the strategy.
        mode: ``"off"``, ``"isolated"`` or ``"cross"``.
        leverage: setting for every symbol.
        venue: whose rules hold.
        cash: starting cash.
        strategy_params: parameters of the strategy.
        broker_params: further parameters of `MarginBroker`.
        tiers: by symbol, instead of the venue's.
    """

    source: StrategySource
    mode: str
    leverage: float
    venue: Venue
    cash: float
    strategy_params: Mapping[str, Any] = field(default_factory=dict)
    broker_params: Mapping[str, Any] = field(default_factory=dict)
    tiers: Mapping[str, Tiers] = field(default_factory=dict)

    def broker(self) -> MarginBroker:
        """The broker of the run.

        With stock accounting it is what a user of stock Backtrader would set: the
        venue's taker fee and the leverage.
        """
        broker = MarginBroker(
            margin_mode=self.mode,
            leverage=self.leverage,
            venue=self.venue,
            cash=self.cash,
            **self.broker_params,
        )
        if self.mode == "off":
            fee = self.venue.taker_fee_rate
            broker.setcommission(commission=fee, leverage=self.leverage)
            return broker
        for symbol, tiers in self.tiers.items():
            scheme = PerpCommission(tiers=tiers, inverse=self.venue.is_inverse)
            broker.addcommissioninfo(scheme, name=symbol)
        return broker

    def check(self, market: Market) -> None:
        """Refuse what cannot run: parameters, leverages, symbols the venue has not."""
        self.broker()
        if self.mode == "off":
            return
        for symbol in market.symbols:
            self._require_listed(symbol)
            day = market[symbol].trade.index[0].date()
            bound = self._tiers_of(symbol, self.venue.at(day)).max_leverage
            if self.leverage > bound:
                place = f"{symbol} at {self.venue.name}"
                fix = f"the tiers of {place} allow at most {bound:g}"
                raise ParameterError("leverage", self.leverage, fix)

        inverse = self.venue.is_inverse
        self.venue.require_one_coin(dict.fromkeys(market.symbols, inverse))

    def _require_listed(self, symbol: str) -> None:
        """Refuse a market in a stablecoin at a venue that settles in coins only."""
        quote, name = quote_coin(symbol), self.venue.name
        is_linear = quote is not None and quote != "USD"
        if is_linear and ContractKind.LINEAR not in self.venue.kinds:
            fix = (
                f"{symbol} is a linear market, quoted in {quote}, and {name} lists"
                " inverse contracts only; give a market quoted in USD, or another venue"
            )
            raise ParameterError("venue", name, fix)

    def _tiers_of(self, symbol: str, page: Venue) -> Tiers:
        """The tiers given for a symbol, or else those of a venue's page."""
        if symbol in self.tiers:
            return self.tiers[symbol]
        try:
            return page.tiers_of(symbol)
        except UnknownNameError as error:
            name = self.venue.name
            fix = (
                f"it has no tier table for {symbol} (bt-margin venues {name} lists what"
                " it has); leave one of the two out, or give tiers (--tiers FILE)"
            )
            raise ParameterError("venue", name, fix) from error


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left.

    Attributes:
        venue: the name of the venue whose rules held.
        mode: ``"off"``, ``"isolated"`` or ``"cross"``.
        leverage: the setting.
        figures: the numbers.
        equity: balance at each bar's end, indexed by the bar's time, UTC.
        executions: every fill.
        refusals: every order refused for margin.
        liquidations: every liquidation.
        fundings: every funding payment.
        ledger: every movement of money; empty with stock accounting.
        balances: balance of every wallet at the end.
        ambiguities: bars that could have gone two ways.
        late_fills: fills that the queue made out of the path's order.
        bar_path: which extreme of a bar came first.
    """

    venue: str
    mode: str
    leverage: float
    figures: Figures
    equity: pd.Series
    executions: tuple[Execution, ...]
    refusals: tuple[Refusal, ...]
    liquidations: tuple[LiquidationEvent, ...]
    fundings: tuple[FundingEvent, ...]
    ledger: tuple[LedgerEntry, ...]
    balances: Mapping[str, float]
    ambiguities: tuple[Ambiguity, ...] = ()
    late_fills: int = 0
    bar_path: str = BarPath.ADAPTIVE.value

    @property
    def key(self) -> tuple[str, float, str]:
        """The values of `RUN_KEYS`: venue, leverage and mode."""
        return self.venue, self.leverage, self.mode


def run(setup: Setup, market: Market) -> Run:
    """Run ``setup`` on ``market`` with Backtrader."""
    broker = setup.broker()
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    for symbol in market.symbols:
        data = market[symbol]
        cerebro.adddata(
            PerpData(
                dataname=data.trade, mark=data.mark, funding=data.funding, name=symbol
            )
        )
    cerebro.addstrategy(
        setup.source.load(),
        **setup.source.params(setup.strategy_params, setup.leverage),
    )
    cerebro.addanalyzer(Recorder, leverage=setup.leverage, _name="recorder")
    strategy = _first(cerebro, setup.source)
    recorder: Recorder = strategy.analyzers.recorder
    times = pd.to_datetime([bt.num2date(time) for time in recorder.times], utc=True)
    ledger = tuple(broker.ledger)
    return Run(
        venue=setup.venue.name,
        mode=setup.mode,
        leverage=setup.leverage,
        figures=figures_of(
            recorder,
            cash=setup.cash,
            final_balance=recorder.values[-1],
            liquidations=len(broker.liquidations),
            ledger=ledger,
            has_ledger=setup.mode != "off",
        ),
        equity=pd.Series(recorder.values, index=times.round("s"), name="balance"),
        executions=tuple(recorder.executions),
        refusals=tuple(recorder.refusals),
        liquidations=tuple(broker.liquidations),
        fundings=tuple(broker.fundings),
        ledger=ledger,
        balances=broker.ledger.balances,
        ambiguities=tuple(broker.ambiguities),
        late_fills=broker.late_fills,
        bar_path=broker.p.bar_path,
    )


def _first(cerebro: Any, source: StrategySource) -> Any:
    """Run, and the strategy that ran.

    Raises:
        StrategyError: the strategy raised an error or took itself out.
    """
    try:
        strategies = cerebro.run()
    except MarginError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if source.path and f.filename == str(source.path)]
        place = (own or frames)[-1]
        raise StrategyError(
            f"{source.title} failed at {place.filename}:{place.lineno}"
            f" with {type(error).__name__}: {error}"
        ) from error
    if not strategies:
        raise StrategyError(f"{source.title} skipped itself: nothing ran")
    return strategies[0]
