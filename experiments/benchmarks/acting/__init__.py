"""Env steps a second of actors."""
