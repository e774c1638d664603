"""Projected gradient, the example of "Add a solver". In the package, this folder would be nmf_numba/solvers/."""
