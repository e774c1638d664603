"""How the time of an iteration grows with the size of X and the number of components, one at a time."""

import dataclasses
import statistics

import numpy as np

from benchmarks.cases import Case, loss_name, with_start
from benchmarks.report import COLOURS, DASHES, MARKERS
from benchmarks.speed import Threads, check_same_factors, take_turns
from nmf_numba.datasets import make_low_rank

TITLE = """Milliseconds per iteration against one size at a time, medians over turns."""

COLUMNS = (
    ("grows", "grows", "<10"),
    ("case", "case", "<30"),
    ("size", "size", ">9"),
    ("ours_ms", "ms", ">9.3f"),
    ("sklearn_ms", "scikit-learn", ">12.3f"),
    ("ratio", "ratio", ">6.2f"),
)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What grows, and through which sizes; make gives X and k for one of them."""

    grows: str
    label: str
    layout: str
    sizes: tuple
    quick: tuple

    def make(self, size):
        n, m, k = {"n_samples": (size, 500, 20), "n_features": (4000, size, 20)}.get(self.grows, (4000, 500, 20))
        if self.grows == "nnz":
            return make_low_rank(20000, 5000, 20, density=size).X, k
        return make_low_rank(n, m, 20, noise=0.3).X, size if self.grows == "k" else k


SWEEPS = (
    Sweep(
        "n_samples", "n, rows of a dense X with 500 columns", "dense", (500, 1000, 2000, 4000, 8000, 16000), (40, 80)
    ),
    Sweep("n_features", "m, columns of a dense X with 4000 rows", "dense", (125, 250, 500, 1000, 2000, 4000), (8, 16)),
    Sweep("nnz", "entries stored in a 20000 x 5000 CSR", "csr", (0.001, 0.002, 0.004, 0.008, 0.016), (0.0001,)),
    Sweep("k", "k, components of a dense 4000 x 500 X", "dense", (5, 10, 20, 40, 80, 160), (2, 4)),
)
SOLVERS = (("cd", 2.0), ("mu", 1.0))


def rows(options):
    for sweep in SWEEPS:
        for solver, beta in SOLVERS:
            for size in sweep.quick if options.quick else sweep.sizes:
                if not options.wants(f"{sweep.grows} {solver} {loss_name(beta)}"):
                    continue
                X, k = sweep.make(size)
                case = Case(sweep.layout, "float64", solver, beta, k)
                start = with_start(X, k)
                with Threads(options.n_threads):
                    difference = check_same_factors(case, start)
                    mine, yours = take_turns(case, start, options)
                yield {
                    "grows": sweep.grows,
                    "case": f"{sweep.layout} {solver} {loss_name(beta)}",
                    "threads": options.n_threads,
                    "size": X.nnz if sweep.grows == "nnz" else size,
                    "ours_ms": statistics.median(mine),
                    "ours_low": min(mine),
                    "ours_high": max(mine),
                    "sklearn_ms": statistics.median(yours),
                    "sklearn_low": min(yours),
                    "sklearn_high": max(yours),
                    "ratio": statistics.median(y / m for m, y in zip(mine, yours, strict=True)),
                    "difference": difference,
                }


def slope(sizes, times):
    """The power of the size with which the time grows: a straight line through the logarithms."""
    if len(sizes) < 2 or min(times) <= 0:
        return ""
    return f", slope {np.polyfit(np.log(sizes), np.log(times), 1)[0]:.2f}"


def figure(rows):
    """A panel for each thing that grows; a line for each solver and library, its slope in the legend."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import NullFormatter  # noqa: PLC0415

    figure = Figure(figsize=(11, 9), layout="constrained")
    for ax, sweep in zip(figure.subplots(2, 2).flat, SWEEPS, strict=True):
        mine = [row for row in rows if row["grows"] == sweep.grows]
        cases = dict.fromkeys(row["case"] for row in mine)
        lines = [(case, library) for case in cases for library in ("ours", "sklearn")]
        for at, (case, library) in enumerate(lines):
            points = [row for row in mine if row["case"] == case]
            sizes = [row["size"] for row in points]
            times = [row[f"{library}_ms"] for row in points]
            name = f"{'nmf-numba' if library == 'ours' else 'scikit-learn'}, {case.partition(' ')[2]}"
            ax.plot(
                sizes,
                times,
                color=COLOURS[at],
                linestyle=DASHES[at],
                marker=MARKERS[at],
                label=name + slope(sizes, times),
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())  # their labels would run into each other
        ax.set_xlabel(sweep.label)
        ax.set_ylabel("time of an iteration (ms)")
        ax.grid(which="major", alpha=0.3)
        if lines:
            ax.legend(fontsize="small")
    figure.suptitle(f"Time of an iteration, float64, {rows[0]['threads']} threads")
    return figure
