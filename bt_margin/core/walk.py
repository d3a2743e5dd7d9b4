"""The bar walk: what happens to an account inside one bar, in order of time.

At one moment: funding, then liquidation, then (by the caller) orders.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from .account import Account
from .crossing import Leg, first_crossing
from .errors import InvariantError
from .funding import FundingEvent, FundingStamp, settle_funding
from .liquidation import Cause, LiquidationEvent, LiquidationPolicy, liquidate
from .number import Number
from .path import BEFORE_OPEN, Polyline
from .position import Position
from .wallet import Wallet

__all__ = ["BarWalk"]

Event = FundingEvent | LiquidationEvent


class BarWalk:
    """Walks an account through bars, and keeps the marks from bar to bar.

    Args:
        account: changed as the walk goes.
        policy: what the venue does below maintenance; ``None``: the textbook.

    Attributes:
        share: of the bar elapsed so far.
    """

    def __init__(
        self, account: Account, policy: LiquidationPolicy | None = None
    ) -> None:
        self.account = account
        self._policy = policy or LiquidationPolicy()
        self.share: Number = 1
        self._marks: dict[str, Number] = {}
        self._paths: Mapping[str, Polyline] = {}
        self._stamps: list[FundingStamp] = []
        self._start: datetime | None = None
        self._length = timedelta()
        self._jump_is_ahead = False
        self._charges: dict[Wallet, tuple[Cause, Number]] = {}

    def open_bar(
        self,
        start: datetime,
        length: timedelta,
        paths: Mapping[str, Polyline],
        stamps: Iterable[FundingStamp] = (),
    ) -> None:
        """Begin a bar; a symbol without a path stands still at its last mark.

        Args:
            start: of the bar, UTC.
            length: of the bar.
            paths: mark price of each symbol that has a new bar.
            stamps: settlements up to the bar's end.
        """
        for symbol, path in self._paths.items():
            self._marks[symbol] = path.prices[-1]
        for symbol, path in paths.items():
            self._marks.setdefault(symbol, path.prices[0])
        self._paths = paths
        self._start, self._length = start, length
        self._stamps = sorted(stamps, key=lambda stamp: (stamp.share, stamp.time))
        self._charges.clear()
        self.share = BEFORE_OPEN

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
        self._charge(wallet, Cause.FEE, fee)

    def _charge(self, wallet: Wallet, cause: Cause, amount: Number) -> None:
        """Remember what a wallet paid at this moment, of the last kind of payment."""
        before, paid = self._charges.get(wallet, (cause, 0))
        self._charges[wallet] = (cause, (paid if before is cause else 0) + amount)

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
        return events + (self._liquidate_due() if self._charges else [])

    def _is_calm(self, target: Number) -> bool:
        """Whether nothing can happen: no stamp, and every wallet safe at its worst.

        The worst PnL in the bar's mark range, which is at one end of it, and the
        largest requirement together bound the surplus from below.
        """
        symbols = self.account.positions
        if any(s.share <= target and s.symbol in symbols for s in self._stamps):
            return False
        for wallet, held in self.account.wallets().items():
            surplus = self.account.balance(wallet)
            for position in held:
                ends = self._range(position.contract.symbol)
                surplus += min(position.unrealized_pnl(mark) for mark in ends)
                surplus -= position.largest_maintenance(*ends)
            if surplus <= 0:
                return False
        return True

    def _next_stop(self, target: Number) -> Number:
        """The next share at which a path bends or a stamp is due."""
        if self.share < 0:
            return 0
        stops = [stamp.share for stamp in self._stamps]
        for symbol in self.account.positions:
            if symbol in self._paths:
                stops += self._paths[symbol].shares
        return min((s for s in stops if self.share < s < target), default=target)

    def _step(self, stop: Number) -> list[Event]:
        """Walk the straight piece to ``stop``, or to a liquidation before it."""
        events: list[Event] = []
        if self.share < 0:
            events += self._settle_until(BEFORE_OPEN)
        else:
            crossing = self._first_liquidation(stop)
            if crossing is not None and not self._has_stamp(crossing[0]):
                share, wallet = crossing
                self._move(share)
                self._jump_is_ahead = share == stop
                events = self._liquidate(wallet, Cause.PRICE) + self._liquidate_due()
                self._jump_is_ahead = False
                return events
        self._move(stop)
        return events + self._settle_until(stop) + self._liquidate_due()

    def _has_stamp(self, share: Number) -> bool:
        """Whether a stamp is due just then: funding comes before liquidation."""
        held = self.account.positions
        return any(s.share == share and s.symbol in held for s in self._stamps)

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

    def _pay(self, stamp: FundingStamp) -> list[Event]:
        """Pay one stamp, if its symbol has a position."""
        if stamp.symbol not in self.account.positions:
            return []
        known = stamp.mark_price
        event = settle_funding(
            self.account,
            stamp.symbol,
            stamp.funding_rate,
            self.mark(stamp.symbol) if known is None else known,
            time=stamp.time,
        )
        wallet = self.account.wallet_of(stamp.symbol)
        self._charge(wallet, Cause.FUNDING, event.payment)
        return [event]

    def _first_liquidation(self, stop: Number) -> tuple[Number, Wallet] | None:
        """Where on the straight piece to ``stop`` a wallet first meets maintenance."""
        first: tuple[Number, Wallet] | None = None
        for wallet, held in self.account.wallets().items():
            legs = [
                Leg(p, self.mark(p.contract.symbol), self._mark_before(p, stop))
                for p in held
            ]
            part = first_crossing(legs, self.account.balance(wallet))
            if part is None:
                continue
            share = self.share + (stop - self.share) * part
            if first is None or share < first[0]:
                first = (share, wallet)
        return first

    def _liquidate_due(self) -> list[Event]:
        """Liquidate every wallet at or below maintenance at this moment."""
        events: list[Event] = []
        for wallet in list(self.account.wallets()):
            surplus = self.account.summary(wallet, self.mark).surplus
            if surplus <= 0:
                cause, amount = self._charges.get(wallet, (Cause.PRICE, 0))
                # Without the charge the wallet would stand: the charge is the cause.
                charged = surplus - amount > 0
                events += self._liquidate(wallet, cause if charged else Cause.PRICE)
        return events

    def _liquidate(self, wallet: Wallet, cause: Cause) -> list[Event]:
        account, time, policy = self.account, self.time, self._policy
        return list(
            liquidate(account, wallet, self.mark, time=time, cause=cause, policy=policy)
        )
