"""Mixture directories: the opponents of a best response, as files.

mixture.json                  the game, the meta-strategy and every file's digest; written last
policies/player_P_KKKKK.npz   policy K of player P (see `acme_psro.policies.stored`)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acme_psro.games.batch_policies import BatchOpponents
from acme_psro.games.identity import content_digest, name_game
from acme_psro.policies import stored
from acme_psro.policies.decoders import Decoder
from acme_psro.policies.meta_strategy import (
    MixtureError,
    check_meta_strategy,
    meta_strategy_from_json,
    meta_strategy_to_json,
)
from acme_psro.policies.mixtures import Mixture, find_drawable, opponents_of
from acme_psro.policies.stored import StoredPolicy
from acme_psro.system.files import write_atomically
from acme_psro.system.signed_json import read_signed, sign

_VERSION = 1
_FILE = "mixture.json"


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
    for player, index in find_drawable(meta_strategy, mixture.policies, mixture.trembles):
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
    write_atomically(directory / _FILE, json.dumps(sign(data), indent=1) + "\n")


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
    for player, index in find_drawable(meta_strategy, policies, trembles):
        path = _path(directory, player, index)
        policy = stored.read(path)
        stored.check_fits(policy, data["game"], player, str(path))
        if _digest(path.read_bytes()) != data["files"].get(path.name):
            raise MixtureError(f"{path} is not the policy that the mixture was written with: write it again.")
        policies[player][index] = policy
    return Mixture(data["game"], tuple(map(tuple, policies)), meta_strategy, trembles)


def read(
    directory: Path, decoders: Mapping[str, Decoder], game: str | None = None, *, trembling: bool = False
) -> BatchOpponents:
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


def _read_json(directory: Path) -> dict[str, Any]:
    path = directory / _FILE
    try:
        text = path.read_bytes()
    except OSError:
        raise MixtureError(f"there is no mixture in {directory} (no {_FILE}).") from None
    data = read_signed(text)
    if data is None:
        raise MixtureError(f"{path} was truncated or altered: write the mixture again.")
    if data["version"] != _VERSION:
        raise MixtureError(f"{path} has version {data['version']}; this program reads {_VERSION}.")
    return data


def _path(directory: Path, player: int, index: int) -> Path:
    return directory / "policies" / f"player_{player}_{index:05d}.npz"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
