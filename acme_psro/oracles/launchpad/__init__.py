"""Best responses as Launchpad programs."""
