"""Continuous control beside peers."""
