"""Watch: bars in which nothing can happen are slept through.

A bar whose prices stay within bounds at which no wallet can fail, without an order, a
stamp or a change of rules, leaves the account as it is. The broker does not even read
it; whoever asks wakes the broker, which then looks at the bar as at every other.
"""

from math import inf
from typing import Any, NamedTuple

from bt_margin.core.wallet import Wallet

from .feed import PerpData
from .instrument import Instrument, day_number

__all__ = ["Watch"]

# How far marks may move from where they are, as shares of them: the first of these at
# which every wallet is safe. They are looked at from the widest on.
_MOVES = (0.3, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


class _Bound(NamedTuple):
    """Within which prices, and until when, a held feed's bars are calm.

    Attributes:
        low: line of the feed.
        high: line of the feed.
        time: line of the feed, as Backtrader's numbers.
        least: no price may be below or at it.
        most: no price may be above or at it.
        due: no bar may have this time or a later one.
        instrument: the feed, to look up its mark candles.
    """

    low: Any
    high: Any
    time: Any
    least: float
    most: float
    due: float
    instrument: Instrument

    def is_calm(self) -> bool:
        """Whether the feed's bar of the moment is within the bounds."""
        time = self.time[0]
        if not (
            self.least < self.low[0] and self.high[0] < self.most and time < self.due
        ):
            return False
        marks = self.instrument.marks
        if marks is None:
            return True
        found = marks.at(self.instrument.start_of(time))
        return found is None or self.least < found[1][2] <= found[1][1] < self.most


class Watch:
    """Says which bars a broker can sleep through, and wakes it.

    Args:
        broker: the `MarginBroker` of the run.

    Attributes:
        is_asleep: whether the bar of the moment was not read.
        is_off: whether every bar is looked at: asked for, or since something does
            that anyway.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._bounds: list[_Bound] | None = None
        self._entries = 0  # of the ledger, when the bounds were found
        self._due = inf  # the number of the first bar under other rules of the venue
        self._lines: list[Any] = []
        self._times: list[Any] = []
        self._before: list[int] = []
        self._now: list[int] = []
        self.is_asleep = False
        self.is_off = not broker.p.accelerate

    def forget(self) -> None:
        """Look at the next bar whatever it is: something was changed."""
        self._bounds = None

    def sleeps(self) -> bool:
        """Whether the bar of the moment needs no look; it is slept through then."""
        broker, bounds = self._broker, self._bounds
        if bounds is None:
            return False
        # Whoever moves money since the bounds were found leaves an entry.
        is_touched = len(broker.ledger) != self._entries
        if is_touched or broker.submitted or broker.pending or broker._toactivate:
            self._bounds = None
            return False
        if self._due < inf and any(time[0] >= self._due for time in self._times):
            return False
        if not all(bound.is_calm() for bound in bounds):
            return False
        self._before, self._now = self._now, self._lengths()
        self.is_asleep = True
        return True

    def _lengths(self) -> list[int]:
        return [line.lencount for line in self._lines]

    def wake_before(self) -> None:
        """Look at the last bar slept through: the one of the moment comes after it."""
        if self.is_asleep:
            self.is_asleep = False
            self._broker.catch_up(self._now)

    def wake(self) -> None:
        """Look at the bar that was slept through last.

        Where the feeds have gone on and the broker has not (cheating on open), what is
        asked is how things stood at the end of that bar.
        """
        if not self.is_asleep:
            return
        self.is_asleep = False
        has_gone_on = self._lengths() != self._now
        self._broker.catch_up(self._now if has_gone_on else self._before)
        self._broker.look(is_new=not has_gone_on)

    def set(self) -> None:
        """Find the bounds of the bars to come, once a bar is done."""
        broker = self._broker
        self._bounds = None
        if self.is_off or broker.guards or broker.submitted or broker.pending:
            return
        if broker._userhist:  # an order history is looked at bar by bar
            return
        if not self._lines:
            self._lines = [data.lines[0] for data in broker.feeds]
            self._times = [data.lines.datetime for data in broker.feeds]
        self._now, self._entries = self._lengths(), len(broker.ledger)
        if not all(_is_steady(broker.instrument(data)) for data in broker.feeds):
            return
        self._due = day_number(broker.next_date)
        if not broker.account.positions:
            self._bounds = []
        # Of several feeds one may stand still while time goes on without it.
        elif not broker.hears_warnings and len(broker.feeds) == 1:
            self._bounds = self._of_positions()

    def _of_positions(self) -> list[_Bound] | None:
        """Bounds of the only feed; ``None``: it has to be looked at."""
        broker = self._broker
        move = min(map(self._safe_move, broker.account.wallets()))
        bound = self._bound(broker.feeds[0], move) if move else None
        return None if bound is None else [bound]

    def _safe_move(self, wallet: Wallet) -> float:
        """The largest of the moves that the wallet survives in every direction."""
        broker = self._broker
        account, mark = broker.account, broker.mark_of_symbol
        balance, held = account.balance(wallet), account.positions_in(wallet)
        for move in _MOVES:
            surplus = balance
            for position in held:
                here = mark(position.contract.symbol)
                ends = (here * (1 - move), here * (1 + move))
                surplus += min(position.unrealized_pnl(end) for end in ends)
                surplus -= position.largest_maintenance(*ends)
            if surplus > 0:
                return move
        return 0.0

    def _bound(self, data: Any, move: float) -> _Bound | None:
        """The bounds of one feed; ``None``: its bars tell more than their prices."""
        broker, instrument = self._broker, self._broker.instrument(data)
        plain = isinstance(data, PerpData) and not instrument.has_detail
        marks = instrument.marks
        coarse = marks is None or (
            instrument.bar and marks.length >= instrument.bar.length
        )
        if not (plain and coarse) or broker.terms(data).bears_interest:
            return None
        mark = broker.mark(data)
        least, most = mark * (1 - move), mark * (1 + move)
        candle = broker.coarse_candle(data)
        if candle is not None and not least < candle[1] <= candle[2] < most:
            return None  # it is judged when it is over
        due = min(instrument.next_stamp, broker.next_date)
        lines = data.lines
        return _Bound(
            *(lines.low, lines.high, lines.datetime),
            *(least, most),
            instrument.number_of(due) if due < inf else inf,
            instrument,
        )


def _is_steady(instrument: Instrument) -> bool:
    """Whether a feed's bars come one by one and stay what they are."""
    data = instrument.data
    line = data.lines[0]
    is_whole = not (data.resampling or data.replaying) and line.mode == line.UnBounded
    return is_whole and instrument.length_is_known and not instrument.has_funding_line
