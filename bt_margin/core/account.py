"""The account: wallets, positions and the ledger that moves between them.

There is one shared wallet, and one wallet for each isolated position. Which wallet
holds a position is all that margin mode decides: isolated margin is cross margin in
a wallet with one position.
"""

from collections.abc import Callable
from datetime import datetime

from .contract import Basis
from .errors import BalanceError, ParameterError
from .ledger import Ledger, LedgerEntryKind
from .margin import MarginSummary, liquidation_price
from .number import Number
from .position import Position, PositionChange
from .wallet import SHARED, GapLoss, MarginMode, Wallet

__all__ = ["Account", "Marks"]

Marks = Callable[[str], Number]  # symbol -> mark price


class Account:
    """The one mutable object of the model.

    Args:
        cash: opening deposit into the shared wallet, settle currency.
        gap_loss: who pays beyond an isolated wallet.
        cross_margin_basis: price of the notional that cross positions lock.
        isolated_margin_basis: the same for isolated positions.
    """

    def __init__(
        self,
        cash: Number,
        *,
        gap_loss: GapLoss = GapLoss.INSURANCE,
        cross_margin_basis: Basis = Basis.MARK,
        isolated_margin_basis: Basis = Basis.ENTRY,
    ) -> None:
        if not cash > 0:
            raise ParameterError("cash", cash, "start with an amount above 0")
        self.ledger = Ledger()
        self.positions: dict[str, Position] = {}
        self.gap_loss = gap_loss
        self.shared = Wallet(SHARED, cross_margin_basis)
        self._bases = {
            MarginMode.CROSS: cross_margin_basis,
            MarginMode.ISOLATED: isolated_margin_basis,
        }
        self._wallets: dict[str, Wallet] = {}
        self.ledger.record(None, LedgerEntryKind.DEPOSIT, SHARED, None, cash)

    def fork(self) -> "Account":
        """A copy with the same balances and positions, to ask what would be."""
        fork = Account.__new__(Account)
        fork.__dict__.update(self.__dict__)
        fork.ledger = self.ledger.fork()
        fork.positions = dict(self.positions)
        fork._wallets = dict(self._wallets)
        return fork

    # Wallets

    def wallet_of(self, symbol: str) -> Wallet:
        """The wallet that holds the symbol's position."""
        return self._wallets[symbol]

    def wallet_for(self, symbol: str, mode: MarginMode) -> Wallet:
        """The wallet that holds the symbol's position, or would in ``mode``."""
        held = self._wallets.get(symbol)
        if held is not None:
            return held
        return Wallet(mode.wallet_name(symbol), self._bases[mode])

    def wallets(self) -> dict[Wallet, list[Position]]:
        """Every wallet that holds positions, with them."""
        held: dict[Wallet, list[Position]] = {}
        for symbol, position in self.positions.items():
            held.setdefault(self._wallets[symbol], []).append(position)
        return held

    def positions_in(self, wallet: Wallet) -> list[Position]:
        """The positions whose margin the wallet holds."""
        return [p for s, p in self.positions.items() if self._wallets[s] == wallet]

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
        symbol: str | None = None,
        ref: str = "",
    ) -> None:
        """Book ``amount`` to the wallet of the symbol's position, or the shared one."""
        wallet = self._wallets.get(symbol, self.shared) if symbol else self.shared
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
        if not 0 <= amount <= self.balance(source):
            have = self.balance(source)
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
        return sum(p.unrealized_pnl(marks(s)) for s, p in self.positions.items())

    def available_balance(self, marks: Marks, order_margin: Number = 0) -> Number:
        """What a new order or a transfer may use: never below 0."""
        shared = self.summary(self.shared, marks)
        return max(0, shared.margin_balance - shared.initial_margin - order_margin)

    def liquidation_price(self, symbol: str, marks: Marks) -> Number | None:
        """Mark of ``symbol`` that liquidates it, the other marks as they are."""
        position, wallet = self.positions[symbol], self._wallets[symbol]
        others = MarginSummary()
        for other in self.positions_in(wallet):
            if other is not position:
                mark = marks(other.contract.symbol)
                others += other.summary(mark, wallet.margin_basis)
        contract = position.contract
        return liquidation_price(
            position.size,
            position.entry_price,
            wallet_balance=self.balance(wallet),
            tiers=contract.tiers,
            basis=contract.maintenance_basis,
            closing_fee_rate=contract.closing_fee_rate,
            contract_size=contract.contract_size,
            inverse=contract.inverse,
            other_maintenance=others.maintenance_margin,
            other_unrealized_pnl=others.margin_balance,
        )

    def split_fill(self, symbol: str, size: Number, price: Number) -> PositionChange:
        """What a fill of signed ``size`` would close and open."""
        position = self.positions.get(symbol)
        if position is None:
            return PositionChange(0, size, 0)
        return position.change(size, price)

    def put(self, position: Position, wallet: Wallet) -> None:
        """Hold ``position`` on ``wallet``, in place of the symbol's one before."""
        symbol = position.contract.symbol
        self.positions[symbol] = position
        self._wallets[symbol] = wallet

    def remove(self, symbol: str) -> None:
        """Hold no position of the symbol: its money is booked already."""
        del self.positions[symbol]
        del self._wallets[symbol]
