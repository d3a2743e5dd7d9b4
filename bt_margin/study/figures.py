"""The figures of a run."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from bt_margin.analyzers.bridge import sums_by_kind
from bt_margin.core.ledger import LedgerEntry, LedgerEntryKind

from .recorder import Recorder

__all__ = ["Figures", "figures_of"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to. Amounts in the settle currency: + received, - paid.

    Attributes:
        final_balance: all wallets and unrealized PnL at the end.
        total_return: gain over the starting cash, a fraction of it.
        max_drawdown: deepest fall of the balance from its peak, a fraction of the
            peak; above 1 where stock accounting goes below zero.
        lowest_balance: lowest balance at a bar's end.
        trades: closed trades.
        liquidations: positions liquidated.
        refused_orders: orders refused for margin.
        worst_loss_on_margin: worst closed trade after costs over the most margin it
            had (largest entry notional / leverage), a fraction: -1 is all of it.
        fees: trading fees.
        funding: funding payments.
        insurance: what the venue's fund took (-) or paid (+).
        peak_margin_use: highest initial margin over margin balance at a bar's end;
            NaN with stock accounting, which locks none.
        idle_balance: available balance, averaged over the bars.
    """

    final_balance: float
    total_return: float
    max_drawdown: float
    lowest_balance: float
    trades: int
    liquidations: int
    refused_orders: int
    worst_loss_on_margin: float
    fees: float
    funding: float
    insurance: float
    peak_margin_use: float
    idle_balance: float

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The figures in their order."""
        return tuple(field.name for field in fields(cls))


def figures_of(
    recorder: Recorder,
    *,
    cash: float,
    final_balance: float,
    liquidations: int,
    ledger: Iterable[LedgerEntry],
    has_ledger: bool,
) -> Figures:
    """The figures of what ``recorder`` saw.

    Args:
        recorder: of the run.
        cash: starting cash.
        final_balance: the broker's value at the end.
        liquidations: how many positions were liquidated.
        ledger: the run's entries.
        has_ledger: False with stock accounting: fees are those of the orders.
    """
    totals = sums_by_kind(ledger)
    fees = totals[LedgerEntryKind.FEE] + totals[LedgerEntryKind.LIQUIDATION_FEE]
    bars = len(recorder.available)
    return Figures(
        final_balance=final_balance,
        total_return=final_balance / cash - 1,
        max_drawdown=_max_drawdown([cash, *recorder.values]),
        lowest_balance=min([cash, *recorder.values]),
        trades=recorder.closed_trades,
        liquidations=liquidations,
        refused_orders=len(recorder.refusals),
        worst_loss_on_margin=recorder.worst_loss_on_margin,
        fees=fees if has_ledger else -recorder.commission,
        funding=totals[LedgerEntryKind.FUNDING],
        insurance=totals[LedgerEntryKind.INSURANCE],
        peak_margin_use=max(recorder.margin_use, default=float("nan")),
        idle_balance=sum(recorder.available) / bars if bars else cash,
    )


def _max_drawdown(values: Iterable[float]) -> float:
    peak, deepest = 0.0, 0.0
    for value in values:
        peak = max(peak, value)
        deepest = max(deepest, 1 - value / peak)
    return deepest
