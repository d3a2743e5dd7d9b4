"""The bar walk: what happens to an account inside one bar, in order of time.

At one moment: funding, then liquidation, then (by the caller) orders.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from .account import Account
from .adjust import AutoMargin, replenish
from .calm import Calm
from .charges import Charges
from .crossing import Leg, first_crossing
from .deleveraging import DeleveragingEvent, DeleveragingStamp
from .errors import InvariantError
from .funding import FundingEvent, FundingStamp
from .liquidation import Cause, LiquidationEvent
from .liquidator import Liquidator
from .number import Number
from .path import BEFORE_OPEN, Polyline
from .policy import LiquidationPolicy
from .position import Position
from .wallet import Wallet

__all__ = ["BarWalk"]

Event = FundingEvent | LiquidationEvent | DeleveragingEvent
Stamp = FundingStamp | DeleveragingStamp


class BarWalk:
    """Walks an account through bars, and keeps the marks from bar to bar.

    Args:
        account: changed as the walk goes.
        policy: what the venue does below maintenance; ``None``: the textbook.

    Attributes:
        share: of the bar elapsed so far.
        auto_margin: positions, by key, whose margin is added to by itself.
        locked: what resting orders lock now.
    """

    def __init__(
        self, account: Account, policy: LiquidationPolicy | None = None
    ) -> None:
        self.account = account
        self._liquidator = Liquidator(policy or LiquidationPolicy())
        self.share: Number = 1
        self.auto_margin: dict[str, AutoMargin] = {}
        self.locked: Callable[[], Number] = int
        self._marks: dict[str, Number] = {}
        self._paths: Mapping[str, Polyline] = {}
        self._stamps: list[Stamp] = []
        self._start: datetime | None = None
        self._length, self._jump_is_ahead = timedelta(), False
        self._charges = Charges()
        self._calm = Calm()

    def open_bar(
        self,
        start: datetime,
        length: timedelta,
        paths: Mapping[str, Polyline],
        stamps: Iterable[Stamp] = (),
    ) -> None:
        """Begin a bar; a symbol without a path stands still at its last mark.

        Args:
            start: of the bar, UTC.
            length: of the bar.
            paths: mark price of each symbol that has a new bar.
            stamps: settlements and deleveragings up to the bar's end.
        """
        for symbol, path in self._paths.items():
            self._marks[symbol] = path.prices[-1]
        for symbol, path in paths.items():
            self._marks.setdefault(symbol, path.prices[0])
        self._paths, self._start, self._length = paths, start, length
        self._stamps = sorted(stamps, key=lambda stamp: (stamp.share, stamp.time))
        self._charges.clear()
        self._calm.clear()
        self.share = BEFORE_OPEN

    def stand(self, time: datetime, marks: Mapping[str, Number]) -> None:
        """Be at the end of a bar in which nothing happened, without walking it.

        Args:
            time: that moment, UTC.
            marks: mark prices then, of the symbols that moved.
        """
        self.open_bar(time, timedelta(), {})
        self._marks.update(marks)
        self.share = 1

    def follow(self, policy: LiquidationPolicy) -> None:
        """Liquidate under ``policy`` from here on."""
        self._liquidator.policy = policy

    @property
    def has_begun(self) -> bool:
        """Whether there was a bar."""
        return self._start is not None

    @property
    def time(self) -> datetime:
        """The moment the walk has reached, UTC."""
        if self._start is None:
            raise InvariantError("the walk has no bar yet")
        return self._start + self._length * float(max(self.share, 0))

    def mark(self, symbol: str) -> Number:
        """Mark price of a symbol at the moment the walk has reached."""
        path = self._paths.get(symbol)
        if path is None or self.share < 0:
            return self._marks[symbol]
        if self._jump_is_ahead:
            return path.price_before(self.share)
        return path.price_at(self.share)

    def _range(self, symbol: str) -> tuple[Number, Number]:
        """Lowest and highest mark of the bar and of the gap before it."""
        path = self._paths.get(symbol)
        prices = (self._marks[symbol], *(path.prices if path else ()))
        return min(prices), max(prices)

    def _mark_before(self, position: Position, share: Number) -> Number:
        """Mark of the position's symbol at a later ``share``, before a jump there."""
        symbol = position.contract.symbol
        path = self._paths.get(symbol)
        return self._marks[symbol] if path is None else path.price_before(share)

    def note_fee(self, wallet: Wallet, fee: Number) -> None:
        """Say that a fill took ``fee`` from a wallet now: it may be what liquidates."""
        self._charges.note(wallet, Cause.FEE, fee)

    def advance(self, target: Number) -> list[Event]:
        """Walk on to ``target`` (share of the bar); what happened, in order.

        Time never goes back: a target already passed changes nothing.
        """
        if target <= self.share:
            return []
        if self._is_calm(target):
            self._stamps = [stamp for stamp in self._stamps if stamp.share > target]
            self._move(target)
            return []
        events = self._liquidate_due()
        while self.share < target:
            events += self._step(self._next_stop(target))
        return events

    def close_bar(self) -> list[Event]:
        """Walk to the end of the bar, past the orders that filled at its close."""
        events = self.advance(1)
        return events + (self._liquidate_due() if self._charges.any else [])

    def _is_calm(self, target: Number) -> bool:
        """Whether nothing can happen: no stamp, and every wallet safe at its worst."""
        is_due = any(stamp.share <= target for stamp in self._held_stamps())
        return not is_due and self._calm.holds(self.account, self._range)

    def _next_stop(self, target: Number) -> Number:
        """The next share at which a path bends or a stamp is due."""
        if self.share < 0:
            return 0
        stops = [stamp.share for stamp in self._stamps]
        for position in self.account.positions.values():
            path = self._paths.get(position.contract.symbol)
            stops += path.shares if path else ()
        return min((s for s in stops if self.share < s < target), default=target)

    def _step(self, stop: Number) -> list[Event]:
        """Walk the straight piece to ``stop``, or to a liquidation before it."""
        events: list[Event] = []
        if self.share < 0:
            events += self._settle_until(BEFORE_OPEN)
        else:
            crossing, due = self._first_liquidation(stop), self._held_stamps()
            # Funding of that very moment comes before the liquidation.
            if crossing and all(stamp.share != crossing[0] for stamp in due):
                share, wallet = crossing
                self._move(share)
                self._jump_is_ahead = share == stop
                events = self._liquidate(wallet, Cause.PRICE) + self._liquidate_due()
                self._jump_is_ahead = False
                return events
        self._move(stop)
        return events + self._settle_until(stop) + self._liquidate_due()

    def _held_stamps(self) -> list[Stamp]:
        """The stamps ahead of symbols that have a position."""
        held = {p.contract.symbol for p in self.account.positions.values()}
        return [stamp for stamp in self._stamps if stamp.symbol in held]

    def _move(self, share: Number) -> None:
        if share != self.share:
            self._charges.clear()
            self.share = share

    def _settle_until(self, share: Number) -> list[Event]:
        """Pay the stamps due: first all of one moment, then what they liquidate."""
        events: list[Event] = []
        while self._stamps and self._stamps[0].share <= share:
            time = self._stamps[0].time
            while self._stamps and self._stamps[0].time == time:
                events += self._pay(self._stamps.pop(0))
            events += self._liquidate_due()
        return events

    def _pay(self, stamp: Stamp) -> list[Event]:
        """Settle one stamp, and note which wallets it took from."""
        wallets = {w.name: w for w in (self.account.shared, *self.account.wallets())}
        events: list[Event] = [*stamp.settle(self.account, self.mark, self.locked())]
        for event in events:
            if isinstance(event, FundingEvent):
                shared, rest = event.from_shared, event.payment - event.from_shared
                self._charges.note(wallets[event.wallet], Cause.FUNDING, rest)
                self._charges.note(self.account.shared, Cause.FUNDING, shared)
        return events

    def _first_liquidation(self, stop: Number) -> tuple[Number, Wallet] | None:
        """Where on the straight piece to ``stop`` a wallet first meets maintenance."""
        found: list[tuple[Number, Wallet]] = []
        for wallet, held in self.account.wallets().items():
            legs = [
                Leg(p, self.mark(p.contract.symbol), self._mark_before(p, stop))
                for p in held
            ]
            part = first_crossing(legs, self.account.balance(wallet))
            if part is not None:
                found.append((self.share + (stop - self.share) * part, wallet))
        return min(found, key=lambda each: each[0], default=None)

    def _liquidate_due(self) -> list[Event]:
        """Liquidate every wallet at or below maintenance at this moment."""
        events: list[Event] = []
        for wallet in list(self.account.wallets()):
            surplus = self.account.summary(wallet, self.mark).surplus
            if surplus <= 0:
                events += self._liquidate(wallet, self._charges.cause(wallet, surplus))
        return events

    def _liquidate(self, wallet: Wallet, cause: Cause) -> list[Event]:
        """Liquidate a wallet, unless margin that is added by itself saves it."""
        where = (self.account, wallet, self.mark)
        rules, time = self.auto_margin, self.time
        if rules and replenish(*where, rules, time, self.locked()):
            return []
        return [*self._liquidator.liquidate(*where, time=time, cause=cause)]
