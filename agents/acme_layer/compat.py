"""Compatibility of Acme with current JAX, TensorFlow and Reverb, without warnings at import.

Every module that imports Acme, Reverb or Launchpad imports this module first.

The release of Acme on the package index (dm-acme 0.4.0) uses names that JAX and Reverb have removed since.
Acme's main branch uses an argument that the release's Launchpad does not have. Each name or argument is added
only if it is missing, so that other versions stay unchanged and one environment serves both Acmes.
TensorFlow only transports Reverb's data here, and is therefore kept off the accelerators. Messages that do
not concern users of this package are hidden: gym's notice, and warnings that Acme's dependencies use
deprecated names. Gym would also show the deprecation warnings of all other packages from then on.

A program that imports `acme.jax` with dm-acme 0.4.0 must import this module, or any other module of
`agents.acme_layer`, before that: without it, `acme.jax` ends with "module 'jax' has no attribute 'xla'" or
"module 'tensorflow_probability' has no attribute 'substrates'". No package can repair another one that is
imported before it, except by code that every start of Python runs, which we do not install. Everything else,
such as `acme` itself, `acme.specs`, TensorFlow, Reverb or Launchpad, may be imported first. After a failed
import of `acme.jax`, the same process can import this module and then `acme.jax` again.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

_NEEDED = ("acme", "launchpad", "reverb", "tensorflow", "tensorflow_probability")

_TREE_FUNCTIONS = {
    "tree_map": jax.tree.map,
    "tree_multimap": jax.tree.map,
    "tree_flatten": jax.tree.flatten,
    "tree_leaves": jax.tree.leaves,
    "tree_unflatten": jax.tree.unflatten,
    "tree_structure": jax.tree.structure,
}


def _check_installed() -> None:
    """Checks that the packages of the Acme layer are there.

    Raises:
      ImportError: a package is missing.
    """
    missing = [name for name in _NEEDED if name not in sys.modules and importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{', '.join(missing)} not found: install the extra acme (pip install 'acme-psro[acme]'), with "
            "Python 3.10 on Linux (x86-64).",
            name=missing[0],
        )


def _add_missing(namespace: Any, aliases: Mapping[str, Any]) -> None:
    """Sets those attributes that `namespace` does not have yet."""
    for name, value in aliases.items():
        if not hasattr(namespace, name):
            setattr(namespace, name, value)


def _restore_removed_names() -> None:
    """Adds names to JAX that dm-acme 0.4.0 uses and that JAX has removed."""
    modules = {name: types.ModuleType(f"jax.{name}") for name in ("xla", "pxla")}
    _add_missing(jax, {**_TREE_FUNCTIONS, **modules})
    _add_missing(jax.xla, {"Device": jax.Device, "DeviceArray": jax.Array})  # type: ignore[attr-defined]
    _add_missing(jax.pxla, {"ShardedDeviceArray": jax.Array})  # type: ignore[attr-defined]
    _add_missing(jnp, {"DeviceArray": jax.Array})


def _import_gym() -> None:
    """Imports gym before Acme does, without its notice.

    Gym also installs a filter that shows deprecation warnings. The caller restores the filters.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("gym_notices.notices").notices.clear()
        importlib.import_module("gym")


def _import_tensorflow() -> None:
    """Imports TensorFlow Probability's part for JAX, then TensorFlow, which it keeps off the GPUs."""
    # TensorFlow Probability refuses older versions of TensorFlow. Its part for JAX works with them, but only
    # if TensorFlow is not imported yet. In Launchpad's processes, it is imported before any of our modules.
    imported = sys.modules.pop("tensorflow", None)
    importlib.import_module("tensorflow_probability.substrates.jax")
    if imported is not None:
        sys.modules["tensorflow"] = imported
    tensorflow = importlib.import_module("tensorflow")
    # TensorFlow raises this error if the process has used it on a GPU already. Then the choice of devices is
    # the user's, and it stays.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")


def _replace_composite_tensors() -> None:
    """Replaces `auto_composite_tensor` by the identity if TensorFlow is too old for it.

    Acme's main branch decorates a distribution with it, for a use in TensorFlow that does not occur here.
    """
    probability: Any = importlib.import_module("tensorflow_probability")
    try:
        probability.experimental.auto_composite_tensor  # noqa: B018
    except ImportError:
        probability.experimental = types.SimpleNamespace(auto_composite_tensor=lambda kind: kind)


def _takes(function: Any, argument: str) -> bool:
    """Returns True if a function has an argument of this name."""
    return argument in inspect.signature(function).parameters


def _accept_signature_timeout(client: Any) -> None:
    """Makes a Reverb client's `trajectory_writer` take `get_signature_timeout_ms`, as dm-acme 0.4.0 calls it.

    Newer versions of Reverb have `validate_items` instead. The old argument was the time to wait for the
    table's signature, by which items are validated, or None to do without both.

    Args:
      client: the class of clients, which is changed in place.
    """
    create = client.trajectory_writer
    if _takes(create, "get_signature_timeout_ms"):
        return

    def trajectory_writer(
        self: Any,
        num_keep_alive_refs: int,
        *,
        validate_items: bool = True,
        get_signature_timeout_ms: int | None = 3000,
    ) -> Any:
        validates = validate_items and get_signature_timeout_ms is not None
        return create(self, num_keep_alive_refs, validate_items=validates)

    trajectory_writer.__doc__ = create.__doc__
    client.trajectory_writer = trajectory_writer


def _accept_checkpoint_time(node: Any) -> None:
    """Makes Launchpad's `ReverbNode` take `checkpoint_time_delta_minutes`, as Acme's main branch calls it.

    The branch's default is None, for no checkpoints of replay while the program runs. The Launchpad that
    dm-acme 0.4.0 requires cannot write such checkpoints, so that it refuses any other time.

    Args:
      node: the class of nodes, which is changed in place.
    """
    create = node.__init__
    if _takes(create, "checkpoint_time_delta_minutes"):
        return

    def initialise(
        self: Any, *args: Any, checkpoint_time_delta_minutes: int | None = None, **kwargs: Any
    ) -> None:
        if checkpoint_time_delta_minutes is not None:
            raise ValueError(
                "this version of Launchpad writes no checkpoints of replay while a program runs: leave "
                "checkpoint_time_delta_minutes at None, or install dm-launchpad 0.5.2."
            )
        create(self, *args, **kwargs)

    initialise.__doc__ = create.__doc__
    node.__init__ = initialise


# The order matters: Reverb imports TensorFlow, which must be set up before that.
_check_installed()
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    _restore_removed_names()
    _import_tensorflow()
    _replace_composite_tensors()
    _accept_signature_timeout(importlib.import_module("reverb").Client)
    _import_gym()
    _accept_checkpoint_time(importlib.import_module("launchpad").ReverbNode)
