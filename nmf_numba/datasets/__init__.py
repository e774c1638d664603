"""Small real and synthetic data sets. All work offline.

>>> from nmf_numba.datasets import DATASETS
>>> for name in DATASETS:
...     print(name)
digits
docstrings
piano
swimmer
low-rank
"""

from __future__ import annotations

from collections.abc import Callable

from nmf_numba.datasets.dataset import Dataset
from nmf_numba.datasets.digits import load_digits
from nmf_numba.datasets.docstrings import load_docstrings
from nmf_numba.datasets.low_rank import make_low_rank
from nmf_numba.datasets.piano import make_piano
from nmf_numba.datasets.swimmer import make_swimmer

__all__ = [
    "DATASETS",
    "Dataset",
    "load_digits",
    "load_docstrings",
    "make_low_rank",
    "make_piano",
    "make_swimmer",
]

DATASETS: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits,
    "docstrings": load_docstrings,
    "piano": make_piano,
    "swimmer": make_swimmer,
    "low-rank": make_low_rank,
}
"""The loader of each data set, by its name on the command line. Every loader can be called without arguments."""
