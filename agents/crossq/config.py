"""Configuration of CrossQ."""

from __future__ import annotations

import dataclasses

Q_REDUCTIONS = ("min", "mean")


@dataclasses.dataclass(frozen=True)
class CrossQConfig:
    """CrossQ with discrete actions.

    Numbers of the paper (Bhatt et al. 2024, table 3) unless a comment says why not. Widths are for two CPU
    cores; the paper has critics of 2 x 2048.

    Attributes:
      critic_hidden_sizes: widths of the critics' hidden layers.
      policy_hidden_sizes: widths of the policy's hidden layers.
      num_critics: critics trained side by side.
      learning_rate: of Adam, for critics and policy.
      final_learning_rate: what it falls to, linearly, over `horizon` gradient steps.
      adam_b1: momentum of Adam.
      adam_b2: decay of Adam's second moment.
      policy_delay: critic updates for one policy update.
      discount: multiplies the environment's own discount.
      q_reduction: how critics are combined, "min" or "mean".
      critic_entropy: whether targets pay for entropy.
      temperature: weight of the policy's entropy at first, in units of reward.
      final_temperature: what it falls to, geometrically, over `horizon` gradient steps.
      horizon: gradient steps over which learning rate and temperature fall.
      exploration: probability of a uniform legal action when acting to learn.
      renorm_momentum: of the running statistics.
      renorm_epsilon: added to variances.
      renorm_r_max: bound of the scale correction.
      renorm_d_max: bound of the shift correction.
      renorm_warmup: updates with plain batch statistics before renormalisation begins.
    """

    critic_hidden_sizes: tuple[int, ...] = (64, 64)
    policy_hidden_sizes: tuple[int, ...] = (64, 64)
    num_critics: int = 2
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-3
    adam_b1: float = 0.5
    adam_b2: float = 0.999
    policy_delay: int = 3
    discount: float = 0.99
    # The minimum underestimates where actions are few, and entropy in the target is what makes discrete
    # soft critics fail (arXiv 2209.10081, 2509.09838).
    q_reduction: str = "mean"
    critic_entropy: bool = False
    temperature: float = 0.1
    final_temperature: float = 0.001
    horizon: int = 1000
    exploration: float = 0.1
    renorm_momentum: float = 0.99
    renorm_epsilon: float = 1e-3
    renorm_r_max: float = 3.0
    renorm_d_max: float = 5.0
    renorm_warmup: int = 100_000

    def __post_init__(self) -> None:
        sizes = (*self.critic_hidden_sizes, *self.policy_hidden_sizes)
        positive = {
            "hidden sizes": min(sizes, default=1),
            "num_critics": self.num_critics,
            "learning_rate": self.learning_rate,
            "policy_delay": self.policy_delay,
            "temperature": self.temperature,
            "final_temperature": self.final_temperature,
            "horizon": self.horizon,
            "renorm_epsilon": self.renorm_epsilon,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"CrossQ's {name} must be above 0, not {value}.")
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
        if self.q_reduction not in Q_REDUCTIONS:
            known = ", ".join(Q_REDUCTIONS)
            raise ValueError(f"unknown q_reduction {self.q_reduction!r}: choose from {known}.")
        if not (self.renorm_r_max >= 1 and self.renorm_d_max >= 0 and self.renorm_warmup >= 0):
            raise ValueError("CrossQ needs renorm_r_max >= 1, renorm_d_max >= 0, renorm_warmup >= 0.")
        if self.adam_b1 == 1 or self.adam_b2 == 1:
            raise ValueError("CrossQ's adam_b1 and adam_b2 must be below 1.")
        if not self.final_learning_rate >= 0:
            raise ValueError("CrossQ's final_learning_rate must not be negative.")
