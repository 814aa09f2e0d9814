"""Restricted games of random policies."""

from __future__ import annotations

import numpy as np

from acme_psro.games.tree import GameTree


def random_choices(tree: GameTree, policies: int, seed: int) -> np.ndarray:
    """Returns the actions that some of several random pure policies take, `[I, A]` bool."""
    rng = np.random.default_rng(seed)
    allowed = np.zeros(tree.legal_actions.shape, bool)
    for _ in range(policies):
        preference = np.where(tree.legal_actions, rng.random(allowed.shape), -1.0)
        allowed[np.arange(len(allowed)), preference.argmax(axis=1)] = True
    return allowed
