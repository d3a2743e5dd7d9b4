"""Acting: what a strategy can change about its margin, within the venue's limits."""

from dataclasses import replace
from typing import Any

from bt_margin.core.account import Account
from bt_margin.core.adjust import (
    AutoMargin,
    max_addable,
    max_removable,
    move_margin,
)
from bt_margin.core.errors import (
    BalanceError,
    ControlError,
    MarginError,
    ParameterError,
)
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode

from .refusal import positive_number

__all__ = ["Acting"]

SIDES = ("long", "short")


class Acting:
    """Changes of margin, leverage and mode, as methods of a margin broker.

    Every movement of money is a ledger entry. A change that the venue does not allow
    raises and changes nothing. ``side`` names a leg in hedge mode; without hedge mode
    it is left out.
    """

    account: Any
    venue: Any
    p: Any
    terms: Any
    leader: Any
    leaders: Any
    positions: Any
    mark_of_symbol: Any
    live_orders: Any
    _walk: Any
    _watch: Any
    _desk: Any
    _is_running: bool
    _chosen_leverage: Any
    _chosen_mode: Any
    _terms: Any
    _require_margin: Any

    # Legs

    @property
    def is_hedged(self) -> bool:
        """Whether a symbol can have a long and a short at once."""
        return bool(self.p.position_mode == "hedge")

    def get_leg(self, data: Any, side: str) -> Position | None:
        """The long or the short position of a feed in hedge mode; ``None``: flat."""
        self._require_margin()
        self.require_side(side, "get_leg")
        contract = self.terms(data).of_leg(side).contract
        position: Position | None = self.account.positions.get(contract.key)
        return position

    def require_side(self, side: str | None, word: str = "") -> None:
        """Refuse a leg that there cannot be.

        Args:
            side: ``None``: none is named.
            word: what needs a leg; ``""``: nothing does.

        Raises:
            ParameterError: naming what to give.
        """
        if not self.is_hedged and (side is not None or word):
            name = f"{word} is about a leg: " if word else "leave it out, or "
            fix = f"{name}give the broker position_mode='hedge'"
            raise ParameterError("side", side, fix)
        if side not in (*SIDES, *(() if word else (None,))):
            raise ParameterError("side", side, 'give "long" or "short"')

    def close_leg(self, owner: Any, data: Any, side: str, **kwargs: Any) -> Any:
        """Send the order that closes a leg; ``None``: there is none.

        Args:
            owner: the strategy.
            data: the feed.
            side: ``"long"`` or ``"short"``.
            kwargs: further words of ``buy`` and ``sell``, such as ``exectype``.
        """
        leg = self.get_leg(data, side)
        if leg is None:
            return None
        send = owner.sell if leg.size > 0 else owner.buy
        return send(data=data, size=abs(leg.size), position_side=side, **kwargs)

    # Margin of an isolated position

    def max_addable(self, data: Any, side: str | None = None) -> float:
        """The most that `add_margin` would take; 0 where the venue takes none."""
        position = self._isolated(data, side)
        if not self.venue.controls.adds_margin:
            return 0.0
        return self._max_addable(position)

    def max_removable(self, data: Any, side: str | None = None) -> float:
        """The most that `remove_margin` would give; 0 where the venue gives none."""
        position = self._isolated(data, side)
        return self._removable(self.account, position.contract.key)

    def add_margin(self, data: Any, amount: float, side: str | None = None) -> None:
        """Move ``amount`` from the shared wallet to an isolated position.

        Raises:
            BalanceError: more than `max_addable`, which the message names.
            ControlError: no isolated position, or the venue allows none.
            ParameterError: not an amount above 0.
        """
        position = self._isolated(data, side)
        self._allow("adding margin", allowed=self.venue.controls.adds_margin)
        moved = self._within("add_margin", amount, self._max_addable(position))
        key, time = position.contract.key, self._walk.time
        move_margin(self.account, key, moved, time=time, ref="add margin")

    def remove_margin(self, data: Any, amount: float, side: str | None = None) -> None:
        """Move ``amount`` from an isolated position to the shared wallet.

        Raises:
            BalanceError: more than `max_removable`, which the message names.
            ControlError: no isolated position, or the venue allows none.
            ParameterError: not an amount above 0.
        """
        position = self._isolated(data, side)
        allowed = self.venue.controls.removal is not None
        self._allow("removing margin", allowed=allowed)
        moved = self._within("remove_margin", amount, self.max_removable(data, side))
        key, time = position.contract.key, self._walk.time
        move_margin(self.account, key, -moved, time=time, ref="remove margin")

    def set_auto_margin(self, data: Any, rule: AutoMargin | bool = True) -> None:
        """Let the venue add margin to isolated positions of a feed, or no more.

        Args:
            data: the feed.
            rule: ``True``: the initial margin each time; an `AutoMargin`; ``False``.

        Raises:
            ControlError: the venue does not do that.
        """
        self._require_change()
        allowed = self.venue.controls.auto_margin
        self._allow("automatic margin", allowed=allowed or not rule)
        contract = self.terms(data).contract
        for key in (contract.key, *(f"{contract.symbol}:{side}" for side in SIDES)):
            if rule:
                chosen = rule if isinstance(rule, AutoMargin) else AutoMargin()
                self._walk.auto_margin[key] = chosen
            else:
                self._walk.auto_margin.pop(key, None)

    # Leverage and mode

    def set_leverage(self, data: Any, leverage: float) -> None:
        """Change the leverage of a feed's symbol, an open position's too.

        Where the venue says so, the wallet of an isolated position follows to
        notional at entry / leverage. The leverage that a position has changes nothing.

        Raises:
            BalanceError: the change asks for more than is available.
            ControlError: the venue does not allow it as things stand.
            ParameterError: not a number above 0, or above the tier's bound.
        """
        self._require_change()
        setting = positive_number("leverage", leverage)
        leader, controls = self.leader(data), self.venue.controls
        before = self._chosen_leverage.get(leader)
        held = self._require_bound(data, setting)
        is_new = setting != self.terms(data).leverage
        with_orders = controls.leverage_with_orders or not self._has_orders(data)
        what = "a change of leverage while orders rest"
        self._allow(what, allowed=with_orders or not is_new)
        short, fork = self._short(self.account), self.account.fork()
        self._choose_leverage(leader, setting)
        try:
            for position in held:
                self._relever(fork, position, setting)
            self._require_available(fork, short)
        except MarginError:
            self._choose_leverage(leader, before)
            raise
        for position in held:
            self._relever(self.account, position, setting)

    def _require_bound(self, data: Any, leverage: float) -> list[Position]:
        """The positions of a feed, whose tiers allow ``leverage``."""
        contract = self.terms(data).contract
        held: list[Position] = self.account.positions_of(contract.symbol)
        units = sum(abs(position.size) for position in held)
        notional = sum(p.notional(self.mark_of_symbol(p.contract.symbol)) for p in held)
        bound = contract.tiers_of(units).tier_of(notional).max_leverage
        if leverage > bound:
            fix = f"the tiers allow at most {bound:g} for a notional of {notional:,.8g}"
            raise ParameterError("leverage", leverage, fix)
        return held

    def _choose_leverage(self, leader: Any, leverage: float | None) -> None:
        """Set the leverage of the next fills; ``None``: that of the commission."""
        self._terms.pop(leader, None)
        if leverage is None:
            self._chosen_leverage.pop(leader, None)
        else:
            self._chosen_leverage[leader] = leverage

    def _relever(self, account: Account, position: Position, leverage: float) -> None:
        """Bring a position to another leverage on ``account``."""
        if leverage == position.leverage:
            return
        wallet, controls = account.wallet_of(position.contract.key), self.venue.controls
        contract = replace(position.contract, fixed_margin=None)
        changed = replace(position, contract=contract, leverage=leverage)
        account.put(changed, wallet)
        if wallet == account.shared:
            return
        is_lower = leverage < position.leverage
        allowed = (
            controls.lowers_isolated_leverage
            if is_lower
            else controls.raises_isolated_leverage
        )
        word = "lower" if is_lower else "higher"
        self._allow(f"a {word} leverage of an open isolated position", allowed=allowed)
        if not controls.leverage_moves_margin:
            return
        moved = changed.opening_margin - account.balance(wallet)
        free = max(0.0, account.balance(account.shared))
        if moved > free:
            raise BalanceError(
                f"leverage {leverage:g} needs {moved:,.8g} more on"
                f" {position.contract.key}, and the shared wallet holds {free:,.8g}:"
                f" deposit {moved - free:,.8g}, or choose a higher leverage"
            )
        key, time = position.contract.key, self._walk.time
        limit = self._removable(account, key)
        if -moved > limit:
            raise BalanceError(
                f"leverage {leverage:g} would take {-moved:,.8g} of margin from {key}:"
                f" {limit:,.8g} can be removed; choose a lower leverage"
            )
        move_margin(account, key, moved, time=time, ref="leverage")

    def _removable(self, account: Account, key: str) -> float:
        """What the venue lets go of a position's margin; 0: nothing, or no rule."""
        rule = self.venue.controls.removal
        if rule is None:
            return 0.0
        return float(max_removable(account, key, self.mark_of_symbol, rule))

    def _short(self, account: Account) -> float:
        """What the shared wallet lacks (+) of what positions and orders lock."""
        summary = account.summary(account.shared, self.mark_of_symbol)
        locked = summary.initial_margin + self._desk.locked()
        return float(locked - summary.margin_balance)

    def _require_available(self, account: Account, before: float) -> None:
        """Refuse a change after which more is locked than there is.

        An account that lacked some ``before`` may still come to lack less.
        """
        short = self._short(account)
        if short > max(0.0, before):
            raise BalanceError(
                f"the change asks for {short:,.8g} more than is available:"
                " deposit that, or choose a higher leverage"
            )

    def set_margin_mode(self, data: Any, mode: str) -> None:
        """Change who shares the wallet of a feed's positions.

        Where a venue has one mode for the account, it changes for all symbols. The mode
        that a symbol has changes nothing.

        Raises:
            ControlError: a position is open, or orders rest where the venue minds.
            ParameterError: not ``"isolated"`` or ``"cross"``, or not offered.
        """
        self._require_change()
        if mode not in tuple(MarginMode):
            fix = "give one of " + ", ".join(MarginMode)
            raise ParameterError("mode", mode, fix)
        self.venue.require(mode)
        controls = self.venue.controls
        among = self.leaders if controls.mode_of_account else (self.leader(data),)
        scope = [leader for leader in among if self.terms(leader).mode != mode]
        for leader in scope:
            symbol = self.terms(leader).contract.symbol
            held = bool(self.account.positions_of(symbol))
            what = f"another margin mode while {symbol} has a position"
            self._allow(what, allowed=not held)
            with_orders = controls.mode_with_orders or not self._has_orders(leader)
            what = f"another margin mode while orders of {symbol} rest"
            self._allow(what, allowed=with_orders)
        for leader in scope:
            self._chosen_mode[leader] = MarginMode(mode)
            self._terms.pop(leader, None)

    # Helpers

    def _require_run(self) -> None:
        self._require_margin()
        if not self._is_running:
            raise MarginError(
                "the run has not begun: before it, give leverage= and margin_mode= to"
                " the broker or to PerpCommission"
            )

    def _require_change(self) -> None:
        """Before what leaves no entry in the ledger and yet changes the next bar."""
        self._require_run()
        self._watch.forget()

    def _allow(self, what: str, *, allowed: bool) -> None:
        """Refuse what the venue does not allow."""
        if not allowed:
            raise ControlError(f"{self.venue.name} does not allow {what}")

    def _has_orders(self, data: Any) -> bool:
        leader = self.leader(data)
        return any(self.leader(order.data) is leader for order in self.live_orders())

    def _isolated(self, data: Any, side: str | None) -> Position:
        """The isolated position that is meant."""
        self._require_run()
        self.require_side(side)
        contract = self.terms(data).of_leg(side or "").contract
        position: Position | None = self.account.positions.get(contract.key)
        if position is None:
            legs = "; in hedge mode give side" if self.is_hedged and not side else ""
            raise ControlError(f"{contract.key} has no position{legs}")
        if self.account.mode_of(contract.key) is not MarginMode.ISOLATED:
            raise ControlError(
                f"{contract.key} is on cross margin, which needs no transfer"
            )
        return position

    def _max_addable(self, position: Position) -> float:
        """The most that can be added."""
        key, locked = position.contract.key, self._desk.locked()
        return float(max_addable(self.account, key, self.mark_of_symbol, locked))

    @staticmethod
    def _within(name: str, amount: float, limit: float) -> float:
        """The amount as a number; refused if it is none, or above its limit."""
        moved = positive_number("amount", amount)
        if moved > limit:
            raise BalanceError(f"{name}({amount!r}): the limit is {limit!r}")
        return moved
