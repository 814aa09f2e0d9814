"""Configuration of CrossQ, and named presets."""

from __future__ import annotations

import dataclasses
import math

from agents.settings import check_known

Q_REDUCTIONS = ("min", "mean")
NORMALISATIONS = ("batch_renorm", "batch_norm")


@dataclasses.dataclass(frozen=True)
class CrossQConfig:
    """Configuration of CrossQ.

    The defaults are those of the paper (Bhatt et al. 2024, table 3) and of its authors' code, except for the
    width of the critics, which suits two CPU cores. `PRESETS` holds the paper's width and other variants.

    Attributes:
      critic_hidden_sizes: widths of the critics' hidden layers.
      policy_hidden_sizes: widths of the policy's hidden layers.
      num_critics: number of critics, which are trained in parallel on the same batches.
      learning_rate: Adam's step size at first, for critics, policy and temperature.
      final_learning_rate: step size after `horizon` updates, reached linearly. Each optimiser counts its own
        updates. Policy and temperature make one for every `policy_delay` gradient steps: after `horizon`
        gradient steps, their step size has fallen by a fraction `1 / policy_delay` of the way only.
      adam_b1: decay of Adam's first moment (its momentum), for critics and policy; 0.9 for the temperature.
      adam_b2: decay of Adam's second moment.
      policy_delay: number of critic updates for each update of policy and temperature.
      discount: factor on the environment's own discount.
      reward_scale: factor on rewards. Temperatures and values are in units of scaled reward.
      q_reduction: combination of the critics' values, "min" or "mean".
      critic_entropy: whether the critics' targets include the policy's entropy.
      temperature: weight of the policy's entropy at first, in units of scaled reward.
      learn_temperature: whether the temperature is learned, so that the entropy meets its target (Haarnoja et
        al. 2018b).
      target_entropy: target of a learned temperature. Continuous actions: nats for each number of an action,
        with actions scaled to [-1, 1]. Discrete actions: share in [0, 1] of the entropy of the uniform
        distribution over legal actions.
      final_temperature: temperature after `horizon` gradient steps, reached geometrically, if it is not
        learned.
      horizon: number of gradient steps over which the temperature falls, and number of updates over which
        learning rates fall.
      exploration: probability of a uniform (legal) action while learning.
      normalisation: "batch_renorm" (Ioffe 2017) or "batch_norm".
      normalise_inputs: whether networks begin with a normalisation.
      renorm_momentum: decay of the running statistics.
      renorm_epsilon: constant added to variances.
      renorm_r_max: bound of the scale correction r, at least 1.
      renorm_d_max: bound of the shift correction d, at least 0.
      renorm_warmup: number of updates with plain batch statistics before renormalisation begins. Each network
        counts its own updates.
      weight_norm: whether the weights into each hidden unit of the critics are scaled to length 1 after every
        step (arXiv 2502.07523). Meant for more than one update for each step in the environment.
    """

    critic_hidden_sizes: tuple[int, ...] = (256, 256)
    policy_hidden_sizes: tuple[int, ...] = (256, 256)
    num_critics: int = 2
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-3
    adam_b1: float = 0.5
    adam_b2: float = 0.999
    policy_delay: int = 3
    discount: float = 0.99
    reward_scale: float = 1.0
    q_reduction: str = "min"
    critic_entropy: bool = True
    temperature: float = 1.0
    learn_temperature: bool = True
    target_entropy: float = -1.0
    final_temperature: float = 1.0
    horizon: int = 1000
    exploration: float = 0.0
    normalisation: str = "batch_renorm"
    normalise_inputs: bool = True
    renorm_momentum: float = 0.99
    renorm_epsilon: float = 1e-3
    renorm_r_max: float = 3.0
    renorm_d_max: float = 5.0
    renorm_warmup: int = 100_000
    weight_norm: bool = False

    def __post_init__(self) -> None:
        self._check_signs()
        self._check_fractions()
        check_known("q_reduction", self.q_reduction, Q_REDUCTIONS)
        check_known("normalisation", self.normalisation, NORMALISATIONS)
        if not (self.renorm_r_max >= 1 and self.renorm_d_max >= 0 and self.renorm_warmup >= 0):
            raise ValueError("CrossQ needs renorm_r_max >= 1, renorm_d_max >= 0, renorm_warmup >= 0.")
        if not math.isfinite(self.target_entropy):
            raise ValueError(f"CrossQ's target_entropy must be finite, not {self.target_entropy}.")
        if not self.final_learning_rate >= 0:
            raise ValueError("CrossQ's final_learning_rate must not be negative.")

    def _check_signs(self) -> None:
        """Raises ValueError if a number that must be positive is not."""
        sizes = (*self.critic_hidden_sizes, *self.policy_hidden_sizes)
        positive = {
            "hidden sizes": min(sizes, default=1),
            "num_critics": self.num_critics,
            "learning_rate": self.learning_rate,
            "policy_delay": self.policy_delay,
            "reward_scale": self.reward_scale,
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "horizon": self.horizon,
            "renorm_epsilon": self.renorm_epsilon,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"CrossQ's {name} must be above 0, not {value}.")

    def _check_fractions(self) -> None:
        """Raises ValueError if a number that must lie in [0, 1] does not."""
        fractions = {
            "adam_b1": self.adam_b1,
            "adam_b2": self.adam_b2,
            "discount": self.discount,
            "exploration": self.exploration,
            "renorm_momentum": self.renorm_momentum,
        }
        for name, value in fractions.items():
            if not 0 <= value <= 1:
                raise ValueError(f"CrossQ's {name} must lie in [0, 1], not {value}.")
        if self.adam_b1 == 1 or self.adam_b2 == 1:
            raise ValueError("CrossQ's adam_b1 and adam_b2 must be below 1.")


# The mean of the critics, because their minimum underestimates values if there are few actions. No entropy in
# the targets, because discrete soft critics fail with it (arXiv 2209.10081, 2509.09838). The temperature
# falls to almost 0, because a policy that is paid for its entropy is not a best response.
_DISCRETE = CrossQConfig(
    q_reduction="mean",
    critic_entropy=False,
    temperature=0.1,
    learn_temperature=False,
    final_temperature=0.001,
    exploration=0.1,
)

PRESETS: dict[str, CrossQConfig] = {
    # Continuous control on CPUs.
    "default": CrossQConfig(),
    # The width in Bhatt et al. 2024.
    "paper": CrossQConfig(critic_hidden_sizes=(2048, 2048)),
    # The width in the JAX and PyTorch ports (sbx-rl, sb3-contrib).
    "sbx": CrossQConfig(critic_hidden_sizes=(1024, 1024)),
    # Environments with discrete actions.
    "discrete": _DISCRETE,
    # Best responses in games. Inputs are not normalised: information states are one-hot or nearly constant,
    # and a normalisation would blow up their rare entries.
    "games": dataclasses.replace(
        _DISCRETE, critic_hidden_sizes=(64, 64), policy_hidden_sizes=(64, 64), normalise_inputs=False
    ),
}
