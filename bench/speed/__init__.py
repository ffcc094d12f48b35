"""Benchmarks of the harness itself: `python -m bench.speed`."""
