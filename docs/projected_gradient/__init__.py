"""Projected gradient: one short step for all entries, the example of "How to add a solver"."""
