"""Implementations by others, and how they are run."""
