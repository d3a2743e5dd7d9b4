"""Installing: a leaner ``_runonce`` on one Cerebro, and its removal.

Nothing is ever replaced on a class: another Cerebro, in another thread or inside this
run, is untouched.
"""

import logging
from collections.abc import Sequence
from typing import Any

import backtrader as bt

from .indicators import array_once
from .loop import run_bars, why_not
from .shortcuts import shortcuts

__all__ = ["install", "remove"]

_log = logging.getLogger("bt_margin")
_REASON = "the stock loop runs: %s"


def install(cerebro: Any) -> None:
    """Let a Cerebro run its bars in the leaner loop once, if its own is Backtrader's.

    The loop is for the broker that Cerebro has now.
    """
    remove(cerebro)
    if type(cerebro)._runonce is not bt.Cerebro._runonce or "_runonce" in vars(cerebro):
        _log.debug(_REASON, f"{type(cerebro).__name__} has its own")
        return
    cerebro._runonce = _Loop(cerebro)


def remove(cerebro: Any) -> None:
    """Take the leaner loop away, if it is there."""
    if not isinstance(vars(cerebro).get("_runonce"), _Loop):
        return
    del cerebro._runonce
    _log.debug(_REASON, "this run did not ask for runonce, or could not have it")


class _Loop:
    """In the place of ``Cerebro._runonce``, for one run.

    A class, so that a Cerebro that carries one still pickles.
    """

    def __init__(self, cerebro: Any) -> None:
        self._cerebro = cerebro
        self._broker = cerebro.broker

    def __call__(self, strategies: Sequence[Any]) -> None:
        """Run the bars; Cerebro has its own loop back from here on."""
        cerebro = self._cerebro
        del cerebro._runonce
        reason = why_not(cerebro, strategies)
        if cerebro.broker is not self._broker:
            reason = "a run that failed left this loop for another broker"
        if reason is not None:
            _log.debug(_REASON, reason)
            with array_once(strategies):
                cerebro._runonce(strategies)
            return
        with array_once(strategies):
            for strategy in strategies:
                strategy._once()
                strategy.reset()
        with shortcuts(cerebro.datas, strategies):
            run_bars(cerebro, strategies)
