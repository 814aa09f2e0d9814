"""Processes of Launchpad programs, for tests that kill one of them and look for what is left."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import psutil

from acme_psro.system import process_groups


@dataclasses.dataclass
class Processes:
    """The processes of a program, which a child process of the package `module` runs in a directory.

    Attributes:
      package: the package whose module `child` runs the program.
      directory: the program's directory.
      groups: the process groups that were seen so far, one for each launch.
    """

    package: str
    directory: pathlib.Path
    groups: set[int] = dataclasses.field(default_factory=set)

    def find(self, victim: str) -> list[psutil.Process]:
        """Returns the processes of a node, by group and index such as "actor/0", or of the "child"."""
        found = []
        for process in psutil.process_iter():
            try:
                words, group = process.cmdline(), os.getpgid(process.pid)
                parent = process.parent()
            except (psutil.Error, ProcessLookupError):
                continue
            if f"{self.package}.child" in words and str(self.directory) in words:
                self.groups.add(group)
                if victim == "child":
                    found.append(process)
            is_node = any("process_entry" in word for word in words[:2])
            if is_node and parent is not None and victim in parent.cmdline()[:4]:
                found.append(process)
        return [each for each in found if os.getpgid(each.pid) in self.groups]

    def have_ended(self) -> bool:
        """Returns True if processes were seen, and none of their groups is left."""
        return bool(self.groups) and not any(process_groups.is_alive(group) for group in self.groups)
