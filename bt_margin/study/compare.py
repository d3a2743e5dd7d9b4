"""Compare: one strategy on one market, under several venues, leverages and modes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from bt_margin.core.errors import ParameterError
from bt_margin.data import Market, check_market
from bt_margin.venues import Tiers, get_venue, venue_names

from .bounds import BOUND_PATHS, ambiguous_bars, spread
from .explain import explain
from .export import bound_as_json, plain, run_as_json
from .figures import Figures
from .run import RUN_KEYS, Run, Setup, run
from .source import StrategySource

__all__ = ["Comparison", "compare"]

MODES = ("off", "isolated", "cross")

_LIQUIDATION_COLUMNS = [
    *RUN_KEYS,
    *("time", "symbol", "size", "entry_price", "mark_price", "fill_price"),
    *("cause", "loss", "insurance"),
]
_OWN_ARGUMENTS = ("margin_mode", "leverage", "venue", "cash")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        strategy: the strategy's name.
        market: the market's name.
        symbols: what was traded, in the strategy's order.
        span: first and last bar, UTC.
        venues: whose rules held, in the order asked for.
        cash: starting cash of every run.
        strategy_params: parameters given to the strategy.
        broker_params: parameters given to the brokers.
        notes: what the market lacks and what was assumed instead.
        runs: one for each venue, leverage and mode, in that order.
        bound_runs: the same under each of the four other paths, if they were asked
            for.
    """

    strategy: str
    market: str
    symbols: tuple[str, ...]
    span: tuple[pd.Timestamp, pd.Timestamp]
    venues: tuple[str, ...]
    cash: float
    strategy_params: Mapping[str, Any]
    broker_params: Mapping[str, Any]
    notes: tuple[str, ...]
    runs: tuple[Run, ...] = field(repr=False)
    bound_runs: tuple[Run, ...] = field(repr=False, default=())

    @property
    def table(self) -> pd.DataFrame:
        """The figures in columns, a row for each run by venue, leverage and mode.

        One venue is a level of the index as several are:
        ``table.loc["generic", 10.0, "cross"]``, ``table.xs("cross", level="mode")``.
        """
        names = Figures.names()
        rows = [[getattr(one.figures, name) for name in names] for one in self.runs]
        keys = (one.key for one in self.runs)
        index = pd.MultiIndex.from_tuples(keys, names=RUN_KEYS)
        return pd.DataFrame(rows, index=index, columns=list(names))

    @property
    def liquidations(self) -> pd.DataFrame:
        """Every liquidation, one row each: run, time, symbol, prices, cause, loss."""
        rows = [
            {
                **dict(zip(RUN_KEYS, one.key, strict=True)),
                "time": event.time,
                "symbol": event.symbol,
                "size": event.size,
                "entry_price": event.entry_price,
                "mark_price": event.mark_price,
                "fill_price": event.fill_price,
                "cause": str(event.cause),
                "loss": event.loss,
                "insurance": event.insurance,
            }
            for one in self.runs
            for event in one.liquidations
        ]
        return pd.DataFrame(rows, columns=_LIQUIDATION_COLUMNS)

    @property
    def spread(self) -> pd.DataFrame:
        """Each figure with its lowest and highest value over the paths."""
        return spread(self.runs, self.bound_runs)

    @property
    def ambiguous_bars(self) -> pd.DataFrame:
        """The bars whose outcome hangs on which extreme came first."""
        return ambiguous_bars(self.runs)

    def run_of(
        self, mode: str, leverage: float, venue: str | None = None
    ) -> Run | None:
        """The run of a mode at a leverage, if there was one.

        Args:
            mode: ``"off"``, ``"isolated"`` or ``"cross"``.
            leverage: the setting.
            venue: its name; ``None``: the first one compared.
        """
        key = (self.venues[0] if venue is None else venue, leverage, mode)
        return next((one for one in self.runs if one.key == key), None)

    def explain(self) -> list[str]:
        """Where the modes parted and why, and how venues differ, in plain sentences."""
        return explain(self.runs)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values: the setting, the sentences and the runs."""
        return {
            "strategy": self.strategy,
            "strategy_params": plain(dict(self.strategy_params)),
            "market": self.market,
            "symbols": list(self.symbols),
            "first_bar": self.span[0].isoformat(),
            "last_bar": self.span[1].isoformat(),
            "venues": list(self.venues),
            "cash": self.cash,
            "broker_params": plain(dict(self.broker_params)),
            "notes": list(self.notes),
            "explanation": self.explain(),
            "runs": [run_as_json(one) for one in self.runs],
            "bounds": [bound_as_json(one) for one in self.bound_runs],
        }

    def to_json(self, path: str | Path) -> None:
        """Write everything: figures, ledgers, events and equity of every run."""
        text = json.dumps(self.as_json(), indent=1, allow_nan=False)
        try:
            Path(path).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            fix = f"cannot be written ({error.strerror}): give another file"
            raise ParameterError("path", str(path), fix) from error


def compare(
    strategy: StrategySource | type | str | Path,
    market: Market,
    *,
    leverage: float | Iterable[float] = (10,),
    modes: Iterable[str] = MODES,
    venue: str | Iterable[str] = "generic",
    cash: float = 10_000,
    strategy_params: Mapping[str, Any] | None = None,
    broker_params: Mapping[str, Any] | None = None,
    tiers: Mapping[str, Tiers] | None = None,
    bounds: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run a strategy at each venue, leverage and mode on the same data.

    Mode ``"off"`` is the baseline: what stock Backtrader shows with
    ``setcommission(commission=the venue's taker fee, leverage=leverage)``.

    Args:
        strategy: a strategy class, a file that holds one, or ``file.py:Class``. One
            that declares a parameter ``leverage`` gets each run's, unless given.
        market: from `load_market` or `sample_market`.
        leverage: one or several settings.
        modes: of ``"off"``, ``"isolated"`` and ``"cross"``.
        venue: whose rules hold, one name or several; see `venue_names`.
        cash: starting cash of every run.
        strategy_params: parameters of the strategy.
        broker_params: further parameters of `MarginBroker`, such as ``bar_path``.
        tiers: by symbol, instead of every venue's; see `load_tiers`.
        bounds: run each mode with margin under four further paths as well, to see
            how much of the result hangs on the path inside the bars.
        jobs: processes to use; ``None``: this one.
        progress: called with (runs done, runs in all) after each run.

    Raises:
        MarginError: naming the parameter, symbol or file, the value and the fix;
            before anything runs.
    """
    source, venues = StrategySource.of(strategy), _several(venue)
    leverages, wanted = _several(leverage), tuple(modes)
    params, settings = dict(strategy_params or {}), dict(broker_params or {})
    _check_choices(wanted, leverages, venues)
    _check_options(settings, jobs)
    setups = [
        Setup(source, mode, float(lever), page, cash, params, settings, tiers or {})
        for page in [get_venue(name) for name in venues]
        for lever in leverages
        for mode in wanted
    ]
    extra = _on_other_paths(setups) if bounds else []
    for setup in (*setups, *extra):
        setup.check(market)
        source.params(setup.strategy_params, setup.leverage)
    runs = _run_all([*setups, *extra], market, jobs or 1, progress)
    trades = [market[symbol].trade.index for symbol in market.symbols]
    return Comparison(
        strategy=source.title,
        market=market.name,
        symbols=market.symbols,
        span=(min(t[0] for t in trades), max(t[-1] for t in trades)),
        venues=venues,
        cash=cash,
        strategy_params=params,
        broker_params=settings,
        notes=tuple(check_market(market)),
        runs=tuple(runs[: len(setups)]),
        bound_runs=tuple(runs[len(setups) :]),
    )


def _on_other_paths(setups: list[Setup]) -> list[Setup]:
    """Each setup with margin, under each of `BOUND_PATHS`."""
    return [
        replace(setup, broker_params={**setup.broker_params, "bar_path": path})
        for setup in setups
        if setup.mode != "off"
        for path in BOUND_PATHS
    ]


def _run_all(
    setups: list[Setup],
    market: Market,
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> list[Run]:
    """Run every setup, in their order."""
    tasks = (joblib.delayed(run)(setup, market) for setup in setups)
    runs: list[Run] = []
    for one in joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks):
        runs.append(one)
        if progress is not None:
            progress(len(runs), len(setups))
    return runs


def _several(choice: Any) -> tuple[Any, ...]:
    """One value, or several, as several."""
    is_one = isinstance(choice, str) or not isinstance(choice, Iterable)
    return (choice,) if is_one else tuple(choice)


def _check_choices(
    modes: tuple[str, ...], leverages: tuple[float, ...], venues: tuple[str, ...]
) -> None:
    if not venues or not all(isinstance(name, str) for name in venues):
        fix = "give one or several names of " + ", ".join(venue_names())
        raise ParameterError("venue", venues, fix)
    if not modes or not set(modes) <= set(MODES):
        fix = "give some of " + ", ".join(MODES)
        raise ParameterError("modes", modes, fix)
    if not leverages:
        raise ParameterError("leverage", leverages, "give at least one")
    _check_offered(modes, venues)
    choices = {"modes": modes, "leverage": leverages, "venue": venues}
    for name, values in choices.items():
        if len(set(values)) < len(values):
            raise ParameterError(name, values, "give each one once")


def _check_offered(modes: tuple[str, ...], venues: tuple[str, ...]) -> None:
    """Refuse a mode that one of the venues does not offer."""
    pages = [get_venue(name) for name in venues]

    def common(names: tuple[str, ...]) -> list[str]:
        return [
            name
            for name in names
            if name == "off" or all(name in page.margin_modes for page in pages)
        ]

    for page in pages:
        for mode in (one for one in modes if one not in ("off", *page.margin_modes)):
            left = common(modes) if set(common(modes)) - {"off"} else common(MODES)
            offered = " and ".join(page.margin_modes)
            fix = (
                f"{page.name} offers {offered} margin only: leave {mode} out"
                f" (--modes {','.join(left)})"
            )
            raise ParameterError("modes", modes, fix)


def _check_options(broker_params: Mapping[str, Any], jobs: int | None) -> None:
    if jobs is not None and jobs < 1:
        raise ParameterError("jobs", jobs, "give 1 or more processes")
    for name in _OWN_ARGUMENTS:
        if name in broker_params:
            fix = "compare has an argument for it"
            raise ParameterError(f"broker_params[{name!r}]", broker_params[name], fix)
