"""Price: where a planned position would be liquidated, and what it costs to open."""

from dataclasses import dataclass
from datetime import date

from bt_margin.broker.refusal import finite_number, positive_number
from bt_margin.core.account import Account
from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import ContractKind, Tiers, Venue

from .condition import condition, condition_in_numbers, legend, tier_in_words

__all__ = ["PlannedPosition", "plan_position"]


@dataclass(frozen=True, slots=True)
class PlannedPosition:
    """What a position would be; amounts in the settle currency.

    Attributes:
        venue: whose rules.
        symbol: as planned.
        margin_mode: whose wallet stands behind it.
        is_inverse: settled in the coin.
        size: signed, + long, in contracts.
        entry_price: as planned.
        leverage: as planned.
        notional: at entry.
        wallet_balance: what stands behind it.
        initial_margin: what it locks, with the closing fee that the venue reserves.
        maintenance_margin: requirement at the liquidation price (at entry, if there
            is none).
        opening_fee: of a taker, unsigned.
        order_cost: what must be available to open it: initial margin and opening fee.
        liquidation_price: mark that liquidates it; ``None``: none does.
        bankruptcy_price: mark at which its wallet is worth nothing; ``None``: none.
        condition: what holds at the liquidation price, in symbols.
        formula: the same, with the numbers put in.
        tier: the tier that holds there, in words.
    """

    venue: str
    symbol: str
    margin_mode: MarginMode
    is_inverse: bool
    size: float
    entry_price: float
    leverage: float
    notional: float
    wallet_balance: float
    initial_margin: float
    maintenance_margin: float
    opening_fee: float
    order_cost: float
    liquidation_price: float | None
    bankruptcy_price: float | None
    condition: str
    formula: str
    tier: str

    @property
    def distance(self) -> float | None:
        """Fall (-) or rise (+) to the liquidation price, a fraction of the entry."""
        if self.liquidation_price is None:
            return None
        return self.liquidation_price / self.entry_price - 1

    @property
    def legend(self) -> dict[str, str]:
        """What the symbols of the condition mean."""
        return legend(self.condition)


def plan_position(
    venue: Venue,
    *,
    side: str,
    entry_price: float,
    leverage: float,
    notional: float | None = None,
    size: float | None = None,
    symbol: str = "BTCUSDT",
    tiers: Tiers | None = None,
    margin_mode: str | None = None,
    wallet_balance: float | None = None,
    added_margin: float = 0,
    inverse: bool | None = None,
    contract_size: float = 1,
    day: date | None = None,
) -> PlannedPosition:
    """The margins and prices of a planned position, alone in its wallet.

    Args:
        venue: whose rules hold.
        side: ``"long"`` or ``"short"``.
        entry_price: quote per coin.
        leverage: at most the tier's bound.
        notional: at entry, settle currency; neither this nor ``size``: one coin.
        size: in contracts, unsigned.
        symbol: whose tiers, unless they are given.
        tiers: instead of the venue's.
        margin_mode: ``"isolated"`` or ``"cross"``; ``None``: isolated, where the
            venue offers it.
        wallet_balance: behind a cross position, once the opening fee is paid;
            ``None``: its initial margin.
        added_margin: put on an isolated position beside its initial margin.
        inverse: settled in the coin; ``None``: as the venue's contracts are.
        contract_size: base coins per contract; inverse: quote units.
        day: whose rules hold (UTC); ``None``: the page as it stands.

    Raises:
        ParameterError: naming the parameter, its value and the fix.
        UnknownNameError: the venue has no tiers for the symbol.
    """
    if side not in ("long", "short"):
        raise ParameterError("side", side, 'give "long" or "short"')
    positive_number("entry", entry_price)
    positive_number("leverage", leverage)
    positive_number("contract_size", contract_size)
    page = venue if day is None else venue.at(day)
    kind = page.is_inverse if inverse is None else inverse
    _require_kind(page, inverse=kind)
    table = tiers or page.tiers_of(symbol, inverse=kind)
    contract = page.contract(symbol, table, inverse=kind, contract_size=contract_size)
    quantity = _quantity(contract, entry_price, notional, size)
    signed = quantity if side == "long" else -quantity
    position = Position(contract, signed, entry_price, leverage)
    _require_leverage(page, position)
    mode = _mode(page, margin_mode)
    balance = _balance(page, position, mode, wallet_balance, added_margin)
    return _planned(page, position, _account(page, position, mode, balance))


def _require_kind(page: Venue, *, inverse: bool) -> None:
    """Refuse contracts that the venue does not list, before it is asked for tiers."""
    kind = ContractKind.INVERSE if inverse else ContractKind.LINEAR
    if kind not in page.kinds:
        fix = f"{page.name} lists {' and '.join(page.kinds)} contracts only"
        raise ParameterError("contract", kind.value, fix)


def _quantity(
    contract: Contract, entry_price: float, notional: float | None, size: float | None
) -> float:
    """Contracts, unsigned."""
    if size is not None and notional is not None:
        raise ParameterError("size", size, "give a size or a notional, not both")
    if size is not None:
        return positive_number("size", size)
    per_contract = contract.notional(1, entry_price)
    one_coin = 1 if contract.inverse else entry_price
    worth = one_coin if notional is None else positive_number("notional", notional)
    return worth / per_contract


def _require_leverage(page: Venue, position: Position) -> None:
    """Refuse a leverage above the bound of the tier at entry."""
    worth, leverage = position.entry_notional, position.leverage
    bound = position.contract.tiers_of(position.size).tier_of(worth).max_leverage
    if leverage > bound:
        shown = f"{worth:,.8g}" if position.contract.inverse else f"{worth:,.2f}"
        fix = f"{page.name} allows at most {bound:g} for a notional of {shown}"
        raise ParameterError("leverage", leverage, fix)


def _mode(page: Venue, wanted: str | None) -> MarginMode:
    """The margin mode asked for, or the usual one."""
    if wanted is None:
        isolated = MarginMode.ISOLATED
        return isolated if isolated in page.margin_modes else page.margin_modes[0]
    page.require(wanted)
    return MarginMode(wanted)


def _balance(
    page: Venue,
    position: Position,
    mode: MarginMode,
    wallet_balance: float | None,
    added_margin: float,
) -> float:
    """What stands behind the position in its wallet."""
    margin = position.opening_margin
    if finite_number("added_margin", added_margin) < 0:
        raise ParameterError("added_margin", added_margin, "give 0 or more")
    if mode is MarginMode.CROSS:
        if added_margin:
            fix = "a cross position has no margin of its own: give wallet_balance"
            raise ParameterError("added_margin", added_margin, fix)
        if wallet_balance is None:
            return margin
        if positive_number("wallet_balance", wallet_balance) < margin:
            fix = f"the position locks {margin:,.8g}: give at least that"
            raise ParameterError("wallet_balance", wallet_balance, fix)
        return wallet_balance
    if wallet_balance is not None:
        fix = "an isolated position has only its own margin: give added_margin"
        raise ParameterError("wallet_balance", wallet_balance, fix)
    if added_margin and not page.controls.adds_margin:
        fix = f"{page.name} lets nobody add margin: give 0"
        raise ParameterError("added_margin", added_margin, fix)
    return margin + added_margin


def _account(
    page: Venue, position: Position, mode: MarginMode, balance: float
) -> Account:
    """An account that holds the position on a wallet of ``balance``."""
    account = Account(
        balance,
        cross_margin_basis=page.cross_margin_basis,
        isolated_margin_basis=page.isolated_margin_basis,
        funding_source=page.funding_source,
    )
    wallet = account.wallet_for(position.contract.key, mode)
    account.transfer(account.shared, wallet, balance)
    account.put(position, wallet)
    return account


def _planned(page: Venue, position: Position, account: Account) -> PlannedPosition:
    """The answers of an account that holds one position."""
    contract, entry = position.contract, position.entry_price

    def marks(_: str) -> float:
        return entry

    key = contract.key
    wallet = account.wallet_of(key)
    balance, now = account.balance(wallet), account.summary(wallet, marks)
    if now.surplus <= 0:
        fix = (
            "it would be liquidated at once, with a margin of"
            f" {now.margin_balance:,.8g} and a maintenance of"
            f" {now.maintenance_margin:,.8g}: lower it"
        )
        raise ParameterError("leverage", position.leverage, fix)
    price = account.liquidation_price(key, marks)
    at = entry if price is None else price
    fee = position.entry_notional * page.taker_fee_rate
    formula = "no price above 0 liquidates it"
    if price is not None:
        formula = condition_in_numbers(position, balance, price)
    return PlannedPosition(
        venue=page.name,
        symbol=contract.symbol,
        margin_mode=account.mode_of(key),
        is_inverse=contract.inverse,
        size=position.size,
        entry_price=entry,
        leverage=position.leverage,
        notional=position.entry_notional,
        wallet_balance=balance,
        initial_margin=position.opening_margin,
        maintenance_margin=position.maintenance_margin(at),
        opening_fee=fee,
        order_cost=position.opening_margin + max(0, fee),
        liquidation_price=price,
        bankruptcy_price=account.bankruptcy_price(key, marks),
        condition=condition(position, at),
        formula=formula,
        tier=tier_in_words(position, at),
    )
