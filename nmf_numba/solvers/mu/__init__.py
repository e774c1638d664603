"""Multiplicative updates, for every beta-divergence."""
