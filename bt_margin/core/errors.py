"""The errors of bt_margin.

::

    MarginError
    ├── ParameterError      a parameter has a value that cannot be used
    │   └── TierError       a tier table has a gap, an overlap or falling rates
    ├── UnknownNameError    no symbol, venue or strategy of that name
    ├── DataError           a market file or frame has a bad row
    ├── StrategyError       a strategy file cannot be loaded
    ├── BalanceError        a transfer asks for more than the wallet has
    ├── ControlError        the venue does not allow a change as things stand
    └── InvariantError      a rule of the model was broken inside: a bug

Every message names the place, the value seen and the fix.
"""

__all__ = [
    "BalanceError",
    "ControlError",
    "DataError",
    "InvariantError",
    "MarginError",
    "ParameterError",
    "StrategyError",
    "TierError",
    "UnknownNameError",
]


class MarginError(Exception):
    """Base of every error that bt_margin raises on purpose."""


class ParameterError(MarginError, ValueError):
    """A parameter has a value that cannot be used.

    Args:
        name: the parameter as the caller spells it.
        value: what was given.
        fix: what to give instead, as an imperative sentence.
    """

    def __init__(self, name: str, value: object, fix: str) -> None:
        super().__init__(name, value, fix)
        self.name = name
        self.value = value
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.name} is {self.value!r}: {self.fix}"


class TierError(ParameterError):
    """A tier table has a gap, an overlap or falling rates."""


class UnknownNameError(MarginError, LookupError):
    """Nothing is known by the name that was given.

    Args:
        kind: what was looked for, e.g. ``"symbol"``.
        name: the name that was given.
        known: the names that exist.
    """

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(kind, name, known)
        self.kind = kind
        self.name = name
        self.known = known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"unknown {self.kind} {self.name!r}: choose one of {known}"


class DataError(MarginError, ValueError):
    """A market file or frame holds something that cannot be a market.

    Args:
        where: the file, or the frame by its symbol and kind.
        what: what is wrong and the value seen.
        fix: what to do about it.
        row: line of the file (the header is line 1), or position in the frame.
    """

    def __init__(self, where: str, what: str, fix: str, row: int | None = None) -> None:
        super().__init__(where, what, fix, row)
        self.where = where
        self.what = what
        self.fix = fix
        self.row = row

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row}"
        return f"{self.where}{row}: {self.what}; {self.fix}"


class StrategyError(MarginError):
    """A strategy file cannot be loaded, or names no single strategy."""


class ControlError(MarginError):
    """The venue does not allow a change as things stand."""


class BalanceError(MarginError):
    """A transfer asks for more than the wallet has to give."""


class InvariantError(MarginError, AssertionError):
    """A rule of the model was broken inside bt_margin: a bug, please report it."""
