"""Scripts of the peers, each run in a separate process that prints a line of JSON for each result."""
