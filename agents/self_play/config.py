"""Configuration of the self-play agent, and presets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

ANNEALINGS = ("none", "sqrt")
ACTIVATIONS = ("tanh", "relu")


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
    """Configuration of PPO (Schulman et al. 2017), MMD (Sokota et al. 2022) and NashPG (2025).

    One loss serves all three, see `agents.self_play.losses`. PPO has neither `kl` nor `magnet`. MMD pays for
    the KL from the policy that played, with coefficient 1 / eta, and for the KL from the uniform policy,
    which is an entropy bonus. NashPG pays for the KL from a magnet, an earlier policy that is replaced from
    time to time. The defaults are those of `PRESETS["mmd"]`.

    Attributes:
      hidden_sizes: widths of the hidden layers.
      activation: their function, one of `ACTIVATIONS`.
      shared_torso: whether policy and value have the same hidden layers.
      clip: half-width of the interval of probability ratios beyond which PPO's objective is flat; "inf" for
        none.
      value: weight of the value's squared error.
      entropy: weight of the entropy bonus, MMD's alpha.
      kl: weight of the KL from the policy that played, MMD's 1 / eta.
      magnet: weight of the KL from the magnet.
      magnet_period: number of updates between two replacements of the magnet.
      magnet_average: 0: the magnet becomes the current policy. Above 0: it becomes the exponential moving
        average of the parameters, into which every update goes with this weight.
      annealing: "none", or "sqrt": `entropy` is multiplied, and `kl` divided, by sqrt(horizon / decisions).
      horizon: number of decisions over which the learning rate falls, and of the annealing.
      learning_rate: Adam's first learning rate.
      final_learning_rate: Adam's learning rate after `horizon` decisions, reached linearly.
      adam_epsilon: Adam's epsilon.
      max_gradient_norm: largest norm of a gradient; longer gradients are scaled down to it.
      epochs: number of passes over the decisions of a rollout.
      minibatches: number of gradient steps in a pass.
      discount: factor on later rewards, for each of the player's own decisions.
      gae_lambda: decay of generalised advantage estimation.
      normalise: whether a minibatch's advantages are scaled to mean 0 and standard deviation 1.
      reward_scale: factor on rewards in Acme. On the device they are divided by the game's largest return.
    """

    hidden_sizes: tuple[int, ...] = (128, 128)
    activation: str = "tanh"
    shared_torso: bool = False
    clip: float = math.inf
    value: float = 0.5
    entropy: float = 0.1
    kl: float = 2.0
    magnet: float = 0.0
    magnet_period: int = 40
    magnet_average: float = 0.0
    annealing: str = "sqrt"
    horizon: int = 10_000_000
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    adam_epsilon: float = 1e-5
    max_gradient_norm: float = 0.5
    epochs: int = 4
    minibatches: int = 4
    discount: float = 1.0
    gae_lambda: float = 0.95
    normalise: bool = True
    reward_scale: float = 1.0

    def __post_init__(self) -> None:
        for names, is_good, allowed in _ALLOWED:
            for name in names:
                value = getattr(self, name)
                if not is_good(value):
                    raise ValueError(f"self-play's {name} must be {allowed}, not {value}.")
        for name, known in (("annealing", ANNEALINGS), ("activation", ACTIVATIONS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"self-play's {name} must be one of {', '.join(known)}, not {value!r}.")
        if any(size < 1 for size in self.hidden_sizes):
            raise ValueError(f"self-play's hidden_sizes must be above 0, not {self.hidden_sizes}.")

    @property
    def has_magnet(self) -> bool:
        return self.magnet > 0


# Written so that NaN is refused.
_ALLOWED: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("magnet_period", "horizon", "epochs", "minibatches"), lambda value: value >= 1, "at least 1"),
    (
        ("value", "entropy", "kl", "magnet", "final_learning_rate"),
        lambda value: 0 <= value < math.inf,
        "a number from 0 on",
    ),
    (
        ("clip", "learning_rate", "adam_epsilon", "max_gradient_norm", "reward_scale"),
        lambda value: value > 0,
        "above 0",
    ),
    (("discount", "gae_lambda", "magnet_average"), lambda value: 0 <= value <= 1, "in [0, 1]"),
)

# Temperatures that fall as 1 / sqrt(decisions), as Sokota et al. have them, with last values that suit small
# networks and few decisions. A learning rate that does not fall to 0 leaves the last policy to chance: in
# phantom tic-tac-toe it is then at 0.19 to 0.24 from 4 million decisions on, and at 0.12 after 3 million if
# it does.
_MMD = SelfPlayConfig()

PRESETS: dict[str, SelfPlayConfig] = {
    # PPO with the entropy bonus that Rudolph et al. (2025, arXiv 2502.08938) found best in games, several
    # times that of other tasks.
    "ppo": SelfPlayConfig(
        clip=0.2, entropy=0.05, kl=0.0, annealing="none", learning_rate=2.5e-4, final_learning_rate=2.5e-4
    ),
    "mmd": _MMD,
    # MMD with the numbers of its paper, for large networks and many decisions.
    "mmd_published": dataclasses.replace(
        _MMD, entropy=0.05, kl=20.0, learning_rate=2.5e-4, final_learning_rate=2.5e-4
    ),
    # MMD with constant temperatures, beside PPO's clipped objective.
    "mmd_constant": SelfPlayConfig(
        clip=0.2, entropy=0.05, kl=0.05, annealing="none", learning_rate=2.5e-4, final_learning_rate=2.5e-4
    ),
    # MMD whose magnet moves: an average of the parameters, renewed every 2,000 updates.
    "mmd_moving": SelfPlayConfig(
        clip=0.2,
        entropy=0.03,
        kl=0.05,
        magnet=0.2,
        magnet_period=2000,
        magnet_average=0.001,
        annealing="none",
        learning_rate=3e-4,
        final_learning_rate=3e-4,
    ),
    # NashPG (arXiv 2510.18183): no KL from the policy that played, and a magnet replaced every 40 updates.
    "nash_pg": SelfPlayConfig(
        clip=0.2,
        entropy=0.1,
        kl=0.0,
        magnet=0.2,
        magnet_period=40,
        annealing="none",
        learning_rate=1e-3,
        final_learning_rate=1e-3,
    ),
}
