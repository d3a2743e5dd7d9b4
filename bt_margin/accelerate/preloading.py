"""Preloading a run whose feeds are resampled, which Backtrader does bar by bar.

``Cerebro.resampledata`` turns preloading off, and with it the run over arrays. Where
the bars and their order can be told beforehand, feeds are preloaded here after all.
What shows only later, by the indicators of a strategy, takes it back: the feeds are
emptied and Backtrader's own loop runs.
"""

from collections.abc import Sequence
from typing import Any

import backtrader as bt
import numpy as np
from backtrader.feed import DataClone

from .clocks import why_not_arrays
from .resampling import COLUMNS, Resampled, refusal, resample
from .rounds import Coming, Rounds, rounds_of
from .windows import Floats, Unsupported

__all__ = ["Preloading"]

_CEREBRO = ("_runnext", "_runonce", "runstrategies")
_FEED = (
    *("load", "next", "advance", "advance_peek", "rewind", "_check", "_last"),
    *("_fromstack", "_add2stack", "_updatebar", "_getnexteos", "_load", "preload"),
)


class Preloading:
    """The feeds of one run, preloaded though some are resampled.

    Args:
        cerebro: of the run, which is about to load its feeds.
    """

    def __init__(self, cerebro: Any) -> None:
        self._cerebro = cerebro
        self._rows: dict[int, Floats] = {}
        self._resampled: dict[int, Resampled] = {}
        self._failure: str | None = None
        self.is_loaded = False
        cerebro._dopreload = True
        for data in cerebro.datas:
            data.preload = _Preload(self, data)

    @staticmethod
    def why_not(cerebro: Any, kind: type | None) -> str | None:
        """Why feeds cannot be preloaded; ``None``: they may be.

        Args:
            cerebro: of the run.
            kind: class of the feeds whose rows are columns.
        """
        if kind is None or any(data.replaying for data in cerebro.datas):
            return "bars are replayed"
        return _why_not_cerebro(cerebro) or _why_not_feeds(cerebro.datas, kind)

    def load(self, data: Any) -> None:
        """Preload one feed."""
        del data.preload
        self.is_loaded = True
        if self._failure is not None:
            return
        try:
            self._load(data)
        except Unsupported as reason:
            self._failure = str(reason)

    def _load(self, data: Any) -> None:
        if not data.resampling:
            data.preload()
            self._rows[id(data)] = _values(data, "datetime")
            return
        if data._clone:
            source = data.data
        else:
            source, filters = data, (data._filters, data._ffilters)
            data._filters, data._ffilters = [], []
            try:
                data.preload()
            finally:
                data._filters, data._ffilters = filters
        rows = {name: _values(source, name) for name in COLUMNS}
        self._rows[id(data)] = rows["datetime"]
        resampler, session_end = data._filters[0][0], source.p.sessionend
        found = resample(rows, resampler, session_end, is_clone=data._clone)
        self._resampled[id(data)] = found
        for name, column in found.columns.items():
            getattr(data.lines, name).array[:] = column
        data.home()

    def rounds(self, strategies: Sequence[Any]) -> Rounds:
        """The rounds in which the strategies see the bars.

        Raises:
            Unsupported: saying why they have to see them in Backtrader's own loop.
        """
        if self._failure is not None:
            raise Unsupported(self._failure)
        datas = self._cerebro.datas
        found = rounds_of(
            [
                Coming(
                    data,
                    self._rows[id(data)],
                    self._resampled.get(id(data)),
                    is_clone=data._clone,
                )
                for data in datas
            ]
        )
        reason = why_not_arrays(strategies, datas, found)
        if reason is not None:
            raise Unsupported(reason)
        return found

    def take_back(self) -> None:
        """Leave the feeds as Cerebro leaves feeds that it does not preload."""
        cerebro = self._cerebro
        cerebro._dopreload = False
        for data in cerebro.datas:
            data.reset()
            data._start()

    @staticmethod
    def remove(cerebro: Any) -> None:
        """Let a Cerebro preload its feeds, or not, as it does itself."""
        for data in cerebro.datas:
            if isinstance(vars(data).get("preload"), _Preload):
                del data.preload
        if cerebro._doreplay:
            cerebro._dopreload = False


class _Preload:
    """In the place of a feed's ``preload``, for one run."""

    def __init__(self, preloading: Preloading, data: Any) -> None:
        self._preloading = preloading
        self._data = data

    def __call__(self) -> None:
        self._preloading.load(self._data)


def _values(data: Any, name: str) -> Floats:
    return np.array(getattr(data.lines, name).array)


def _why_not_cerebro(cerebro: Any) -> str | None:
    p = cerebro.p
    if not (p.preload and p.runonce) or p.exactbars or p.oldsync:
        return "this run did not ask for preload and runonce"
    if p.live or cerebro._dolive or p.lookahead or cerebro.stores:
        return "the run is live, looks ahead or has a store"
    if cerebro._ohistory or cerebro._fhistory is not None:
        return "the run has a history of orders or of a fund"
    for name in _CEREBRO:
        stock = getattr(type(cerebro), name) is getattr(bt.Cerebro, name)
        if not stock or name in vars(cerebro):
            return f"{type(cerebro).__name__} has its own {name}"
    return None


def _why_not_feeds(datas: Sequence[Any], kind: type) -> str | None:
    order = sorted(datas, key=lambda data: (data._timeframe, data._compression))
    places = {id(data): place for place, data in enumerate(order)}
    if len(places) < len(datas):
        return "a feed was added twice"
    for place, data in enumerate(datas):
        reason = _why_not_feed(data, kind)
        if reason is not None:
            return reason
        if not data._clone:
            continue
        source = data.data
        if not any(source is other for other in datas[:place]):
            return "a clone's feed was not added before it"
        if source.resampling or places[id(source)] > places[id(data)]:
            return "a clone's feed is not the finer one"
    return None


def _why_not_feed(data: Any, kind: type) -> str | None:
    name, p = type(data).__name__, data.p
    if type(data) is not DataClone and not _loads_as(data, kind):
        return f"{name} is no {kind.__name__}, or loads in a way of its own"
    if data.lines.size() != len(COLUMNS):
        return f"{name} has lines of its own"
    zones = (p.tz, p.tzinput, p.calendar, data._env._tradingcal)
    if any(zone is not None for zone in zones):
        return f"{name} has a time zone or a calendar"
    if data.resampling:
        has_one = len(data._filters) == len(data._ffilters) == 1
        return refusal(data._filters[0][0]) if has_one else f"{name} has other filters"
    if data._filters or data._ffilters or data._clone:
        return f"{name} is filtered, or a clone that is not resampled"
    return None


def _loads_as(data: Any, kind: type) -> bool:
    """Whether a feed loads as those of a class do."""
    if not isinstance(data, kind) or not set(_FEED).isdisjoint(vars(data)):
        return False
    return all(getattr(type(data), name) is getattr(kind, name) for name in _FEED)
