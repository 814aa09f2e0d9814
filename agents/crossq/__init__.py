"""CrossQ (Bhatt et al. 2024): soft actor-critic without target networks, for control and for games."""

from agents.core import Bounds
from agents.crossq.config import PRESETS, CrossQConfig
from agents.crossq.learning import make_core
from agents.crossq.networks import CrossQNetworks, make_networks

__all__ = ["PRESETS", "Bounds", "CrossQConfig", "CrossQNetworks", "make_core", "make_networks"]
