"""Environments by name: dm_control, Gymnasium and OpenSpiel."""
