"""Aftermath: what follows from a bar for the strategies, besides its events."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bt_margin.core.margin import MarginSummary
from bt_margin.core.wallet import Wallet

__all__ = ["Aftermath", "MarginWarning", "OnLiquidation"]


class OnLiquidation(StrEnum):
    """What a run does after a bar with a liquidation."""

    CONTINUE = "continue"
    STOP = "stop"  # the run ends with that bar
    REFILL = "refill"  # deposits what the account lacks to its starting cash


@dataclass(frozen=True, slots=True)
class MarginWarning:
    """A wallet whose margin ratio has risen to the threshold.

    Attributes:
        time: end of the bar, UTC.
        wallet: whose ratio.
        symbols: of its positions.
        margin: its balance and requirements.
        threshold: the ratio that was asked for.
    """

    time: datetime
    wallet: str
    symbols: tuple[str, ...]
    margin: MarginSummary
    threshold: float


class Aftermath:
    """Looks at the account when a bar is done.

    Args:
        broker: the `MarginBroker` of the run.

    Attributes:
        ends_run: whether the bar that is done was to be the last. Its strategies
            still see it: Backtrader would leave them out if it were told in the bar.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._warned: set[Wallet] = set()
        self._liquidations = 0
        self.ends_run = False

    def warnings(self) -> list[MarginWarning]:
        """The wallets that have come to the threshold since they were last below it.

        Judged at the end of a bar, which is when a strategy can act, and only where
        one listens.
        """
        broker, threshold = self._broker, self._broker.p.warning_ratio
        strategies = broker.cerebro.runningstrats
        if not any(hasattr(one, "notify_margin_warning") for one in strategies):
            return []
        above = {}
        for wallet, held in broker.account.wallets().items():
            margin = broker.account.summary(wallet, broker.mark_of_symbol)
            if margin.maintenance_margin >= threshold * margin.margin_balance:
                above[wallet] = (margin, held)
        new = [wallet for wallet in above if wallet not in self._warned]
        self._warned = set(above)
        return [
            MarginWarning(
                time=broker.time,
                wallet=wallet.name,
                symbols=tuple(p.contract.symbol for p in above[wallet][1]),
                margin=above[wallet][0],
                threshold=threshold,
            )
            for wallet in new
        ]

    def settle(self) -> None:
        """Do what was asked for after a liquidation, if the bar had one."""
        broker, seen = self._broker, self._liquidations
        self._liquidations = len(broker.liquidations)
        if seen == self._liquidations:
            return
        if broker.p.on_liquidation == OnLiquidation.STOP:
            self.ends_run = True
        if broker.p.on_liquidation == OnLiquidation.REFILL:
            missing = broker.startingcash - broker.getvalue()
            if missing > 0:
                broker.refills.append(missing)
                broker.add_cash(missing)
