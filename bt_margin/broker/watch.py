"""Watch: bars in which nothing can happen are slept through.

A bar whose prices stay within bounds at which no wallet can fail and no order fills,
without a stamp or a change of rules, leaves the account as it is. The broker does not
even read it. Cash and value are then read off the feeds; whoever asks for more wakes
the broker, which then stands at the end of that bar as after every other.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from bt_margin.core.account import Account
from bt_margin.core.number import Number
from bt_margin.core.position import Position

from .feed import PerpData
from .hindsight import Hindsight
from .instrument import Instrument
from .lookout import Bounds, Lookout
from .safety import Safety

__all__ = ["Watch"]


class Watch:
    """Says which bars a broker can sleep through, and wakes it.

    Args:
        broker: the `MarginBroker` of the run.

    Attributes:
        is_asleep: whether the bar of the moment was not read.
        is_dozing: asleep, and the feeds stand at that bar: marks can be read off them.
        hindsight: what can be told of the bars slept through since; ``None``: nothing.
        before_waking: called while the bars slept through can still be told of.
        stands_for_next: whether a bar slept through is all that the broker's own
            ``next`` would make of it.
        is_off: whether every bar is looked at, since something asks at each anyway.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._safety = Safety(broker)
        self._ledger = broker.ledger
        self._submitted = broker.submitted
        self._lookouts: list[Lookout] | None = None
        self._by_feed: dict[Any, Lookout] = {}
        self._shown: dict[str, list[Instrument]] = {}  # feeds, by symbol
        self._preloaded: set[Any] | None = None  # feeds whose bars are there already
        self._rising: set[Any] = set()  # feeds in which no time comes twice
        self._idle = Bounds()  # of feeds that are not held and have no orders
        self._sound: set[Any] = set()  # feeds whose bars can be relied on
        self._ends: dict[str, float] = {}  # when a feed is said to have ended, ms
        self.slept = 0  # bars slept through in the run
        self._entries = 0  # of the ledger, when the bounds were found
        self._was_awake = False  # since the ledger was last compared
        # Of the feeds at the bar slept through last, where their times do not tell.
        self._lengths: list[int] = []
        self._notes_lengths = False
        self._cheats = False  # whether strategies are asked before the broker's bar
        self._appraised = -1  # bars slept through when the value was taken last
        self._marked = -1  # the same of marks
        self._marks: dict[str, float] = {}
        self._held: list[tuple[str, Position]] = []
        self._balance: Number = 0
        self._available: float | None = None
        self.is_asleep = self.is_dozing = False
        self.hindsight: Hindsight | None = None
        self.before_waking: list[Callable[[], None]] = []
        self.stands_for_next = False
        self.is_off = False

    def forget(self) -> None:
        """Look at the next bar whatever it is: something was changed."""
        self._lookouts = None

    def sleeps(self) -> bool:
        """Whether the bar of the moment needs no look; it is slept through then."""
        lookouts = self._lookouts
        if lookouts is None:
            return False
        for lookout in lookouts:
            if lookout.line.lencount >= lookout.wake and lookout.has_arrived():
                return False
        if self._submitted or (self._was_awake and self._was_touched()):
            self.forget()
            return False
        self.slept += 1
        self.is_asleep = True
        self.is_dozing = not self._cheats
        if self._notes_lengths:
            self._lengths = self._lengths_now()
        return True

    def _lengths_now(self) -> list[int]:
        return [lookout.line.lencount for lookout in self._by_feed.values()]

    def _was_touched(self) -> bool:
        """Whether money was moved: that wakes the broker, and leaves an entry."""
        self._was_awake = False
        return len(self._ledger) != self._entries

    def wake_before(self) -> None:
        """Stand at the last bar slept through: the one of the moment comes after it."""
        if self.is_asleep:
            self._end_sleep()
            self._stand(is_before=True)

    def _end_sleep(self) -> None:
        for call in self.before_waking:
            call()
        self.is_asleep = self.is_dozing = False

    def wake(self) -> None:
        """Stand at the bar that was slept through last.

        Where the feeds have gone on and the broker has not (cheating on open), what is
        asked is how things stood at the end of that bar.
        """
        if not self.is_asleep:
            return
        self._end_sleep()
        self._was_awake = True
        self._stand(is_before=False)
        self._broker.appraise()

    def appraise(self) -> None:
        """Take the value at the end of the bar of the moment, once for each bar."""
        if not self.is_dozing:
            self.wake()
        elif self._held and self._appraised != self.slept:
            self._appraised = self.slept
            pnl = sum(one.unrealized_pnl(self.mark(name)) for name, one in self._held)
            self._broker.note_value(self._balance, pnl)

    @property
    def tells(self) -> bool:
        """Whether the bar slept through can be told of later."""
        if self.hindsight is None:
            return False
        # An order can be changed in place: `order.addinfo(reduce_only=True)`.
        resting = self.hindsight.resting
        return not resting or self._broker.resting_margins() is resting

    def available_balance(self) -> float:
        """What a new order may use at the end of the bar slept through."""
        if self._available is not None:
            return self._available
        account: Account = self._broker.account
        resting, mark = self._broker.resting_margins(), self.mark
        locked = sum(one.locked(account, mark(one.symbol)) for one in resting)
        available = float(account.available_balance(mark, locked))
        if not (resting or account.positions_in(account.shared)):
            self._available = available  # no mark changes it
        return available

    def mark(self, symbol: str) -> float:
        """Mark of a symbol at the end of the bar slept through."""
        if self._marked != self.slept:
            self._marked, self._marks = self.slept, {}
        found = self._marks.get(symbol)
        if found is None:
            found = self._marks[symbol] = self._closing_mark(self._shown[symbol])
        return found

    @staticmethod
    def _closing_mark(shown: list[Instrument]) -> float:
        """Mark of a symbol off the feeds that show it."""
        if len(shown) == 1:
            return shown[0].closing_mark()
        begun = [one for one in shown if len(one.data)]
        return sorted(begun, key=lambda one: one.recency())[-1].closing_mark()

    def _stand(self, *, is_before: bool) -> None:
        """Stand at the bar slept through last; the feeds may have gone on since."""
        lookouts, lengths = list(self._by_feed.values()), self._lengths
        if not self._notes_lengths:
            lengths = self._lengths_now()
            begun = [one.line[0] for one in lookouts if one.line.lencount]
            newest = max(begun) if is_before else inf
            for place, lookout in enumerate(lookouts):
                if lengths[place] and lookout.line[0] == newest:
                    lengths[place] -= 1
        found = [
            (lookout.instrument, length - lookout.line.lencount)
            for lookout, length in zip(lookouts, lengths, strict=True)
            if length
        ]
        self._broker.stand(found)

    # Falling asleep

    def set(self) -> None:
        """Find the bounds of the bars to come, once a bar is done."""
        broker = self._broker
        self.forget()
        if self.is_off or broker.guards or broker._userhist or broker.ends_run:
            return
        if broker.submitted or broker._toactivate:
            return
        if not self._by_feed and not self._make_lookouts():
            return
        bounds = self._bounds()
        if bounds is None:
            return
        for data, kept in bounds.items():
            self._by_feed[data].keep(kept)
        self._entries, self._was_awake = len(self._ledger), True
        held = broker.account.positions.values()
        self._held = [(position.contract.symbol, position) for position in held]
        self._balance, self._available = broker.account.wallet_balance, None
        self.hindsight = self._look_back()
        self._appraised = self._marked = -1
        self._lookouts = [one for one in self._by_feed.values() if one.may_arrive]

    def _look_back(self) -> Hindsight | None:
        """What will be told of the bars to come, if their prices tell it."""
        resting = self._broker.resting_margins()
        names = {symbol for symbol, _ in self._held}
        names.update(one.symbol for one in resting)
        shown = {symbol: self._shown[symbol] for symbol in names}
        instruments = {symbol: feeds[0] for symbol, feeds in shown.items()}
        tells = all(len(feeds) == 1 for feeds in shown.values()) and all(
            one.tells_marks and one.data in self._rising for one in instruments.values()
        )
        if not tells:
            return None
        for one in resting:
            # Away from the price there is no open loss; a mark could be elsewhere.
            mark = self._broker.mark_of_symbol(one.symbol)
            if instruments[one.symbol].marks or not one.is_lossless(mark):
                return None
        return Hindsight(self._broker.account, instruments, resting)

    def _make_lookouts(self) -> bool:
        """Make a lookout for each feed; whether all are such that this is possible."""
        broker = self._broker
        instruments = [broker.instrument(data) for data in broker.feeds]
        if self._preloaded is None:  # a feed that ends soon shows it at first only
            self._preloaded = {one.data for one in instruments if _is_ahead(one.data)}
        if not all(one.length_is_known for one in instruments):
            return False  # a feed has not begun
        are_known = self._preloaded == {one.data for one in instruments}
        if not (are_known and all(map(_is_steady, instruments))):
            self.is_off = True
            return False
        cerebro = broker.cerebro
        self._cheats = bool(cerebro.p.cheat_on_open or cerebro._timerscheat)
        self._rising = {one.data for one in instruments if _rises(one.data)}
        tells = len(instruments) == 1 or all(
            one.data in self._rising and not one.data.resampling for one in instruments
        )
        self._notes_lengths = self._cheats or not tells
        self._by_feed = {one.data: Lookout(one) for one in instruments}
        self._shown = {one.symbol: broker.shows(one.symbol) for one in instruments}
        self._sound = {one.data for one in instruments if _is_sound(one.data)}
        self._ends = dict.fromkeys(self._shown, -inf)
        return True

    def _bounds(self) -> dict[Any, Bounds] | None:
        """The bounds of each feed; ``None``: the next bar has to be looked at."""
        broker = self._broker
        bounds: dict[Any, Bounds] = {}  # of the feeds that are held or have orders
        if broker.account.positions and broker.hears_warnings:
            return None
        due = self._keep_safe(bounds)
        if due is None or not self._keep_from_orders(bounds):
            return None
        for kept in bounds.values():
            kept.due = due
        if not self._is_inside(bounds):
            return None
        if self._idle.due != due:
            self._idle = Bounds(due=due)
        return {data: bounds.get(data, self._idle) for data in self._by_feed}

    def _keep_safe(self, bounds: dict[Any, Bounds]) -> float | None:
        """Keep the marks of positions where it is safe.

        Returns:
            When a bar has to be looked at whatever its prices are, ms; ``None``: now.
        """
        broker, due = self._broker, self._broker.next_date
        for safe in self._safety.ranges():
            leader = broker.data_of_symbol(safe.symbol)
            if broker.terms(leader).bears_interest:
                return None
            if self._ends[safe.symbol] <= broker.bar_end:
                self._ends[safe.symbol] = broker.next_end(leader)
            stamp = broker.instrument(leader).next_stamp
            due = min(due, stamp, self._ends[safe.symbol])
            for instrument in self._shown[safe.symbol]:
                kept = bounds.setdefault(instrument.data, Bounds())
                kept.narrow_marks(safe.least, safe.most)
        return float(due)

    def _keep_from_orders(self, bounds: dict[Any, Bounds]) -> bool:
        """Keep prices from the orders that rest; False: one may fill at any."""
        broker = self._broker
        return all(
            broker.is_noted(order)
            and bounds.setdefault(order.data, Bounds()).keep_from(order)
            for order in broker.pending
        )

    def _is_inside(self, bounds: dict[Any, Bounds]) -> bool:
        """Whether the marks of now, and coarse candles not yet judged, are within."""
        broker = self._broker
        for data, kept in bounds.items():
            if not len(data) or data not in self._sound:
                return False
            least, most = kept.least_mark, kept.most_mark
            _, low, high = broker.coarse_candle(data) or (0, inf, -inf)
            if low <= least or high >= most or not least < broker.mark(data) < most:
                return False
        return True


def _is_steady(instrument: Instrument) -> bool:
    """Whether a preloaded feed's bars come one by one and stay what they are."""
    data = instrument.data
    line = data.lines[0]
    is_whole = not data.replaying and line.mode == line.UnBounded
    return is_whole and not instrument.has_funding_line


def _is_ahead(data: Any) -> bool:
    """Whether a feed that goes on has its bars already."""
    return bool(len(data) < data.buflen())


def _is_sound(data: Any) -> bool:
    """Whether the bars of a preloaded feed hold their opens and closes.

    `PerpData` has refused others already; a class that derives from it may not have.
    """
    if type(data) is PerpData:
        return True
    lines, count = data.lines, data.buflen()
    opens, highs, lows, closes = (
        np.array(line.array[:count])
        for line in (lines.open, lines.high, lines.low, lines.close)
    )
    bottom, top = np.minimum(opens, closes), np.maximum(opens, closes)
    return bool(np.all((lows <= bottom) & (top <= highs)))


def _rises(data: Any) -> bool:
    """Whether the times of a preloaded feed rise from bar to bar."""
    times = np.array(data.lines.datetime.array[: data.buflen()])
    return bool(np.all(np.diff(times) > 0))
