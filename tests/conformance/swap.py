"""A pytest plugin that swaps the default broker of every Cerebro.

``python -m pytest -p swap`` with ``SWAP_BROKER`` naming one of `BROKERS`. It writes
what each test came to, and how many orders it sent, to the file ``SWAP_OUTCOMES``.
"""

import json
import os
from pathlib import Path
from typing import Any

import backtrader as bt
import backtrader.cerebro

import bt_margin

sent: list[Any] = []


class Stock(bt.brokers.BackBroker):
    """Backtrader's own."""

    def submit(self, order: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(order)
        return super().submit(order, *args, **kwargs)


class Off(bt_margin.MarginBroker):
    """Stock accounting, nothing else."""

    params: Any = (("margin_mode", "off"),)

    def submit(self, order: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(order)
        return super().submit(order, *args, **kwargs)


class Isolated(bt_margin.MarginBroker):
    """Leverage 1, no margin for resting orders, no fees until a test sets some."""

    params: Any = (("margin_mode", "isolated"), ("order_margin", False))

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.setcommission(commission=0.0)

    def submit(self, order: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(order)
        return super().submit(order, *args, **kwargs)


class Cross(Isolated):
    """`Isolated`, but for the one wallet."""

    params: Any = (("margin_mode", "cross"),)


BROKERS = {"stock": Stock, "off": Off, "isolated": Isolated, "cross": Cross}

outcomes: dict[str, dict[str, Any]] = {}


def pytest_configure(config: Any) -> None:
    broker = BROKERS[os.environ["SWAP_BROKER"]]
    backtrader.cerebro.BackBroker = broker
    bt.brokers.BackBroker = bt.brokers.BrokerBack = broker


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        outcomes[report.nodeid] = {
            "outcome": "error",
            "why": str(report.longrepr),
            "orders": 0,
        }


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call" or not report.passed:
        outcomes[report.nodeid] = {
            "outcome": report.outcome,
            "why": "" if report.passed else str(report.longrepr),
            "orders": len(sent),
        }
        sent.clear()


def pytest_sessionfinish() -> None:
    Path(os.environ["SWAP_OUTCOMES"]).write_text(json.dumps(outcomes))
