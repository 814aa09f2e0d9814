"""Configuration of conditional MPO."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class ConditionalMPOConfig:
    """Configuration of MPO (Abdolmaleki et al. 2018a, 2018b) and of V-MPO (Song et al. 2019).

    The defaults are for continuous control within tens of thousands of steps on a CPU. The presets in
    `agents.conditional_mpo.presets` are further configurations, among them Acme's numbers.

    The amount that is learned from tens of thousands of steps depends on how far the policy moves between two
    copies to its target. The defaults therefore have a greedier E-step and wider bounds than Acme's. They
    have no penalty of actions out of bounds, because its nearly uniform weights would hold the policy back.

    Attributes:
      policy_hidden_sizes: widths of the policy's hidden layers.
      critic_hidden_sizes: widths of the critic's hidden layers; of the state value's if `on_policy`.
      rectified: whether every hidden layer has layer norm and ReLU. If not, layers are those of Acme's
        networks for control: the first has layer norm and tanh, the others have ELU alone.
      num_members: number of members, each of which has a learned embedding of its index; 0: the context has
        no index.
      embedding_size: size of a member's embedding.
      mixture_size: size of the mixture (a row of an interaction graph) in the context; 0: no mixture.
      duals_per_member: whether every member has its own temperatures and Lagrange multipliers.
      epsilon: bound of the E-step's KL, in nats.
      epsilon_penalty: bound of the KL of the E-step that penalises actions out of bounds, in nats.
      epsilon_mean: bound of the KL of the means, in nats; of each dimension's if `per_dimension`.
      epsilon_deviation: bound of the KL of the deviations, likewise.
      epsilon_policy: bound of the KL of discrete policies, in nats.
      temperature: first value of the E-step's temperature, in units of scaled reward.
      penalty_temperature: first value of the penalty's temperature, in units of action.
      alpha_mean: first value of the Lagrange multiplier of `epsilon_mean`.
      alpha_deviation: first value of the Lagrange multiplier of `epsilon_deviation`.
      alpha_policy: first value of the Lagrange multiplier of `epsilon_policy`.
      per_dimension: whether every dimension of a continuous action has its own constraints.
      action_penalty: whether continuous actions out of bounds are penalised (Abdolmaleki et al. 2020).
      num_samples: number of continuous actions sampled from the target policy for an E-step.
      num_value_samples: number of continuous actions sampled to estimate the value of the next observation.
      learning_rate: Adam's first learning rate, for policy and critic.
      final_learning_rate: Adam's learning rate after `horizon` updates, reached linearly.
      dual_learning_rate: Adam's learning rate for temperatures and multipliers.
      horizon: number of updates over which learning rates fall; every optimiser counts its own. With a
        `policy_delay` above 1, the policy's has fallen by a fraction `1 / policy_delay` of the way only after
        `horizon` gradient steps.
      adam_b1: decay rate of Adam's first moment.
      adam_b2: decay rate of Adam's second moment.
      policy_delay: number of critic updates for one update of policy, temperatures and multipliers.
      max_gradient_norm: largest norm of a gradient; longer gradients are scaled down to it.
      target_policy_period: number of gradient steps between copies of the policy to its target.
      target_critic_period: number of gradient steps between copies of the critic to its target.
      discount: factor on the environment's own discount.
      reward_scale: factor on rewards; values and temperatures are in units of the scaled reward.
      exploration: probability of a uniform (legal) action while learning; 0 if `on_policy`.
      retrace: whether the critic's targets are Retrace's corrected returns (Munos et al. 2016).
      retrace_lambda: decay of Retrace's traces.
      num_atoms: 1: the critic's output is a value. More: it is a distribution over this number of evenly
        spaced returns.
      value_min: lowest of these returns.
      value_max: highest of these returns.
      on_policy: whether the agent is V-MPO, which learns from advantages of a state value instead of action
        values.
      top_fraction: share of a batch's decisions, those with the best advantages, that V-MPO learns from.
      init_deviation: first standard deviation of a policy of continuous actions, in units of [-1, 1].
      min_deviation: least standard deviation, in the same units.
    """

    policy_hidden_sizes: tuple[int, ...] = (256, 256)
    critic_hidden_sizes: tuple[int, ...] = (256, 256)
    rectified: bool = True
    num_members: int = 0
    embedding_size: int = 64
    mixture_size: int = 0
    duals_per_member: bool = False
    epsilon: float = 0.3
    epsilon_penalty: float = 0.001
    epsilon_mean: float = 0.03
    epsilon_deviation: float = 1e-4
    epsilon_policy: float = 0.0025
    temperature: float = 10.0
    penalty_temperature: float = 10.0
    alpha_mean: float = 1.0
    alpha_deviation: float = 30.0
    alpha_policy: float = 10.0
    per_dimension: bool = True
    action_penalty: bool = False
    num_samples: int = 20
    num_value_samples: int = 4
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-3
    dual_learning_rate: float = 1e-2
    horizon: int = 1000
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    policy_delay: int = 3
    max_gradient_norm: float = 40.0
    target_policy_period: int = 100
    target_critic_period: int = 100
    discount: float = 0.99
    reward_scale: float = 1.0
    exploration: float = 0.0
    retrace: bool = False
    retrace_lambda: float = 0.95
    num_atoms: int = 1
    value_min: float = -1.0
    value_max: float = 1.0
    on_policy: bool = False
    top_fraction: float = 0.5
    init_deviation: float = 0.7
    min_deviation: float = 1e-6

    def __post_init__(self) -> None:
        self._check_signs()
        self._check_fractions()
        self._check_conditioning()
        self._check_values()
        if self.on_policy and self.exploration > 0:
            raise ValueError(
                "V-MPO learns from actions of its own policy alone: "
                f"exploration must be 0, not {self.exploration}."
            )

    @property
    def context_size(self) -> int:
        """Numbers in a context: the member's index if there is one, then the mixture."""
        return int(self.num_members > 0) + self.mixture_size

    def _check_signs(self) -> None:
        sizes = (*self.policy_hidden_sizes, *self.critic_hidden_sizes)
        _check_positive("hidden sizes", min(sizes, default=1))
        for name in _POSITIVE:
            _check_positive(name, getattr(self, name))
        if not self.final_learning_rate >= 0:
            raise ValueError("conditional MPO's final_learning_rate must not be negative.")

    def _check_fractions(self) -> None:
        for name in ("adam_b1", "adam_b2", "discount", "exploration", "retrace_lambda", "top_fraction"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"conditional MPO's {name} must lie in [0, 1], not {value}.")
        if self.adam_b1 == 1 or self.adam_b2 == 1:
            raise ValueError("conditional MPO's adam_b1 and adam_b2 must be below 1.")
        if self.top_fraction == 0:
            raise ValueError("conditional MPO's top_fraction must be above 0: nothing would be learnt from.")

    def _check_conditioning(self) -> None:
        for name in ("num_members", "mixture_size"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"conditional MPO's {name} must not be negative, but is {value}.")
        if self.duals_per_member and self.num_members == 0:
            raise ValueError("duals_per_member needs members: set num_members above 0.")

    def _check_values(self) -> None:
        if not -math.inf < self.value_min < self.value_max < math.inf:
            raise ValueError(
                f"conditional MPO's value_min {self.value_min} must be below its value_max {self.value_max}, "
                "and both finite."
            )
        if self.num_atoms > 1 and self.retrace:
            raise ValueError(
                "retrace corrects expected returns, not distributions of them: use it with num_atoms 1, "
                f"not {self.num_atoms}."
            )
        if self.retrace and self.on_policy:
            raise ValueError(
                "V-MPO has no action values for Retrace to correct: set retrace=False, and look further "
                "ahead by the replay's n_step."
            )
        if self.num_atoms > 1 and self.on_policy:
            raise ValueError(f"V-MPO's value is a single number: num_atoms must be 1, not {self.num_atoms}.")


_POSITIVE = (
    "embedding_size",
    "epsilon",
    "epsilon_penalty",
    "epsilon_mean",
    "epsilon_deviation",
    "epsilon_policy",
    "temperature",
    "penalty_temperature",
    "alpha_mean",
    "alpha_deviation",
    "alpha_policy",
    "num_samples",
    "num_value_samples",
    "learning_rate",
    "dual_learning_rate",
    "horizon",
    "policy_delay",
    "max_gradient_norm",
    "target_policy_period",
    "target_critic_period",
    "reward_scale",
    "num_atoms",
    "init_deviation",
    "min_deviation",
)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"conditional MPO's {name} must be above 0, not {value}.")
