"""Best responses: what computes them."""
