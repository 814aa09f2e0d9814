"""Configuration of the Launchpad oracle: the budget of one best response by a program."""

from __future__ import annotations

import dataclasses
import math
import re

from acme_psro.system.executors.placing import PROGRAMS

LAUNCH_TYPES = ("local_mp", "local_mt")


@dataclasses.dataclass(frozen=True)
class LaunchpadConfig:
    """Budget of one response, and the processes that spend it.

    Attributes:
      actor_steps: decisions of the learning player, over all actors, after which a program ends.
      actors_per_response: actors of a program.
      games_per_actor: games that an actor plays side by side.
      max_parallel_programs: programs that run side by side.
      program: a name of `acme_psro.system.executors.placing.PROGRAMS`: Launchpad with Acme and Reverb, or
        Ray, which needs neither of them.
      lp_launch_type: a name of `LAUNCH_TYPES`: processes or threads of a Launchpad program.
      plateau_patience: evaluations over which the mean return must go on rising, or the program ends before
        its `actor_steps`; at least 2, or 0: it never does.
      plateau_min_improvement: what counts as rising, in utility units.
      learner_devices: numbers of devices joined by commas: programs that run side by side have their
        learners on one each, in turn. "": what JAX shows.
      trembles: share of a program's games against the others' average policy instead of their meta-strategy,
        so that the response is sensible at information states that the meta-strategy never reaches. It must
        be small, because decisions in these games count as much as others.
      snapshots: policies of a program, evenly spaced through training, of which the best one is taken; 1: the
        final one.
      exploiter_agent: with sampled payoffs, the agent that is trained against the final mixture, with its
        default settings, only to measure it; "": the responses' own, whose work a later iteration takes over.
      exploiter_steps: decisions from which an `exploiter_agent` learns; 0: `actor_steps`.
    """

    actor_steps: int = 100_000
    actors_per_response: int = 1
    games_per_actor: int = 16
    max_parallel_programs: int = 1
    program: str = "launchpad"
    lp_launch_type: str = "local_mp"
    plateau_patience: int = 0
    plateau_min_improvement: float = 0.0
    learner_devices: str = ""
    trembles: float = 0.02
    snapshots: int = 10
    exploiter_agent: str = ""
    exploiter_steps: int = 0

    def __post_init__(self) -> None:
        counts = ("actor_steps", "actors_per_response", "games_per_actor", "max_parallel_programs")
        for name in (*counts, "snapshots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        self._check_program()
        if self.exploiter_steps < 0 or (self.exploiter_steps and not self.exploiter_agent):
            raise ValueError(
                f"exploiter_steps must be at least 0, and needs exploiter_agent, not {self.exploiter_steps}."
            )
        if self.plateau_patience < 0 or self.plateau_patience == 1:
            raise ValueError(
                f"plateau_patience must be 0 (no plateau) or at least 2, not {self.plateau_patience}."
            )
        if not 0 <= self.plateau_min_improvement < math.inf:
            raise ValueError(
                f"plateau_min_improvement must be at least 0 and finite, not {self.plateau_min_improvement}."
            )
        # Negated comparisons also catch NaN. With trembles alone nothing would be learned about the mixture.
        if not 0 <= self.trembles < 1:
            raise ValueError(f"trembles must be at least 0 and below 1, not {self.trembles}.")
        if not re.fullmatch(r"(\d+(,\d+)*)?", self.learner_devices, re.ASCII):
            raise ValueError(
                "learner_devices must be numbers of devices joined by commas, such as 0,1, not "
                f"{self.learner_devices!r}."
            )

    def _check_program(self) -> None:
        if self.program not in PROGRAMS:
            raise ValueError(f"--program must be {' or '.join(PROGRAMS)}, not {self.program!r}.")
        if self.lp_launch_type not in LAUNCH_TYPES:
            raise ValueError(
                f"no lp_launch_type named {self.lp_launch_type!r}; there are {', '.join(LAUNCH_TYPES)}."
            )
        if self.program != "launchpad" and self.lp_launch_type != "local_mp":
            raise ValueError("--lp_launch_type needs --program=launchpad: leave it out.")
