"""Execution of runs of one agent in Vertex AI."""
