"""Saving the plot of a run."""

import importlib
import os
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time
from math import inf
from pathlib import Path
from typing import Any

import backtrader as bt

from bt_margin.broker import MarginBroker
from bt_margin.core.errors import MarginError, ParameterError

__all__ = ["save_plot"]

_INSTALL = 'pip install "bt_margin[plot]"'

# Where Backtrader's scheme is crowded: price panels of five rows, values both in the
# legend and in tags, turned times, volume over a third of the price.
_SCHEME = {
    "rowsmajor": 4,
    "linevalues": False,
    "tickrotation": 0,
    "subtxtsize": 8,
    "volscaling": 0.2,
}
_ROW_INCHES, _LEAST_INCHES = 1.15, 6.0


def save_plot(
    cerebro: Any,
    path: str | os.PathLike[str],
    *,
    numfigs: int = 1,
    start: int | date | None = None,
    end: int | date | None = None,
    width: float = 16,
    height: float | None = None,
    dpi: float = 100,
    tight: bool = True,
    max_bars: int = 100_000,
    **scheme: Any,
) -> list[Path]:
    """Save what ``cerebro.plot()`` would show, without a screen.

    Neither matplotlib's backend nor its open figures are touched.

    Args:
        cerebro: after ``run()``.
        path: a file in an existing folder; what it ends with (``.png``, ``.svg``,
            ``.pdf``) is its format, none is ``.png``. Several figures are numbered:
            ``run-1.png``, ``run-2.png``.
        numfigs: figures for each strategy, one stretch of time each.
        start: first bar, or a date.
        end: bar after the last, or a date.
        width: inches.
        height: inches; ``None``: by the number of panels.
        dpi: dots per inch.
        tight: cut off empty margins.
        max_bars: more bars than this in one figure are refused.
        **scheme: Backtrader's other plot options, as ``style="candle"``.

    Returns:
        The files written: one for each strategy and figure.

    Raises:
        MarginError: matplotlib is missing; the cerebro has not run, or kept nothing
            to draw.
        ParameterError: the path cannot be written, an option is not known, or there
            are too many bars.
    """
    chart_module = _chart()
    target = _target(path)
    strategies = _strategies(cerebro)
    plotter = chart_module.Chart(scheme=_scheme(chart_module.PlotScheme(), scheme))
    _check_numbers(numfigs=numfigs, width=width, height=height, dpi=dpi)
    for strategy in strategies:
        _check_bars(strategy, start, end, numfigs, max_bars)
    drawn = cerebro.plot(
        plotter=plotter, numfigs=numfigs, iplot=False, start=start, end=end
    )
    figures = []
    for strategy, of_strategy in zip(strategies, drawn, strict=True):
        for figure in of_strategy or ():  # None: a strategy without a bar
            figure.axes[0].set_title(_title(strategy))
            figures.append(figure)
    paths = _paths(target, len(figures))
    for figure, file in zip(figures, paths, strict=True):
        rows = figure.axes[0].get_gridspec().nrows
        inches = height or max(_LEAST_INCHES, _ROW_INCHES * rows)
        figure.set_size_inches(width, inches)
        try:
            figure.savefig(file, dpi=dpi, bbox_inches="tight" if tight else None)
        except OSError as error:
            fix = f"{error.strerror or error}: choose another"
            raise ParameterError("path", str(file), fix) from error
    return paths


def _title(strategy: Any) -> str:
    """What ran: the strategy, the margin mode and the leverage."""
    broker, name = strategy.broker, type(strategy).__name__
    if not isinstance(broker, MarginBroker):
        return name
    if broker.p.margin_mode == "off":
        return f"{name}, stock accounting"
    settings = {broker.leverage_setting(data) for data in strategy.datas if len(data)}
    leverages = " and ".join(f"{setting:g}x" for setting in sorted(settings))
    return f"{name}, {broker.p.margin_mode} margin at {leverages}"


def _chart() -> Any:
    """The module that needs matplotlib: imported once something is drawn."""
    try:
        return importlib.import_module("bt_margin.plotting.chart")
    except ImportError as error:
        raise MarginError(f"plots need matplotlib: {_INSTALL}") from error


def _target(path: str | os.PathLike[str]) -> Path:
    """The path with a format, where a file can be written."""
    formats = importlib.import_module("matplotlib.backend_bases").FigureCanvasBase
    target = Path(path)
    if target.is_dir():
        raise ParameterError("path", str(path), "it is a folder: name a file in it")
    if not target.suffix:
        target = target.with_name(f"{target.name}.png")
    known = formats.get_supported_filetypes()
    if target.suffix[1:].lower() not in known:
        fix = f"end it with one of {', '.join(f'.{one}' for one in sorted(known))}"
        raise ParameterError("path", str(path), fix)
    if not target.parent.is_dir():
        fix = f"there is no folder {target.parent}: make it first"
        raise ParameterError("path", str(path), fix)
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise ParameterError("path", str(path), "it may not be written: choose another")
    return target


def _paths(target: Path, count: int) -> list[Path]:
    if count == 1:
        return [target]
    return [
        target.with_name(f"{target.stem}-{number}{target.suffix}")
        for number in range(1, count + 1)
    ]


def _strategies(cerebro: Any) -> list[Any]:
    """The strategies of the last run that can be drawn."""
    ran = [one for group in getattr(cerebro, "runstrats", ()) for one in group]
    if not ran:
        raise MarginError("there is nothing to draw: call cerebro.run() first")
    if not all(isinstance(one, bt.Strategy) for one in ran):
        raise MarginError(
            "an optimization keeps no lines to draw: run one set of parameters with"
            " addstrategy(), or Cerebro(maxcpus=1, optreturn=False)"
        )
    if cerebro._exactbars > 0:
        raise MarginError(
            "exactbars=1 keeps no lines to draw: run with exactbars=False, -1 or -2"
        )
    if not any(strategy.datas and len(strategy) for strategy in ran):
        raise MarginError("there is nothing to draw: the run had no bar")
    return ran


def _scheme(scheme: Any, options: dict[str, Any]) -> Any:
    """A scheme of its own with our defaults and the caller's options."""
    known = {*vars(scheme), "locbg", "locbgother"}
    for name, value in {**_SCHEME, **options}.items():
        if name not in known:
            fix = f"known plot options are {', '.join(sorted(known))}"
            raise ParameterError(name, value, fix)
        setattr(scheme, name, value)
    return scheme


def _check_numbers(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not 0 < number < inf:
            raise ParameterError(name, number, "give a number above 0")


def _check_bars(
    strategy: Any,
    start: int | date | None,
    end: int | date | None,
    numfigs: int,
    max_bars: int,
) -> None:
    """Refuse a stretch without bars, and one with more than can be drawn."""
    times = strategy.lines.datetime.plot()
    first = 0 if start is None else _index("start", start, times, bisect_left)
    after = len(times) if end is None else _index("end", end, times, bisect_right)
    if first < 0:
        raise ParameterError("start", start, "count from 0, or give a date")
    bars = len(times[first:after])
    if bars < numfigs:
        place = f"{bars} bars from start={start} to end={end}"
        raise ParameterError("numfigs", numfigs, f"there are {place}: draw more bars")
    if bars / numfigs > max_bars:
        fix = f"{bars / numfigs:.0f} bars in one figure: give start=, end= or numfigs="
        raise ParameterError("max_bars", max_bars, fix)


def _index(name: str, bound: int | date, times: Any, bisect: Any) -> int:
    """A bound as Backtrader's plotter reads it: an index, or a date's."""
    if isinstance(bound, date):
        is_moment = isinstance(bound, datetime)
        moment = bound if is_moment else datetime.combine(bound, time())
        return int(bisect(times, bt.date2num(moment)))
    if not isinstance(bound, int):
        raise ParameterError(name, bound, "give the number of a bar, or a date")
    return len(times) + 1 + bound if bound < 0 and name == "end" else bound
