"""Block principal pivoting: the exact non-negative least squares of each half, for the Frobenius loss."""
