"""Installing: a leaner ``_runonce`` on one Cerebro, and its removal.

Nothing is ever replaced on a class: another Cerebro, in another thread or inside this
run, is untouched.
"""

import logging
from collections.abc import Sequence
from typing import Any

import backtrader as bt

from .loop import run_bars, why_not

__all__ = ["install", "remove"]

_log = logging.getLogger("bt_margin")


def install(cerebro: Any) -> None:
    """Let a Cerebro run its bars in the leaner loop, if nobody replaced its own."""
    remove(cerebro)
    if type(cerebro)._runonce is not bt.Cerebro._runonce or "_runonce" in vars(cerebro):
        _log.debug("the stock loop runs: %s has its own", type(cerebro).__name__)
        return
    cerebro._runonce = _Loop(cerebro)


def remove(cerebro: Any) -> None:
    """Take the leaner loop away, if it is there."""
    if isinstance(vars(cerebro).get("_runonce"), _Loop):
        del cerebro._runonce


class _Loop:
    """In the place of ``Cerebro._runonce``, for one run."""

    def __init__(self, cerebro: Any) -> None:
        self._cerebro = cerebro

    def __call__(self, strategies: Sequence[Any]) -> None:
        """Run the bars; afterwards the Cerebro is as it was."""
        cerebro = self._cerebro
        try:
            reason = why_not(cerebro, strategies)
            if reason is not None:
                _log.debug("the stock loop runs: %s", reason)
                bt.Cerebro._runonce(cerebro, strategies)
                return
            for strategy in strategies:
                strategy._once()
                strategy.reset()
            run_bars(cerebro, strategies)
        finally:
            remove(cerebro)
