"""Benchmarks: each prints a table, both sides measured in the same run."""
