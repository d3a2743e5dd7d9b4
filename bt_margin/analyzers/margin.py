"""The margin analyzer: what margin did to a run."""

from array import array
from collections import Counter
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from pprint import PrettyPrinter
from typing import Any

import backtrader as bt
import pandas as pd

from bt_margin.broker import MarginBroker
from bt_margin.broker.refusal import positive_number, refuse_unknown
from bt_margin.core.errors import ParameterError
from bt_margin.core.margin import MarginSummary

from .bridge import bridge_of
from .events import contagion_of, plain
from .follower import Follower
from .positions import Fill
from .refusal import Refusal
from .series import MARGIN_SERIES, frame_of, returns_of, share_of_time
from .statement import statement_of
from .tearsheet import write_tearsheet

__all__ = ["Margin"]

_EPOCH_DAY = 719_163  # Backtrader's day number of 1970-01-01
_DAY_MS = 86_400_000
_STOCK = (
    "stock accounting: no margin, no ledger and no liquidation, so only returns and"
    " refused orders are here; use IsolatedBroker or CrossBroker for the rest"
)


class Margin(bt.Analyzer):
    """What margin did to a run: ``cerebro.addanalyzer(bt_margin.analyzers.Margin)``.

    The amounts are those of the whole account, from its ledger; refused orders are
    those of the strategy. With stock accounting ``note`` says that there is none.

    Params:
        atr_period: bars of the ATR in which distances to liquidation are told: the
            simple mean of the true range, the bar at hand included.
        threshold: margin ratio above which time counts as time at risk.

    `get_analysis` gives plain values, amounts as cash flows, rates as fractions:

    * ``accounting``: ``"margin"`` or ``"stock"``; ``note``: what that means.
    * ``bridge``: ``start``, a line for each kind of ledger entry, ``unrealized_pnl``
      and ``end``, and ``symbols`` with the same for each symbol. It adds up.
    * ``liquidations``: ``count``, ``by_symbol``, ``events``; ``deleveragings``.
    * ``contagion``: winners that a cross liquidation took: ``event``, its
      ``unrealized_pnl`` then, what it ``lost``, and the ``losers``.
    * ``positions``: each from opening to flat, with its fees, funding and other
      amounts, and ``closest``: the closest approach to liquidation (``distance`` as
      a share of mark, ``distance_atr``, ``time``, ``mark_price``,
      ``liquidation_price``). ``near_misses``: those that lived, closest first.
    * ``refused``: ``time, symbol, size, reason, need, have`` of each order.
    * ``time_at_risk``: shares of bars and of time with a position at a bar's end, and
      with a margin ratio above the threshold.
    * ``series``: arrays of one value for each bar: ``time`` (ms since 1970),
      ``value``, ``fund_value``, ``margin_ratio`` (the highest of the wallets'),
      ``effective_leverage``, ``used`` (what positions lock), ``idle`` (available).

    Raises:
        ParameterError: naming the parameter, its value and the fix.
    """

    params = (("atr_period", 14), ("threshold", 0.8))

    def __init__(self, **unknown: Any) -> None:
        refuse_unknown(type(self), unknown)
        period = positive_number("atr_period", self.p.atr_period)
        if period != int(period):
            fix = "give a whole number of bars"
            raise ParameterError("atr_period", self.p.atr_period, fix)
        positive_number("threshold", self.p.threshold)

    # The run

    def start(self) -> None:
        """Begin empty."""
        broker = self.strategy.broker
        self._fund_start = float(broker.fundvalue)
        self._series = {name: array("d") for name in ("time", "value", "fund_value")}
        self._refused: list[Refusal] = []
        self._fills: list[Fill] = []
        self._value = self._fund = 0.0
        self._decimals = 2
        self._ruins: list[int] = []  # bars in which a new fund began
        self._ruins_seen = 0
        self._has_margin = isinstance(broker, MarginBroker) and (
            broker.p.margin_mode != "off"
        )
        if not self._has_margin:
            return
        self._series |= {name: array("d") for name in MARGIN_SERIES}
        # With others on the account the order of the fills inside a bar is not known.
        self._knows_fills = len(broker.cerebro.runningstrats) == 1
        self._follower = Follower(broker, int(self.p.atr_period))
        broker.keep_awake()  # it asks at every bar

    def notify_fund(self, *amounts: float) -> None:
        """Take the value as Backtrader's analyzers do: before the strategy acts."""
        _, self._value, self._fund, _ = amounts  # cash, value, fund value, shares

    def notify_order(self, order: Any) -> None:
        """Take fills and refusals."""
        refusal = Refusal.of(order, self._now())
        if refusal is not None:
            self._refused.append(refusal)
        if not self._has_margin or not self._knows_fills:
            return
        for bit in order.executed.iterpending():
            info = order.info
            event = info.get("liquidation") or info.get("deleveraging")
            ref = f"order {order.ref}"
            if event is not None:
                ref = "liquidation" if info.get("liquidation") else "deleveraging"
            contract = self.strategy.broker.order_terms(order).contract
            sizes = (float(bit.closed), float(bit.opened))
            self._fills.append(
                Fill(contract.key, contract.symbol, ref, *sizes, bit.price, event)
            )

    def prenext(self) -> None:
        """Count the bars before the indicators are ready, too."""
        self.next()

    def next(self) -> None:
        """Take the account as it stands after the bar."""
        series = self._series
        days = self.strategy.datetime[0] - _EPOCH_DAY
        series["time"].append(float(round(days * _DAY_MS)))
        series["value"].append(self._value)
        series["fund_value"].append(self._fund)
        if self._has_margin:
            if self.strategy.broker.ruins > self._ruins_seen:
                self._ruins_seen = self.strategy.broker.ruins
                self._ruins.append(len(series["time"]) - 1)
            self._measure()
            self._follower.follow(self._fills)
            self._fills.clear()

    def _measure(self) -> None:
        """Add to the margin series."""
        broker, series = self.strategy.broker, self._series
        account, mark = broker.account, broker.mark_of_symbol
        ratio = used = notional = 0.0
        if account.positions:
            total = MarginSummary()
            for wallet in account.wallets():
                summary = account.summary(wallet, mark)
                ratio = max(ratio, float(summary.margin_ratio))
                total += summary
            used = float(total.initial_margin)
            for position in account.positions.values():
                notional += float(position.notional(mark(position.contract.symbol)))
        value = float(broker.getvalue())
        series["margin_ratio"].append(ratio)
        series["effective_leverage"].append(
            notional / value if value > 0 else (inf if notional else 0.0)
        )
        series["used"].append(used)
        series["idle"].append(float(broker.getcash()))

    def _now(self) -> datetime:
        return self.strategy.datetime.datetime().replace(tzinfo=UTC)  # type: ignore[no-any-return]

    # The result

    def stop(self) -> None:
        """Put the result together, and let go of everything else."""
        self.rets.update(self._margin_analysis() if self._has_margin else _nothing())
        self.rets["refused"] = plain(self._refused)
        self.rets["time_at_risk"] = self._time_at_risk()
        self.rets["series"] = self._series
        for name in ("_follower", "_fills"):
            self.__dict__.pop(name, None)

    def _margin_analysis(self) -> dict[str, Any]:
        broker, book = self.strategy.broker, self._follower.book
        contracts = [broker.terms(data).contract for data in broker.leaders]
        if any(contract.inverse for contract in contracts):
            self._decimals = 8
        symbols = Counter(event.symbol for event in broker.liquidations)
        records = [record.as_dict() for record in book.records]
        missed = [r for r in records if r["closest"] and not r["was_liquidated"]]
        return {
            "accounting": "margin",
            "note": "",
            "bridge": bridge_of(broker.account, broker.mark_of_symbol),
            "liquidations": {
                "count": len(broker.liquidations),
                "by_symbol": dict(symbols),
                "events": plain(broker.liquidations),
            },
            "deleveragings": plain(broker.deleveragings),
            "contagion": contagion_of(broker.liquidations, broker),
            "positions": records,
            "near_misses": sorted(
                missed, key=lambda r: float(r["closest"]["distance"])
            ),
        }

    def _time_at_risk(self) -> dict[str, float]:
        times = self._series["time"]
        bars, limit = len(times), float(self.p.threshold)
        held = [used > 0 for used in self._series.get("used", ())]
        above = [ratio > limit for ratio in self._series.get("margin_ratio", ())]
        return {
            "bars": bars,
            "in_position": sum(held) / bars if bars else 0.0,
            "in_position_time": share_of_time(times, held),
            "threshold": limit,
            "above_threshold": sum(above) / bars if bars else 0.0,
            "above_threshold_time": share_of_time(times, above),
        }

    def frame(self) -> pd.DataFrame:
        """The series as a frame, indexed by the bars' times, UTC."""
        return frame_of(self._series)

    def returns(self, every: str | None = "D") -> pd.Series:
        """Returns for quantstats, pyfolio and the like.

        They are those of a share of the fund, as Backtrader's ``TimeReturn`` with
        ``fund=True`` gives them: a deposit is no gain. Without deposits they compound
        to end over start balance. A loss of everything is -1 also where
        ``on_liquidation="refill"`` began a new fund in the same bar, which stock
        analyzers do not see.

        Args:
            every: pandas' word for the period; ``None``: each bar.
        """
        return returns_of(self._series, self._fund_start, every, self._ruins)

    def tearsheet(self, path: str | Path, **words: Any) -> None:
        """Write quantstats' page of the daily returns.

        Args:
            path: of the page.
            words: further arguments of ``quantstats.reports.html``.

        Raises:
            MarginError: quantstats is not installed; the message says how to.
        """
        write_tearsheet(self.returns(), path, **words)

    def text(self, decimals: int | None = None) -> str:
        """The bridge as tables in which every sum holds to the last digit.

        Args:
            decimals: digits after the point; ``None``: 2, of a coin 8.
        """
        bridge = self.rets["bridge"]
        if bridge is None:
            return str(self.rets["note"])
        return statement_of(bridge, self._decimals if decimals is None else decimals)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print the statement and the rest of the result, but for the series.

        Args:
            args: of Backtrader's ``WriterFile``.
            kwargs: of it, too, such as ``out``.
        """
        writer = bt.WriterFile(*args, **kwargs)
        writer.start()
        writer.writelines([f"{type(self).__name__}:", *self.text().splitlines()])
        writer.writedict(self._told())
        writer.stop()

    def pprint(self, stream: Any = None, **kwargs: Any) -> None:
        """Print the result as Python's ``pprint`` does, but for the series.

        Args:
            stream: where to; ``None``: standard output.
            kwargs: further words of ``PrettyPrinter``.
        """
        printer = PrettyPrinter(stream=stream, **kwargs)
        printer.pprint({"bridge": self.rets["bridge"], **self._told()})

    def _told(self) -> dict[str, Any]:
        """The result without the bridge and the series."""
        left_out = ("bridge", "series")
        return {key: self.rets[key] for key in self.rets if key not in left_out}

    def __str__(self) -> str:
        return self.text()


def _nothing() -> dict[str, Any]:
    """The result of stock accounting."""
    return {
        "accounting": "stock",
        "note": _STOCK,
        "bridge": None,
        "liquidations": {"count": 0, "by_symbol": {}, "events": []},
        "deleveragings": [],
        "contagion": [],
        "positions": [],
        "near_misses": [],
    }
