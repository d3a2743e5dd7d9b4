"""The tear sheet: quantstats' page of a series of returns, where it is installed."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from bt_margin.core.errors import MarginError

__all__ = ["write_tearsheet"]


def write_tearsheet(returns: pd.Series, path: str | Path, **words: Any) -> None:
    """Write quantstats' page.

    Args:
        returns: daily, as `Margin.returns` gives them.
        path: of the page.
        words: further arguments of ``quantstats.reports.html``.

    Raises:
        MarginError: quantstats is not installed; the message says how to.
    """
    try:
        reports = import_module("quantstats.reports")
    except ImportError as error:
        raise MarginError(
            "a tear sheet needs quantstats: pip install 'bt_margin[tearsheet]'"
        ) from error
    naive = returns.tz_localize(None)  # quantstats compares with naive times
    reports.html(naive, output=str(path), **words)
