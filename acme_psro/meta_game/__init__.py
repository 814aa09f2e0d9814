"""Payoffs of populations: exact in compiled games, estimated by simulation in others."""
