"""Handwritten digits: the data set that every tutorial can show as images."""

from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np

from nmf_numba.datasets.dataset import Dataset

FILE_NAME = "digits.csv.gz"

DESCRIPTION = """\
Handwritten digits, 8 x 8 pixels.
Rows: 1797 images, written by 13 people. Columns: 64 pixels, line by line.
Unit of X: number of black dots, 0 to 16, in a block of 4 x 4 dots of the scanned image.
Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49 (its test set).
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0)."""


def load_digits() -> Dataset:
    """Return 1797 images of handwritten digits, as a dense matrix.

    Returns
    -------
    Dataset
        X : ndarray of shape (1797, 64)
            One image for each row, 8 x 8 pixels line by line. The values are whole numbers from 0 (white) to 16
            (black): the number of black dots in a block of 4 x 4. Three pixels are white in all images, so three
            columns are zero.
        column_names : list of 64 str
            "row 0, column 0", ...
        image_shape : (8, 8)
            Height and width of an image, in pixels.
        target : ndarray of int64, shape (1797,)
            The digit, 0 to 9.

    Raises
    ------
    RuntimeError
        If the data file is missing from the installed package, or holds something else.

    Notes
    -----
    The same numbers in the same order as ``sklearn.datasets.load_digits``. The file in the package is compressed
    text, one image for each line: 64 pixels, then the digit.

    References
    ----------
    E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49. CC BY 4.0.

    Examples
    --------
    >>> from nmf_numba.datasets import load_digits
    >>> digits = load_digits()
    >>> digits.X.shape, float(digits.X.min()), float(digits.X.max())
    ((1797, 64), 0.0, 16.0)
    >>> digits.target[:5]
    array([0, 1, 2, 3, 4])
    """
    try:
        text = gzip.decompress(files("nmf_numba.datasets").joinpath(FILE_NAME).read_bytes()).decode("ascii")
    except (OSError, EOFError) as error:
        raise RuntimeError(
            f"The data file {FILE_NAME} can't be read from the installed package: {error}. Install the package again."
        ) from error
    table = np.loadtxt(text.splitlines(), delimiter=",", dtype=np.int64)
    if table.shape != (1797, 65):
        raise RuntimeError(f"The data file {FILE_NAME} holds {table.shape}, not (1797, 65). Install the package again.")
    return Dataset(
        X=np.ascontiguousarray(table[:, :64], dtype=np.float64),
        title="Handwritten digits",
        description=DESCRIPTION,
        column_names=[f"row {row}, column {column}" for row in range(8) for column in range(8)],
        image_shape=(8, 8),
        target=table[:, 64].copy(),
    )
