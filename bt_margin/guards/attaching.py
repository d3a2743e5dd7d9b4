"""Attaching: guards around a Cerebro whose strategy knows nothing of them."""

import logging
from typing import Any

from bt_margin.broker.guarding import Guard
from bt_margin.core.errors import ParameterError

__all__ = ["attach"]

_log = logging.getLogger("bt_margin")


def attach(cerebro: Any, *guards: Guard) -> None:
    """Let guards watch over the runs of a Cerebro, in their order.

    With stock accounting there is nothing to guard: that is logged as a warning.

    Args:
        cerebro: with a margin broker set.
        guards: of `bt_margin.guards`, or of one's own.

    Raises:
        ParameterError: the broker is not a margin broker, or a class was given.
    """
    broker = cerebro.broker
    if not hasattr(broker, "add_guard"):
        fix = "call cerebro.setbroker(bt_margin.IsolatedBroker(...)) first"
        raise ParameterError("cerebro.broker", type(broker).__name__, fix)
    for guard in guards:
        if isinstance(guard, type):
            raise ParameterError("guards", guard, f"give {guard.__name__}(...)")
        broker.add_guard(guard)
    if broker.p.margin_mode == "off":
        _log.warning("margin_mode='off' is stock accounting: guards do nothing there")
