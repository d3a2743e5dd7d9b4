"""The chart: Backtrader's plotter without windows, and with its times.

Importing this needs matplotlib.
"""

from bisect import bisect_left
from math import ceil, log10
from typing import Any

import backtrader as bt
import matplotlib as mpl
import numpy as np
from matplotlib import dates, ticker
from matplotlib.artist import setp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_use = mpl.use
try:
    # Importing backtrader.plot calls matplotlib.use("TKAgg"), which would take the
    # backend away from whoever has chosen one.
    mpl.use = lambda *_args, **_words: None
    from backtrader.plot import Plot, PlotScheme
finally:
    mpl.use = _use

__all__ = ["Chart", "PlotScheme"]


_locator: Any = dates.AutoDateLocator  # matplotlib's functions have no types
_to_time: Any = dates.num2date

_LEGEND_COLUMNS = 8
_OUTSIDE = " (beyond the chart)"
_TAG_SHARE = 0.05  # width of the tags with last values, in panels
_LEGEND_ROWS = 0.2  # its height, in rows of the grid
_EDGES = 40  # parts of a price range, one of which is left free at its edge
_LARGE = 100.0  # two decimals are enough from here on
_ABOVE_ALL = 10.0
_INSTANT = 1e-6  # days: times are floats that miss a round one by microseconds


class _Figures:
    """What Backtrader asks of pyplot, without its windows and its global state."""

    setp = staticmethod(setp)

    def __init__(self) -> None:
        self.figure_now = Figure()

    def figure(self, _number: int) -> Figure:
        """A new figure."""
        self.figure_now = Figure()
        FigureCanvasAgg(self.figure_now)
        return self.figure_now

    def subplot2grid(
        self, shape: tuple[int, int], place: tuple[int, int], rowspan: int, sharex: Any
    ) -> Any:
        """Axes over ``rowspan`` rows of a grid."""
        row, column = place
        grid = self.figure_now.add_gridspec(*shape)
        return self.figure_now.add_subplot(
            grid[row : row + rowspan, column], sharex=sharex
        )

    def autoscale(self, enable: bool, axis: Any, tight: bool) -> None:
        """Fit the axes made last."""
        self.figure_now.gca().autoscale(enable=enable, axis=axis, tight=tight)


class Chart(Plot):
    """Backtrader's plotter, drawing into figures that belong to nobody else.

    Args:
        scheme: a `PlotScheme`; Backtrader's default is one object for all plots.
    """

    def __init__(self) -> None:
        super().__init__()
        self._figures = _Figures()

    @property
    def mpyplot(self) -> _Figures:
        """Backtrader sets this to pyplot at each plot; it stays what it is."""
        return self._figures

    @mpyplot.setter
    def mpyplot(self, _pyplot: Any) -> None:
        pass

    def show(self) -> None:
        """Show nothing: the figures are for saving."""

    def plot(self, strategy: Any, *args: Any, **words: Any) -> list[Figure] | None:
        """Draw a strategy: one figure, or as many as ``numfigs`` says."""
        self._dated: list[tuple[Any, int]] = []
        figures: list[Figure] | None = super().plot(strategy, *args, **words)
        for figure in figures or ():
            for axes in figure.axes:
                _make_room_for_legend(axes)
                _drop_tags_outside(axes)
        for axes, bars in self._dated:
            axes.set_xlim(-0.005 * bars, bars * (1 + _TAG_SHARE))
            # Axes that share x share its ticks: Backtrader hides those of the last
            # panel with all the others.
            axes.tick_params(axis="x", labelbottom=True)
            setp(axes.get_xticklabels(), visible=True)
        return figures

    def drawtag(
        self, ax: Any, x: float, y: float, facecolor: Any, edgecolor: Any, **words: Any
    ) -> None:
        """Write a line's last value beside it, in its colour.

        Backtrader writes two decimals, of which a coin of 0.2 shows none that moves.
        """
        color = ax.lines[-1].get_color() if ax.lines else edgecolor
        before = len(ax.texts)
        super().drawtag(ax, x, y, facecolor, color, **words)
        decimals = 2 if abs(y) >= _LARGE or not y else 5 - ceil(log10(abs(y)))
        for text in ax.texts[before:]:
            text.set_text(f"{y:.{decimals}f}")

    def plotind(self, iref: Any, ind: Any, *args: Any, **words: Any) -> None:
        """Draw an indicator or observer."""
        super().plotind(iref, ind, *args, **words)
        axes = self.pinf.daxis.get(ind)
        if axes is not None and axes.get_legend() is not None:
            place = ind.plotinfo.legendloc or self.pinf.sch.legendindloc
            self._relegend(axes, place, *axes.get_legend_handles_labels())

    def plotvolume(self, data: Any, *prices: Any) -> Any:
        """Draw the volume: under the price with its highest value as only tick."""
        drawn = super().plotvolume(data, *prices)
        if drawn is not None and self.pinf.sch.voloverlay and _master(data) is data:
            axes, volumes = self.pinf.daxis[data.volume], prices[-2]
            axes.grid(visible=False, axis="y")
            axes.yaxis.set_major_locator(ticker.FixedLocator([max(volumes)]))
            axes.yaxis.set_major_formatter(ticker.EngFormatter(places=0, sep=""))
        return drawn

    def plotdata(self, data: Any, indicators: Any) -> None:
        """Draw a feed and what lies over it."""
        super().plotdata(data, indicators)
        axes = self.pinf.daxis[_master(data)]
        if data.plotinfo._get("plotylimited", True):
            _widen(axes)
        if axes.get_legend() is not None:
            place = data.plotinfo.legendloc or self.pinf.sch.legenddataloc
            handles, labels = self.pinf.handles[axes], self.pinf.labels[axes]
            self._relegend(axes, place, handles, labels)

    def _relegend(
        self, axes: Any, place: str, handles: list[Any], labels: list[str]
    ) -> None:
        """Put the legend on one line, without lines that have nothing to show."""
        shown = {}
        for handle, label in zip(handles, labels, strict=True):
            values = _values(handle)
            if not isinstance(handle, Line2D) or len(values):
                words = label.strip().replace("\n", ": ")
                shown[words + _OUTSIDE * _is_outside(values, axes.get_ylim())] = handle
        if not shown:
            axes.get_legend().remove()
            return
        legend = axes.legend(
            shown.values(),
            shown.keys(),
            loc=place,
            ncols=_LEGEND_COLUMNS,
            numpoints=1,
            prop=self.pinf.prop,
            borderpad=0.2,
            framealpha=0.8,
            edgecolor="none",
        )
        legend.set_zorder(_ABOVE_ALL)

    def setlocators(self, ax: Any) -> None:
        """Put the times below the last panel, at round ones.

        Backtrader's own locator counts days from the year 1, matplotlib's since 3.3
        from 1970.
        """
        numbers = list(self.pinf.xreal)
        first, last = bt.num2date(numbers[0]), bt.num2date(numbers[-1])
        locator = _locator(minticks=5, maxticks=12)
        rounds = [
            bt.date2num(_to_time(tick).replace(tzinfo=None))
            for tick in locator.tick_values(first, last)
        ]
        places = sorted(
            {
                bisect_left(numbers, tick - _INSTANT)
                for tick in rounds
                if numbers[0] <= tick + _INSTANT and tick - _INSTANT <= numbers[-1]
            }
        )
        form = self.pinf.sch.fmt_x_ticks or "%Y-%m-%d %H:%M"
        labels = [bt.num2date(numbers[place]).strftime(form) for place in places]
        ax.xaxis.set_major_locator(ticker.FixedLocator(places))
        ax.xaxis.set_major_formatter(ticker.FixedFormatter(labels))
        self._dated.append((ax, len(numbers)))


def _master(data: Any) -> Any:
    """The feed on whose panel a feed is drawn."""
    master = data.plotinfo.plotmaster
    return data if master is None else master


def _values(artist: Any) -> Any:
    """The finite values of a line, of other things none."""
    values = np.array(artist.get_ydata() if isinstance(artist, Line2D) else (), float)
    return values[np.isfinite(values)]


def _is_outside(values: Any, limits: tuple[float, float]) -> bool:
    """Whether there are values and none of them can be seen."""
    low, high = limits
    return bool(len(values) and not ((values >= low) & (values <= high)).any())


def _make_room_for_legend(axes: Any) -> None:
    """Lift the upper limit, so that the legend covers nothing."""
    if axes.get_legend() is None or axes.get_yscale() != "linear":
        return
    low, high = axes.get_ylim()
    rows = len(axes.get_subplotspec().rowspan)
    axes.set_ylim(low, high + (high - low) * _LEGEND_ROWS / (rows - _LEGEND_ROWS))


def _drop_tags_outside(axes: Any) -> None:
    """Remove the tags of values beyond the chart, which are drawn there too."""
    low, high = axes.get_ylim()
    for text in list(axes.texts):
        if not low <= text.get_position()[1] <= high:
            text.remove()


def _widen(axes: Any) -> None:
    """Make room for what lies over the price, on each side up to its own range."""
    low, high = axes.get_ylim()
    room = high - low
    values = np.concatenate([_values(line) for line in axes.lines])
    values = values[(values >= low - room) & (values <= high + room)]
    edge = room / _EDGES
    axes.set_ylim(
        min(low, values.min(initial=low + edge) - edge),
        max(high, values.max(initial=high - edge) + edge),
    )
