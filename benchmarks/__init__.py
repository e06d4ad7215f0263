"""Measure the client side by side with its alternatives: ``python -m benchmarks``."""
