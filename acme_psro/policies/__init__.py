"""Policies as tables, files, networks and OpenSpiel policies, and the meta-strategies that mix them."""
