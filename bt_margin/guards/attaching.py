"""Attaching: guards around a Cerebro whose strategy knows nothing of them."""

from typing import Any

from bt_margin.broker.guarding import Guard
from bt_margin.core.errors import ParameterError

__all__ = ["attach"]


def attach(cerebro: Any, *guards: Guard) -> None:
    """Let guards watch over the runs of a Cerebro, in their order.

    Args:
        cerebro: with a margin broker set.
        guards: of `bt_margin.guards`, or of one's own.

    Raises:
        ParameterError: the broker is not a margin broker.
    """
    broker = cerebro.broker
    if not hasattr(broker, "add_guard"):
        fix = "call cerebro.setbroker(bt_margin.IsolatedBroker(...)) first"
        raise ParameterError("cerebro.broker", type(broker).__name__, fix)
    for guard in guards:
        broker.add_guard(guard)
