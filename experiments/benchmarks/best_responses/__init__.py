"""Best responses beside exact ones."""
