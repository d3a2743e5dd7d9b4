"""The account: wallets, positions and the ledger that moves between them.

There is one shared wallet, and one wallet for each isolated position. Which wallet
holds a position is all that margin mode decides: isolated margin is cross margin in
a wallet with one position. Positions go by the key of their contract: the symbol,
with hedge mode the symbol and the leg.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from .contract import Basis, Contract
from .errors import BalanceError, ParameterError
from .hedge import shared_liquidation_price
from .ledger import Ledger, LedgerEntryKind
from .margin import MarginSummary
from .number import Number
from .position import Position, PositionChange
from .wallet import SHARED, FundingSource, GapLoss, MarginMode, Wallet

__all__ = ["Account", "Marks"]

Marks = Callable[[str], Number]  # symbol -> mark price


class Account:
    """The one mutable object of the model.

    Args:
        cash: opening deposit into the shared wallet, settle currency.
        gap_loss: who pays beyond an isolated wallet.
        cross_margin_basis: price of the notional that cross positions lock.
        isolated_margin_basis: the same for isolated positions.
        funding_source: who pays the funding of an isolated position first.
    """

    def __init__(
        self,
        cash: Number,
        *,
        gap_loss: GapLoss = GapLoss.INSURANCE,
        cross_margin_basis: Basis = Basis.MARK,
        isolated_margin_basis: Basis = Basis.ENTRY,
        funding_source: FundingSource = FundingSource.POSITION,
    ) -> None:
        if not cash > 0:
            raise ParameterError("cash", cash, "start with an amount above 0")
        self.ledger = Ledger()
        self.positions: dict[str, Position] = {}  # by `Contract.key`
        self.gap_loss = gap_loss
        self.shared = Wallet(SHARED, cross_margin_basis)
        self._bases = {
            MarginMode.CROSS: cross_margin_basis,
            MarginMode.ISOLATED: isolated_margin_basis,
        }
        self._funding_source = funding_source
        self._wallets: dict[str, Wallet] = {}
        self.ledger.record(None, LedgerEntryKind.DEPOSIT, SHARED, None, cash)

    def fork(self) -> "Account":
        """A copy with the same balances and positions, to ask what would be."""
        fork = Account.__new__(Account)
        fork.__dict__.update(self.__dict__)
        fork.ledger = self.ledger.fork()
        fork.positions, fork._wallets = dict(self.positions), dict(self._wallets)
        return fork

    # Wallets

    def wallet_of(self, key: str) -> Wallet:
        """The wallet that holds a position."""
        return self._wallets[key]

    def wallet_for(self, key: str, mode: MarginMode) -> Wallet:
        """The wallet that holds a position, or would in ``mode``."""
        held = self._wallets.get(key)
        if held is not None:
            return held
        name = mode.wallet_name(key)
        if name == SHARED:
            return self.shared
        return Wallet(name, self._bases[mode], self._funding_source)

    def mode_of(self, key: str) -> MarginMode:
        """The margin mode of a position."""
        is_shared = self._wallets[key] == self.shared
        return MarginMode.CROSS if is_shared else MarginMode.ISOLATED

    def wallets(self) -> dict[Wallet, list[Position]]:
        """Every wallet that holds positions, with them."""
        held: dict[Wallet, list[Position]] = {}
        for key, position in self.positions.items():
            held.setdefault(self._wallets[key], []).append(position)
        return held

    def positions_in(self, wallet: Wallet) -> list[Position]:
        """The positions whose margin the wallet holds."""
        return [p for k, p in self.positions.items() if self._wallets[k] == wallet]

    def positions_of(self, symbol: str) -> list[Position]:
        """The positions of a symbol: one, or its legs."""
        return [p for p in self.positions.values() if p.contract.symbol == symbol]

    def balance(self, wallet: Wallet) -> Number:
        """The wallet's balance; nothing unrealized."""
        return self.ledger.balance(wallet.name)

    @property
    def wallet_balance(self) -> Number:
        """The sum of all wallets."""
        return sum(self.ledger.balances.values())

    def book(
        self,
        kind: LedgerEntryKind,
        amount: Number,
        *,
        time: datetime | None = None,
        key: str | None = None,
        ref: str = "",
    ) -> None:
        """Book ``amount`` to the wallet of a position, or without one the shared."""
        wallet, symbol = self.shared, None
        if key is not None:
            wallet = self._wallets[key]
            symbol = self.positions[key].contract.symbol
        self.ledger.record(time, kind, wallet.name, symbol, amount, ref)

    def transfer(
        self,
        source: Wallet,
        target: Wallet,
        amount: Number,
        *,
        time: datetime | None = None,
        symbol: str | None = None,
        ref: str = "",
    ) -> None:
        """Move ``amount`` (not negative); within one wallet nothing moves.

        Raises:
            BalanceError: the source does not hold the amount.
        """
        if source == target or not amount:
            return
        if not (have := self.balance(source)) >= amount >= 0:
            raise BalanceError(
                f"transfer of {amount} from wallet {source.name!r}: it holds {have};"
                " move at most that"
            )
        kind = LedgerEntryKind.TRANSFER
        self.ledger.record(time, kind, source.name, symbol, -amount, ref)
        self.ledger.record(time, kind, target.name, symbol, amount, ref)

    # Questions

    def summary(self, wallet: Wallet, marks: Marks) -> MarginSummary:
        """Balance and requirements of one wallet: its balance plus its positions."""
        total = MarginSummary(self.balance(wallet))
        for position in self.positions_in(wallet):
            mark = marks(position.contract.symbol)
            total += position.summary(mark, wallet.margin_basis)
        return total

    def unrealized_pnl(self, marks: Marks) -> Number:
        """Of every position, at mark."""
        held = self.positions.values()
        return sum(p.unrealized_pnl(marks(p.contract.symbol)) for p in held)

    def available_balance(self, marks: Marks, order_margin: Number = 0) -> Number:
        """What a new order or a transfer may use: never below 0."""
        return max(0, self.free_margin(marks, order_margin))

    def free_margin(self, marks: Marks, order_margin: Number = 0) -> Number:
        """The same, below 0 where more is locked than there is."""
        margin_balance: Number = self.balance(self.shared)
        locked: Number = 0
        for position in self.positions_in(self.shared):
            mark = marks(position.contract.symbol)
            margin_balance += position.unrealized_pnl(mark)
            locked += position.initial_margin(mark, self.shared.margin_basis)
        return margin_balance - locked - order_margin

    def liquidation_price(self, key: str, marks: Marks) -> Number | None:
        """Mark of a position's symbol that liquidates it, other marks as they are."""
        together, budget = self._budget(key, marks)
        return shared_liquidation_price(together, budget, marks)

    def bankruptcy_price(self, key: str, marks: Marks) -> Number | None:
        """Mark of a position's symbol at which its wallet is worth nothing."""
        together, budget = self._budget(key, marks, requirement=0)
        free = [replace(p, contract=p.contract.without_maintenance) for p in together]
        return shared_liquidation_price(free, budget, marks)

    def _budget(
        self, key: str, marks: Marks, requirement: int = 1
    ) -> tuple[list[Position], Number]:
        """The positions that one mark moves in a wallet, and what they may lose.

        Args:
            key: of one of them.
            marks: mark by symbol.
            requirement: 1: the other positions' maintenance counts; 0: it does not.
        """
        wallet, symbol = self._wallets[key], self.positions[key].contract.symbol
        together, others = [], MarginSummary()
        for position in self.positions_in(wallet):
            if position.contract.symbol == symbol:
                together.append(position)
            else:
                mark = marks(position.contract.symbol)
                others += position.summary(mark, wallet.margin_basis)
        required = others.maintenance_margin * requirement
        return together, self.balance(wallet) + others.margin_balance - required

    def split_fill(self, key: str, size: Number, price: Number) -> PositionChange:
        """What a fill of signed ``size`` would close and open."""
        position = self.positions.get(key)
        if position is None:
            return PositionChange(0, size, 0)
        return position.change(size, price)

    def follow(
        self, cross: Basis, isolated: Basis, funding_source: FundingSource
    ) -> None:
        """Hold wallets under these rules of a venue from here on."""
        self._bases = {MarginMode.CROSS: cross, MarginMode.ISOLATED: isolated}
        self._funding_source = funding_source
        modes = {key: self.mode_of(key) for key in self.positions}
        self.shared, self._wallets = Wallet(SHARED, cross), {}
        self._wallets = {key: self.wallet_for(key, modes[key]) for key in modes}

    def revise(self, contract: Contract) -> None:
        """Hold the positions of a symbol under a contract whose rules changed."""
        for held in self.positions_of(contract.symbol):
            revised = replace(contract, leg=held.contract.leg)
            self.positions[revised.key] = replace(held, contract=revised)

    def put(self, position: Position, wallet: Wallet) -> None:
        """Hold ``position`` on ``wallet``, in place of the one of its key before."""
        key = position.contract.key
        self.positions[key] = position
        self._wallets[key] = wallet

    def remove(self, key: str) -> None:
        """Hold no position of the key: its money is booked already."""
        del self.positions[key]
        del self._wallets[key]
