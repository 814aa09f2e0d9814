"""Programs of oracles whose lanes are computed by workers on a Ray cluster."""
