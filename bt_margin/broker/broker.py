"""The brokers: Backtrader's matching over a margin account.

Matching, the order queue, OCO, brackets, expiry, slippage and fillers are
Backtrader's. Every fill is preceded by whatever the path of the bar meets first.
"""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import backtrader as bt

from bt_margin.core.deleveraging import DeleveragingStamp
from bt_margin.core.errors import InvariantError
from bt_margin.core.funding import FundingStamp
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.path import BEFORE_OPEN, Polyline
from bt_margin.core.wallet import MarginMode

from .acting import SIDES
from .aftermath import Aftermath
from .ambiguity import Ambiguity, AmbiguityFinder
from .filling import FillingBroker
from .instrument import Instrument, utc
from .locking import RestingMargin
from .matching import PathMatcher
from .moment import fill_share
from .reporting import Reporter
from .series import Bar
from .watch import Watch

__all__ = ["CrossBroker", "IsolatedBroker", "MarginBroker"]


class MarginBroker(FillingBroker):
    """Backtrader's broker with margin, funding and liquidation.

    Every parameter and method of ``BackBroker`` is there.

    Params:
        leverage: setting for symbols whose commission scheme names none.
        margin_mode: ``"isolated"``, ``"cross"``, or ``"off"``: stock accounting.
        venue: whose rules hold: a name, see `venue_names`, or a page of one's own.
        bar_path: which extreme of a bar comes first: ``"adaptive"`` (the one nearer
            the open), ``"low_first"``, ``"high_first"``, ``"worst"`` or ``"best"`` (for
            the position held).
        bar_time: whether a feed's times are a bar's ``"open"`` or ``"close"``;
            `PerpData` says its own.
        fill_order: ``"queue"``: a bar's orders are matched in the order in which they
            were sent, as Backtrader does; ``"path"``: in the order in which the path
            of the bar reaches them.
        order_margin: whether resting orders lock margin.
        gap_loss: who pays what an isolated wallet cannot: ``"insurance"`` or
            ``"trader"``.
        position_mode: ``"one_way"``: one position for each feed; ``"hedge"``: a long
            and a short, of which every order names one: ``position_side="long"``.
        on_liquidation: after a bar with a liquidation ``"continue"``, ``"stop"`` the
            run, or ``"refill"`` the account to its starting cash, by a deposit.
        warning_ratio: margin ratio at which ``notify_margin_warning`` is called, once
            for each time it is reached.
        accelerate: run the bars in a loop that does the same in less time, see
            `bt_margin.accelerate`; ``False``: Backtrader's own loop.

    Attributes:
        account: wallets, positions and ledger of the run.
        liquidations: every `LiquidationEvent` so far.
        fundings: every `FundingEvent` so far.
        deleveragings: every `DeleveragingEvent` so far.
        guard_actions: what guards did, see `bt_margin.guards`.
        refills: what ``on_liquidation="refill"`` put in, each time.
        ruins: how often a deposit began a new fund, after everything was lost.
        ambiguities: every bar so far that could have gone two ways.
        late_fills: fills that the queue made after something that the path met later;
            with ``fill_order="path"`` there are none.

    Raises:
        ParameterError: naming the parameter, its value and the fix.
    """

    def init(self) -> None:
        """Begin a run: every field that a run changes is made here."""
        super().init()
        self.ambiguities: list[Ambiguity] = []
        self._finder = AmbiguityFinder(self)
        self.late_fills = 0
        self._reporter = Reporter(self)
        self._aftermath = Aftermath(self)
        self._watch = Watch(self)
        self._watch.stands_for_next = type(self).next is MarginBroker.next
        along_path = self.p.fill_order == "path"
        self._match = PathMatcher(self).match if along_path else self._match_queue
        self._fresh: set[Any] = set()  # feeds that brought a bar in this step
        self._bar: Any = None  # the finest of these bars
        self._early: set[int] = set()  # orders sent before their feed began
        self._executing: Any = None
        self._was_triggered = False

    # The bar

    def next(self) -> None:
        """One bar: orders in queue order, each after what the path meets first."""
        if self._watch.sleeps():
            return
        if self._is_off:
            super().next()
            return
        if self._aftermath.ends_run:
            self.cerebro.runstop()
            return
        self._watch.wake_before()
        self._open_bar()
        while self._toactivate:
            self._toactivate.popleft().activate()
        if self.p.checksubmit:
            self.check_submitted()
        self._charge_interest()
        self._process_order_history()
        self.ambiguities += self._finder.find()
        self._match()
        self._reporter.publish(self._walk.close_bar())
        self._get_value()
        for guard in self.guards:
            guard.act(self)
        self._aftermath.settle()
        self._reporter.tell(self._aftermath.warnings())
        self._watch.set()

    def stand(self, bars: Sequence[tuple[Instrument, int]]) -> None:
        """Stand at the end of a bar in which nothing happened.

        Args:
            bars: feeds that have begun, and how many bars from its present one (0, -1)
                each of them was then.
        """
        ordered = sorted(bars, key=lambda each: each[0].recency(each[1]))
        marks = {one.symbol: one.closing_mark(ago) for one, ago in ordered}
        for instrument, ago in ordered:
            self._finder.note_coarse(instrument.data, instrument.coarse_mark(ago))
            if not ago:  # the others are at a bar that the broker looks at next
                instrument.advance()
        latest, ago = ordered[-1]
        end = latest.end(ago)
        for leader in self._instruments.leaders:
            missed = self._instruments[leader].stamps_before(end)
            if missed and self.is_held(leader):
                raise InvariantError(f"a stamp was slept through: {missed}")
        self._walk.stand(utc(end), marks)

    def _open_bar(self) -> None:
        """Start the walk of the bar that the feeds brought."""
        fresh = self._instruments.advance(lambda data: self.positions[data].size)
        self._fresh = set(fresh)
        instruments = [i for i in fresh.values() if i.bar and i.mark]
        if not instruments:
            return
        bar, paths = self._finest(instruments)
        self._bar = bar
        self._follow_rules(bar.start)
        self._instruments.tell_ended(bar, self.is_held)
        stamps: list[FundingStamp | DeleveragingStamp] = []
        for leader in self._instruments.leaders:
            instrument = self._instruments[leader]
            for stamp in instrument.stamps_before(bar.end):
                share = bar.share(stamp.time)
                stamps.append(
                    FundingStamp(
                        share if share >= 0 else BEFORE_OPEN,
                        utc(stamp.time),
                        instrument.symbol,
                        stamp.funding_rate,
                        stamp.mark_price,
                    )
                )
        while self._deleveragings and self._deleveragings[0][0] < bar.end:
            time, name, closed_share, price = self._deleveragings.pop(0)
            share = bar.share(time)
            named = next(data for data in self.feeds if data._name == name)
            stamps.append(
                DeleveragingStamp(
                    share if share >= 0 else BEFORE_OPEN,
                    utc(time),
                    self._instruments[named].symbol,
                    closed_share,
                    price,
                )
            )
        length = utc(bar.end) - utc(bar.start)
        self._walk.open_bar(utc(bar.start), length, paths, stamps)

    @staticmethod
    def _finest(instruments: list[Instrument]) -> tuple[Bar, dict[str, Polyline]]:
        """The bar of the finest feed, and the mark's path of each symbol.

        Of several feeds of one instrument the finest shows its mark.
        """
        ordered = sorted(instruments, key=lambda one: one.recency())
        bar = ordered[-1].bar
        if bar is None:
            raise InvariantError("a feed without a bar cannot begin the walk")
        return bar, {i.symbol: i.mark for i in ordered if i.mark is not None}

    @property
    def next_date(self) -> float:
        """When the venue does something by date next, ms; infinite: never."""
        first = self._deleveragings[0][0] if self._deleveragings else inf
        return min(self._next_change, first)

    def coarse_candle(self, leader: Any) -> tuple[int, float, float] | None:
        """A mark candle coarser than the bars, whose range is still to be judged."""
        return self._finder.coarse_candle(leader)

    def near_orders(self) -> Iterator[Any]:
        """Live orders but for those that the price is surely away from."""
        ranges = self._instruments.ranges()
        for order in self.live_orders():
            if not self._desk.is_far(order, ranges):
                yield order

    def is_noted(self, order: Any) -> bool:
        """Whether nothing is left to note of a resting order at its next bar."""
        return bool(self._desk.is_noted(order))

    @property
    def bar_end(self) -> int:
        """The end of the bar that was looked at last, ms."""
        return int(self._bar.end)

    def next_end(self, leader: Any) -> float:
        """When a feed will be said to have ended while it is held, ms."""
        return float(self._instruments.next_end(leader))

    def resting_margins(self) -> list[RestingMargin]:
        """What the orders that rest ask for."""
        found: list[RestingMargin] = self._desk.resting_margins()
        return found

    @property
    def ends_run(self) -> bool:
        """Whether the bar that is done was to be the last."""
        return bool(self._aftermath.ends_run)

    @property
    def hears_warnings(self) -> bool:
        """Whether a strategy wants to be warned of a margin ratio."""
        return self._aftermath.hears

    @property
    def calm(self) -> Watch:
        """The bars slept through: what can be told of them, and when they end."""
        watch: Watch = self._watch
        return watch

    def keep_awake(self) -> None:
        """Look at every bar from here on: for what asks at each one anyway."""
        self._wake()
        self._watch.forget()
        self._watch.is_off = True

    def check_submitted(self) -> None:
        """Accept or refuse the orders sent since the last bar."""
        if self._is_off:
            super().check_submitted()
            return
        self._desk.begin_batch()
        while self.submitted:
            order = self.submitted.popleft()
            if self._take_children(order) is None:
                continue
            reason = self._wrong_side(order) or self._desk.below_minimum(order)
            reason = reason or self._guarded(order)
            if reason is not None:
                order.info.reason = reason
                order.reject(self)
                self._withdraw(order)
                continue
            shortfall = self._desk.check(order)
            if shortfall is None:
                self.submit_accept(order)
            else:
                self._refuse(order, shortfall)
        self._desk.end_batch()

    def submit_accept(self, order: Any) -> None:
        """Accept an order, also one that is not checked."""
        reason = None if self._is_off else self._wrong_side(order)
        self._wake()
        self._watch.forget()
        if reason is None:
            super().submit_accept(order)
            return
        order.info.reason = reason
        order.reject(self)
        self.notify(order)

    def _guarded(self, order: Any) -> str | None:
        """Why a guard does not let an order through; ``None``: all do."""
        for guard in self.guards:
            reason = guard.objection(self, order)
            if reason is not None:
                what = f"refused to {order.ordtypename().lower()}"
                what += f" {abs(order.executed.remsize):g}"
                self.note_guard(guard, order.data, what, reason)
                return f"{type(guard).__name__}: {reason}"
        return None

    def _wrong_side(self, order: Any) -> str | None:
        """Why the venue cannot tell which position an order means; ``None``: it can."""
        side = order.info.get("position_side")
        if self.is_hedged and side not in SIDES:
            return (
                f"position_side is {side!r}: with position_mode='hedge' give"
                ' position_side="long" or position_side="short", or close a leg with'
                " broker.close_leg(self, data, side)"
            )
        if side and not self.is_hedged:
            return f"position_side is {side!r}: give the broker position_mode='hedge'"
        return None

    def _charge_interest(self) -> None:
        """Book the interest of commission schemes that ask for one."""
        for data in self._instruments.leaders:
            terms = self.terms(data)
            held = self.account.positions_of(terms.contract.symbol)
            if not held or not terms.bears_interest:
                continue
            position, now = self.positions[data], data.datetime.datetime()
            kind, time = LedgerEntryKind.INTEREST, self._walk.time
            for leg in held:
                key = leg.contract.key
                part = position.clone()
                part.fix(leg.size, leg.entry_price)
                part.datetime = position.datetime
                interest = terms.comminfo.get_credit_interest(data, part, now)
                self.d_credit[key] += interest
                self.account.book(kind, -interest, time=time, key=key)
            position.datetime = now

    def _match_queue(self) -> None:
        """Try every pending order once, in the order in which they came."""
        ranges, pending = self._instruments.ranges(), self.pending
        pending.append(None)
        while (order := pending.popleft()) is not None:
            if self._desk.is_far(order, ranges):
                pending.append(order)
            elif order.expire():
                self._withdraw(order)
            elif not order.active() or not self.has_new_bar(order):
                self.pending.append(order)
            else:
                self._was_triggered = order.triggered
                self._try_exec(order)
                if order.alive():
                    self.pending.append(order)
                    self.note_rested(order)
                elif order.status == bt.Order.Completed:
                    self._bracketize(order)

    def buy(
        self,
        owner: Any,
        data: Any,
        size: float,
        price: float | None = None,
        plimit: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Send a buy, on the contract's steps and ticks."""
        words = self._snapped(data, size, price, plimit, is_buy=True)
        return self._noted(super().buy(owner, data, *words, **self._booked(kwargs)))

    def sell(
        self,
        owner: Any,
        data: Any,
        size: float,
        price: float | None = None,
        plimit: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Send a sell, on the contract's steps and ticks."""
        words = self._snapped(data, size, price, plimit, is_buy=False)
        return self._noted(super().sell(owner, data, *words, **self._booked(kwargs)))

    def _booked(self, words: dict[str, Any]) -> dict[str, Any]:
        """The words of an order; in hedge mode each leg has trade ids of its own.

        Backtrader would net a long and a short of one trade id: even ids are longs.
        """
        if self._is_off or not self.is_hedged:
            return words
        parent = words.get("parent")
        if words.get("position_side") is None and parent is not None:
            # The children of a bracket are about the leg that their parent opens.
            words = {**words, "position_side": parent.info.get("position_side")}
        is_short = words.get("position_side") == "short"
        return {**words, "tradeid": 2 * words.get("tradeid", 0) + is_short}

    def _noted(self, order: Any) -> Any:
        """Keep in mind an order that was sent before its feed began.

        Backtrader dates it by the feed's last bar, after which no bar would come.
        """
        if not len(order.data):
            self._early.add(order.ref)
            order.created.dt = 0.0
        return order

    def _snapped(
        self,
        data: Any,
        size: float,
        price: float | None,
        plimit: float | None,
        *,
        is_buy: bool,
    ) -> tuple[float, float | None, float | None]:
        """Size and prices on steps and ticks: never larger, never a better price."""
        if self._is_off:
            return size, price, plimit
        contract = self.terms(data).contract

        def snapped(price: float | None) -> float | None:
            return contract.snapped_price(price, is_buy=is_buy) if price else price

        quantity = contract.snapped_quantity(abs(size))
        return quantity, snapped(price), snapped(plimit)

    def expire_orders(self) -> None:
        """Expire the orders whose time is over."""
        for order in self.live_orders():
            if order.alive() and order.expire():
                self.pending.remove(order)
                self._withdraw(order)

    def has_new_bar(self, order: Any) -> bool:
        """Whether the feed brought a bar that was unknown when the order was sent.

        Stock Backtrader matches limits and stops of slower feeds against a bar that
        the strategy had seen. Cheating on open sends orders within the new bar.
        """
        if order.exectype == bt.Order.Historical:
            return True
        if order.exectype == bt.Order.Market and self.p.coc:
            return True
        if order.data not in self._fresh:
            return False
        if self.p.coo or order.ref in self._early:
            return True
        return bool(order.data.datetime[0] > order.created.dt)

    @property
    def share(self) -> float:
        """Share of the bar that the walk has reached; below 0: before its open."""
        return float(self._walk.share)

    def walk_to(self, share: float, order: Any = None) -> None:
        """Walk on to a share of the bar, before ``order`` fills there if one does."""
        self._executing = order
        self._reporter.publish(self._walk.advance(share))
        self._executing = None

    # Fills

    def _execute(
        self,
        order: Any,
        ago: int | None = None,
        price: float | None = None,
        cash: float | None = None,
        position: Any = None,
        dtcoc: float | None = None,
    ) -> Any:
        if self._is_off:
            return super()._execute(order, ago, price, cash, position, dtcoc)
        if ago is None or price is None:
            return None
        instrument = self._instruments[order.data]
        if dtcoc is not None or ago < 0:
            share: float = BEFORE_OPEN
        elif instrument.bar is not None and instrument.bar.length > self._bar.length:
            share = 0.0  # a bar of a slower feed: most of it is over already
        else:
            share = fill_share(order, instrument, was_triggered=self._was_triggered)
        if BEFORE_OPEN < share < self.share:
            self.late_fills += 1
        self.walk_to(share, order)
        if order.alive():
            self.fill(order, ago, price, dtcoc)
        return None

    def notify(self, order: Any) -> None:
        """Backtrader's: queue what became of an order for its strategy."""
        super().notify(order)
        if not order.alive():
            self._desk.drop(order)

    def note_rested(self, order: Any) -> None:
        """Say that an order met a bar and did not fill in it."""
        self._desk.note_rested(order)

    def note_arrival(self, order: Any, price: float) -> None:
        """Say at which price an order came alive inside a bar."""
        self._desk.note_arrival(order, price)

    def live_orders(self) -> list[Any]:
        """Accepted orders that may still fill, the one being filled included."""
        orders = [order for order in self.pending if order is not None]
        executing = self._executing
        if executing is None or executing in orders:
            return orders
        return [executing, *orders]

    def cancel(self, order: Any, bracket: bool = False) -> bool:
        """Cancel an order; unlike stock, also in the bar that submitted it."""
        self._wake()
        self._watch.forget()
        is_executing = order is self._executing and order not in self.pending
        if self._is_off or not (is_executing or order in self.submitted):
            return bool(super().cancel(order, bracket))
        if not order.alive():
            return False
        partners = [o for o in self.submitted if self._desk.are_oco(o, order)]
        for one in [order, *partners]:
            if one in self.submitted:
                self.submitted.remove(one)
            one.cancel()
            self.notify(one)
        self._ococheck(order)
        if not bracket:
            self._bracketize(order, cancel=True)
        return True


class IsolatedBroker(MarginBroker):
    """`MarginBroker` whose positions each stand on a wallet of their own."""

    params: Any = (("margin_mode", MarginMode.ISOLATED.value),)


class CrossBroker(MarginBroker):
    """`MarginBroker` whose positions share one wallet."""

    params: Any = (("margin_mode", MarginMode.CROSS.value),)
