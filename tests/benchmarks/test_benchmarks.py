"""The benchmarks' program runs its parts and keeps what it prints; no timings here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# Bars that are enough for the averages to cross, or for the lines to come.
BARS = {"A,E": 600, "B": 1_300, "D": 500}
TABLES = {"A": 1, "B": 3, "D": 5, "E": 1}


def measured(tmp_path: Path, *words: str) -> tuple[str, dict[str, Any]]:
    """What a tiny run prints, and the parts that it keeps."""
    file = tmp_path / "measured.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--repeats", "1"]
    command += ["--json", str(file), *words]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(file.read_text())["parts"]


@pytest.mark.parametrize("names", BARS)
def test_parts_print_what_they_keep(names: str, tmp_path: Path) -> None:
    text, parts = measured(tmp_path, "--parts", names, "--bars", str(BARS[names]))
    assert text.startswith("date:")
    assert list(parts) == names.split(",")
    for name, part in parts.items():
        assert f"\n{name}. {part['text']}" in text
        assert len(part["tables"]) == TABLES[name]
        for table in part["tables"]:
            shown = text.partition(f"\n{table['title']}\n")[2].splitlines()[1:]
            assert table["rows"]
            for row, line in zip(table["rows"], shown, strict=False):
                assert_shows(line, row)


def assert_shows(line: str, row: dict[str, object]) -> None:
    """See that a line of a table ends with the numbers of its row, as rounded."""
    numbers = [v for v in row.values() if isinstance(v, int | float)]
    cells = line.split()[-len(numbers) :]
    for cell, number in zip(cells, numbers, strict=True):
        digits = len(cell.partition(".")[2])
        assert float(cell.replace(",", "")) == pytest.approx(
            number, abs=0.501 * 10**-digits
        )


def test_unknown_part() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--parts", "Z"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no part 'Z': there are A, B, C, D, E" in done.stderr
