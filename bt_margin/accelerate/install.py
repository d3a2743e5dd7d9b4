"""Installing: a leaner ``_runonce`` on one Cerebro, and its removal.

Where the feeds are resampled, the run is led to it by preloading them, see
`preloading`; a ``_runnext`` of the run leads it back.

Nothing is ever replaced on a class: another Cerebro, in another thread or inside this
run, is untouched.
"""

import logging
from collections.abc import Sequence
from typing import Any

import backtrader as bt

from .indicators import array_once
from .loop import run_bars, why_not
from .preloading import Preloading
from .rounds import Rounds
from .shortcuts import shortcuts
from .windows import Unsupported

__all__ = ["install", "remove"]

_log = logging.getLogger("bt_margin")
_REASON = "the stock loop runs: %s"
_BAR_BY_BAR = "resampled bar by bar: %s"


def install(cerebro: Any, columnar: type | None = None) -> None:
    """Let a Cerebro run its bars in the leaner loop once, if its own is Backtrader's.

    The loop is for the broker that Cerebro has now.

    Args:
        cerebro: the Cerebro.
        columnar: class of the feeds that may be resampled as arrays, if its feeds are
            about to be loaded.
    """
    remove(cerebro)
    if type(cerebro)._runonce is not bt.Cerebro._runonce or "_runonce" in vars(cerebro):
        _log.debug(_REASON, f"{type(cerebro).__name__} has its own")
        return
    preloading = None
    if columnar is not None and cerebro._doreplay:
        reason = Preloading.why_not(cerebro, columnar)
        if reason is None:
            preloading = Preloading(cerebro)
            cerebro._runnext = _BarByBar(cerebro, preloading)
        else:
            _log.debug(_BAR_BY_BAR, reason)
    cerebro._runonce = _Loop(cerebro, preloading)


def remove(cerebro: Any) -> None:
    """Take the leaner loop away, if it is there."""
    Preloading.remove(cerebro)
    if isinstance(vars(cerebro).get("_runnext"), _BarByBar):
        del cerebro._runnext
    if not isinstance(vars(cerebro).get("_runonce"), _Loop):
        return
    del cerebro._runonce
    _log.debug(_REASON, "this run did not ask for runonce, or could not have it")


class _Loop:
    """In the place of ``Cerebro._runonce``, for one run.

    A class, so that a Cerebro that carries one still pickles.
    """

    def __init__(self, cerebro: Any, preloading: Preloading | None) -> None:
        self._cerebro = cerebro
        self._broker = cerebro.broker
        self._preloading = preloading

    def __call__(self, strategies: Sequence[Any]) -> None:
        """Run the bars; Cerebro has its own loop back from here on."""
        cerebro = self._cerebro
        del cerebro._runonce
        if self._preloading is not None:
            self._run_resampled(strategies, self._preloading)
            return
        reason = why_not(cerebro, strategies)
        if cerebro.broker is not self._broker:
            reason = "a run that failed left this loop for another broker"
        if reason is not None:
            _log.debug(_REASON, reason)
            with array_once(strategies):
                cerebro._runonce(strategies)
            return
        _run(cerebro, strategies)

    def _run_resampled(self, strategies: Sequence[Any], preloading: Preloading) -> None:
        cerebro = self._cerebro
        try:
            reason = why_not(cerebro, strategies, may_clone=True)
            if reason is not None:
                raise Unsupported(reason)
            rounds = preloading.rounds(strategies)
        except Unsupported as found:
            _log.debug(_BAR_BY_BAR, found)
            cerebro._runnext(strategies)
        else:
            _run(cerebro, strategies, rounds)


def _run(cerebro: Any, strategies: Sequence[Any], rounds: Rounds | None = None) -> None:
    with array_once(strategies):
        for strategy in strategies:
            strategy._once()
            strategy.reset()
    with shortcuts(cerebro.datas, strategies):
        run_bars(cerebro, strategies, rounds)


class _BarByBar:
    """In the place of ``Cerebro._runnext``, for a run that was preloaded."""

    def __init__(self, cerebro: Any, preloading: Preloading) -> None:
        self._cerebro = cerebro
        self._preloading = preloading

    def __call__(self, strategies: Sequence[Any]) -> None:
        """Load the feeds bar by bar after all, in Backtrader's loop."""
        cerebro = self._cerebro
        del cerebro._runnext
        if self._preloading.is_loaded:
            self._preloading.take_back()
        cerebro._runnext(strategies)
