"""Gains, NashConv and values of mixtures: exact in compiled games, estimated by simulation in others."""
