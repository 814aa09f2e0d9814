"""Building blocks of `experiments.run_agent`: training of one agent in one environment."""
