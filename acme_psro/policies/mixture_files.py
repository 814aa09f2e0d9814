"""Mixture directories: the opponents of a best response, as files.

    mixture.json                  the game, the meta-strategy and every file's digest; written last
    policies/player_P_KKKKK.npz   policy K of player P (see `acme_psro.policies.stored`)

Policies are drawn once an episode: independently, by each player's marginal, or together, by one joint
distribution over profiles (as a correlated equilibrium is). A learner may ask for *trembles*, a share of
episodes in which all policies are drawn uniformly, so that it also sees what the meta-strategy never reaches.

Dimensions: `P` players, `n_p` policies of player p, `K` profiles, `n` episodes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acme_psro.games.batched import BatchPolicy, Opponents
from acme_psro.games.graph import GameGraph
from acme_psro.games.identity import content_digest, name_game
from acme_psro.games.tree import GameTree
from acme_psro.policies import stored
from acme_psro.policies.decoders import Decoder, decode, from_graph_policy, from_tree_policy
from acme_psro.policies.meta_strategy import (
    Draw,
    MixtureError,
    PopulationStrategy,
    ProductStrategy,
    check_meta_strategy,
    drawn_policies,
    make_draw,
    meta_strategy_from_json,
    meta_strategy_to_json,
)
from acme_psro.policies.on_graph import GraphPopulation
from acme_psro.policies.stored import PolicyFile, StoredPolicy
from acme_psro.policies.tabular import Population
from acme_psro.system.files import write_atomically

_VERSION = 1
_FILE = "mixture.json"


class Mixture(NamedTuple):
    """Policies and how often they are drawn.

    Attributes:
      game: the game's name, see `acme_psro.games.identity`.
      policies: `[P][n_p]`; None if a policy is never drawn. The player who responds to the others may have no
        policies, `()`; the index that is drawn for it is then meaningless.
      meta_strategy: how often each policy is drawn.
      trembles: share of a learner's episodes in which every policy is drawn with the same probability.
    """

    game: str
    policies: tuple[tuple[StoredPolicy | None, ...], ...]
    meta_strategy: PopulationStrategy
    trembles: float = 0.0


def exists(directory: Path) -> bool:
    """Returns True if there is one."""
    return (Path(directory) / _FILE).is_file()


def remove(directory: Path) -> None:
    """Removes a mixture, if there is one; if interrupted, no readable mixture is left."""
    if Path(directory).is_dir():
        (Path(directory) / _FILE).unlink(missing_ok=True)
        shutil.rmtree(directory)


def write(directory: Path, mixture: Mixture) -> None:
    """Writes a mixture, making the directory; a reader sees the old one, the new one, or an error.

    Only policies with weight are written, or all if there are trembles.

    Raises:
      MixtureError: the weights are not distributions, trembles are no share, or a policy is missing.
      StoredPolicyError: a policy that cannot be stored, or of another game or another player.
    """
    directory = Path(directory)
    sizes = [len(policies) for policies in mixture.policies]
    meta_strategy = check_meta_strategy(mixture.meta_strategy, sizes)
    # Negated comparisons also catch NaN.
    if not 0 <= mixture.trembles <= 1:
        raise MixtureError(f"trembles must lie in [0, 1], not {mixture.trembles}.")
    (directory / "policies").mkdir(parents=True, exist_ok=True)
    (directory / _FILE).unlink(missing_ok=True)
    digests = {}
    for player, index in _drawn(meta_strategy, mixture.policies, mixture.trembles):
        policy = mixture.policies[player][index]
        if policy is None:
            raise MixtureError(f"policy {index} of player {player} has weight and is missing: give it.")
        stored.check_fits(policy, mixture.game, player, f"policy {index} of player {player}")
        path = _path(directory, player, index)
        stored.write(path, policy)
        digests[path.name] = _digest(path.read_bytes())
    data = {
        "version": _VERSION,
        "game": mixture.game,
        "content": content_digest(mixture.game),
        "players": len(mixture.policies),
        "populations": sizes,
        "weights": meta_strategy_to_json(meta_strategy),
        "files": digests,
    }
    # Without trembles the file is the one that earlier versions wrote, and read.
    if mixture.trembles:
        data["trembles"] = mixture.trembles
    data["sha256"] = _digest(_canonical(data))
    write_atomically(directory / _FILE, json.dumps(data, indent=1) + "\n")


def load(directory: Path) -> Mixture:
    """Reads a mixture; policies without weight are None unless there are trembles.

    Raises:
      MixtureError: there is none, or it was truncated or altered.
      StoredPolicyError: a policy is missing, or was truncated or altered.
    """
    directory = Path(directory)
    data = _read_json(directory)
    # Mixtures of earlier versions did not record the content.
    if "content" in data and data["content"] != content_digest(data["game"]):
        raise MixtureError(
            f"{data['game']} has changed since the mixture in {directory} was written: restore it."
        )
    sizes = data["populations"]
    meta_strategy = check_meta_strategy(meta_strategy_from_json(data["weights"]), sizes)
    trembles = data.get("trembles", 0.0)
    policies: list[list[StoredPolicy | None]] = [[None] * size for size in sizes]
    for player, index in _drawn(meta_strategy, policies, trembles):
        path = _path(directory, player, index)
        policy = stored.read(path)
        stored.check_fits(policy, data["game"], player, str(path))
        if _digest(path.read_bytes()) != data["files"].get(path.name):
            raise MixtureError(f"{path} is not the policy that the mixture was written with: write it again.")
        policies[player][index] = policy
    return Mixture(data["game"], tuple(map(tuple, policies)), meta_strategy, trembles)


def read(
    directory: Path, decoders: Mapping[str, Decoder], game: str | None = None, *, trembling: bool = False
) -> Opponents:
    """Reads a mixture as opponents: batch policies, and how they are drawn.

    Args:
      directory: the directory that `write` made.
      decoders: decoders by kind of policy.
      game: the game that the mixture must play, as `load_game` takes it; None: any game.
      trembling: True to draw with the mixture's trembles, as only a learner does.

    Returns:
      Opponents whose policies without weight raise a MixtureError when they are to play.

    Raises:
      MixtureError, StoredPolicyError: see `load`; or a policy that no decoder takes, or another game.
    """
    mixture = load(directory)
    expected = mixture.game if game is None else name_game(game)
    if mixture.game != expected:
        raise MixtureError(
            f"the mixture in {directory} plays {mixture.game}, not {expected}: choose another."
        )
    return opponents_of(mixture, decoders, trembling=trembling)


def opponents_of(mixture: Mixture, decoders: Mapping[str, Decoder], *, trembling: bool = False) -> Opponents:
    """Returns a mixture as opponents, see `read`.

    Raises:
      StoredPolicyError: a policy that no decoder takes.
    """
    trembles = mixture.trembles if trembling else 0.0
    decoded: list[list[BatchPolicy]] = [[_never] * len(own) for own in mixture.policies]
    has_networks = False
    for player, index in _drawn(mixture.meta_strategy, mixture.policies, trembles):
        if (policy := mixture.policies[player][index]) is not None:
            decoded[player][index] = decode(policy, decoders)
            has_networks |= policy.about["kind"] == "network"
    policies = tuple(map(tuple, decoded))
    if has_networks:
        # It imports JAX, which tables do without.
        from acme_psro.policies import joint_networks

        for own in policies:
            joint_networks.join(own)
    draw = make_draw(mixture.meta_strategy)
    return Opponents(policies, _add_trembles(draw, policies, trembles) if trembles else draw)


def _drawn(
    meta_strategy: PopulationStrategy, policies: Sequence[Sequence[Any]], trembles: float
) -> list[tuple[int, int]]:
    """Returns (player, index) of every policy that may be drawn."""
    if trembles:
        return [(player, index) for player, own in enumerate(policies) for index in range(len(own))]
    return drawn_policies(meta_strategy, policies)


def _add_trembles(draw: Draw, policies: Sequence[Sequence[Any]], trembles: float) -> Draw:
    """Returns a draw that takes uniformly drawn policies, of all players at once, in a share of episodes."""
    uniform = make_draw(ProductStrategy(tuple(np.full(len(own), 1 / max(1, len(own))) for own in policies)))

    def draw_trembling(rng: np.random.Generator, n: int) -> np.ndarray:
        usual, other = draw(rng, n), uniform(rng, n)
        return np.where(rng.random((n, 1)) < trembles, other, usual)

    return draw_trembling


def of_populations(
    game: str, populations: Sequence[Sequence[PolicyFile]], meta_strategy: PopulationStrategy
) -> Mixture:
    """Reads the mixture of populations; policies without weight are not read.

    Raises:
      StoredPolicyError: a file is missing, or was truncated or altered.
    """
    return _of_drawn(
        game, populations, meta_strategy, lambda player, index: stored.read(populations[player][index].path)
    )


def of_graph(
    graph: GameGraph, populations: Sequence[GraphPopulation], meta_strategy: PopulationStrategy
) -> Mixture:
    """Returns the mixture of populations on a graph; policies without weight are left out."""

    def to_stored(player: int, index: int) -> StoredPolicy:
        return from_graph_policy(graph, player, populations[player][index].table)

    return _of_drawn(graph.game_string, populations, meta_strategy, to_stored)


def of_tree(tree: GameTree, populations: Sequence[Population], meta_strategy: PopulationStrategy) -> Mixture:
    """Returns the mixture of populations on a tree; policies without weight are left out."""

    def to_stored(player: int, index: int) -> StoredPolicy:
        return from_tree_policy(tree, player, populations[player][index])

    return _of_drawn(tree.game_string, populations, meta_strategy, to_stored)


def _of_drawn(
    game: str,
    populations: Sequence[Sequence[Any]],
    meta_strategy: PopulationStrategy,
    to_stored: Callable[[int, int], StoredPolicy],
) -> Mixture:
    """Returns the mixture of those policies that are drawn, each made by (player, index) -> policy."""
    policies: list[list[StoredPolicy | None]] = [[None] * len(population) for population in populations]
    for player, index in drawn_policies(meta_strategy, populations):
        policies[player][index] = to_stored(player, index)
    return Mixture(game, tuple(map(tuple, policies)), meta_strategy)


def _never(states: Sequence[Any], player: int) -> np.ndarray:
    raise MixtureError(f"a policy of player {player} that has no weight in the mixture was to play.")


def _read_json(directory: Path) -> dict[str, Any]:
    path = directory / _FILE
    try:
        text = path.read_bytes()
    except OSError:
        raise MixtureError(f"there is no mixture in {directory} (no {_FILE}).") from None
    try:
        data = json.loads(text)
        intact = data.pop("sha256") == _digest(_canonical(data))
    except (ValueError, KeyError, AttributeError, TypeError):
        intact = False
    if not intact:
        raise MixtureError(f"{path} was truncated or altered: write the mixture again.")
    if data["version"] != _VERSION:
        raise MixtureError(f"{path} has version {data['version']}; this program reads {_VERSION}.")
    return data


def _path(directory: Path, player: int, index: int) -> Path:
    return directory / "policies" / f"player_{player}_{index:05d}.npz"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(data: dict[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True).encode()
