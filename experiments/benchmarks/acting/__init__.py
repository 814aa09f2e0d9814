"""Benchmark of the env steps per second of actors."""
