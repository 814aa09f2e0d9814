"""What a run of `experiments.run_psro` is made of."""
