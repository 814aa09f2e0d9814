"""What the benchmarks' peers run, each in a process of its own that prints a line of JSON for each result."""
