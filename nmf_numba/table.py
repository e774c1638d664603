"""A small table that reads well in a terminal and in a notebook."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence


def is_number(text: str) -> bool:
    """Return whether text is a number, also NaN or infinity."""
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True, repr=False)
class Table:
    """Rows of text under a header. `str` and `print` align the columns; a notebook shows it as a table.

    Attributes
    ----------
    header : sequence of str
    rows : sequence of sequences of str
        A row may be shorter than the header: its last entry then has no end.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def numeric(self) -> list[bool]:
        """Return which columns hold numbers only, or nothing: they are aligned to the right."""
        columns = ([row[at] for row in self.rows if at < len(row)] for at in range(len(self.header)))
        return [all(is_number(cell) or cell in ("", "-") for cell in column) for column in columns]

    def __str__(self) -> str:
        n_columns = len(self.header)
        columns = [
            [self.header[at], *(row[at] for row in self.rows if len(row) == n_columns or at < len(row) - 1)]
            for at in range(n_columns)
        ]
        widths = [max(map(len, column)) for column in columns]
        signs = [">" if numeric else "<" for numeric in self.numeric()]
        lines = []
        for row in [self.header, ["-" * width for width in widths], *self.rows]:
            cells = [f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=False)]
            if len(row) < n_columns:
                cells[-1] = row[-1]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        aligned = ["right" if numeric else "left" for numeric in self.numeric()]

        def line(cells: Sequence[str], tag: str) -> str:
            return "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(cells, aligned, strict=False)
            )

        rows = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return f"<table><thead><tr>{line(self.header, 'th')}</tr></thead><tbody>{rows}</tbody></table>"
