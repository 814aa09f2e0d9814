"""Benchmarks against other implementations; all sides are measured in the same run."""
