"""Building blocks of `acme-psro agent`: training of one agent in one environment."""
