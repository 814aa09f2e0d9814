"""Compatibility of Acme with current JAX and TensorFlow, without warnings at import.

Every module that imports Acme, Reverb or Launchpad imports this module first.

The release of Acme on the package index (dm-acme 0.4.0) uses names that JAX has removed since. Each name is
added only if it is missing, so that newer versions of Acme and older versions of JAX stay unchanged.
TensorFlow only transports Reverb's data here, and is therefore kept off the accelerators. Messages that do
not concern users of this package are hidden: gym's notice, and warnings that Acme's dependencies use
deprecated names. Gym would also show the deprecation warnings of all other packages from then on.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

_TREE_FUNCTIONS = {
    "tree_map": jax.tree.map,
    "tree_multimap": jax.tree.map,
    "tree_flatten": jax.tree.flatten,
    "tree_leaves": jax.tree.leaves,
    "tree_unflatten": jax.tree.unflatten,
    "tree_structure": jax.tree.structure,
}


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


# The order matters: Reverb imports TensorFlow, which must be set up before that.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    _restore_removed_names()
    _import_tensorflow()
    _replace_composite_tensors()
    importlib.import_module("reverb")
    _import_gym()
