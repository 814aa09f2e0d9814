"""OpenSpiel games as arrays."""
