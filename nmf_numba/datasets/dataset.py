"""What every loader returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Dataset:
    """A non-negative matrix and what is known about it.

    A loader builds everything anew at each call, so a caller may change the arrays.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
        The matrix to factorize, X >= 0. Dense: float64 and C-contiguous. Sparse: float64, sorted indices, no
        duplicates, no stored zeros. Only `make_low_rank` gives float32, and only when asked.
    title : str
        One line, fit for the title of a figure.
    description : str
        What rows and columns are, the unit of `X`, the source and the licence.
    row_names : list of str, optional
        One name for each row of `X`, and so for each row of W. None: the rows have no names.
    column_names : list of str, optional
        One name for each column of `X`, and so for each column of H. None: the columns have no names.
    image_shape : tuple of int, optional
        (height, width). Given when a row of `X`, or of H, is an image: `H[t].reshape(image_shape)` shows component t.
    target : ndarray of shape (n_samples,) or (n_samples, n_labels), optional
        Labels of the rows. A factorization doesn't see them; they help to judge W afterwards.
    details : mapping of str to object
        What is specific to one data set, such as the true factors. Each loader's docstring lists its own.

    Examples
    --------
    >>> from nmf_numba.datasets import make_swimmer
    >>> make_swimmer()
    Dataset('Swimmer', 256 x 1024, dense)
    """

    X: NDArray[np.floating[Any]] | csr_array
    title: str
    description: str
    row_names: list[str] | None = None
    column_names: list[str] | None = None
    image_shape: tuple[int, int] | None = None
    target: NDArray[Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return title, shape and storage: the arrays themselves would fill the screen."""
        n_samples, n_features = self.X.shape
        storage = "dense" if isinstance(self.X, np.ndarray) else f"CSR, {self.X.nnz} stored"
        return f"Dataset({self.title!r}, {n_samples} x {n_features}, {storage})"
