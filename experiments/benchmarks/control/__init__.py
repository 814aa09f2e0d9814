"""Comparison with peers on tasks of continuous control."""
