"""Liquidator: closes what a wallet below maintenance has to give up."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from .account import Account, Marks
from .closing import Closing, Outcome, close
from .errors import InvariantError
from .liquidation import Cause, LiquidationEvent, bankruptcy_shares
from .margin import MarginSummary
from .number import Number
from .policy import CrossScope, LiquidationPolicy, Reduction, Settlement
from .position import Position
from .wallet import Wallet

__all__ = ["Liquidator", "liquidate"]

_MOST_REDUCTIONS = 200  # in a row: a bound on the work; after it all is taken


def liquidate(
    account: Account,
    wallet: Wallet,
    marks: Marks,
    *,
    time: datetime,
    cause: Cause,
    policy: LiquidationPolicy | None = None,
) -> list[LiquidationEvent]:
    """Liquidate a wallet once, without a memory of what was closed in part before.

    Arguments, result and errors are those of `Liquidator.liquidate`.
    """
    liquidator = Liquidator(policy or LiquidationPolicy())
    return liquidator.liquidate(account, wallet, marks, time=time, cause=cause)


class Liquidator:
    """Liquidates wallets under one policy, and remembers what it closed in part.

    Args:
        policy: of the venue; may be replaced when the venue's rules change.
    """

    def __init__(self, policy: LiquidationPolicy) -> None:
        self.policy = policy
        self._reduced: dict[str, tuple[Position, datetime, int, int]] = {}

    def liquidate(
        self,
        account: Account,
        wallet: Wallet,
        marks: Marks,
        *,
        time: datetime,
        cause: Cause,
    ) -> list[LiquidationEvent]:
        """Close as much of a wallet's positions as the policy says.

        It looks at the wallet again after each step, until it meets its maintenance
        or holds no position. At bankruptcy ``REALIZED_PNL`` is booked at mark and
        ``INSURANCE`` for the rest, so that a wallet taken over ends at exactly 0. At
        market PnL is booked at the fill price, and what an isolated wallet has left
        goes back to the shared one once its position is closed. What a gap cost
        beyond an isolated wallet is paid by the fund, or first by the shared wallet
        where `GapLoss` says so.

        Raises:
            InvariantError: the wallet holds no position.
        """
        if not account.positions_in(wallet):
            words = f"wallet {wallet.name!r} is liquidated without a position"
            raise InvariantError(words)
        events: list[LiquidationEvent] = []
        while account.positions_in(wallet):
            before = account.summary(wallet, marks)
            if events and before.surplus > 0:
                break
            balances, all_bankrupt = account.ledger.balances, True
            for closing in self._closings(account, wallet, marks, before, time):
                where = (account, wallet, closing, self.policy, time)
                outcome = close(*where, takes_all=all_bankrupt)
                all_bankrupt &= outcome.is_bankrupt
                events.append(
                    _event(closing, outcome, before, wallet, balances, time, cause)
                )
        return events

    def _closings(
        self,
        account: Account,
        wallet: Wallet,
        marks: Marks,
        before: MarginSummary,
        time: datetime,
    ) -> list[Closing]:
        """What goes next: a hedged pair, a step, one position, or all."""
        policy, held = self.policy, account.positions_in(wallet)
        marked = [(position, marks(position.contract.symbol)) for position in held]
        shares = bankruptcy_shares(marked, before.margin_balance)
        whole = [
            Closing(
                position,
                mark,
                account.liquidation_price(position.contract.key, marks),
                share,
                0,
                policy.settlement,
            )
            for (position, mark), share in zip(marked, shares, strict=True)
        ]
        least = policy.backstop * before.maintenance_margin
        if before.margin_balance <= 0 or before.margin_balance < least:
            return [replace(one, settlement=Settlement.BANKRUPTCY) for one in whole]
        if policy.cross_scope is CrossScope.HEDGED_FIRST:
            pairs = _offset_pairs(whole)
            if pairs:
                return pairs
        if policy.cross_scope is CrossScope.LARGEST_LOSS_FIRST:
            whole = [min(whole, key=lambda one: one.position.unrealized_pnl(one.mark))]
        steps = [self._reduction(each, time) for each in whole]
        if getattr(policy.step, "takes_rest", False) and any(steps):
            # What no step makes compliant goes whole: the rest would shrink for ever.
            return [step or one for step, one in zip(steps, whole, strict=True)]
        return [step for step in steps if step] or whole

    def _reduction(self, closing: Closing, time: datetime) -> Closing | None:
        """The closing cut down to the policy's step; ``None``: all has to go."""
        step, position = self.policy.step, closing.position
        key, contract = position.contract.key, position.contract
        if step is None:
            return None
        left, last, place, count = self._reduced.get(key, (None, time, 0, 0))
        before = None
        if left == position:
            before = Reduction(left, (time - last).total_seconds(), place)
        else:
            count = 0
        kept = step.kept(position, closing.mark, closing.share, before)
        remaining = contract.snapped_quantity(abs(position.size) * kept)
        if not 0 < remaining < abs(position.size) or count >= _MOST_REDUCTIONS:
            return None
        signed = remaining if position.size > 0 else -remaining
        rest = replace(position, size=signed)
        units = remaining * contract.contract_size
        place = contract.tiers.place(units, rest.maintenance_notional(closing.mark))
        self._reduced[key] = (rest, time, place, count + 1)
        settlement = self.policy.step_settlement
        return replace(closing, remaining=signed, settlement=settlement)


def _offset_pairs(whole: Sequence[Closing]) -> list[Closing]:
    """The two legs of a symbol, each closed by what both hold, in the market."""
    pairs: list[Closing] = []
    for one in whole:
        for other in whole:
            position, size = one.position, one.position.size
            same = position.contract.symbol == other.position.contract.symbol
            if same and (size > 0) is not (other.position.size > 0):
                rest = max(0, abs(size) - abs(other.position.size))
                remaining = rest if size > 0 else -rest
                pairs.append(
                    replace(one, remaining=remaining, settlement=Settlement.MARKET)
                )
    return pairs


def _event(
    closing: Closing,
    outcome: Outcome,
    before: MarginSummary,
    wallet: Wallet,
    balances: dict[str, Number],
    time: datetime,
    cause: Cause,
) -> LiquidationEvent:
    closed = closing.closed
    return LiquidationEvent(
        time=time,
        symbol=closed.contract.symbol,
        size=closed.size,
        entry_price=closed.entry_price,
        mark_price=closing.mark,
        liquidation_price=closing.price,
        fill_price=outcome.fill_price,
        margin_before=before,
        fee=outcome.fee,
        insurance=outcome.insurance,
        loss=closed.unrealized_pnl(outcome.fill_price),
        cause=cause,
        wallet=wallet.name,
        balances=balances,
        remaining=closing.remaining,
        leg=closed.contract.leg,
    )
