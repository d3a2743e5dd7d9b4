"""The follower: leads positions and their approaches through a run, bar by bar."""

from collections.abc import Iterator, Sequence
from typing import Any

from bt_margin.core.contract import position_key
from bt_margin.core.ledger import LedgerEntry

from .approach import ApproachWatch
from .positions import Fill, PositionBook

__all__ = ["Follower"]


class Follower:
    """Follows the account of a broker.

    Args:
        broker: the margin broker of the run.
        period: bars of the ATR.

    Attributes:
        book: the positions so far.
    """

    def __init__(self, broker: Any, period: int) -> None:
        self._broker = broker
        self._watch = ApproachWatch(broker, period)
        self.book = PositionBook(self._watch.moment, self._leg_of)
        self._entries: Iterator[LedgerEntry] = iter(broker.ledger)
        self._read = 0
        self._funding_legs: dict[Any, str] = {}
        self._fundings_read = 0

    def follow(self, fills: Sequence[Fill]) -> None:
        """Follow the positions through the bar that is over.

        Args:
            fills: the bar's, in their order, as far as they are known.
        """
        watch, book = self._watch, self.book
        watch.open_bar()
        account = self._broker.account
        count = len(account.ledger) - self._read
        if count or fills or watch.is_new(account.positions):
            # The iterator is never asked beyond the last entry, so it does not end.
            entries = [next(self._entries) for _ in range(count)]
            self._read += count
            spans = self._spans(entries, fills)
            watch.measure(book.open, spans)
            self._learn_legs()
            book.take(entries, fills, account.positions, watch.end)
            watch.follow(account)
            watch.measure(book.open, spans, is_after=True)
        else:
            watch.measure(book.open)
        watch.close_bar()

    def _spans(
        self, entries: list[LedgerEntry], fills: Sequence[Fill]
    ) -> dict[str, tuple[float, float]]:
        """First and last share of the bar at which each wallet changed."""
        spans: dict[str, tuple[float, float]] = {}
        changes = [(e.wallet, self._watch.share(e.time)) for e in entries if e.time]
        refs = {entry.ref for entry in entries}
        watch, account = self._watch, self._broker.account
        for fill in fills:
            if fill.ref in refs:
                continue
            # It left no entry: what it opened is there now, what it closed was before.
            for state in (account, watch.state):
                if state is not None and fill.key in state.positions:
                    wallet = state.wallet_of(fill.key).name
                    changes.append((wallet, watch.share_of(fill)))
        for wallet, share in changes:
            first, last = spans.get(wallet, (share, share))
            spans[wallet] = (min(first, share), max(last, share))
        return spans

    def _learn_legs(self) -> None:
        """Note which leg each new funding payment was for, in hedge mode."""
        broker = self._broker
        if not broker.is_hedged:
            return
        for event in broker.fundings[self._fundings_read :]:
            key = position_key(event.symbol, event.leg)
            for amount in (event.payment, event.from_shared):
                self._funding_legs[event.time, event.symbol, amount] = key
        self._fundings_read = len(broker.fundings)

    def _leg_of(self, entry: LedgerEntry) -> str:
        return self._funding_legs.get((entry.time, entry.symbol, entry.amount), "")
