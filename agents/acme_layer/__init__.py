"""Acme's interfaces around any `AgentCore`: learner, builder, replay, actors."""
