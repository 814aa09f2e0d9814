"""CrossQ (Bhatt et al. 2024) for games: discrete, legal-action-masked, without target networks."""

from agents.crossq.config import CrossQConfig
from agents.crossq.learning import make_core
from agents.crossq.networks import CrossQNetworks, make_networks

__all__ = ["CrossQConfig", "CrossQNetworks", "make_core", "make_networks"]
