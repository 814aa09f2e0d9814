"""NeuPL-JPSRO's loop: populations that are replaced as they grow, and their figures."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest

from acme_psro.games.tree import GameTree
from acme_psro.meta_game.exact import ExactMetaGame, exact_payoffs
from acme_psro.oracles import exact
from acme_psro.oracles.base import BestResponseTask, Response
from acme_psro.policies.tabular import Policy, make_policy
from acme_psro.psro import loop, neupl_joint
from acme_psro.solvers import get_solver


@pytest.fixture(scope="module")
def tree(compiled: Any) -> GameTree:
    return compiled("kuhn_poker(players=3)")


def blurred(tree: GameTree, player: int, policy: Policy, share: float) -> Policy:
    """Returns a policy with a share of uniform play."""
    uniform = tree.uniform_policy()[tree.infosets_of(player)]
    return make_policy(tree, player, (1 - share) * policy.table + share * uniform)


def test_changed_members_take_their_places_and_payoffs_follow(tree: GameTree) -> None:
    meta_game = ExactMetaGame(tree)
    jpsro = neupl_joint.make_loop(tree, meta_game, get_solver("max_gini_cce"))
    best = exact.make_oracle(tree)

    def respond(key: np.ndarray, tasks: list[BestResponseTask]) -> list[Response]:
        answers = []
        for task, each in zip(tasks, best(key, tasks), strict=True):
            old = [blurred(tree, task.player, own, 0.1) for own in task.populations[task.player]]
            new = [each.policy] if each.policy is not None else []
            metrics = {"kept_kl": 0.1 * task.player, "distillation_kl": 1.0 - task.player}
            answers.append(dataclasses.replace(each, others=(*old, *new), metrics=metrics))
        return answers

    parts: Any = {"oracle": respond, "meta_game": meta_game, "loop": jpsro}
    state = loop.initialise(meta_game, jpsro)
    assert math.isnan(state.figures["kept_drift"]) and math.isnan(state.figures["distillation_gap"])
    states = [state, *loop.run(state, 0, 3, converged=lambda _: False, **parts)]
    for before, after in itertools.pairwise(states):
        np.testing.assert_allclose(after.payoffs, exact_payoffs(tree, after.populations), atol=1e-12)
        earlier = (slice(None), *(slice(len(own)) for own in before.populations))
        drift = np.abs(after.payoffs[earlier] - before.payoffs).max()
        assert after.figures["kept_drift"] == pytest.approx(drift)
        assert after.figures["kept_kl"] == pytest.approx(0.2) and after.figures["distillation_kl"] == 1.0
        assert loop.has_changed(before, after, jpsro, lambda _, __: True)
    assert states[2].figures["kept_drift"] > 1e-3
    assert not loop.has_changed(states[2], states[2], jpsro, lambda _, __: True)


def test_policies_that_play_alike_count_once(tree: GameTree) -> None:
    rows = tree.infosets_of(0)
    uniform = make_policy(tree, 0, tree.uniform_policy()[rows])
    pure = make_policy(tree, 0, np.eye(tree.num_actions)[tree.legal_actions[rows].argmax(axis=1)])
    nearly = blurred(tree, 0, pure, 1e-5)
    assert neupl_joint.count_different((uniform,)) == 1
    assert neupl_joint.count_different((uniform, pure, nearly, uniform)) == 2
    assert neupl_joint.count_different((uniform, pure, blurred(tree, 0, pure, 0.3))) == 3
