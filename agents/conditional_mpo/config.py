"""Configuration of conditional MPO, and the named ones."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class ConditionalMPOConfig:
    """MPO (Abdolmaleki et al. 2018a, 2018b) or V-MPO (Song et al. 2019): one network, maybe many policies.

    Defaults are those of Acme's MPO for continuous control, but for the width of the networks, the learning
    rate and the number of actions sampled for a value, which suit two CPU cores. They are for millions of
    steps; `PRESETS` names others, which builders and launchers take where they are given none.

    Attributes:
      policy_hidden_sizes: widths of the policy's hidden layers.
      critic_hidden_sizes: widths of the critic's hidden layers; of the state value's where `on_policy`.
      rectified: whether hidden layers are all normalised and rectified; else they are Acme's for control, the
        first normalised and squashed, and none after it.
      num_members: members told apart by a learned embedding of their index; 0: no index in the context.
      embedding_size: numbers that a member's index becomes.
      mixture_size: numbers of a mixture (a row of an interaction graph) in the context; 0: none.
      duals_per_member: whether every member has temperatures and multipliers of its own.
      epsilon: bound of the E-step, in nats.
      epsilon_penalty: bound of the E-step that pays for actions out of bounds.
      epsilon_mean: bound of the KL of the means; of each dimension's where `per_dimension`.
      epsilon_deviation: bound of the KL of the deviations, likewise.
      epsilon_policy: bound of the KL of discrete policies.
      temperature: what the E-step's temperature begins with, in units of scaled reward.
      penalty_temperature: that of the penalty, in units of action.
      alpha_mean: what the multiplier of `epsilon_mean` begins with.
      alpha_deviation: that of `epsilon_deviation`.
      alpha_policy: that of `epsilon_policy`.
      per_dimension: whether every number of a continuous action has constraints of its own.
      action_penalty: whether continuous actions out of bounds are paid for (Abdolmaleki et al. 2020).
      num_samples: continuous actions sampled from the target policy for an E-step.
      num_value_samples: those sampled for the value of what follows.
      learning_rate: of Adam, for policy and critic.
      final_learning_rate: what it falls to, linearly, over `horizon` updates.
      dual_learning_rate: of Adam, for temperatures and multipliers.
      horizon: updates over which learning rates fall; every optimiser counts its own.
      adam_b1: momentum of Adam.
      adam_b2: decay of Adam's second moment.
      policy_delay: critic updates for one update of policy, temperatures and multipliers.
      max_gradient_norm: longer gradients are shortened to it.
      target_policy_period: gradient steps between copies of the policy to its target.
      target_critic_period: gradient steps between copies of the critic to its target.
      discount: multiplies the environment's own discount.
      reward_scale: multiplies rewards; values and temperatures are in units of what comes out.
      exploration: probability of a uniform (legal) action when acting to learn; 0 where `on_policy`.
      retrace: whether targets are corrected returns over several steps (Munos et al. 2016).
      retrace_lambda: their decay.
      num_atoms: 1: the critic gives a number. More: probabilities of so many returns, evenly spaced.
      value_min: the lowest of them.
      value_max: the highest of them.
      on_policy: V-MPO: advantages of a state value, no action values.
      top_fraction: share of the best advantages of a batch that V-MPO learns from.
      init_deviation: of a policy of continuous actions at first, in units of [-1, 1].
      min_deviation: the least one.
    """

    policy_hidden_sizes: tuple[int, ...] = (256, 256)
    critic_hidden_sizes: tuple[int, ...] = (256, 256)
    rectified: bool = False
    num_members: int = 0
    embedding_size: int = 64
    mixture_size: int = 0
    duals_per_member: bool = False
    epsilon: float = 0.1
    epsilon_penalty: float = 0.001
    epsilon_mean: float = 0.0025
    epsilon_deviation: float = 1e-6
    epsilon_policy: float = 0.0025
    temperature: float = 10.0
    penalty_temperature: float = 10.0
    alpha_mean: float = 10.0
    alpha_deviation: float = 1000.0
    alpha_policy: float = 10.0
    per_dimension: bool = True
    action_penalty: bool = True
    num_samples: int = 20
    num_value_samples: int = 4
    learning_rate: float = 3e-4
    final_learning_rate: float = 3e-4
    dual_learning_rate: float = 1e-2
    horizon: int = 1000
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    policy_delay: int = 1
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


# Information states are few and their values exact in the end: small networks, long steps that grow short,
# and bounds that let a policy become deterministic within a thousand updates, so that much of what is tried
# must not depend on it. Rewards lie in [-1, 1].
_GAMES = ConditionalMPOConfig(
    policy_hidden_sizes=(64, 64),
    critic_hidden_sizes=(64, 64),
    # Values jump from one information state to the next. Late in PSRO on Leduc smooth layers leave a median
    # gap of 11 %, these of 2 %.
    rectified=True,
    learning_rate=0.01,
    final_learning_rate=1e-4,
    temperature=0.3,
    alpha_policy=1.0,
    epsilon=0.3,
    epsilon_policy=0.03,
    target_policy_period=20,
    target_critic_period=20,
    exploration=0.4,
)

# What decides how much is learned from tens of thousands of steps is how far a policy goes from one target
# policy to the next. A greedier E-step and wider bounds let it go; the weights of a penalty, nearly alike,
# would hold it half way to where it was.
_CONTROL = ConditionalMPOConfig(
    rectified=True,
    learning_rate=1e-3,
    final_learning_rate=1e-3,
    policy_delay=3,
    epsilon=0.3,
    epsilon_mean=0.03,
    epsilon_deviation=1e-4,
    alpha_mean=1.0,
    alpha_deviation=30.0,
    action_penalty=False,
)

PRESETS: dict[str, ConditionalMPOConfig] = {
    # Continuous control on a CPU.
    "default": _CONTROL,
    # Acme's numbers.
    "acme": ConditionalMPOConfig(),
    # Best responses in games.
    "games": _GAMES,
    # Continuous control. A policy that learns from nothing but its own fresh actions can move further in a
    # step, and its duals begin where they bind little: bounds and first values as in JORLDY's V-MPO for
    # Hopper, but for the E-step's bound, which is Acme's.
    "vmpo": ConditionalMPOConfig(
        on_policy=True,
        epsilon_mean=0.01,
        epsilon_deviation=5e-5,
        temperature=1.0,
        alpha_mean=1.0,
        alpha_deviation=1.0,
    ),
    # Games. First values likewise; data is as old as the target policy, so that is renewed more often.
    "vmpo_games": dataclasses.replace(
        _GAMES, on_policy=True, exploration=0.0, temperature=1.0, target_policy_period=10
    ),
}
