"""MPO whose networks can be conditioned on the member of a population that acts, and V-MPO."""

from agents.conditional_mpo.config import ConditionalMPOConfig
from agents.conditional_mpo.learning import make_core
from agents.conditional_mpo.networks import MPONetworks, make_networks
from agents.conditional_mpo.presets import PRESETS

__all__ = ["PRESETS", "ConditionalMPOConfig", "MPONetworks", "make_core", "make_networks"]
