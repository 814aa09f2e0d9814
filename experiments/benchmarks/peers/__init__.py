"""Runners of the implementations by others that the benchmarks compare with."""
