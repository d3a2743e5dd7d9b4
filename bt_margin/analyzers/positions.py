"""Positions from opening to flat, and what the ledger booked to each.

The ledger says what was paid, the account what is held at the end of a bar, and the
fills in which order positions opened and closed within it. A partial close goes on
with the same position; a flip ends one and begins another.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode

from .record import Approach, PositionRecord

__all__ = ["Fill", "PositionBook"]

_ISOLATED = MarginMode.ISOLATED.wallet_name("")
_UNBOOKED = (LedgerEntryKind.TRANSFER, LedgerEntryKind.DEPOSIT)


class Fill(NamedTuple):
    """An execution: signed parts that close and open, and what it goes by.

    Attributes:
        key: of the position in the account.
        symbol: of the position.
        ref: as the ledger writes it.
        closed: signed size that reduces the position.
        opened: signed size that opens or adds.
        price: of the fill.
        event: the liquidation or deleveraging behind it, if any.
    """

    key: str
    symbol: str
    ref: str
    closed: float
    opened: float
    price: float
    event: Any = None


class PositionBook:
    """Keeps the records of an account, bar by bar.

    Args:
        moment: when a fill without ledger entries happened.
        leg_of: the leg of a symbol's funding entry in hedge mode.

    Attributes:
        open: records of the positions held, by key.
        records: of all positions, in order of their opening.
    """

    def __init__(
        self, moment: Callable[[Fill], datetime], leg_of: Callable[[LedgerEntry], str]
    ) -> None:
        self.open: dict[str, PositionRecord] = {}
        self.records: list[PositionRecord] = []
        self._moment = moment
        self._leg_of = leg_of
        self._fills: deque[Fill] = deque()
        self._current: Fill | None = None
        self._seen: set[LedgerEntryKind] = set()  # of the current fill
        self._is_closed = False  # whether the current fill's closing is done
        self._when: datetime  # the moment of the current fill
        self._sizes: dict[str, float] = {}

    def take(
        self,
        entries: Iterable[LedgerEntry],
        fills: Iterable[Fill],
        held: Mapping[str, Position],
        now: datetime,
    ) -> None:
        """Take what a bar brought.

        Args:
            entries: the ledger's new entries.
            fills: the bar's fills that are known, in their order.
            held: the account's positions now.
            now: the bar's end, UTC.
        """
        self._fills.extend(fills)
        for entry in entries:
            if entry.symbol is not None and entry.time is not None:
                self._turn_to(entry)
                self._book(entry, entry.time)
        self._finish()
        while self._fills:
            self._begin(self._fills.popleft(), None)
            self._finish()
        self._agree(held, now)

    def _turn_to(self, entry: LedgerEntry) -> None:
        """Come to the fill that an entry belongs to."""
        current, kind = self._current, entry.kind
        if current is not None and self._is_of(current, entry):
            is_next = kind in self._seen and self._is_of_next(entry)
            if kind is LedgerEntryKind.REALIZED_PNL and is_next:
                self._finish()  # the other leg of one liquidation
                self._begin(self._fills.popleft(), entry.time)
            elif kind is LedgerEntryKind.FEE and kind in self._seen:
                self._close()  # a flip's second fee is that of its opening
            return
        if current is not None:
            self._finish()
        if any(self._is_of(fill, entry) for fill in self._fills):
            while not self._is_of_next(entry):
                self._begin(self._fills.popleft(), None)
                self._finish()
            self._begin(self._fills.popleft(), entry.time)

    @staticmethod
    def _is_of(fill: Fill, entry: LedgerEntry) -> bool:
        return fill.ref == entry.ref and fill.symbol == entry.symbol

    def _is_of_next(self, entry: LedgerEntry) -> bool:
        return bool(self._fills) and self._is_of(self._fills[0], entry)

    def _begin(self, fill: Fill, time: datetime | None) -> None:
        """Make a fill the current one; what only opens opens at once."""
        self._current, self._is_closed = fill, not fill.closed
        self._when = self._moment(fill) if time is None else time
        self._seen.clear()
        if self._is_closed:
            self._open(fill)

    def _finish(self) -> None:
        """Do what is left of the current fill."""
        if self._current is not None and not self._is_closed:
            self._close()
        self._current = None

    def _close(self) -> None:
        fill = self._current
        if fill is None or self._is_closed:
            return
        self._is_closed = True
        record = self.open.get(fill.key)
        if record is not None:
            left = self._sizes[fill.key] + fill.closed
            self._sizes[fill.key] = left
            is_flat = abs(left) * 10**9 < abs(fill.closed)
            if fill.event is not None:
                self._force(record, fill, is_flat=is_flat)
            elif is_flat:
                self._end(record, self._when, "order")
        if fill.opened:
            self._open(fill)

    def _force(self, record: PositionRecord, fill: Fill, *, is_flat: bool) -> None:
        """Note a forced close."""
        event = fill.event
        if fill.ref == "liquidation":
            price = event.liquidation_price
            record.was_liquidated = True
            record.closest = Approach(
                0.0,
                0.0,
                event.time,
                float(event.mark_price),
                None if price is None else float(price),
            )
        if is_flat:
            self._end(record, event.time, fill.ref)

    def _open(self, fill: Fill) -> None:
        if fill.key not in self.open:
            self._start(fill.key, fill.symbol, self._when, fill.opened)
        self._sizes[fill.key] = self._sizes.get(fill.key, 0.0) + fill.opened

    def _start(
        self, key: str, symbol: str, time: datetime, size: float = 0.0
    ) -> PositionRecord:
        leg = key[len(symbol) + 1 :]
        side = ("long" if size > 0 else "short") if size else ""
        record = PositionRecord(symbol, leg, key, side, time)
        self.records.append(record)
        self.open[key] = record
        self._sizes[key] = 0.0
        return record

    def _end(self, record: PositionRecord, time: datetime, word: str) -> None:
        record.closed, record.ended_by = time, word
        del self.open[record.key]

    def _book(self, entry: LedgerEntry, time: datetime) -> None:
        """Add an entry to the position that it belongs to."""
        if entry.kind in _UNBOOKED:
            return
        self._seen.add(entry.kind)
        key = self._key_of(entry)
        while key not in self.open and self._current is None and self._fills:
            self._begin(self._fills.popleft(), None)  # it left no entry of its own
            self._finish()
        record = self.open.get(key) or self._start(key, entry.symbol or "", time)
        name = entry.kind.value
        record.amounts[name] = record.amounts.get(name, 0.0) + float(entry.amount)

    def _key_of(self, entry: LedgerEntry) -> str:
        if entry.wallet.startswith(_ISOLATED):
            return entry.wallet.removeprefix(_ISOLATED)
        symbol = entry.symbol or ""
        if self._current is not None and self._is_of(self._current, entry):
            return self._current.key
        if symbol in self.open:
            return symbol
        leg = self._leg_of(entry)
        if leg:
            return leg
        held = (key for key, record in self.open.items() if record.symbol == symbol)
        return next(held, symbol)

    def _agree(self, held: Mapping[str, Position], now: datetime) -> None:
        """Agree with the account, whoever else trades on it."""
        for record in list(self.open.values()):
            position = held.get(record.key)
            side = position and ("long" if position.size > 0 else "short")
            if record.side == "" and side:
                record.side = side
            elif record.side != side:
                self._end(record, now, "order")
        for key, position in held.items():
            if key not in self.open:
                self._start(key, position.contract.symbol, now, float(position.size))
            self._sizes[key] = float(position.size)
