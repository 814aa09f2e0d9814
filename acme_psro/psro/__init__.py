"""Loops that grow populations."""
