"""Scenarios: files that a trader can read, each a market, orders, and what follows.

A file is a title (which is also its name), a text with the arithmetic, and sections:

    account      cash, leverage and fees of the broker
    runs         the brokers it is run with: every combination of what is listed
    policy       how the venue liquidates; may be left out: as its page says
    bars A       candles of a symbol; `mark A`, `detail A`, `funding A` go with it
    contracts    leverage and margin mode of single symbols; `tiers`: of all
    orders       what the strategy sends once the bar named under `after` is over
    fills        what must follow; also `unfilled`, `paid` (funding), `liquidations`,
                 `ledger` (a column for each wallet) and `end`

Columns are read by position: a cell belongs to the heading it stands under, and what
belongs to none is an error. Numbers may be sums, as 100-950/10. Times are of 1 January
2024, UTC; 3/08:00 is 08:00 of the third. `#` begins a remark. Words after a section of
what must follow say which runs it is for: `fills cross path`; of one kind (isolated
cross; queue path; ...) any, of different kinds all. For each run exactly one `fills`,
`ledger` and `end` must hold. What the broker does not fill is listed in `unfilled`.

The parser is strict: a word or a column that it does not know is an error.
"""

import ast
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

import bt_margin
from bt_margin.core.contract import Basis
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    Settlement,
    Step,
    TierStep,
)

HERE = Path(__file__).parent
DAY_1 = datetime(2024, 1, 1, tzinfo=UTC)

BROKERS = {"isolated": bt_margin.IsolatedBroker, "cross": bt_margin.CrossBroker}

# What a file may say

# Of each kind of run, its words. No word is in two kinds.
RUNS: dict[str, tuple[str, ...]] = {
    "mode": tuple(BROKERS),
    "bar_path": ("adaptive", "low_first", "high_first", "worst", "best"),
    "fill_order": ("queue", "path"),
    "detail": ("coarse", "detailed"),
}
KIND_OF = {word: kind for kind, words in RUNS.items() for word in words}

# Account words and whether their value is a number; with * they must be there.
ACCOUNT = {
    "cash*": True,
    "leverage*": True,
    "fees": False,  # only `none`
    "taker": True,
    "maker": True,
    "maintenance": True,  # rate
    "basis": False,  # of maintenance: mark or entry
    "venue": False,  # whose page; not said: generic
    "automargin": True,  # stock scheme with margin = price * automargin
    "order_margin": False,  # only `off`
    "bar_time": False,
}

# Words of a policy and what each is in a `LiquidationPolicy`.
POLICY = {
    "settlement": "settlement",
    "fee": "fee_rate",
    "slippage": "slippage",
    "spread": "spread_rate",
    "backstop": "backstop",
    "step": "step",
    "step_settlement": "step_settlement",
    "scope": "cross_scope",
}
# Steps, and the numbers that are said of each; the pause in seconds.
STEPS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "tier": (TierStep, ("down", "untouched")),
    "fraction": (FractionStep, ("fraction", "above_notional", "pause")),
    "compliant": (CompliantStep, ("margin_ratio", "cost_rate")),
}
CHOICES: dict[str, type[StrEnum]] = {
    "settlement": Settlement,
    "step_settlement": Settlement,
    "scope": CrossScope,
}

# Sections and their columns; + stands for one column for each symbol.
CANDLES = "at* open* high* low* close*"
GIVEN = {
    "contracts": "of* leverage mode",
    "tiers": "from* to* maintenance* leverage*",
    "orders": "after* name* side* size of* type price limit trail oco bracket until"
    " reduce_only",
}
OF_SYMBOL = {
    "bars": CANDLES,
    "mark": CANDLES,
    "detail": CANDLES,
    "funding": "at* rate* mark",
}
EXPECTED = {
    "fills": "bar* order* side* size* price*",
    "unfilled": "order* status* need have largest",
    "paid": "at* of* mark* amount*",
    "liquidations": "at* of* size* mark* price* fill* insurance* cause* fee remaining",
    "ledger": "at* of kind* shared +",
    "end": "value* cash +",
}
EXPECTED_ONCE = ("fills", "ledger", "end")  # for each run

# Columns of words and of times; all others are numbers.
WORDS = {
    *("of", "name", "side", "type", "oco", "bracket", "reduce_only"),
    *("mode", "order", "status", "kind", "cause"),
}
TIMES = {"at", "after", "bar", "until"}

SIDES = ("buy", "sell", "cancel")
TYPES = {
    "market": (bt.Order.Market, ""),
    "close": (bt.Order.Close, ""),
    "limit": (bt.Order.Limit, "price"),
    "stop": (bt.Order.Stop, "price"),
    "stop_limit": (bt.Order.StopLimit, "price limit"),
    "trail": (bt.Order.StopTrail, "trail"),
}
STATUSES = {
    "open": "Accepted",
    "refused": "Margin",
    "canceled": "Canceled",
    "expired": "Expired",
}
KINDS = tuple(str(kind) for kind in bt_margin.LedgerEntryKind)
CAUSES = ("price", "funding", "fee")


# Reading


class ScenarioError(Exception):
    """A scenario file that cannot be read: file, line and what is wrong."""


@dataclass(frozen=True)
class Row:
    """One row: cells by column; a blank cell is not there."""

    where: str
    cells: Mapping[str, Any]

    def __getitem__(self, column: str) -> Any:
        if column not in self.cells:
            raise ScenarioError(f"{self.where}: {column} is missing")
        return self.cells[column]

    def get(self, column: str, default: Any = None) -> Any:
        return self.cells.get(column, default)


@dataclass(frozen=True)
class Section:
    """One section: its name, the words after it, and its rows."""

    where: str
    name: str
    words: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def holds_for(self, run: Mapping[str, str]) -> bool:
        """Whether the words after the name allow the run."""
        kinds = {KIND_OF[word] for word in self.words}
        return all(run.get(kind) in self.words for kind in kinds)


@dataclass
class Scenario:
    """One file."""

    name: str
    title: str = ""
    account: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, str]] = field(default_factory=list)
    policy: LiquidationPolicy | None = None
    given: dict[str, Section] = field(default_factory=dict)
    feeds: dict[str, dict[str, Section]] = field(default_factory=dict)
    expected: list[Section] = field(default_factory=list)

    def rows(self, name: str) -> tuple[Row, ...]:
        """Rows of a given section; none where it is not there."""
        return self.given[name].rows if name in self.given else ()

    def follows(self, name: str, run: Mapping[str, str]) -> Section | None:
        """The section of what must follow that holds for the run."""
        for section in self.expected:
            if section.name == name and section.holds_for(run):
                return section
        return None


OPERATIONS: dict[type, Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


def number(text: str, where: str) -> Fraction:
    """A number or a sum, exactly."""

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            found = OPERATIONS[type(node.op)](value(node.left), value(node.right))
        elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATIONS:
            found = OPERATIONS[type(node.op)](value(node.operand))
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            found = Fraction(repr(node.value))
        else:
            raise ScenarioError(f"{where}: {text!r} is not a number")
        assert isinstance(found, Fraction)
        return found

    try:
        return value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ZeroDivisionError):
        raise ScenarioError(f"{where}: {text!r} is not a number") from None


def moment(text: str, where: str) -> datetime | None:
    """A time; `start` and `end` are none."""
    if text in ("start", "end"):
        return None
    found = re.fullmatch(r"(?:(\d+)/)?(\d\d):(\d\d)(?::(\d\d))?", text)
    if found is None:
        raise ScenarioError(f"{where}: {text!r} is not a time such as 08:00 or 3/08:00")
    day, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    since = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return DAY_1 + timedelta(days=max(day, 1) - 1) + since


def one_of(word: str, allowed: Sequence[str] | Mapping[str, Any], where: str) -> str:
    """The word, if it is known."""
    if word not in allowed:
        known = ", ".join(allowed)
        raise ScenarioError(f"{where}: unknown word {word!r}; known: {known}")
    return word


def spans(text: str) -> list[tuple[int, int, str]]:
    """Words of a line with the place where they stand."""
    return [(m.start(), m.end(), m.group()) for m in re.finditer(r"\S+", text)]


def cells_of(text: str, header: str, where: str) -> dict[str, str]:
    """Cells of a row by the heading each one stands under."""
    cells: dict[str, str] = {}
    for start, end, cell in spans(text):
        over = [name for a, b, name in spans(header) if a < end and start < b]
        if len(over) != 1:
            under = " and ".join(over) or "no column"
            raise ScenarioError(f"{where}: {cell!r} stands under {under}")
        if over[0] in cells:
            raise ScenarioError(f"{where}: two cells stand under {over[0]}")
        cells[over[0]] = cell
    return cells


def settings(text: str, where: str) -> dict[str, str]:
    """`cash 1000   leverage 10`: two spaces or more between settings."""
    found: dict[str, str] = {}
    for setting in re.split(r"\s{2,}", text.strip()):
        word, _, value = setting.partition(" ")
        if not value or word in found:
            raise ScenarioError(f"{where}: {setting!r} is not a word and a value")
        found[word] = value
    return found


def read_step(text: str, where: str) -> Step:
    """`tier 1`, `fraction 0.2 1000 30`, `compliant 0.8 0.01`."""
    word, *numbers = text.split()
    make, names = STEPS[one_of(word, STEPS, where)]
    if not 0 < len(numbers) <= len(names):
        raise ScenarioError(f"{where}: say of {word}: {', '.join(names)}")
    said: dict[str, Any] = {
        name: float(number(text, where))
        for name, text in zip(names, numbers, strict=False)
    }
    if make is TierStep:
        said = {name: int(value) for name, value in said.items()}
    if "pause" in said:
        said["pause"] = timedelta(seconds=said["pause"])
    step: Step = make(**said)
    return step


class Reader:
    """Reads one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()
        self.scenario = Scenario(path.stem)

    def _where(self, index: int) -> str:
        return f"{self._path.name}, line {index + 1}"

    def read(self) -> Scenario:
        """The file, or a `ScenarioError`."""
        starts = self._read_text()
        blocks = [
            (start, [i for i in range(start + 1, end) if self._line(i).strip()])
            for start, end in zip(starts, [*starts[1:], len(self._lines)], strict=True)
        ]
        head = {self._line(start).split()[0]: start for start, _ in blocks[:2]}
        if list(head) != ["account", "runs"]:
            where = self._where(starts[0])
            raise ScenarioError(f"{where}: begin with account, then runs")
        for start, body in blocks[:2]:
            name, _, text = self._line(start).partition(" ")
            if body:
                raise ScenarioError(f"{self._where(body[0])}: {name} is one line")
            read = self._read_account if name == "account" else self._read_runs
            read(settings(text, self._where(start)), self._where(start))
        blocks = blocks[2:]
        if blocks and self._line(blocks[0][0]).split()[0] == "policy":
            (start, body), *blocks = blocks
            if body:
                raise ScenarioError(f"{self._where(body[0])}: policy is one line")
            text = self._line(start).removeprefix("policy")
            self._read_policy(settings(text, self._where(start)), self._where(start))
        for start, _ in blocks:  # the symbols, before columns are named by them
            name, *words = self._line(start).split()
            if name == "bars" and words:
                self.scenario.feeds[words[0]] = {}
        for start, body in blocks:
            self._read_section(start, body)
        self._check()
        return self.scenario

    def _line(self, index: int) -> str:
        """A line without its remark."""
        return self._lines[index].partition("#")[0].rstrip()

    def _read_text(self) -> list[int]:
        """Title and text; the lines at which sections start."""
        title = self._lines[0] if self._lines else ""
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        if slug != self._path.stem:
            where = self._where(0)
            raise ScenarioError(f"{where}: the title is the file's name, not {slug!r}")
        self.scenario.title = title
        first = next(
            (i for i, line in enumerate(self._lines) if line.startswith("account ")),
            None,
        )
        if first is None:
            raise ScenarioError(f"{self._where(0)}: there is no account")
        if not "".join(self._lines[1:first]).strip():
            raise ScenarioError(f"{self._where(1)}: say the arithmetic in words")
        return [
            i
            for i in range(first, len(self._lines))
            if self._line(i) and not self._line(i)[0].isspace()
        ]

    def _read_account(self, found: dict[str, str], where: str) -> None:
        known = {word.strip("*"): is_number for word, is_number in ACCOUNT.items()}
        for word, value in found.items():
            one_of(word, known, where)
            self.scenario.account[word] = number(value, where) if known[word] else value
        needed = [word.strip("*") for word in ACCOUNT if word.endswith("*")]
        missing = [word for word in needed if word not in found]
        if "fees" not in found:
            missing += [word for word in ("taker", "maker") if word not in found]
        if missing:
            raise ScenarioError(f"{where}: say {', '.join(missing)}")
        choices = {
            "fees": ("none",),
            "basis": ("mark", "entry"),
            "order_margin": ("off",),
            "bar_time": ("open", "close"),
            "venue": bt_margin.venue_names(),
        }
        for word, allowed in choices.items():
            if word in found:
                one_of(found[word], allowed, where)

    def _read_runs(self, found: dict[str, str], where: str) -> None:
        for kind in found:
            one_of(kind, RUNS, where)
        for kind in ("mode", "bar_path", "fill_order"):
            if kind not in found:
                raise ScenarioError(f"{where}: say {kind}")
        lists = {kind: re.split(r",\s*", text) for kind, text in found.items()}
        for kind, words in lists.items():
            for word in words:
                one_of(word, RUNS[kind], where)
        self.scenario.runs = [
            dict(zip(lists, words, strict=True)) for words in product(*lists.values())
        ]

    def _read_policy(self, found: dict[str, str], where: str) -> None:
        """`settlement market   fee 0.01   step tier 1`: a policy."""
        said: dict[str, Any] = {}
        for word, text in found.items():
            name = POLICY[one_of(word, POLICY, where)]
            if word in CHOICES:
                kinds = {str(kind): kind for kind in CHOICES[word]}
                said[name] = kinds[one_of(text, kinds, where)]
            elif word == "step":
                said[name] = read_step(text, where)
            else:
                said[name] = float(number(text, where))
        self.scenario.policy = LiquidationPolicy(**said)

    def _read_section(self, start: int, body: list[int]) -> None:
        name, *words = self._line(start).split()
        where = self._where(start)
        one_of(name, {**GIVEN, **OF_SYMBOL, **EXPECTED}, where)
        columns = self._columns(name, words)
        section = self._table(start, name, tuple(words), columns, body)
        if name in EXPECTED:
            for word in words:
                one_of(word, KIND_OF, where)
            self.scenario.expected.append(section)
            return
        home = self.scenario.given
        if name in OF_SYMBOL:
            if len(words) != 1:
                raise ScenarioError(f"{where}: {name} of one symbol")
            home = self.scenario.feeds[one_of(words[0], self.scenario.feeds, where)]
        elif words:
            raise ScenarioError(f"{where}: unknown word {words[0]!r}")
        if name in home:
            raise ScenarioError(f"{where}: {name} is there twice")
        home[name] = section

    def _columns(self, name: str, words: Sequence[str]) -> dict[str, bool]:
        """The columns that a section may have, and whether it must."""
        listed = {**GIVEN, **OF_SYMBOL, **EXPECTED}[name].split()
        columns = {word.strip("*"): word.endswith("*") for word in listed}
        if columns.pop("+", None) is not None:
            columns.update(dict.fromkeys(self.scenario.feeds, False))
        return columns

    def _table(
        self,
        start: int,
        name: str,
        words: tuple[str, ...],
        columns: Mapping[str, bool],
        body: Sequence[int],
    ) -> Section:
        where = self._where(start)
        if not body:
            raise ScenarioError(f"{where}: {name} is empty; write none")
        header = self._line(body[0])
        if header.split() == ["none"] and name in EXPECTED and len(body) == 1:
            return Section(where, name, words, (), ())
        headings = tuple(header.split())
        for column in headings:
            if column not in columns:
                raise ScenarioError(
                    f"{self._where(body[0])}: unknown column {column!r};"
                    f" known: {', '.join(columns)}"
                )
        if len(set(headings)) < len(headings):
            raise ScenarioError(f"{self._where(body[0])}: a column is there twice")
        rows = []
        for index in body[1:]:
            at = self._where(index)
            texts = cells_of(self._line(index), header, at)
            cells = {c: self._cell(c, text, at) for c, text in texts.items()}
            rows.append(Row(at, cells))
            for column, must_be in columns.items():
                if must_be:
                    rows[-1][column]
        return Section(where, name, words, headings, tuple(rows))

    def _cell(self, column: str, text: str, where: str) -> Any:
        if column in self.scenario.feeds:
            return number(text, where)
        if column in TIMES:
            return moment(text, where)
        if column not in WORDS:
            return number(text, where)
        allowed: dict[str, Any] = {
            "of": self.scenario.feeds,
            "side": SIDES,
            "type": TYPES,
            "mode": RUNS["mode"],
            "status": STATUSES,
            "kind": (*KINDS, "balance"),
            "cause": CAUSES,
            "reduce_only": ("yes",),
        }
        return one_of(text, allowed[column], where) if column in allowed else text

    # What must agree within a file

    def _check(self) -> None:
        scenario, top = self.scenario, self._where(0)
        if not scenario.feeds:
            raise ScenarioError(f"{top}: there are no bars")
        if scenario.given.get("orders") is None:
            raise ScenarioError(f"{top}: there are no orders")
        for run in scenario.runs:
            for name in EXPECTED:
                found = [
                    section
                    for section in scenario.expected
                    if section.name == name and section.holds_for(run)
                ]
                words = " ".join(run.values())
                if len(found) > 1:
                    where = found[1].where
                    raise ScenarioError(f"{where}: a second {name} for {words}")
                if not found and name in EXPECTED_ONCE:
                    raise ScenarioError(f"{top}: there is no {name} for {words}")
        for section in scenario.expected:
            if not any(section.holds_for(run) for run in scenario.runs):
                raise ScenarioError(f"{section.where}: no run is like this")
            if section.name == "ledger":
                self._check_sums(section)
        self._check_orders()

    @staticmethod
    def _check_sums(section: Section) -> None:
        """The columns of a ledger add up to its last row."""
        *entries, last = section.rows
        if last["kind"] != "balance":
            raise ScenarioError(f"{last.where}: the last row of a ledger is balance")
        for wallet in section.columns:
            if wallet in ("at", "of", "kind"):
                continue
            total = sum(entry.get(wallet, 0) for entry in entries)
            if abs(total - last.get(wallet, 0)) > Fraction(1, 10**9):
                where = f"{last.where}: {wallet}"
                raise ScenarioError(f"{where} adds up to {float(total)}")

    def _check_orders(self) -> None:
        names: list[str] = []
        for row in self.scenario.rows("orders"):
            for column in ("oco", "bracket"):
                if row.get(column):
                    one_of(row[column], names, row.where)
            if row["side"] == "cancel":
                one_of(row["name"], names, row.where)
            elif row["name"] in names:
                raise ScenarioError(f"{row.where}: {row['name']!r} is there twice")
            else:
                names.append(row["name"])
                self._check_terms(row)
            bars = self.scenario.feeds[row["of"]]["bars"].rows
            if row["after"] not in [bar["at"] for bar in bars]:
                raise ScenarioError(f"{row.where}: {row['of']} has no such bar")
        for section in self.scenario.expected:
            for row in section.rows:
                if row.get("order"):
                    one_of(row["order"], names, row.where)

    @staticmethod
    def _check_terms(row: Row) -> None:
        """A size, and the prices that the type of the order needs."""
        kind, needs = row["type"], TYPES[row["type"]][1]
        given = {c for c in ("price", "limit", "trail") if row.get(c)}
        if not row["size"] > 0:
            raise ScenarioError(f"{row.where}: a size is above 0")
        if given != set(needs.split()):
            needs = needs.replace(" ", " and ") or "no price"
            raise ScenarioError(f"{row.where}: {kind} needs {needs}")


# Running


class Trader(bt.Strategy):
    """Sends the orders of a scenario and writes down its fills."""

    params: Any = (("scenario", None),)

    def __init__(self) -> None:
        self.left = list(self.p.scenario.rows("orders"))
        self.sent: dict[str, Any] = {}
        self.fills: list[tuple[Any, ...]] = []

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        due = [row for row in self.left if self._is_over(row)]
        self.left = [row for row in self.left if row not in due]
        for row in due:
            if row["side"] == "cancel":
                self.cancel(self.sent[row["name"]])
            else:
                is_last = not any(r.get("bracket") == row["name"] for r in due)
                if row.get("bracket"):
                    same = [r for r in due if r.get("bracket") == row["bracket"]]
                    is_last = row is same[-1]
                self.sent[row["name"]] = self._send(row, transmit=is_last)

    def _is_over(self, row: Row) -> bool:
        """Whether the feed has brought the bar named under `after`."""
        data = self.getdatabyname(row["of"])
        return len(data) > 0 and bar_of(data.datetime[0]) == row["after"]

    def _send(self, row: Row, **more: Any) -> Any:
        kind, _ = TYPES[row["type"]]
        if row.get("oco"):
            more["oco"] = self.sent[row["oco"]]
        if row.get("bracket"):
            more["parent"] = self.sent[row["bracket"]]
        if row.get("until"):
            more["valid"] = row["until"].replace(tzinfo=None)
        if row.get("reduce_only"):
            more["reduce_only"] = True
        names = {"price": "price", "limit": "plimit", "trail": "trailamount"}
        for column, name in names.items():
            if row.get(column):
                more[name] = float(row[column])
        send = self.buy if row["side"] == "buy" else self.sell
        data = self.getdatabyname(row["of"])
        return send(data=data, size=float(row["size"]), exectype=kind, **more)

    def notify_order(self, order: Any) -> None:
        if order.info.get("liquidation"):
            return
        for bit in order.executed.iterpending():
            if bit is not None:
                name = next(n for n, o in self.sent.items() if o.ref == order.ref)
                side = "buy" if order.isbuy() else "sell"
                fill = (bar_of(bit.dt), name, side, abs(bit.size), bit.price)
                self.fills.append(fill)


def bar_of(number_of_days: float) -> datetime:
    """A time of Backtrader, to the second."""
    return to_second(bt.num2date(number_of_days).replace(tzinfo=UTC))


def to_second(time: datetime) -> datetime:
    """A time to the nearest second."""
    whole = time.replace(microsecond=0)
    return whole + timedelta(seconds=round(time.microsecond / 1e6))


def candles(section: Section | None) -> pd.DataFrame | None:
    """Candles of a section as a frame."""
    if section is None:
        return None
    names = ("open", "high", "low", "close")
    rows = [[float(row[name]) for name in names] for row in section.rows]
    index = pd.DatetimeIndex([row["at"] for row in section.rows], name="datetime")
    return pd.DataFrame(rows, columns=list(names), index=index).assign(volume=1.0)


def stamps(section: Section | None) -> pd.DataFrame | None:
    """Funding of a section as a frame."""
    if section is None:
        return None
    rows = [(float(row["rate"]), float(row.get("mark", "nan"))) for row in section.rows]
    index = pd.DatetimeIndex([row["at"] for row in section.rows], name="datetime")
    return pd.DataFrame(rows, columns=["funding_rate", "mark_price"], index=index)


def make_feed(scenario: Scenario, symbol: str, run: Mapping[str, str]) -> Any:
    """A feed of a scenario."""
    tables = scenario.feeds[symbol]
    with_detail = run.get("detail", "detailed") == "detailed"
    return bt_margin.PerpData(
        dataname=candles(tables["bars"]),
        name=symbol,
        mark=candles(tables.get("mark")),
        funding=stamps(tables.get("funding")),
        detail=candles(tables.get("detail")) if with_detail else None,
        bar_time=scenario.account.get("bar_time", "open"),
    )


def make_tiers(scenario: Scenario) -> Any:
    """The tiers of a scenario; ``None``: the venue's."""
    rate = scenario.account.get("maintenance")
    if rate is not None:
        return bt_margin.TierTable.flat(float(rate), 125)
    tiers = [
        bt_margin.Tier(
            *(float(row[c]) for c in ("from", "to", "maintenance", "leverage"))
        )
        for row in scenario.rows("tiers")
    ]
    return bt_margin.TierTable(tiers) if tiers else None


def make_broker(scenario: Scenario, run: Mapping[str, str]) -> Any:
    """The broker of one run."""
    account = scenario.account
    make: Any = BROKERS[run["mode"]]
    venue = bt_margin.get_venue(account.get("venue", "generic"))
    if "basis" in account:
        venue = replace(venue, maintenance_basis=Basis(account["basis"]))
    if scenario.policy:
        venue = replace(venue, liquidation=scenario.policy)
    broker = make(
        venue=venue,
        cash=float(account["cash"]),
        leverage=float(account["leverage"]),
        bar_path=run["bar_path"],
        fill_order=run["fill_order"],
        order_margin="order_margin" not in account,
    )
    if "automargin" in account:
        share = float(account["automargin"])
        broker.setcommission(commission=0, margin=1.0, automargin=share)
        return broker
    own = {row["of"]: row for row in scenario.rows("contracts")}
    scheme: Any = bt_margin.PerpCommission
    for symbol in (None, *own):
        row = own.get(symbol) if symbol else None
        leverage = row.get("leverage") if row else None
        commission = scheme(
            maker_fee_rate=float(account.get("maker", 0)),
            taker_fee_rate=float(account.get("taker", 0)),
            tiers=make_tiers(scenario),
            leverage=None if leverage is None else float(leverage),
            margin_mode=row.get("mode") if row else None,
        )
        broker.addcommissioninfo(commission, name=symbol)
    return broker


def play(scenario: Scenario, run: Mapping[str, str]) -> Any:
    """Run a scenario once; the strategy, which knows its broker."""
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(make_broker(scenario, run))
    for symbol in scenario.feeds:
        cerebro.adddata(make_feed(scenario, symbol, run))
    cerebro.addstrategy(Trader, scenario=scenario)
    return cerebro.run()[0]


# Comparing


def approx(value: Any) -> Any:
    return pytest.approx(float(value), rel=1e-9, abs=1e-7)


def listed(section: Section | None) -> Iterator[Row]:
    return iter(section.rows if section else ())


def check_fills(section: Section | None, result: Any) -> None:
    columns = ("bar", "order", "side")
    expected = [
        (*(row[c] for c in columns), approx(row["size"]), approx(row["price"]))
        for row in listed(section)
    ]
    assert result.fills == expected


def check_unfilled(section: Section | None, result: Any) -> None:
    expected = {row["order"]: STATUSES[row["status"]] for row in listed(section)}
    found = {
        name: order.getstatusname()
        for name, order in result.sent.items()
        if order.status != bt.Order.Completed
    }
    assert found == expected
    for row in listed(section):
        columns = {"need": "need", "have": "have", "largest": "largest_quantity"}
        for column, name in columns.items():
            if row.get(column) is not None:
                shortfall = result.sent[row["order"]].info.shortfall
                assert getattr(shortfall, name) == approx(row[column]), row.where


def check_paid(section: Section | None, result: Any) -> None:
    expected = [
        (row["at"], row["of"], approx(row["mark"]), approx(row["amount"]))
        for row in listed(section)
    ]
    found = [
        (to_second(event.time), event.symbol, event.mark_price, event.payment)
        for event in result.broker.fundings
    ]
    assert found == expected


def check_liquidations(section: Section | None, result: Any) -> None:
    numbers = ("size", "mark", "price", "fill", "insurance")
    expected = [
        (row["at"], row["of"], *(approx(row[c]) for c in numbers), row["cause"])
        for row in listed(section)
    ]
    found = [
        (
            to_second(event.time),
            event.symbol,
            event.size,
            event.mark_price,
            event.liquidation_price,
            event.fill_price,
            event.insurance,
            event.cause.value,
        )
        for event in result.broker.liquidations
    ]
    assert found == expected
    for row, event in zip(listed(section), result.broker.liquidations, strict=True):
        for column in ("fee", "remaining"):
            assert getattr(event, column) == approx(row.get(column, 0)), row.where


def in_order(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """By time; what happens at one moment, in any order."""
    time, kind, wallet, symbol, amount = entry
    return (time is not None, time or DAY_1, kind, wallet, symbol or "", amount)


def check_ledger(section: Section | None, result: Any) -> None:
    assert section is not None
    wallets = [c for c in section.columns if c not in ("at", "of", "kind")]
    expected = []
    for row in section.rows[:-1]:
        assert any(row.get(wallet) for wallet in wallets), f"{row.where}: no amount"
        for wallet in wallets:
            if row.get(wallet):
                amount = float(row[wallet])
                symbol = row.get("of")
                expected.append((row["at"], row["kind"], wallet, symbol, amount))
    found = [
        (
            None if entry.time is None else to_second(entry.time),
            entry.kind.value,
            entry.wallet.removeprefix("isolated:"),
            entry.symbol,
            float(entry.amount),
        )
        for entry in result.broker.ledger
        if abs(entry.amount) > 1e-9
    ]
    assert sorted(found, key=in_order) == [
        (*words, approx(amount)) for *words, amount in sorted(expected, key=in_order)
    ]
    balances = {
        wallet.removeprefix("isolated:"): balance
        for wallet, balance in result.broker.ledger.balances.items()
    }
    last = section.rows[-1]
    for wallet in wallets:
        assert balances.get(wallet, 0) == approx(last.get(wallet, 0)), last.where


def check_end(section: Section | None, result: Any) -> None:
    assert section is not None
    (row,) = section.rows
    broker = result.broker
    found = {"value": broker.getvalue(), "cash": broker.getcash()}
    for data in result.datas:
        found[data._name] = result.getposition(data).size
    for column in section.columns:
        assert found[column] == approx(row.get(column, 0)), f"{row.where}: {column}"
    unnamed = [d for d in result.datas if d._name not in section.columns]
    assert all(result.getposition(data).size == 0 for data in unnamed), row.where


CHECKS = {
    "fills": check_fills,
    "liquidations": check_liquidations,
    "paid": check_paid,
    "unfilled": check_unfilled,
    "ledger": check_ledger,
    "end": check_end,
}


def check_all(scenario: Scenario, run: Mapping[str, str], result: Any) -> None:
    for name, check in CHECKS.items():
        check(scenario.follows(name, run), result)


def cases() -> Iterator[Any]:
    """Every run of every file, under the file's name."""
    for path in sorted(HERE.glob("*.txt")):
        try:
            scenario = Reader(path).read()
        except ScenarioError as error:
            yield pytest.param(error, {}, id=path.stem)
            continue
        for run in scenario.runs:
            name = f"{path.stem} {' '.join(run.values())}"
            yield pytest.param(scenario, run, id=name)


@pytest.mark.parametrize(("scenario", "run"), list(cases()))
def test_scenario(scenario: Scenario | ScenarioError, run: Mapping[str, str]) -> None:
    if isinstance(scenario, ScenarioError):
        raise scenario
    result = play(scenario, run)
    assert not result.left, "orders that were never sent"
    check_all(scenario, run, result)


# The parser refuses what it does not know, and says where

GOOD = """A good file

10 long from 100.

account   cash 1000   leverage 10   fees none
runs      mode cross   bar_path adaptive   fill_order queue

bars A
  at      open   high   low   close
  00:00    100    100   100     100
  01:00    100    100   100     100

orders
  after  name   side   size  of  type     price
  00:00  entry  buy      10  A   market

fills
  bar    order  side   size   price
  01:00  entry  buy      10     100

ledger
  at     of  kind      shared
  start      deposit     1000
  end        balance     1000

end
  value    A
   1000   10
"""


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "a-good-file.txt"
    path.write_text(text)
    return Reader(path).read()


def test_a_good_file_is_read_and_played(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD)
    (run,) = scenario.runs
    check_all(scenario, run, play(scenario, run))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A good file", "A bad file", "line 1: the title is the file's name"),
        ("10 long from 100.", "", "line 2: say the arithmetic"),
        ("fees none", "feet none", "line 5: unknown word 'feet'"),
        ("leverage 10   ", "", "line 5: say leverage"),
        ("cash 1000", "cash much", "line 5: 'much' is not a number"),
        ("mode cross", "mode crossed", "line 6: unknown word 'crossed'"),
        ("bars A", "bar A", "line 8: unknown word 'bar'"),
        ("low   close", "low   clothe", "line 9: unknown column 'clothe'"),
        ("00:00    100    100", "00:00    100       ", "line 10: high is missing"),
        ("100    100   100", "100    100...100", "line 10: '100...100' stands under"),
        ("  01:00    100", "  1 am     100", "line 11: 'am' stands under no column"),
        ("  01:00    100", "  01:00   9 90", "line 11: two cells stand under open"),
        ("  01:00    100", "  1am      100", "line 11: '1am' is not a time"),
        ("A   market", "B   market", "line 15: unknown word 'B'"),
        ("A   market", "A   marked", "line 15: unknown word 'marked'"),
        ("A   market", "A   limit ", "line 15: limit needs price"),
        ("00:00  entry", "07:00  entry", "line 15: A has no such bar"),
        ("queue\n", "queue\n\npolicy  fees 1\n", "line 8: unknown word 'fees'"),
        ("queue\n", "queue\n\npolicy  fee a\n", "line 8: 'a' is not a number"),
        ("queue\n", "queue\n\npolicy  step down 1\n", "line 8: unknown word 'down'"),
        ("queue\n", "queue\n\npolicy  step tier\n", "line 8: say of tier: down"),
        ("queue\n", "queue\n\npolicy  fee 1\n  1\n", "line 9: policy is one line"),
        ("fees none", "fees none   venue moon", "line 5: unknown word 'moon'"),
        ("fills\n", "fills queued\n", "line 17: unknown word 'queued'"),
        ("fills\n", "fills path\n", "line 1: there is no fills for cross"),
        ("01:00  entry", "01:00  entre", "line 19: unknown word 'entre'"),
        ("deposit     1000", "deposed     1000", "line 23: unknown word 'deposed'"),
        ("balance     1000", "balance     1001", "line 24: shared adds up to 1000"),
        ("end\n  value    A\n   1000   10\n", "", "line 1: there is no end for cross"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert f"a-good-file.txt, {message}" in str(caught.value)


# What does not follow is noticed
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10     100\n\nledger", "10     101\n\nledger"),
        ("01:00  entry  buy      10", "00:00  entry  buy      10"),
        ("01:00  entry  buy ", "01:00  entry  sell"),
        ("start      deposit     1000", "01:00      deposit     1000"),
        ("start      deposit     1000", "start  A   deposit     1000"),
        ("   1000   10", "   1001   10"),
        ("   1000   10", "   1000   11"),
        ("  value    A\n   1000   10", "  value   cash\n   1000   1000"),
        (
            "end\n  value",
            "unfilled\n  order  status\n  entry  open\n\nend\n  value",
        ),
        (
            "end\n  value",
            "paid\n  at     of  mark  amount\n  01:00  A    100      -1\n\n"
            "end\n  value",
        ),
        (
            "end\n  value",
            "liquidations\n"
            "  at     of  size  mark  price  fill  insurance  cause\n"
            "  01:00  A     10    90     90    90          0  price\n\nend\n  value",
        ),
    ],
)
def test_what_does_not_follow_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    scenario = read(tmp_path, GOOD.replace(old, new))
    (run,) = scenario.runs
    result = play(scenario, run)
    with pytest.raises(AssertionError):
        check_all(scenario, run, result)
