"""Benchmarks, and callers of the commands for a clone that is not installed."""
