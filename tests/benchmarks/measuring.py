"""Measuring: variants in turn, ratios of neighbours, their median and interval."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol, TypeVar

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95
EQUAL = 1e-6  # values that differ by less, relative, are the same


class DisagreementError(AssertionError):
    """Variants that have to end alike did not."""


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        seconds: that it took.
        trades: that it opened.
        value: of the account at its end.
    """

    seconds: float
    trades: int
    value: float


T = TypeVar("T")
Outcomes = Mapping[str, Sequence[Outcome]]
Step = Callable[[str], None]


def interleaved(
    runs: Mapping[str, Callable[[], T]], rounds: int, step: Step
) -> dict[str, list[T]]:
    """What each variant gives, once for each round.

    A round runs every variant once; every second round goes backwards, so that a
    machine that slows down slows all of them alike.

    Args:
        runs: variants by name.
        rounds: how many.
        step: told of each run before it begins.
    """
    found: dict[str, list[T]] = {name: [] for name in runs}
    for number in range(rounds):
        names = list(runs)
        for name in names if number % 2 == 0 else reversed(names):
            step(f"{name}, round {number + 1} of {rounds}")
            gc.collect()  # what the run before left is not this one's work
            found[name].append(runs[name]())
    return found


class Timed(Protocol):
    """What has a time, seconds."""

    @property
    def seconds(self) -> float: ...


def ratios(above: Sequence[Timed], below: Sequence[Timed]) -> list[float]:
    """Seconds of one variant by those of another, round by round."""
    return [a.seconds / b.seconds for a, b in zip(above, below, strict=True)]


def seconds(outcomes: Sequence[Timed]) -> float:
    """The median."""
    return median(outcome.seconds for outcome in outcomes)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Bootstrapped 95 % interval of the median of some ratios."""
    rng = np.random.default_rng(1)
    drawn = rng.choice(np.asarray(values), size=(RESAMPLES, len(values)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(drawn, axis=1), (tail, 1 - tail))
    return float(low), float(high)


def demand_agreement(outcomes: Outcomes, *, values: bool, where: str) -> None:
    """See that all variants ended alike.

    Args:
        outcomes: by variant.
        values: whether the values have to be the same too, and not only the trades.
        where: what was measured, for the message.

    Raises:
        DisagreementError: naming what they ended with.
    """
    ends = {(one.trades, one.value) for of in outcomes.values() for one in of}
    counts, worths = {trades for trades, _ in ends}, [value for _, value in ends]
    spread = max(worths) - min(worths)
    if len(counts) > 1 or (values and spread > EQUAL * abs(max(worths))):
        found = {name: (of[0].trades, of[0].value) for name, of in outcomes.items()}
        raise DisagreementError(f"{where}: trades and values are {found}")
