"""Explain: where modes parted and how venues differ, in plain sentences."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import isclose

from bt_margin.core.liquidation import LiquidationEvent

from .recorder import Execution
from .run import Run

__all__ = ["explain"]

_CENT = 0.005


def explain(runs: Iterable[Run]) -> list[str]:
    """Sentences about each venue and leverage, then about the venues side by side.

    Of a venue and leverage: the baseline, where the modes parted, and what came of it.
    """
    by_mode: dict[tuple[str, float], dict[str, Run]] = {}
    by_venue: dict[tuple[float, str], list[Run]] = {}
    for run in runs:
        by_mode.setdefault((run.venue, run.leverage), {})[run.mode] = run
        by_venue.setdefault((run.leverage, run.mode), []).append(run)
    has_several = len({venue for venue, _ in by_mode}) > 1
    sentences: list[str] = []
    for (venue, leverage), modes in by_mode.items():
        at = f"At {venue} with {leverage:g}x" if has_several else f"At {leverage:g}x"
        if "off" in modes:
            sentences += _baseline(at, modes["off"], modes)
        if "isolated" in modes and "cross" in modes:
            sentences += _parting(at, modes["isolated"], modes["cross"])
    for (leverage, mode), venues in by_venue.items() if has_several else ():
        sentences.append(_venues(f"At {leverage:g}x {mode}", venues))
    return sentences


def _venues(at: str, runs: Sequence[Run]) -> str:
    """How the venues differ under one leverage and mode."""
    first = runs[0].figures
    finals = {run.venue: _own_balance(run) for run in runs}
    what = "final balance"
    if any(run.figures.put_in for run in runs):
        what += " less what was put in"
    left = _extremes(finals, f"highest {what} at {{}}, lowest at {{}}", _money)
    left = left or f"a {what} of {_money(_own_balance(runs[0]))} at every venue"
    if runs[0].mode == "off":
        return f"{at} only the taker fee differs between venues: {left}."
    counts = {run.venue: run.figures.liquidations for run in runs}
    died = _extremes(counts, "most liquidations at {}, fewest at {}", str)
    alike = f"every venue liquidated {_positions(first.liquidations)}"
    died = died or (alike if first.liquidations else "no venue liquidated anything")
    return f"{at}: {died}; {left}."


def _extremes(
    values: Mapping[str, float], words: str, form: Callable[[float], str]
) -> str | None:
    """``words`` with the venues of the highest and the lowest value, if they differ."""
    high, low = max(values.values()), min(values.values())
    if high - low < _CENT:
        return None

    def at(end: float) -> str:
        venues = [venue for venue in values if abs(values[venue] - end) < _CENT]
        return f"{_and(venues)} ({form(end)})"

    return words.format(at(high), at(low))


def _baseline(at: str, off: Run, modes: dict[str, Run]) -> list[str]:
    """What stock accounting hides."""
    died = [mode for mode, run in modes.items() if run.liquidations]
    lowest = off.figures.lowest_balance
    if lowest <= 0:
        return [
            f"{at} stock accounting fell to a balance of {_money(lowest)} and traded"
            " on: no venue would have let it."
        ]
    if died:
        return [
            f"{at} stock accounting knows no liquidation and ended at"
            f" {_money(off.figures.final_balance)}; a venue would have liquidated"
            f" under {_and(died)} margin."
        ]
    return []


def _parting(at: str, isolated: Run, cross: Run) -> list[str]:
    """Where isolated and cross first did not do the same, why, and the outcome."""
    parted = _first_difference(isolated.executions, cross.executions)
    if parted is None:
        same = abs(_gap(isolated, cross)) < _CENT
        outcome = "the same result" if same else _outcome(isolated, cross)
        return [f"{at} isolated and cross made the same trades: {outcome}."]
    sentences = [
        f"{at} they parted at {_when(parted)}: {_why(isolated, cross, parted)}."
    ]
    for run in (isolated, cross):
        if run.liquidations:
            sentences.append(f"{at} {_deaths(run)}.")
    sentences.append(f"{at} {_outcome(isolated, cross)}.")
    return sentences


def _first_difference(
    one: Sequence[Execution], other: Sequence[Execution]
) -> datetime | None:
    """The time of the first fill that the other run does not have."""
    for a, b in zip(one, other, strict=False):
        if not _is_same(a, b):
            return min(a.time, b.time)
    longer = one if len(one) > len(other) else other
    shorter = min(len(one), len(other))
    return longer[shorter].time if len(longer) > shorter else None


def _is_same(a: Execution, b: Execution) -> bool:
    """Sizes may differ, since they follow the balance; the rest may not."""
    return (
        (a.time, a.symbol, a.is_liquidation) == (b.time, b.symbol, b.is_liquidation)
        and (a.size > 0) is (b.size > 0)
        and isclose(a.price, b.price)
    )


def _why(isolated: Run, cross: Run, time: datetime) -> str:
    """What happened in one run and not in the other at the bar of parting."""
    events = [
        (run, _liquidation_at(run, other, time))
        for run, other in ((isolated, cross), (cross, isolated))
    ]
    found = [(run, event) for run, event in events if event is not None]
    if found:
        run, event = min(found, key=lambda pair: pair[1].time)
        other = cross if run is isolated else isolated
        return f"{run.mode} {_liquidated(event)}: {_other_side(run, other, event)}"
    for run, other in ((isolated, cross), (cross, isolated)):
        refused = [r for r in run.refusals if r.time <= time]
        if len(refused) > len([r for r in other.refusals if r.time <= time]):
            reason = refused[-1].reason
            return f"{run.mode} refused an order that {other.mode} took ({reason})"
    return "their balances led to other orders"


def _liquidation_at(run: Run, other: Run, bar: datetime) -> LiquidationEvent | None:
    """The first liquidation inside the parting bar that the other run did not have."""
    later = run.equity.index[run.equity.index > bar]
    end = later[0].to_pydatetime() if len(later) else None
    theirs = {(event.symbol, event.time) for event in other.liquidations}
    for event in run.liquidations:
        is_inside = event.time >= bar and (end is None or event.time < end)
        if is_inside and (event.symbol, event.time) not in theirs:
            return event
    return None


def _liquidated(event: LiquidationEvent) -> str:
    side = "long" if event.size > 0 else "short"
    return (
        f"liquidated its {side} {event.symbol} from {event.entry_price:g}"
        f" at mark {event.mark_price:g} ({event.cause})"
    )


def _other_side(run: Run, other: Run, event: LiquidationEvent) -> str:
    """Why the other mode's position stood, as far as the wallets tell."""
    before = event.margin_before
    margin = _money(float(before.margin_balance))
    if run.mode == "isolated":
        rest = sum(event.balances.values()) - event.balances.get(event.wallet, 0)
        return (
            f"its own margin was down to {margin}, while under {other.mode} margin the"
            f" other {_money(float(rest))} of the account stood behind it"
        )
    return (
        f"when the pool of all positions was down to {margin}; under {other.mode}"
        " margin each position had only its own to lose"
    )


def _deaths(run: Run) -> str:
    count = len(run.liquidations)
    symbols = _and(sorted({event.symbol for event in run.liquidations}))
    lost = -sum(float(event.loss) for event in run.liquidations)
    kept = -sum(float(event.insurance) for event in run.liquidations)
    fund = "kept" if kept >= 0 else "paid"
    return (
        f"{run.mode} liquidated {_positions(count)} ({symbols}), a price loss of"
        f" {_money(lost)}, of which the venue's fund {fund} {_money(abs(kept))}"
    )


def _positions(count: int) -> str:
    return "1 position" if count == 1 else f"{count} positions"


def _outcome(isolated: Run, cross: Run) -> str:
    gap = _gap(isolated, cross)
    better = "isolated" if gap > 0 else "cross"
    ends = f"isolated ended with {_end(isolated)}, cross with {_end(cross)}"
    return ends + (
        f": {better} kept {_money(abs(gap))} more" if abs(gap) >= _CENT else ""
    )


def _end(run: Run) -> str:
    """The final balance, and what of it was put in after the start."""
    put_in = run.figures.put_in
    words = "taken out" if put_in < 0 else "put in"
    later = f" ({_money(abs(put_in))} {words} after the start)" if put_in else ""
    return _money(run.figures.final_balance) + later


def _own_balance(run: Run) -> float:
    """The final balance less what was put in after the start."""
    return run.figures.final_balance - run.figures.put_in


def _gap(isolated: Run, cross: Run) -> float:
    return _own_balance(isolated) - _own_balance(cross)


def _when(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _money(amount: float) -> str:
    return f"{amount:,.2f}"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
