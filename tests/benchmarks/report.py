"""The report: tables printed row by row as they are measured, and kept for JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Figures = Sequence[float]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: heading, and the key of the value in a row.
        form: format of its values; empty: text, to the left.
        width: characters, at least those of the name.
    """

    name: str
    form: str = ""
    width: int = 0

    def cell(self, value: Any) -> str:
        """A value, as wide as the column; ``None`` is a dash."""
        width = max(self.width, len(self.name))
        if not self.form:
            return f"{value!s:<{width}}"
        return f"{'-' if value is None else format(value, self.form):>{width}}"

    @property
    def head(self) -> str:
        """The name, as wide as the column."""
        align = ">" if self.form else "<"
        return f"{self.name:{align}{self.width}}"


@dataclass
class Report:
    """What was measured: on stdout as it comes, and whole in ``parts``."""

    facts: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _part: dict[str, Any] = field(default_factory=dict)
    _columns: Sequence[Column] = ()

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, flush=True)

    def head(self, facts: dict[str, Any]) -> None:
        """Print what was measured with."""
        self.facts = facts
        for name, value in facts.items():
            self.say(f"{name + ':':11}{value}")

    def part(self, name: str, text: str) -> None:
        """Begin a part."""
        self._part = {"text": text, "tables": [], "notes": []}
        self.parts[name] = self._part
        self.say(f"\n{name}. {text}")

    def table(self, title: str, columns: Sequence[Column]) -> None:
        """Begin a table of the part."""
        self._columns = columns
        self._part["tables"].append({"title": title, "rows": []})
        self.say(f"\n{title}")
        self.say("  " + "  ".join(column.head for column in columns).rstrip())

    def row(self, *values: Any, **raw: Any) -> None:
        """A row of the table.

        Args:
            values: of the columns, in their order.
            raw: what else JSON keeps of it.
        """
        pairs = list(zip(self._columns, values, strict=True))
        named = {column.name: value for column, value in pairs}
        self._part["tables"][-1]["rows"].append({**named, **raw})
        cells = "  ".join(column.cell(value) for column, value in pairs)
        self.say(f"  {cells}".rstrip())

    def note(self, text: str) -> None:
        """A line about the part."""
        self._part["notes"].append(text)
        self.say(f"  {text}")

    def failed(self, reason: str) -> None:
        """Say that the part ended early."""
        self._part["failed"] = reason
        self.say(f"  FAILED: {reason}")

    def save(self, file: Path) -> None:
        """Write everything as JSON."""
        content = {"facts": self.facts, "parts": self.parts}
        file.write_text(json.dumps(content, indent=1) + "\n")


def progress(text: str) -> None:
    """Say on stderr what is running, in place on a terminal; empty: nothing is."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text[:100]}")
    elif text:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
