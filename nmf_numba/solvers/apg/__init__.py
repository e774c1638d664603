"""Accelerated projected gradient: Nesterov's method on each half, for the Frobenius loss."""
