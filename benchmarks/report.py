"""Tables for the terminal, which are Markdown too, and whole files: a CSV for each part, and its figure."""

import contextlib
import csv
import importlib.metadata
import os
import platform

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = "os^D"


def header(columns):
    """Two lines. A column is (key in a row, title, format)."""
    titles = [format(title, spec.split(".")[0]) for _, title, spec in columns]
    rules = [
        "-" * (len(title) - 1) + (":" if spec[0] == ">" else "-")
        for title, (*_, spec) in zip(titles, columns, strict=True)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, rules))


def line(row, columns):
    """One line; None is a dash."""
    cells = [
        format("-", spec.split(".")[0]) if row[key] is None else format(row[key], spec) for key, _, spec in columns
    ]
    return "| " + " | ".join(cells) + " |"


@contextlib.contextmanager
def whole_file(path, mode="w"):
    """A file that appears when it is complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open(mode, **({} if "b" in mode else {"newline": "", "encoding": "utf-8"})) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path, rows):
    with whole_file(path) as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_table(path, rows, columns, command):
    """A Markdown file that a page of the documentation includes: the table, and on what it was measured."""
    packages = ("numba", "numpy", "scipy", "scikit-learn")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    lines = [
        *header(columns).splitlines(),
        *(line(row, columns) for row in rows),
        "",
        f"Written by `{command}` on {os.cpu_count()} cores ({platform.machine()}).",
        f"Python {platform.python_version()}, {versions}.",
    ]
    with whole_file(path) as file:
        file.write("\n".join(lines) + "\n")


def write_figure(path, figure):
    with whole_file(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110)
