"""Rounds: which feeds bring a bar when, as Backtrader's loop without preloading has it.

That loop asks each feed for a bar in every round, holds back those that are later than
the round, and asks resamplers to give out what other feeds have overtaken. Feeds that
are not resampled make the rounds where there are any; a resampled bar comes with the
row that completes it, which after a gap is later than the bar's own time. Orders of
bars that depend on more than that raise `Unsupported`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from backtrader.dataseries import _Bar
from numpy.typing import NDArray

from .feeds import Feed
from .resampling import Resampled
from .windows import Floats, Unsupported

__all__ = ["Coming", "Rounds", "rounds_of"]

_MOST = 60  # feeds: each is a bit of an integer
_BEFORE_ALL: float = _Bar.MAXDATE  # Backtrader's time of the round before the first


@dataclass(frozen=True)
class Coming:
    """A feed and how it comes by its bars.

    Attributes:
        data: the feed, preloaded.
        resampled: its bars, unless they are the rows.
        rows: times of the rows; of what it clones if it is a clone.
        is_clone: whether it follows another feed of the run.
    """

    data: Any
    rows: Floats
    resampled: Resampled | None = None
    is_clone: bool = False


@dataclass(frozen=True)
class Rounds:
    """The rounds of a run.

    Attributes:
        times: of the rounds, ascending.
        who: the feeds that bring a bar in each, a bit for each feed.
        at_end: whether each feed brings a last bar when all have ended.
    """

    times: Floats
    who: NDArray[np.int64]
    at_end: tuple[bool, ...]

    def moves_always(self, feed: int) -> bool:
        """Whether a feed brings a bar in every round."""
        has_all = bool((self.who & (1 << feed) != 0).all())
        return has_all and (self.at_end[feed] or not any(self.at_end))

    def move_together(self, feeds: Iterable[int]) -> bool:
        """Whether some feeds bring their bars in the same rounds."""
        first, *others = feeds
        return all(
            self.at_end[one] == self.at_end[first]
            and bool(((self.who >> one ^ self.who >> first) & 1 == 0).all())
            for one in others
        )

    def walk(self, feeds: Sequence[Feed]) -> Iterator[tuple[float, float]]:
        """Go through the rounds; the feeds, in Cerebro's order, stand at their bars.

        Yields:
            The time of the round for timers, and for strategies.
        """
        groups = {
            mask: [feed for place, feed in enumerate(feeds) if mask >> place & 1]
            for mask in np.unique(self.who).tolist()
        }
        time = _BEFORE_ALL
        for time, mask in zip(self.times.tolist(), self.who.tolist(), strict=True):
            for feed in groups[mask]:
                feed.advance()
                feed.tick()
            yield time, time
        if not any(self.at_end):
            return
        first = min(feeds, key=lambda feed: feed.resolution)
        for feed, comes in zip(feeds, self.at_end, strict=True):
            if comes:
                feed.finish(is_first=feed is first)
        datas = [feed.data for feed in feeds]
        yield time, max(data.datetime[0] for data in datas if len(data))


def rounds_of(feeds: Sequence[Coming]) -> Rounds:
    """The rounds in which feeds bring their bars; late bars get their times.

    Args:
        feeds: all feeds of a run, in Cerebro's order.

    Raises:
        Unsupported: saying why the order cannot be told beforehand.
    """
    if len(feeds) > _MOST:
        raise Unsupported("there are too many feeds")
    plain = [feed.rows for feed in feeds if feed.resampled is None]
    times = np.unique(np.concatenate(plain or [_own(feed) for feed in feeds]))
    who = np.zeros(len(times), dtype=np.int64)
    at_end = []
    for place, feed in enumerate(feeds):
        found = _places(feed, times)
        rest = feed.resampled.rest if feed.resampled else None
        if rest is not None:
            after = _after_last(feed, found, times)
            forced, stamp = rest.forced(times[after:])
            feed.data.lines.datetime.array[-1] = stamp
            if forced is not None:
                found = np.append(found, after + forced)
        at_end.append(rest is not None and forced is None)
        who[found] |= 1 << place
    return Rounds(times, who, tuple(at_end))


def _own(feed: Coming) -> Floats:
    """The times of a resampled feed's bars, without one that is open at the end."""
    if feed.resampled is None:
        return feed.rows
    stamps = np.array(feed.resampled.columns["datetime"])
    return stamps[: len(feed.resampled.made)]


def _places(feed: Coming, times: Floats) -> NDArray[np.intp]:
    """The rounds in which a feed brings its bars."""
    stamps = _own(feed)
    if feed.resampled is None or not feed.is_clone:
        found = np.searchsorted(times, stamps)
        if len(found) and found[-1] == len(times):
            raise Unsupported("a resampled feed goes on when the others have ended")
        if (np.diff(stamps) <= 0).any() or (np.diff(found) <= 0).any():
            raise Unsupported("a resampled feed has two bars for one of the others")
        return found
    # A row is read in the round after the row before it, however late it is itself.
    before = np.concatenate([[-np.inf], feed.rows[:-1]])
    found = np.searchsorted(times, before[feed.resampled.made], side="right")
    if (stamps > times[found]).any():
        raise Unsupported("a clone would be held back, and lose a candle")
    return found


def _after_last(feed: Coming, found: NDArray[np.intp], times: Floats) -> int:
    """The first round in which a feed has no more rows to read."""
    if feed.is_clone:
        return int(np.searchsorted(times, feed.rows[-1], side="right"))
    return int(found[-1]) + 1 if len(found) else 0
