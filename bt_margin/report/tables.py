"""Tables: rows and pages as they stand on a terminal."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

__all__ = ["fits", "narrowed", "pair_table", "row_table"]


def row_table(
    rows: Sequence[Mapping[str, str]],
    *,
    words: Collection[str],
    title: str | None = None,
) -> Table:
    """Rows by heading: words to the left, numbers to the right."""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=title,
        title_justify="left",
        title_style="bold",
    )
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in words else "right")
    for row in rows:
        table.add_row(*row.values())
    return table


def pair_table(pairs: Iterable[tuple[str, str]], *, numbers: bool = False) -> Table:
    """Two columns: a heading, and words that wrap, or numbers to the right."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right" if numbers else "left", overflow="fold")
    for heading, value in pairs:
        table.add_row(heading, value)
    return table


def fits(console: Console, table: Table) -> bool:
    """Whether the table needs no more than the screen's width."""
    unbounded = console.options.update_width(1_000)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def narrowed(
    console: Console,
    rows: Sequence[dict[str, str]],
    *,
    words: Collection[str],
    least_needed: Iterable[str],
    title: str | None = None,
) -> Table:
    """The rows in as many columns as the screen has room for."""
    for heading in least_needed:
        if fits(console, row_table(rows, words=words)):
            break
        for row in rows:
            row.pop(heading, None)
    return row_table(rows, words=words, title=title)
