"""Population runs: PSRO with its checkpoints, metrics and display."""
