"""HALS: hierarchical alternating least squares, coordinate descent for the Frobenius loss."""
