"""Feeds in the loop: preloaded bars, advanced by a cursor."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .cursors import Cursor

__all__ = ["Feed", "feeds_of", "steps_of"]

INFINITE = float("inf")


class Feed:
    """A preloaded feed.

    Args:
        data: the feed.
        cursor: of feeds with the very same times; ``None``: one of its own.
        keeps_last_tick: whether the last bar has ticks, as it has bar by bar.

    Attributes:
        data: the feed.
        lines: its lines.
        cursor: where they stand.
    """

    def __init__(
        self,
        data: Any,
        cursor: Cursor | None = None,
        *,
        keeps_last_tick: bool = False,
    ) -> None:
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
        self.cursor = cursor or Cursor(self.lines)
        self._is_served = bool(served)
        if served:
            data.ticks_until = self._ticks_until

    @property
    def is_ticking(self) -> bool:
        """Whether its ticks have to be written at each bar."""
        return bool(self._filled)

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

    def bars(self, group: Sequence["Feed"]) -> Iterator[tuple[float, float]]:
        """The time of each bar, twice, while the feeds of its group move together."""
        cursor, times, count = self.cursor, self._clock.array, self._count
        ticking = [feed for feed in group if feed.is_ticking]
        while cursor.is_shared and cursor.lencount < count:
            cursor.idx = place = cursor.idx + 1
            cursor.lencount += 1
            for feed in ticking:
                feed.tick()
            time = times[place]
            yield time, time

    def advance(self) -> None:
        """Move on by a bar, with all that share the cursor."""
        if self.cursor.is_shared:
            self.cursor.move()
        else:
            for line in self.lines:
                line._idx += 1
                line.lencount += 1

    def tick(self) -> None:
        """Let the bar be the tick, as a feed does itself."""
        self._fill(self._filled)

    def finish(self, *, is_first: bool) -> None:
        """Move on to the bar that the end leaves: the tick is that of the one before.

        Where there was none, Backtrader fills it in, but not for its first feed.
        """
        own, ticks = self._own, self._ticks
        self._write_ticks()
        before = {name: own.get(name) for name in ticks}
        self.advance()
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


def feeds_of(datas: Sequence[Any], *, by_rounds: bool) -> list[Feed]:
    """Feeds of a run.

    Args:
        datas: the feeds as Backtrader has them.
        by_rounds: whether each is told when it brings a bar; else those with the very
            same times share a cursor.
    """
    if by_rounds:
        return [Feed(data, keeps_last_tick=True) for data in datas]
    groups: list[list[Any]] = []
    for data in datas:
        for group in groups:
            if _are_parallel(group[0], data):
                group.append(data)
                break
        else:
            groups.append([data])
    cursors: dict[int, Cursor] = {}
    for group in groups:
        cursor = Cursor([line for data in group for line in data.lines])
        cursors.update((id(data), cursor) for data in group)
    return [Feed(data, cursors[id(data)]) for data in datas]


def _are_parallel(one: Any, other: Any) -> bool:
    count = one.buflen()
    if other.buflen() != count:
        return False
    mine, theirs = (np.array(d.lines.datetime.array[:count]) for d in (one, other))
    return bool(np.array_equal(mine, theirs))


def steps_of(feeds: Sequence[Feed]) -> Iterator[tuple[float, float]]:
    """Each time at which feeds bring a bar; those that do stand there by then.

    Yields:
        That time, for timers and for strategies.
    """
    ordered = sorted(feeds, key=lambda feed: feed.resolution)
    groups: dict[int, list[Feed]] = {}
    for feed in ordered:
        groups.setdefault(id(feed.cursor), []).append(feed)
    whole = [True]
    for lead, *_ in groups.values():
        lead.cursor.on_release.append(whole.clear)
    if len(groups) == 1:
        yield from ordered[0].bars(ordered)
    else:
        yield from _walk([*groups.values()], whole)
    # One was moved by hand: each feed goes on by itself.
    yield from _walk([[feed] for feed in ordered], [True])


def _walk(
    groups: Sequence[Sequence[Feed]], whole: Sequence[bool]
) -> Iterator[tuple[float, float]]:
    """Go on with groups of feeds, each moved by its first, while they are whole."""
    leads = [group[0] for group in groups]
    ticking = [[feed for feed in group if feed.is_ticking] for group in groups]
    while whole:
        ahead = [lead.coming() for lead in leads]
        if (time := min(ahead)) == INFINITE:
            return
        for lead, theirs, members in zip(leads, ahead, ticking, strict=True):
            if theirs <= time:
                lead.advance()
                for feed in members:
                    feed.tick()
        yield time, time
