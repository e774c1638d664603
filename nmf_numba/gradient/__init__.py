"""The gradient of the objective as two non-negative parts, and how far they are from balance."""
