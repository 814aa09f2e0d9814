"""Agents by the names that launchers take.

Light to import: what makes an agent is found by its name in `experiments.agents`, for the device oracle, and
in `experiments.agent_runs.parts`, for a run of one agent.
"""

from __future__ import annotations

PSRO_AGENTS = ("crossq", "conditional_mpo")
RUN_AGENT_AGENTS = ("crossq", "conditional_mpo", "vmpo")


def check_known(what: str, name: str, known: tuple[str, ...]) -> None:
    """Checks that there is something of this name.

    Args:
      what: is named.
      name: as the user gave it.
      known: the names that there are.

    Raises:
      ValueError: there is not; the message lists the names.
    """
    if name not in known:
        raise ValueError(f"no {what} named {name!r}; use one of {', '.join(known)}.")
