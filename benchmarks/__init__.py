"""How fast, how large and how soon: `python -m benchmarks`."""
