"""Communication with a peer's process in lines of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.benchmarks.peers import environment as peer_environment


class Conversation:
    """Context manager that runs a module of `experiments.benchmarks.peers.scripts`.

    The process answers questions until the context ends.

    Attributes:
      greeting: the JSON object on the first line that the module printed.
    """

    def __init__(self, python: Path, module: str, arguments: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at the end of the `with`
        self._module = module
        self._process = subprocess.Popen(
            [python, "-m", f"experiments.benchmarks.peers.scripts.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=tempfile.gettempdir(),
            env=peer_environment.environment_for_scripts(),
        )
        try:
            self.greeting = self._listen()
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Sends a question and returns the answer.

        Raises:
          RuntimeError: the process ended without an answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(self._last_words()) from None
        return self._listen()

    def _listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        return f"{self._module} ended with exit code {code}:\n{self._errors.read()[-4000:]}"

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            # A question that the process did not read before it ended is dropped.
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
