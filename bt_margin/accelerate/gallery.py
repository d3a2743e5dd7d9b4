"""The gallery: observers of a strategy, which mostly look at bars when asked.

While the broker sleeps, Backtrader's own observers would write at each bar what follows
from the price alone, for nobody. They owe these bars, and pay them at once: before the
broker wakes, when somebody reads one of their lines, and when the run is over.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .cursors import BoundLine
from .watching import AnyWatcher, FastWatcher

__all__ = ["Gallery"]


class Gallery:
    """The observers of one strategy.

    Args:
        watchers: their turns.
        strategy: the strategy.
    """

    def __init__(self, watchers: Sequence[AnyWatcher], strategy: Any) -> None:
        self._watchers = watchers
        self._line = strategy.lines[0]
        self._owed = 0  # bars
        self._owes = True
        self._until = 0  # place of the last of them in the strategy's line
        self._owing = [one for one in watchers if isinstance(one, FastWatcher)]
        # What a broker that sleeps can tell; Backtrader's does not.
        calm: Any = getattr(strategy.broker, "calm", None)
        can_owe = len(self._owing) == len(watchers) and all(
            one.can_owe for one in self._owing
        )
        self._calm: Any = calm if can_owe else None
        if self._calm is not None:
            self._calm.before_waking.append(self.pay)
            for line in self._lines():
                line._gallery = self
                line.__class__ = _OwedLine
            for one in self._owing:
                one.cursor.on_release.append(self._stop_owing)

    def _stop_owing(self) -> None:
        """Look at every bar: a line was moved by hand."""
        self._owes = False

    def _lines(self) -> Iterator[Any]:
        for one in self._owing:
            yield from one.lines

    def look(self, status: int, *, is_quiet: bool) -> None:
        """The turn of the observers at a bar.

        Args:
            status: bars that the strategy still lacks; negative: none.
            is_quiet: whether there is no order and no trade to show.
        """
        calm = self._calm
        if (
            calm is not None
            and self._owes
            and calm.is_dozing
            and is_quiet
            and status < 0
            and calm.tells
        ):
            self._owed += 1
            self._until = self._line._idx
            return
        self.pay()
        for watch in self._watchers:
            watch(status)

    def pay(self) -> None:
        """Write what is owed."""
        count, self._owed = self._owed, 0
        if not count:
            return
        first = self._until - count + 1
        times = np.array(self._line.array[first : self._until + 1])
        for one in self._owing:
            one.catch_up(times, self._calm.hindsight)

    def leave(self) -> None:
        """Leave the lines as Backtrader's loop leaves them."""
        self.pay()
        for watch in self._watchers:
            watch.leave()
        if self._calm is not None:
            self._calm.before_waking.remove(self.pay)
            for line in self._lines():
                del line._gallery


class _OwedLine(BoundLine):
    """A line of an observer: whoever asks for its place or values is paid first."""

    _gallery: Gallery

    @property
    def array(self) -> Any:
        """Its values."""
        self._gallery.pay()
        return self.__dict__["array"]

    @array.setter
    def array(self, held: Any) -> None:
        self.__dict__["array"] = held

    @property
    def _cursor(self) -> Any:
        self._gallery.pay()
        return self.__dict__["_cursor"]

    @_cursor.setter
    def _cursor(self, cursor: Any) -> None:
        self.__dict__["_cursor"] = cursor
