"""Runs of one agent as Launchpad programs."""
