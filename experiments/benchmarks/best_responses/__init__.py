"""Comparison of learned best responses with exact ones."""
