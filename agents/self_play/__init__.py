"""Self-play agent: PPO, MMD and NashPG, told apart by the terms of one loss."""

from agents.self_play.config import PRESETS as PRESETS
from agents.self_play.config import SelfPlayConfig as SelfPlayConfig
from agents.self_play.learning import Rollout as Rollout
from agents.self_play.learning import SelfPlayCore as SelfPlayCore
from agents.self_play.learning import make_core as make_core
from agents.self_play.networks import make_networks as make_networks
