"""Variables of the learner's network, fetched once for both uses that an actor makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import agents.acme_layer.compat  # noqa: F401

# isort: split

import jax
from acme import core


class SharedVariables(core.VariableSource):
    """Source that passes requests on and keeps the newest answer.

    The member that learns acts by the variables that its actor requests here, and its opponents by `newest`.

    Args:
      source: the learner.
    """

    def __init__(self, source: core.VariableSource) -> None:
        self._source = source
        self._device = jax.local_devices(backend="cpu")[0]
        self._newest: Any = None

    def get_variables(self, names: Sequence[str]) -> list[Any]:
        """Returns variables of the source, see `acme.core.VariableSource`."""
        found: list[Any] = self._source.get_variables(list(names))
        self._newest = jax.device_put(found[0], self._device)
        return found

    def newest(self) -> Any:
        """Returns the newest variables of the policy; they are requested if none were before."""
        if self._newest is None:
            self.get_variables(["policy"])
        return self._newest
