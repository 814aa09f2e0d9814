"""Command-line launchers: `acme-psro run`, `agent` and `evaluate`."""
