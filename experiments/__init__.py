"""Command-line launchers and benchmarks."""
