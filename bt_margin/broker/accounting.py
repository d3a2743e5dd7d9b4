"""The broker's account: parameters, terms, cash and value.

Below this layer is Backtrader's broker; above it are the bar and the fills.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from math import inf
from typing import Any

import backtrader as bt

from bt_margin.accelerate import install, remove
from bt_margin.core.account import Account
from bt_margin.core.deleveraging import DeleveragingEvent
from bt_margin.core.errors import (
    BalanceError,
    MarginError,
    ParameterError,
    UnknownNameError,
)
from bt_margin.core.funding import FundingEvent
from bt_margin.core.ledger import Ledger, LedgerEntryKind
from bt_margin.core.liquidation import LiquidationEvent
from bt_margin.core.number import Number
from bt_margin.core.path import BarPath
from bt_margin.core.walk import BarWalk
from bt_margin.core.wallet import GapLoss, MarginMode
from bt_margin.data import as_candles, as_funding
from bt_margin.venues import PositionMode, Venue, get_venue

from .acting import Acting
from .aftermath import OnLiquidation
from .asking import Asking
from .commission import PerpCommission, PlainCommission
from .feed import PerpData
from .guarding import Guard, GuardAction
from .hindsight import WIPED_OUT
from .instrument import Instrument, utc
from .instruments import Instruments
from .legs import Legs
from .orders import OrderDesk
from .preview import Previewing
from .refusal import finite_number, positive_number, refuse_unknown
from .series import CandleSeries, FundingSeries
from .terms import Terms, resolve_terms

__all__ = ["AccountBroker"]

OFF = "off"

_log = logging.getLogger("bt_margin")

_NOTHING_SET = bt.broker.BrokerBase.params.commission


def _ms(moment: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


class AccountBroker(Asking, Previewing, Acting, bt.brokers.BackBroker):
    """Backtrader's broker whose cash and value are those of a margin account.

    The parameters are described where users meet them: `MarginBroker`.
    """

    params: Any = (
        ("leverage", 1.0),
        ("margin_mode", MarginMode.ISOLATED.value),
        ("venue", "generic"),
        ("bar_path", BarPath.ADAPTIVE.value),
        ("bar_time", "open"),
        ("fill_order", "queue"),
        ("order_margin", True),
        ("same_instrument", True),
        ("gap_loss", GapLoss.INSURANCE.value),
        ("position_mode", PositionMode.ONE_WAY.value),
        ("on_liquidation", OnLiquidation.CONTINUE.value),
        ("warning_ratio", 0.8),
        ("accelerate", True),
    )

    def __init__(self, **unknown: Any) -> None:
        # Backtrader takes the declared parameters out before this is called.
        refuse_unknown(type(self), unknown)
        self._check_parameters()
        self._mark_frames: dict[str, CandleSeries] = {}
        self._funding_frames: dict[str, FundingSeries] = {}
        self._scheduled: list[tuple[int, str, float, float | None]] = []
        self._same: list[tuple[Any, Any]] = []
        self.guards: list[Guard] = []
        self._is_running = False
        super().__init__()

    def _check_parameters(self) -> None:
        choices = {
            "margin_mode": (*MarginMode, OFF),
            "bar_path": tuple(BarPath),
            "bar_time": ("open", "close"),
            "fill_order": ("queue", "path"),
            "gap_loss": tuple(GapLoss),
            "position_mode": tuple(PositionMode),
            "on_liquidation": tuple(OnLiquidation),
        }
        for name, allowed in choices.items():
            value = getattr(self.p, name)
            if value not in allowed:
                fix = "give one of " + ", ".join(allowed)
                raise ParameterError(name, value, fix)
        positive_number("cash", self.p.cash)
        positive_number("leverage", self.p.leverage)
        positive_number("warning_ratio", self.p.warning_ratio)
        if not isinstance(self.p.accelerate, bool):
            raise ParameterError("accelerate", self.p.accelerate, "give True or False")
        self._is_off = self.p.margin_mode == OFF
        own = self.p.venue
        self._page = own if isinstance(own, Venue) else get_venue(own)
        self.venue = self._page
        if not self._is_off:
            self._check_against_venue()

    def _check_against_venue(self) -> None:
        """Refuse what the venue does not offer, on any day."""
        venue, wanted = self.venue, self.p.position_mode
        venue.require(self.p.margin_mode)
        if wanted not in venue.position_modes:
            fix = f"{venue.name} offers {' and '.join(venue.position_modes)} only"
            raise ParameterError("position_mode", wanted, fix)
        days = venue.days_of_change()
        pages = [venue, *(venue.at(day - timedelta(days=1)) for day in days)]
        bound = max(page.max_leverage for page in pages)
        if self.p.leverage > bound:
            fix = f"the tiers of {venue.name} allow at most {bound}"
            raise ParameterError("leverage", self.p.leverage, fix)

    # Life of a run

    def init(self) -> None:
        """Begin a run: every field that a run changes is made here."""
        super().init()
        self._is_running = False
        self.liquidations: list[LiquidationEvent] = []
        self.fundings: list[FundingEvent] = []
        self.deleveragings: list[DeleveragingEvent] = []
        self.refills: list[float] = []
        self.ruins = 0
        self.guard_actions: list[GuardAction] = []
        self._terms: dict[Any, Terms] = {}
        self._chosen_leverage: dict[Any, float] = {}
        self._chosen_mode: dict[Any, MarginMode] = {}
        self._next_change = -inf  # ms: when the venue's rules change next
        self.legs = Legs()
        self._desk = OrderDesk(self)
        if self._is_off:
            return
        del self.cash  # `get_cash` gives it from here on
        if self.comminfo[None] is _NOTHING_SET:
            self.comminfo[None] = PerpCommission(inverse=self.venue.is_inverse)
        self.account = Account(
            positive_number("cash", self.p.cash),
            gap_loss=GapLoss(self.p.gap_loss),
            cross_margin_basis=self.venue.cross_margin_basis,
            isolated_margin_basis=self.venue.isolated_margin_basis,
            funding_source=self.venue.funding_source,
        )
        self._walk = BarWalk(self.account, self.venue.liquidation)
        self._walk.locked = self._desk.locked

    def start(self) -> None:
        """Begin a run on the feeds of Cerebro."""
        super().start()
        self._is_running = True
        remove(self.cerebro)  # what a run that failed may have left
        if self.p.accelerate:
            install(self.cerebro, PerpData)
        if self._is_off:
            return
        self._instruments = Instruments(
            self.cerebro.datas,
            self._same,
            self._make_instrument,
            follow_clones=self.p.same_instrument,
        )
        self._check_feeds()
        for guard in self.guards:
            guard.start(self)
        self._deleveragings = sorted(self._scheduled, key=lambda stamp: stamp[0])
        for data in self._instruments.feeds:
            leader = self._instruments.leader(data)
            if not self._page.revisions:
                self.terms(data).require_leverage()
            if leader is not data:
                self.positions[data] = self.positions[leader]
                data.compensate(leader)  # Backtrader books its trades on the leader

    def _check_feeds(self) -> None:
        """Refuse names that no feed has, and a second settle currency."""
        feeds = self._instruments.feeds
        names = tuple(data._name for data in feeds)
        scheduled = [name for _, name, *_ in self._scheduled]
        for name in (*self._mark_frames, *self._funding_frames, *scheduled):
            if name not in names:
                raise UnknownNameError("feed", name, names)
        for name in self.comminfo:
            if name is not None and name not in names:
                _log.warning("commission for %r: no feed has that name", name)
        contracts = [self.terms(data).contract for data in feeds]
        inverse = {contract.symbol: contract.inverse for contract in contracts}
        if len(set(inverse.values())) > 1:
            fix = "give each settle currency a broker of its own"
            raise ParameterError("inverse", "inverse beside linear contracts", fix)
        self.venue.require_one_coin(inverse)

    def stop(self) -> None:
        """End the run; what it left can be asked until the next one."""
        super().stop()
        self._wake()
        self._is_running = False
        remove(self.cerebro)
        if not self._is_off:
            for data in self._instruments.feeds:
                if data._compensate is self._instruments.leader(data):
                    data.compensate(None)

    def _make_instrument(self, data: Any, symbol: str) -> Instrument:
        own = data._name
        return Instrument(
            data,
            symbol,
            bar_path=BarPath(self.p.bar_path),
            bar_time=self._bar_time(data),
            marks=self._mark_frames.get(own, getattr(data, "mark_series", None)),
            funding=self._funding_frames.get(
                own, getattr(data, "funding_series", None)
            ),
            detail=getattr(data, "detail_series", None),
        )

    def _bar_time(self, data: Any) -> str:
        """Backtrader's resampler writes a bar's close; other feeds say, or the user."""
        if data.resampling and not data.replaying:
            return "close"
        return str(getattr(data.p, "bar_time", self.p.bar_time))

    def terms(self, data: Any) -> Terms:
        """Contract, leverage, mode and fees of a feed as they stand."""
        data = self._instruments.leader(data)
        comminfo = self.getcommissioninfo(data)
        terms = self._terms.get(data)
        if terms is None or terms.comminfo is not comminfo:
            terms = self._wanted_terms(data)
            if self._page.revisions and self._walk.has_begun:
                terms = terms.capped()  # as `_follow_rules` has said
            self._terms[data] = terms
        return terms

    def _wanted_terms(self, data: Any) -> Terms:
        """Terms of a leader as they were asked for, whatever the tiers' bound."""
        return resolve_terms(
            self._instruments[data].symbol,
            self.getcommissioninfo(data),
            self.venue,
            leverage=float(self.p.leverage),
            mode=MarginMode(self.p.margin_mode),
            chosen_leverage=self._chosen_leverage.get(data),
            chosen_mode=self._chosen_mode.get(data),
        )

    def order_terms(self, order: Any) -> Terms:
        """Terms of an order: those of its feed, in hedge mode of its leg."""
        terms = self.terms(order.data)
        return terms.of_leg(order.info.position_side) if self.is_hedged else terms

    def is_reducing(self, order: Any) -> bool:
        """Whether an order can only close: reduce-only, or against its leg."""
        if order.info.get("reduce_only"):
            return True
        if not self.is_hedged:
            return False
        return bool(order.isbuy()) is (order.info.position_side == "short")

    def _follow_rules(self, moment: int) -> None:
        """Go by the rules of the venue that hold at a moment (ms)."""
        if moment < self._next_change:
            return
        is_first = self._next_change == -inf
        days = self._page.days_of_change()
        changes = [_ms(datetime.combine(day, time(), UTC)) for day in days]
        self._next_change = min((c for c in changes if c > moment), default=inf)
        self.venue = page = self._page.at(utc(moment).date())
        self._walk.follow(page.liquidation)
        self.account.follow(
            page.cross_margin_basis, page.isolated_margin_basis, page.funding_source
        )
        self._terms = {}
        for data in self._instruments.leaders:
            terms, wanted = self.terms(data), self._wanted_terms(data).leverage
            if is_first:
                terms.require_leverage()
            elif wanted != terms.leverage:
                _log.warning(
                    "%s: leverage %s is above the new bound and becomes %s",
                    *(terms.contract.symbol, wanted, terms.leverage),
                )
            self.account.revise(terms.contract)

    # Settings

    def setcommission(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
        """Backtrader's; with margin its sizes are not multiplied by leverage."""
        self._rouse()
        super().setcommission(*args, name=name, **kwargs)
        if not self._is_off:
            self.comminfo[name] = PlainCommission.of(self.comminfo[name])

    def addcommissioninfo(self, comminfo: Any, name: str | None = None) -> None:
        """Backtrader's: the scheme of a feed by its name, or of all others."""
        self._rouse()
        super().addcommissioninfo(comminfo, name)

    def _rouse(self) -> None:
        """Look at the next bar: its rules are about to change."""
        self._wake()
        if self._watch is not None:
            self._watch.forget()

    def add_mark(self, name: str, candles: Any) -> None:
        """Give mark candles to a feed by its name, before the run."""
        frame = as_candles(candles, where=f"{name} mark", mark=True)
        self._mark_frames[name] = CandleSeries(frame)

    def add_funding(self, name: str, stamps: Any) -> None:
        """Give funding stamps to a feed by its name, before the run."""
        frame = as_funding(stamps, where=f"{name} funding")
        self._funding_frames[name] = FundingSeries(frame)

    def add_deleveraging(
        self,
        name: str,
        moment: datetime,
        closed_share: float,
        price: float | None = None,
    ) -> None:
        """Let the venue deleverage a feed's winning positions once, before the run.

        Args:
            name: the feed's.
            moment: UTC; a naive time is taken as UTC.
            closed_share: of the position, above 0 and up to 1.
            price: of the close; ``None``: mark.
        """
        if not 0 < closed_share <= 1:
            fix = "give a share above 0 and up to 1"
            raise ParameterError("closed_share", closed_share, fix)
        if price is not None:
            positive_number("price", price)
        if self._is_running:
            raise MarginError("deleveraging is scheduled before the run")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        self._scheduled.append((_ms(moment), name, closed_share, price))

    def add_guard(self, guard: Guard) -> None:
        """Let a guard watch over the run; see `bt_margin.guards`."""
        self.guards.append(guard)
        if self._is_running:
            self._watch.forget()
            guard.start(self)

    def note_guard(self, guard: Guard, data: Any, what: str, why: str) -> None:
        """Put on record, and into the log, what a guard did."""
        symbol = self._instruments[data].symbol
        action = GuardAction(self.time, type(guard).__name__, symbol, what, why)
        self.guard_actions.append(action)
        _log.info("%s: %s", action.guard, action)

    def same_instrument(self, one: Any, other: Any) -> None:
        """Say, before the run, that two feeds show one instrument: one position.

        Clones, such as resampled feeds of Cerebro, are joined without being asked.
        """
        self._same.append((one, other))

    def set_fund_history(self, fund: Any) -> None:
        """Stock accounting only: a fund history sets cash that no ledger explains."""
        if not self._is_off:
            raise MarginError(
                "fund history sets the cash by hand, which a ledger cannot explain:"
                ' use margin_mode="off" or leave the fund history out'
            )
        super().set_fund_history(fund)

    # Cash and value

    def __getattr__(self, name: str) -> Any:
        """Backtrader's attribute ``cash``, which only stock accounting keeps itself."""
        if name == "cash":
            return self.get_cash()
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def get_cash(self) -> float:
        """Available balance: what a new order may use."""
        if self._watch.is_dozing:
            return float(self._watch.available_balance())
        return super().get_cash() if self._is_off else self.available_balance()

    getcash = get_cash

    def set_cash(self, cash: float) -> None:
        """Starting cash; during a run the difference is a deposit."""
        if self._is_off:
            super().set_cash(cash)
            return
        amount = positive_number("cash", cash)
        if self._is_running:
            self.add_cash(amount - float(self.account.balance(self.account.shared)))
            return
        super().set_cash(amount)
        self.init()

    setcash = set_cash

    def add_cash(self, cash: float) -> None:
        """Deposit (+) or withdraw (-), booked at once.

        Raises:
            BalanceError: a withdrawal of more than the available balance.
            ParameterError: not a number.
        """
        if self._is_off:
            super().add_cash(cash)
            return
        amount = finite_number("cash", cash)
        self._wake()
        shared = float(self.account.balance(self.account.shared))
        available = min(self.available_balance(), max(0.0, shared))
        if -amount > available:
            raise BalanceError(
                f"withdrawal of {-amount}: only {available} is available;"
                " withdraw at most that"
            )
        wiped_out = self._value == WIPED_OUT
        if wiped_out:  # shares that are worth nothing: the deposit starts a new fund
            self.ruins += 1
            self._fundshares = amount / self.p.fundstartval
        else:
            self._fundshares += amount / self._fundval
        time = self._walk.time if self._walk.has_begun else None
        self.account.book(LedgerEntryKind.DEPOSIT, amount, time=time)
        self._get_value()

    def get_value(
        self,
        datas: Iterable[Any] | None = None,
        mkt: bool = False,
        lever: bool = False,
    ) -> float:
        """Backtrader's: all wallets and unrealized PnL, or the notional of datas."""
        if datas is not None:
            return self._get_value(datas, lever)
        if self._watch.is_asleep:
            self._watch.appraise()
        if (mkt or lever) and not self._is_off:
            self._take_notionals()
        return (
            float(super().get_value(None, mkt, lever)) if mkt or lever else self._value
        )

    getvalue = get_value

    def get_fundvalue(self) -> float:
        """Backtrader's: worth of a fund's share."""
        if self._watch.is_asleep:
            self._watch.appraise()
        return float(self._fundval)

    fundvalue = property(get_fundvalue)

    def get_leverage(self) -> float:
        """Backtrader's: notional over margin."""
        if not self._is_off:
            self._take_notionals()
        return float(super().get_leverage())

    def _get_value(
        self, datas: Iterable[Any] | None = None, lever: bool = False
    ) -> float:
        if self._is_off:
            return float(super()._get_value(datas=datas, lever=lever))
        if datas:
            return sum(self._signed_notional(data) for data in datas)
        self.appraise()
        return self._value

    def appraise(self) -> None:
        """Take the value of all wallets at the marks of now."""
        account = self.account
        unrealized_pnl = account.unrealized_pnl(self.mark_of_symbol)
        self.note_value(account.wallet_balance, unrealized_pnl)

    def note_value(self, wallet_balance: Number, unrealized_pnl: Number) -> None:
        """Take the value of all wallets from what they hold and what is unrealized."""
        self._unrealized = unrealized_pnl
        self._value = float(wallet_balance + unrealized_pnl) or WIPED_OUT
        self._fundval = self._value / self._fundshares

    def _take_notionals(self) -> None:
        """Take Backtrader's figures of market value and leverage, at the marks of now.

        They are asked for so seldom that a bar does not keep them.
        """
        mark, held = self.mark_of_symbol, self.account.positions.values()
        notional = sum(p.notional(mark(p.contract.symbol)) for p in held)
        margin = float(self.initial_margin())
        self._valuemkt = margin + float(self.account.unrealized_pnl(mark))
        self._valuemktlever = notional
        self._valuelever = self.get_cash() + notional
        self._leverage = notional / margin if margin else 1.0

    def _signed_notional(self, data: Any) -> float:
        """At the last price, by which ``order_target_value`` divides."""
        position = self.positions[data]
        if not position.size:
            return 0.0
        notional = self.terms(data).contract.notional(position.size, data.close[0])
        return float(notional if position.size > 0 else -notional)

    @property
    def ledger(self) -> Ledger:
        """Every movement of money; empty with stock accounting."""
        return Ledger() if self._is_off else self.account.ledger

    @property
    def time(self) -> datetime:
        """The moment the broker has reached inside the bar, UTC."""
        self._wake()
        moment: datetime = self._walk.time
        return moment
