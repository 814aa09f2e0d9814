"""What `experiments.run_agent` is made of: training one agent in one environment."""
