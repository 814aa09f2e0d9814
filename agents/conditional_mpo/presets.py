"""Presets of conditional MPO: for control and for games, off-policy and as V-MPO."""

from __future__ import annotations

import dataclasses

from agents.conditional_mpo.config import ConditionalMPOConfig

# Acme's MPO for continuous control, except for network widths, learning rate and the number of sampled
# values, which suit two CPU cores. These numbers are for millions of steps.
_ACME = ConditionalMPOConfig(
    rectified=False,
    learning_rate=3e-4,
    final_learning_rate=3e-4,
    policy_delay=1,
    epsilon=0.1,
    epsilon_mean=0.0025,
    epsilon_deviation=1e-6,
    alpha_mean=10.0,
    alpha_deviation=1000.0,
    action_penalty=True,
)


# Games have few information states, and their values become exact in the end. So networks are small, and the
# learning rate starts high and falls. Bounds let a policy become deterministic within a thousand updates, so
# much of the exploration must not depend on the policy. Rewards lie in [-1, 1].
_GAMES = dataclasses.replace(
    _ACME,
    policy_hidden_sizes=(64, 64),
    critic_hidden_sizes=(64, 64),
    # Values jump from one information state to the next. Late in PSRO on Leduc, smooth layers leave a median
    # gap of 11 %, and these layers one of 2 %.
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


PRESETS: dict[str, ConditionalMPOConfig] = {
    # Continuous control on a CPU.
    "default": ConditionalMPOConfig(),
    # Continuous control with Acme's numbers.
    "acme": _ACME,
    # Best responses in games.
    "games": _GAMES,
    # Continuous control. A policy that learns only from its own fresh actions can move further in a step, and
    # its duals begin with values that constrain it little. Bounds and first values are those of JORLDY's
    # V-MPO for Hopper, except for the E-step's bound, which is Acme's.
    "vmpo": dataclasses.replace(
        _ACME,
        on_policy=True,
        epsilon_mean=0.01,
        epsilon_deviation=5e-5,
        temperature=1.0,
        alpha_mean=1.0,
        alpha_deviation=1.0,
    ),
    # The same within tens of thousands of steps. The policy learns from so few decisions only if it moves far
    # and often: it is copied to its target every few updates, within wider bounds, and learns faster. With
    # Acme's smooth layers this is unstable.
    "vmpo_short": dataclasses.replace(
        _ACME,
        on_policy=True,
        rectified=True,
        learning_rate=1e-3,
        final_learning_rate=1e-3,
        target_policy_period=5,
        epsilon_mean=0.03,
        epsilon_deviation=1e-3,
        temperature=1.0,
        alpha_mean=1.0,
        alpha_deviation=1.0,
    ),
    # Games, with the same first temperature. Data is as old as the target policy, so the target policy is
    # renewed more often.
    "vmpo_games": dataclasses.replace(
        _GAMES, on_policy=True, exploration=0.0, temperature=1.0, target_policy_period=10
    ),
}
