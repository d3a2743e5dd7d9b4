"""Refusals at the border to Backtrader, whose classes take any argument."""

from collections.abc import Mapping
from math import inf, isfinite, nan
from typing import Any

from bt_margin.core.errors import ParameterError

__all__ = ["finite_number", "positive_number", "refuse_unknown"]


def positive_number(name: str, value: Any) -> float:
    """``value`` as a float above 0 and below infinity.

    Raises:
        ParameterError: it is anything else.
    """
    number = _number(value)
    if not 0 < number < inf:
        raise ParameterError(name, value, "give a number above 0")
    return number


def finite_number(name: str, value: Any) -> float:
    """``value`` as a float that is neither NaN nor infinite.

    Raises:
        ParameterError: it is anything else.
    """
    number = _number(value)
    if not isfinite(number):
        raise ParameterError(name, value, "give a number")
    return number


def _number(value: Any) -> float:
    """``value`` as a float; NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan


def refuse_unknown(owner: Any, unknown: Mapping[str, Any]) -> None:
    """Refuse arguments that a Backtrader class has no parameter for.

    Raises:
        ParameterError: naming the first one and the parameters there are.
    """
    for name, value in unknown.items():
        known = ", ".join(owner.params._getkeys())
        fix = f"{owner.__name__} has no such parameter; it has {known}"
        raise ParameterError(name, value, fix)
