"""Feeds in the loop: preloaded bars, advanced by a cursor."""

from collections.abc import Iterator
from typing import Any

from .cursors import Cursor

__all__ = ["INFINITE", "Feed"]

INFINITE = float("inf")


class Feed:
    """A preloaded feed.

    Args:
        data: the feed.
        keeps_last_tick: whether the last bar has ticks, as it has bar by bar.

    Attributes:
        data: the feed.
        lines: its lines.
        cursor: where they stand.
    """

    def __init__(self, data: Any, *, keeps_last_tick: bool = False) -> None:
        self.data = data
        self.lines = list(data.lines)
        self._count = data.buflen()
        self._clock = data.lines.datetime
        self._ticks_until = self._count + keeps_last_tick
        self._own = vars(data)
        names = [name for name in data.getlinealiases() if name != "datetime"]
        ticks = {"tick_" + n: getattr(data.lines, n) for n in names}
        ticks["tick_last"] = getattr(data.lines, data._getlinealias(0))
        self._ticks = ticks
        # A feed may read its ticks off its lines by itself.
        served = getattr(data, "ticks_of_lines", ())
        self._filled = {n: line for n, line in ticks.items() if n not in served}
        self.cursor = Cursor(self.lines)
        self._is_served = bool(served)
        if served:
            data.ticks_until = self._ticks_until

    @property
    def resolution(self) -> tuple[int, int]:
        """A key by which Backtrader orders feeds: timeframe and compression."""
        return self.data._timeframe, self.data._compression

    def leave(self) -> None:
        """Leave the feed as Backtrader's loop leaves it."""
        self.cursor.release()
        self._write_ticks()

    def _write_ticks(self) -> None:
        """Let the feed hold its ticks by itself."""
        if self._is_served:
            self._is_served = False
            self.data.ticks_until = 0
            if self._clock.lencount:
                self._fill(self._ticks)

    def coming(self) -> float:
        """The time of the next bar, infinite after the last."""
        clock = self._clock
        place = self.cursor if self.cursor.is_shared else clock
        if place.lencount >= self._count:
            return INFINITE
        index = self.cursor.idx if self.cursor.is_shared else clock._idx
        return float(clock.array[index + 1])

    def bars(self) -> Iterator[tuple[float, float]]:
        """The time of each bar, twice, when the feed stands there."""
        cursor, times, count = self.cursor, self._clock.array, self._count
        filled = bool(self._filled)
        while cursor.is_shared and cursor.lencount < count:
            cursor.idx = place = cursor.idx + 1
            cursor.lencount += 1
            if filled:
                self._fill(self._filled)
            time = times[place]
            yield time, time
        while (time := self.coming()) != INFINITE:
            self.advance()
            yield time, time

    def advance(self) -> None:
        """Move on by a bar, and let the bar be the tick, as a feed does itself."""
        self.cursor.move()
        if self._filled:
            self._fill(self._filled)

    def finish(self, *, is_first: bool) -> None:
        """Move on to the bar that the end leaves: the tick is that of the one before.

        Where there was none, Backtrader fills it in, but not for its first feed.
        """
        own, ticks = self._own, self._ticks
        self._write_ticks()
        before = {name: own.get(name) for name in ticks}
        self.cursor.move()
        self._fill(ticks)
        if before["tick_last"] is not None:
            own.update(before)
        elif is_first:
            for name in ticks:
                del own[name]

    def _fill(self, ticks: dict[str, Any]) -> None:
        own = self._own
        if self._clock.lencount >= self._ticks_until:
            # Of the last bar Backtrader leaves no tick behind.
            own.update(dict.fromkeys(ticks))
            return
        for name, line in ticks.items():
            own[name] = line.array[line._idx]
