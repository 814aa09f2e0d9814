"""Restricted games in extensive form: the game itself with fewer actions, and its equilibria."""
