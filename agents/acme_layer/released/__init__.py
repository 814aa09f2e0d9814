"""Adapters from our builders to the runners of dm-acme 0.4.0, the release on the package index.

Acme's main branch has `acme.jax.experiments`, for which `agents.acme_layer.builder` is written. The release
has `acme.jax.layouts` instead.
"""

from agents.acme_layer.released.builder import ReleasedBuilder, make_logger
from agents.acme_layer.released.distributed import DistributedLayout
from agents.acme_layer.released.local import LocalAgent, make_local_agent

__all__ = ["DistributedLayout", "LocalAgent", "ReleasedBuilder", "make_local_agent", "make_logger"]
