"""The base operations over periods, as arrays.

Each function fills the bars from ``start`` to ``end`` of one object as that object's
own ``once`` would, to the last bit, or raises ``Unsupported`` and leaves it to it.
"""

import functools
from array import array
from collections.abc import Callable, Iterator
from math import fsum
from typing import Any

import backtrader.indicators as ind
import numpy as np
from numpy.typing import NDArray

from bt_margin.accelerate.buffers import constant, read_line, room
from bt_margin.accelerate.windows import (
    Floats,
    Unsupported,
    fold_windows,
    weighted_sums,
    window_sums,
)

Rule = Callable[[Floats, int], Any]


def average(line: Any, start: int, end: int) -> None:
    """The mean of each window."""

    def mean(values: Floats, period: int) -> Floats:
        return window_sums(values, period) / constant(period)

    _by_window(line, start, end, mean)


def weighted_average(line: Any, start: int, end: int) -> None:
    """The weighted sum of each window, times a factor."""
    weights = [constant(weight) for weight in line.p.weights]
    factor = constant(line.p.coef)
    if len(weights) != line.p.period:
        raise Unsupported

    def mean(values: Floats, period: int) -> Floats:  # noqa: ARG001 - the weights' number
        return factor * weighted_sums(values, weights)

    _by_window(line, start, end, mean)


def operation(line: Any, start: int, end: int) -> None:
    """A rule over each window."""
    _by_window(line, start, end, _rule(line))


def smooth(line: Any, start: int, end: int) -> None:
    """A mean that forgets: each value is kept in part and added to in part."""
    keep, take = constant(line.alpha1), constant(line.alpha)
    added = _numbers(read_line(line.data, start, end) * take)

    def means(held: float) -> Iterator[float]:
        for part in added:
            held = held * keep + part
            yield held

    smoothed = means(_before(line, start))
    room(line, start, end)[:] = np.fromiter(smoothed, np.float64, end - start)


def smooth_by_lines(line: Any, start: int, end: int) -> None:
    """The same, with parts that change from bar to bar."""
    keep = _numbers(read_line(line.alpha1, start, end))
    values, take = read_line(line.data, start, end), read_line(line.alpha, start, end)
    added = _numbers(values * take)

    def means(held: float) -> Iterator[float]:
        for share, part in zip(keep, added, strict=True):
            held = held * share + part
            yield held

    smoothed = means(_before(line, start))
    room(line, start, end)[:] = np.fromiter(smoothed, np.float64, end - start)


def accumulate(line: Any, start: int, end: int) -> None:
    """The sum of all values so far."""
    values = read_line(line.data, start, end)
    running = np.concatenate([[_before(line, start)], values])
    room(line, start, end)[:] = np.cumsum(running)[1:]


def last_difference(line: Any, start: int, end: int) -> None:
    """The difference of two lines, and where it is zero the one before."""
    left = read_line(line.data0, start, end)
    right = read_line(line.data1, start, end)
    difference = np.concatenate([[_before(line, start)], left - right])
    there = difference != 0
    there[0] = True
    if not there.all():
        place = np.where(there, np.arange(len(difference)), 0)
        difference = difference[np.maximum.accumulate(place)]
    room(line, start, end)[:] = difference[1:]


def _numbers(values: Floats) -> "array[float]":
    """Python's own array: the cheapest to walk through."""
    return array("d", values.tobytes())


def _before(line: Any, start: int) -> float:
    return float(read_line(line, start - 1, start)[0])


def _by_window(line: Any, start: int, end: int, rule: Rule) -> None:
    period = line.p.period
    if type(period) is not int or period < 1:
        raise Unsupported
    values = read_line(line.data, start - period + 1, end)
    room(line, start, end)[:] = rule(values, period)


def _rule(line: Any) -> Rule:
    func = line.func
    if func is fsum:
        return window_sums
    if func in (max, min):
        return functools.partial(_extreme, choose=func)
    if func in (any, all):
        return functools.partial(_truth, choose=func)
    if getattr(line.p, "func", None) is func and func is _RANK:
        return _rank
    return _index_rule(line, getattr(func, "__func__", None))


def _index_rule(line: Any, func: Any) -> Rule:
    wanted = getattr(line.p, "_evalfunc", None)
    if wanted in (max, min):
        if func is ind.FindFirstIndex.func:
            return functools.partial(_index, choose=wanted, newest=True)
        if func is ind.FindLastIndex.func:
            return functools.partial(_index, choose=wanted, newest=False)
    raise Unsupported


def _extreme(values: Floats, period: int, *, choose: Any) -> Any:
    if np.isnan(values).any() or np.signbit(values[values == 0]).any():
        raise Unsupported  # which of two comes first matters to Python
    return fold_windows(values, period, np.maximum if choose is max else np.minimum)


def _truth(values: Floats, period: int, *, choose: Any) -> Any:
    joined = np.logical_or if choose is any else np.logical_and
    return fold_windows(values != 0, period, joined)


def _index(values: Floats, period: int, *, choose: Any, newest: bool) -> Any:
    """Bars since each window's extreme: its newest or its oldest."""
    if np.isnan(values).any():
        raise Unsupported
    better = {
        (max, True): np.greater_equal,
        (max, False): np.greater,
        (min, True): np.less_equal,
        (min, False): np.less,
    }[choose, newest]

    def pick(old: NDArray[np.intp], new: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.where(better(values[new], values[old]), new, old)

    places = np.arange(len(values))
    return places[period - 1 :] - fold_windows(places, period, pick)


def _rank(values: Floats, period: int) -> Floats:
    """The share of each window that lies below its last value."""
    windows = np.lib.stride_tricks.sliding_window_view(values, period)
    below: Floats = np.count_nonzero(windows < windows[:, -1:], axis=1)
    return below / float(period)


_RANK = ind.PercentRank.params.func
