"""Runs of one agent in Vertex AI."""
