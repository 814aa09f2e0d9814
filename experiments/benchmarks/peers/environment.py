"""A separate virtual environment for sbx-rl, which has the CrossQ that ours is compared with.

sbx-rl needs newer versions of JAX and NumPy than the Acme layer supports, so both cannot be installed in one
environment. Nothing of sbx-rl is imported here: its interpreter runs modules of
`experiments.benchmarks.peers.scripts`, which answer in lines of JSON. The environment is created if it is
missing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from acme_psro.games import cache
from acme_psro.system.files import write_atomically

ROOT = Path(__file__).resolve().parents[3]
TORCH = "torch==2.13.0"
# These versions were tested together. tfp-nightly, which sbx-rl requires, is not pinned because old nightly
# builds are removed.
REQUIREMENTS = (
    "sbx-rl==0.28.0",
    "stable_baselines3==2.9.2",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "flax==0.12.8",
    "optax==0.2.8",
    "numpy==2.4.6",
    "gymnasium[mujoco]==1.4.0",
    # The same versions as on our side, so that the physics are the same.
    "dm_control==1.0.50",
    "mujoco==3.17.0",
)
_PYTHONS = ("3.11", "3.12", "3.13")
_MARKER = ".complete"

flags.DEFINE_string(
    "peer_directory", None, "Directory in which sbx-rl is installed; by default in acme_psro's cache."
)
flags.DEFINE_string(
    "peer_torch",
    TORCH,
    "The torch that is installed for sbx-rl's replay buffer. If pip would install CUDA with it, name a build "
    "for the CPU here, and its index in pip's own configuration.",
)


def default_directory() -> Path:
    """Returns the default directory of the environment, next to the cache of compiled games."""
    return cache.directory() / "peers" / "sbx"


def from_flags() -> Path:
    """Returns the interpreter of the environment that the flags describe; see `interpreter`."""
    directory = Path(flags.FLAGS.peer_directory) if flags.FLAGS.peer_directory else default_directory()
    return interpreter(directory, flags.FLAGS.peer_torch)


def interpreter(directory: Path, torch: str) -> Path:
    """Returns the Python of the environment in `directory`, which is created if missing or incomplete.

    Args:
      directory: directory of the virtual environment.
      torch: pip requirement for torch, installed before the others.

    Raises:
      ValueError: no suitable Python was found, the installation failed, or the directory has other content.
      OSError: the directory cannot be written.
    """
    directory = directory.expanduser().absolute()
    python = directory / "bin" / "python"
    directory.parent.mkdir(parents=True, exist_ok=True)
    # If two benchmarks start at the same time, one installs and the other waits.
    with open(directory.with_name(f"{directory.name}.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_complete(directory, torch):
            _make(directory, torch)
    return python


def is_complete(directory: Path, torch: str) -> bool:
    """Returns True if the installation was completed with the current requirements."""
    try:
        return json.loads((directory / _MARKER).read_text(encoding="utf-8")) == [torch, *REQUIREMENTS]
    except (OSError, ValueError):
        return False


def _make(directory: Path, torch: str) -> None:
    """Creates the environment and marks it as complete at the end."""
    if directory.exists():
        if any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
            raise ValueError(f"{directory} holds something else: name an empty --peer_directory.")
        shutil.rmtree(directory)
    print(f"installing sbx-rl into {directory} (minutes, about 2 GB)", file=sys.stderr, flush=True)
    _run([str(_find_python()), "-m", "venv", str(directory)], directory)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pip.append("--disable-pip-version-check")
    # Torch is installed first; as a dependency of sbx-rl it would be the newest version, with CUDA.
    _run([*pip, torch], directory)
    _run([*pip, torch, *REQUIREMENTS], directory)
    write_atomically(directory / _MARKER, json.dumps([torch, *REQUIREMENTS]))


def _find_python() -> Path:
    """Returns a Python interpreter of a version that sbx-rl supports."""
    found = subprocess.run([ROOT / ".ci" / "find_python", *_PYTHONS], capture_output=True, text=True)
    if found.returncode != 0:
        raise ValueError(
            f"sbx-rl needs one of Python {', '.join(_PYTHONS)}, and none was found: install one."
        )
    return Path(found.stdout.strip())


def _run(command: Sequence[str], directory: Path) -> None:
    """Runs a command of the installation and reports its error as a ValueError."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise ValueError(f"sbx-rl cannot be installed into {directory}: {said}")


def environment_for_scripts() -> dict[str, str]:
    """Returns environment variables for a process that runs our modules from any directory, on the CPU.

    The peer's JAX has no accelerator, so both sides run on the CPU.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
