"""Scaling of programs with their actors: real programs, measurements of their parts, and a simulation."""
