"""Best responses by reinforcement learning on the device."""
