"""The closest approach of each position to its liquidation price.

Measured along the path of the mark inside every bar, from the moment a position
stands to the moment it is gone. Where several positions share a wallet the price of
each moves with the marks of the others, so it is taken at every bend of the paths.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from bt_margin.broker.instrument import Instrument, utc
from bt_margin.broker.volatility import RollingTrueRange
from bt_margin.core.account import Account
from bt_margin.core.contract import Basis
from bt_margin.core.path import Polyline
from bt_margin.core.position import Position
from bt_margin.core.wallet import Wallet

from .positions import Fill
from .record import Approach, PositionRecord

__all__ = ["ApproachWatch"]


class _Alone(NamedTuple):
    """A position that has a wallet for itself: its price stands while it does."""

    key: str
    symbol: str
    wallet: str
    is_long: bool
    price: float


class ApproachWatch:
    """Measures approaches, bar by bar.

    Args:
        broker: the margin broker of the run.
        period: bars of the ATR.

    Attributes:
        state: the account as it is watched; ``None``: no position.
    """

    def __init__(self, broker: Any, period: int) -> None:
        self._broker = broker
        self._instruments: dict[str, list[Instrument]] = {}
        self._ranges: dict[str, RollingTrueRange] = {}
        self._leaders: dict[str, Any] = {}
        for feed in broker.feeds:
            instrument = broker.instrument(feed)
            self._instruments.setdefault(instrument.symbol, []).append(instrument)
            if broker.leader(feed) is feed:
                self._leaders[instrument.symbol] = feed
                self._ranges[instrument.symbol] = RollingTrueRange(period)
        self._seen: dict[Instrument, Polyline | None] = {}
        self._paths: dict[str, Polyline] = {}  # of the bar, of symbols that have one
        self._marks: dict[str, float] = {}  # at the end of the bar before
        self._start = 0.0  # of the bar, ms
        self._length = 1.0
        self.state: Account | None = None
        self._alone: list[_Alone] = []
        self._together: list[tuple[Account, Wallet, list[Position]]] = []

    # The bar

    def open_bar(self) -> None:
        """Take the paths of the bar that is over."""
        self._paths.clear()
        finest: Any = None
        for symbol, instruments in self._instruments.items():
            shortest: Any = None
            for instrument in instruments:
                path, bar = instrument.mark, instrument.bar
                if bar is None or path is None or path is self._seen.get(instrument):
                    continue
                self._seen[instrument] = path
                if shortest is None or bar.length <= shortest.length:
                    shortest, self._paths[symbol] = bar, path
            if shortest is not None:
                self._ranges[symbol].follow(self._leaders[symbol])
                if finest is None or shortest.length <= finest.length:
                    finest = shortest
        if finest is not None:
            self._start, self._length = float(finest.start), float(finest.length)

    def close_bar(self) -> None:
        """Keep the marks at the bar's end."""
        for symbol, path in self._paths.items():
            self._marks[symbol] = float(path.prices[-1])

    @property
    def end(self) -> datetime:
        """The moment the bar ended, UTC."""
        return utc(self._start + self._length)

    def moment(self, fill: Fill) -> datetime:
        """When a fill happened that left no entry: when its price was first met."""
        return utc(self._start + self._length * self.share_of(fill))

    def share_of(self, fill: Fill) -> float:
        """The share of the bar at which the path first meets a fill's price."""
        path = self._instruments[fill.symbol][0].last
        touch = path.first_touch(fill.price) if path else None
        return float(touch or 0.0)

    def share(self, time: datetime) -> float:
        """The share of the bar elapsed at a moment."""
        elapsed = time.timestamp() * 1000 - self._start
        return min(1.0, max(0.0, elapsed / self._length))

    # The account

    def is_new(self, held: Mapping[str, Position]) -> bool:
        """Whether the positions are others than those watched."""
        watched = self.state.positions if self.state else {}
        if len(watched) != len(held):
            return True
        return any(watched.get(key) is not held[key] for key in held)

    def follow(self, account: Account) -> None:
        """Watch the account as it stands now."""
        self._alone, self._together, self.state = [], [], None
        if not account.positions:
            return
        self.state = state = account.fork()
        for wallet, held in state.wallets().items():
            if len(held) > 1:
                self._together.append((state, wallet, held))
                continue
            contract = held[0].contract
            marks = self._broker.mark_of_symbol
            price = state.liquidation_price(contract.key, marks)
            if price is not None:
                self._alone.append(
                    _Alone(
                        contract.key,
                        contract.symbol,
                        wallet.name,
                        held[0].size > 0,
                        float(price),
                    )
                )

    def measure(
        self,
        records: Mapping[str, PositionRecord],
        spans: Mapping[str, tuple[float, float]] | None = None,
        *,
        is_after: bool = False,
    ) -> None:
        """Measure the positions watched along the bar.

        Args:
            records: by key; positions without one are left out.
            spans: first and last share at which something changed, by wallet name.
            is_after: whether what is watched is the account after the changes: then
                from the last of them on; otherwise up to the first.
        """
        for alone in self._alone:
            record, path = records.get(alone.key), self._paths.get(alone.symbol)
            if record is None or path is None:
                continue
            first, last = _part(spans, alone.wallet, is_after=is_after)
            for share, mark in _points(path, first, last):
                if alone.is_long:
                    distance = (mark - alone.price) / mark
                else:
                    distance = (alone.price - mark) / mark
                if distance < record.distance:
                    self._note(record, max(0.0, distance), share, mark, alone.price)
        for state, wallet, held in self._together:
            first, last = _part(spans, wallet.name, is_after=is_after)
            self._measure_together(state, wallet, held, records, first, last)

    def _measure_together(
        self,
        state: Account,
        wallet: Wallet,
        held: list[Position],
        records: Mapping[str, PositionRecord],
        first: float,
        last: float,
    ) -> None:
        """Measure the positions of a wallet that several share."""
        if not self._can_come_nearer(state, wallet, held, records):
            return
        shares = {first, last}
        for position in held:
            path = self._paths.get(position.contract.symbol)
            shares.update(s for s in (path.shares if path else ()) if first < s < last)
        for share in sorted(shares):
            mark_of = partial(self._mark_at, share)
            surplus = float(state.summary(wallet, mark_of).surplus)
            for position in held:
                key = position.contract.key
                record = records.get(key)
                mark = mark_of(position.contract.symbol)
                notional = float(position.notional(mark))
                if record is None or not _can_beat(record, position, surplus, notional):
                    continue
                price = state.liquidation_price(key, mark_of)
                if price is None:
                    continue
                distance = abs(mark - float(price)) / mark if surplus > 0 else 0.0
                if distance < record.distance:
                    self._note(record, distance, share, mark, float(price))

    def _mark_at(self, share: float, symbol: str) -> float:
        """Mark of a symbol at a share of the bar; without a new bar it stands still."""
        path = self._paths.get(symbol)
        return float(path.price_at(share)) if path else self._marks[symbol]

    def _can_come_nearer(
        self,
        state: Account,
        wallet: Wallet,
        held: list[Position],
        records: Mapping[str, PositionRecord],
    ) -> bool:
        """Whether a wallet at its worst in the bar could set a new closest approach."""
        surplus = float(state.balance(wallet))
        notionals: list[float] = []
        for position in held:
            symbol = position.contract.symbol
            path = self._paths.get(symbol)
            prices = path.prices if path else (self._marks[symbol],)
            ends = (min(prices), max(prices))
            surplus += float(min(position.unrealized_pnl(mark) for mark in ends))
            surplus -= float(position.largest_maintenance(*ends))
            notionals.append(float(max(position.notional(mark) for mark in ends)))
        for position, notional in zip(held, notionals, strict=True):
            record = records.get(position.contract.key)
            if _can_beat(record, position, surplus, notional):
                return True
        return False

    def _note(
        self,
        record: PositionRecord,
        distance: float,
        share: float,
        mark: float,
        price: float,
    ) -> None:
        mean = self._ranges[record.symbol].mean
        record.closest = Approach(
            distance,
            distance * mark / mean if mean else None,
            utc(self._start + self._length * share),
            mark,
            price,
        )


def _can_beat(
    record: PositionRecord | None, position: Position, surplus: float, notional: float
) -> bool:
    """Whether a liquidation price can be nearer to mark than ever before.

    A price move costs the notional that it moves, and where the notional grows with
    the loss (of shorts, of inverse longs), at most the highest rate of it besides. A
    price that has to fall by all of itself liquidates no one.
    """
    if record is None:
        return False
    contract, is_long = position.contract, position.size > 0
    steepest = 1.0
    if is_long is contract.inverse:
        steepest += float(contract.closing_fee_rate)
        if contract.maintenance_basis is Basis.MARK:
            tiers = contract.tiers_of(position.size)
            steepest += max(float(tier.maintenance_margin_rate) for tier in tiers)
    room = max(0.0, surplus) / (steepest * notional)
    least = room / (1 + room) if contract.inverse else room
    return least < (min(1.0, record.distance) if is_long else record.distance)


def _part(
    spans: Mapping[str, tuple[float, float]] | None, wallet: str, *, is_after: bool
) -> tuple[float, float]:
    """The part of the bar in which a wallet is as it is watched."""
    changed = spans.get(wallet) if spans else None
    if changed is None:
        return 0.0, 1.0
    return (changed[1], 1.0) if is_after else (0.0, changed[0])


def _points(path: Polyline, first: float, last: float) -> Iterator[tuple[float, float]]:
    """Share and price at the bends of a part of a path, and at its ends."""
    if first > 0:
        yield first, float(path.price_at(first))
    for share, price in zip(path.shares, path.prices, strict=True):
        if first <= share <= last:
            yield float(share), float(price)
    if last < 1:
        yield last, float(path.price_before(last))
