"""Logger for tests, with the interface of Acme's loggers."""

from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

from acme.utils import loggers


class Rows(loggers.Logger):
    """Logger that keeps the rows written to it."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def write(self, data: Any) -> None:
        self.rows.append(data)

    def close(self) -> None:
        pass
