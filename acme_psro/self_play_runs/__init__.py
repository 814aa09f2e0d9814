"""Runs of self-play on games: configuration, directory, checkpoints, exact figures along the way."""
