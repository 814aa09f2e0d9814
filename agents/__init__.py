"""Reinforcement learning agents as pure functions over explicit state, for acme-psro."""

# Tells this package from others called `agents`; `acme_psro` reads it without importing this package.
DISTRIBUTION = "acme-psro"
