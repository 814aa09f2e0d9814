"""How programs scale: real ones watched, their parts measured, and a simulation of both."""
