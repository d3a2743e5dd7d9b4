"""The README's code does what the README says."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner

from bt_margin.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_first_shell_block_holds_exactly_the_two_commands() -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    assert "bt-margin compare" in lines[0]
    assert "pytest" in lines[1]


def test_the_program_prints_what_the_readme_says_it_prints() -> None:
    program, printed = blocks("python")[0], blocks("text")[0]
    assert len([line for line in program.splitlines() if line]) <= 20
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (printed, "") == (run.stdout, run.stderr)


def test_the_price_is_printed_as_the_readme_shows_it() -> None:
    (command,) = re.findall(r"^```\n(bt-margin price .*)\n```$", README, re.MULTILINE)
    result = CliRunner().invoke(main, command.split()[1:])
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert "\n".join(lines) + "\n" == blocks("text")[2]


def test_the_analyzer_prints_what_the_readme_says_it_prints() -> None:
    """It goes on from the first program."""
    program, printed = "".join(blocks("python")[:2]), "".join(blocks("text")[:2])
    assert len(blocks("python")[1].splitlines()) == 10
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (printed, "") == (run.stdout, run.stderr)


def test_ci_runs_the_second_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (reading,) = re.findall(r'^test_command="\$\((.*)\)"$', script, re.MULTILINE)
    read = subprocess.run(
        reading, shell=True, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert read.stdout.strip() == blocks("sh")[0].splitlines()[1]
    assert script.splitlines()[-1] == 'eval "$test_command"'


def test_every_dependency_is_listed_with_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for dependency in tomllib.loads(text)["project"]["dependencies"]:
        assert re.search(rf'"{re.escape(dependency)}", +# \w+', text), dependency
