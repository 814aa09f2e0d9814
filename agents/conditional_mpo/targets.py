"""What critics learn: Retrace over several decisions, and projected distributions of returns.

Dimensions: `B` decisions, `Z` atoms.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.conditional_mpo.config import ConditionalMPOConfig


def retrace(
    q_taken: jax.Array,
    next_value: jax.Array,
    reward: jax.Array,
    discount: jax.Array,
    log_ratio: jax.Array,
    continues: jax.Array,
    lam: float,
) -> jax.Array:
    """Retrace's targets `[B]` (Munos et al. 2016, equation 4).

    Args:
      q_taken: `[B]`, values of the actions taken.
      next_value: `[B]`, expected values at the next observations.
      reward: `[B]`.
      discount: `[B]`, the agent's included.
      log_ratio: `[B]`, log probability of the action by the policy less that by which it was taken.
      continues: `[B]` bool, whether row b + 1 is the decision that followed row b.
      lam: decay of the traces.
    """
    trace = lam * jnp.minimum(1.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    following = jnp.concatenate([continues[:-1], jnp.zeros(1, bool)])
    decay = jnp.where(following, discount * jnp.roll(trace, -1), 0.0)
    # G_b = start_b + decay_b * (G_{b+1} - Q_{b+1}): a linear recurrence from the back.
    start = reward + discount * next_value - decay * jnp.where(following, jnp.roll(q_taken, -1), 0.0)

    def join(later: tuple, earlier: tuple) -> tuple:
        return earlier[0] * later[0], earlier[1] + earlier[0] * later[1]

    _, target = jax.lax.associative_scan(join, (decay, start), reverse=True)
    return target


def atoms(config: ConditionalMPOConfig) -> jax.Array:
    """`[Z]`, the returns that a categorical critic tells apart."""
    return jnp.linspace(config.value_min, config.value_max, config.num_atoms)


def expectation(logits: jax.Array, atoms: jax.Array) -> jax.Array:
    """`[..]` of distributions `[.., Z]`."""
    return jnp.sum(jax.nn.softmax(logits) * atoms, axis=-1)


def project(probs: jax.Array, atoms: jax.Array, reward: jax.Array, discount: jax.Array) -> jax.Array:
    """Distributions `[B, Z]` of `reward + discount * return`, on the same atoms (Bellemare et al. 2017).

    Each shifted atom's probability is shared by its two neighbours, so that means stay where they were;
    beyond the range it goes to the end.
    """
    shifted = jnp.clip(reward[:, None] + discount[:, None] * atoms, atoms[0], atoms[-1])
    gap = atoms[1] - atoms[0]
    nearness = jnp.clip(1.0 - jnp.abs(shifted[:, :, None] - atoms) / gap, 0.0, 1.0)
    return jnp.einsum("bz,bzy->by", probs, nearness)
