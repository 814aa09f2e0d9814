"""Which accelerators a learner sees, how much of their memory it takes, and how many actors may be beside it.

Light to import: JAX, which takes hold of every accelerator that it sees, is asked in a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from acme_psro.system import cores

_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Where actors wait for each other, more of them are no faster; and each takes half a GiB.
_MOST_ACTORS_PER_CORE = 8
# What JAX takes of a device's memory when it starts, where nobody says otherwise.
_USUAL_FRACTION = 0.75
# What users say otherwise with. JAX refuses to be given both fractions.
_FRACTIONS = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")
_CHOICES = (*_FRACTIONS, "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_ALLOCATOR")
_COUNT = """
import jax
try:
    print(len(jax.local_devices(backend="cuda")))
except RuntimeError:
    print(0)
"""


def parse(devices: str) -> tuple[int, ...]:
    """The numbers in a list such as "0,1"; none of the empty one.

    Raises:
      ValueError: it is no such list.
    """
    if not re.fullmatch(r"(\d+(,\d+)*)?", devices, re.ASCII):
        raise ValueError(
            f"--learner_devices must be numbers of devices joined by commas, such as 0,1, not {devices!r}."
        )
    numbers = tuple(int(number) for number in devices.split(",") if number)
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"--learner_devices names a device twice: {devices!r}.")
    return numbers


def check(devices: str) -> None:
    """Checks that devices are there, as JAX numbers them in this process's environment.

    Raises:
      ValueError: one is not.
    """
    asked = parse(devices)
    if not asked:
        return
    shown = _count_devices()
    missing = [number for number in asked if number >= shown]
    if missing and shown:
        raise ValueError(
            f"--learner_devices={devices} asks for device {missing[0]}, but JAX shows {shown} CUDA "
            f"device{'s' if shown > 1 else ''} here, numbered from 0."
        )
    if missing:
        raise ValueError(
            f"--learner_devices={devices} asks for CUDA devices, but JAX shows none here: leave it out."
        )


def check_actors(flag: str, actors: int, programs: int = 1) -> None:
    """Checks that so many actors make sense on this machine.

    Args:
      flag: that asks for them, for the message.
      actors: of each program.
      programs: that run side by side.

    Raises:
      ValueError: they do not.
    """
    available = cores.count()
    most = _MOST_ACTORS_PER_CORE * available // programs
    if actors > max(most, 1):
        beside = f" in each of {programs} programs side by side" if programs > 1 else ""
        raise ValueError(
            f"--{flag}={actors} asks for {actors} actors{beside} on {available} cores: give at most "
            f"{max(most, 1)}, and more --games_per_actor."
        )


def environment(devices: str, sharing: int = 1) -> dict[str, str]:
    """Variables of the learner's process, which must be set before its JAX looks for devices.

    Args:
      devices: that it sees, as JAX numbers them in this process's environment; "": all.
      sharing: learners that may be on its devices at the same time. JAX's usual share of the memory is split
        between them; where the user has chosen what JAX takes, nothing is changed.
    """
    variables = {}
    if devices:
        variables[_VISIBLE] = ",".join(_names(parse(devices)))
    if sharing > 1 and not any(name in os.environ for name in _CHOICES):
        variables[_FRACTIONS[0]] = f"{_USUAL_FRACTION / sharing:.3f}"
    return variables


def assign(devices: str, programs: int) -> list[str]:
    """What each of the programs' learners sees: one device in turn, or all where none are given."""
    numbers = parse(devices)
    if not numbers:
        return [""] * programs
    return [str(numbers[program % len(numbers)]) for program in range(programs)]


def count_sharing(assigned: Sequence[str], at_once: int) -> list[int]:
    """For each program, how many learners may be on its devices at the same time.

    Args:
      assigned: what each program's learner sees.
      at_once: programs that run side by side.
    """
    return [min(at_once, assigned.count(devices)) for devices in assigned]


def _names(numbers: Sequence[int]) -> list[str]:
    """By what name CUDA knows them: where only some are visible here, numbers count those."""
    visible = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return [visible[number] if number < len(visible) else str(number) for number in numbers]


def _count_devices() -> int:
    """CUDA devices that JAX shows in this process's environment."""
    asked = subprocess.run(
        [sys.executable, "-c", _COUNT],
        env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = asked.stdout.split()
    return int(lines[-1]) if lines and asked.returncode == 0 else 0
