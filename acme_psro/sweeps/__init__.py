"""Sweeps: grids of runs that are described by one YAML file, carried out side by side and compared."""
