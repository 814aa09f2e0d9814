"""Runs of one agent as programs on Ray: a learner with its replay, actors and an evaluator, without Acme."""
