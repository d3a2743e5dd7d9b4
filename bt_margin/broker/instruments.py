"""The instruments of a run: which feeds there are, and which show the same market.

Backtrader keeps a position for each feed. A feed and its resampled clone are one
instrument: one position, booked on the first of them.
"""

import logging
from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from bt_margin.core.errors import ParameterError

from .instrument import Instrument
from .series import Bar

__all__ = ["Instruments"]

_log = logging.getLogger("bt_margin")


class Instruments:
    """Feeds of a run, in Cerebro's order.

    Args:
        feeds: the feeds.
        groups: pairs of feeds that show one instrument.
        follow_clones: whether clones are one instrument with what they clone.
        make: an `Instrument` from a feed and the symbol of its group.

    Raises:
        ParameterError: a pair names a feed that is not in the run.
    """

    def __init__(
        self,
        feeds: Iterable[Any],
        groups: Iterable[tuple[Any, Any]],
        make: Callable[[Any, str], Instrument],
        *,
        follow_clones: bool,
    ) -> None:
        self.feeds = tuple(feeds)
        self._leaders = {feed: feed for feed in self.feeds}
        # Feeds answer == with an indicator, so their places are looked up by hash.
        self._places = {feed: place for place, feed in enumerate(self.feeds)}
        for one, other in groups:
            self._join(one, other)
        for feed in self.feeds if follow_clones else ():
            original = getattr(feed, "data", None) if feed._clone else None
            if original in self._leaders:
                self._join(original, feed)
        symbols = self._symbols()
        self._by_feed = {f: make(f, symbols[self.leader(f)]) for f in self.feeds}
        self._by_symbol = {symbol: leader for leader, symbol in symbols.items()}
        self._shown = {
            symbol: [one for one in self._by_feed.values() if one.symbol == symbol]
            for symbol in self._by_symbol
        }
        self._ended: set[Any] = set()

    def _join(self, one: Any, other: Any) -> None:
        for feed in (one, other):
            if feed not in self._leaders:
                fix = "add both feeds to Cerebro first"
                raise ParameterError("same_instrument", feed, fix)
        leader, follower = sorted(
            (self.leader(one), self.leader(other)), key=self._places.__getitem__
        )
        for feed in self.feeds:
            if self._leaders[feed] is follower:
                self._leaders[feed] = leader

    def _symbols(self) -> dict[Any, str]:
        """A name of its own for every leader."""
        symbols: dict[Any, str] = {}
        for number, feed in enumerate(self.feeds):
            if self.leader(feed) is feed:
                name = feed._name or f"data{number}"
                symbols[feed] = f"{name}#{number}" if name in symbols.values() else name
        return symbols

    def leader(self, feed: Any) -> Any:
        """The first feed of the instrument that ``feed`` shows."""
        return self._leaders[feed]

    def __getitem__(self, feed: Any) -> Instrument:
        return self._by_feed[feed]

    @property
    def leaders(self) -> tuple[Any, ...]:
        """The first feed of every instrument."""
        return tuple(self._by_symbol.values())

    def leader_of(self, symbol: str) -> Any:
        """The first feed of a symbol."""
        return self._by_symbol[symbol]

    def shows(self, symbol: str) -> list[Instrument]:
        """The feeds that show a symbol."""
        return self._shown[symbol]

    def ranges(self) -> dict[Any, tuple[float, float]]:
        """Lowest and highest price of each feed's bar."""
        bars = {feed: one.bar for feed, one in self._by_feed.items()}
        return {
            feed: (bar.candle[2], bar.candle[1])
            for feed, bar in bars.items()
            if bar is not None
        }

    def advance(self, sizes: Callable[[Any], float]) -> dict[Any, Instrument]:
        """Take the new bars; the instruments of the feeds that brought one.

        Args:
            sizes: signed size held of a feed.
        """
        return {
            feed: instrument
            for feed, instrument in self._by_feed.items()
            if instrument.advance(sizes(feed))
        }

    def next_end(self, leader: Any) -> float:
        """When a feed of an instrument will be said to have ended, ms; infinite: never.

        It is known of feeds that are preloaded.
        """
        return min(
            (
                one.end_of(feed.datetime.array[feed.buflen() - 1]) + one.bar_length
                for feed, one in self._by_feed.items()
                if self._leaders[feed] is leader and feed not in self._ended
            ),
            default=inf,
        )

    def tell_ended(self, now: Bar, held: Callable[[Any], bool]) -> None:
        """Say once that a feed has ended while a position of it is open."""
        for feed, instrument in self._by_feed.items():
            bar = instrument.bar
            is_over = bar is not None and bar.end + bar.length <= now.start
            if not is_over or feed in self._ended or not held(feed):
                continue
            if len(feed) >= feed.buflen():
                self._ended.add(feed)
                _log.warning(
                    "%s has ended: its position stands at its last price from here on",
                    instrument.symbol,
                )
