"""Feeds on their way to another process: prices once, in little room, and no frame.

Cerebro sends itself, feeds and all, with every task of an optimisation.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from .series import EPOCH_DAY, day_numbers

__all__ = ["Column", "Times", "point_at", "without_frames"]

_DAY_MS = 86_400_000

if TYPE_CHECKING:
    Doubles: TypeAlias = array[float]
else:
    Doubles = array

Form: TypeAlias = tuple[Callable[..., Doubles], tuple[Any, ...]]


def _is_same(one: Doubles, other: Doubles) -> bool:
    """Whether two arrays are equal byte for byte: NaN is, and 0 is not -0."""
    return np.array_equal(np.frombuffer(one, "q"), np.frombuffer(other, "q"))


class Column(Doubles):
    """A column of a feed, which pickles as the shortest form that rebuilds it exactly.

    A call: ``Column("d", values)``.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Form:
        for rebuild, args in self._short_forms() if self else ():
            if _is_same(rebuild(*args), self):
                return rebuild, args
        return type(self), ("d", array("d", self))

    def _short_forms(self) -> Iterator[Form]:
        yield _repeated, (self[0], len(self))


class Times(Column):
    """A column of times as Backtrader's numbers, of which equal steps are common."""

    __slots__ = ()

    def _short_forms(self) -> Iterator[Form]:
        ends = (self[0], self[-1])
        first, last = (round((time - EPOCH_DAY) * _DAY_MS) for time in ends)
        step, rest = divmod(last - first, max(1, len(self) - 1))
        if step > 0 and not rest:
            yield _regular, (first, step, len(self))


def _repeated(value: float, count: int) -> Column:
    """One value ``count`` times."""
    return Column("d", array("d", [value]) * count)


def _regular(first: int, step: int, count: int) -> Times:
    """Backtrader's numbers of times from ``first`` on (ms), ``step`` apart."""
    return Times("d", _regular_numbers(first, step, count))


@lru_cache(maxsize=8)  # all tasks of a process have the same; not to be written to
def _regular_numbers(first: int, step: int, count: int) -> Doubles:
    times = first + step * np.arange(count, dtype=np.int64)
    return day_numbers(pd.DatetimeIndex(times.astype("datetime64[ms]")))


class Stretch(Doubles):
    """The array of a line that a column was loaded into; it pickles as that column.

    Of what was written into it since nothing is lost: it then pickles in full. On the
    other side it is a plain array.
    """

    __slots__ = ("_count", "_first", "_source")
    _count: int
    _first: int
    _source: Column

    @classmethod
    def of(cls, values: Doubles, source: Column, first: int, count: int) -> "Stretch":
        """The same values.

        Args:
            values: of the line.
            source: the column.
            first: place in the column of the line's first value.
            count: how many were loaded; what comes after them is a lookahead's.
        """
        made = cls("d", values)
        made._source, made._first, made._count = source, first, count
        return made

    def __reduce_ex__(self, protocol: Any) -> Form:
        count = self._count
        loaded = self._source[self._first : self._first + count]
        if _is_same(loaded, self[:count]):
            return _loaded, (self._source, self._first, count, self[count:])
        return array, ("d", self[:])


def _loaded(source: Column, first: int, count: int, rest: Doubles) -> Doubles:
    """The array of a line: a stretch of a column, and the rest."""
    return source[first : first + count] + rest


def point_at(columns: Mapping[str, Column], lines: Any) -> None:
    """Let the arrays of a feed's lines pickle as the columns they were loaded from.

    The lines themselves stay: a strategy's parameters may refer to them.
    """
    clock = lines.datetime
    count = len(clock.array) - clock.extension
    if not count:
        return
    first = bisect_left(columns["datetime"], clock.array[0])
    for name, source in columns.items():
        line = getattr(lines, name)
        if type(line.array) is array:  # not the deque of a line that forgets
            line.array = Stretch.of(line.array, source, first, count)


def without_frames(params: Any) -> Any:
    """The parameters of a feed, those that are frames being ``None``."""
    kept = copy(params)
    for name, value in params._getkwargs().items():
        if isinstance(value, pd.DataFrame | pd.Series):
            setattr(kept, name, None)
    return kept
