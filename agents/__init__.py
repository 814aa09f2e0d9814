"""Reinforcement learning agents as pure functions over explicit state."""
