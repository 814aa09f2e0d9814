"""Makes Acme importable and quiet; every module that imports Acme, Reverb or Launchpad imports this first.

The release of Acme on the package index (dm-acme 0.4.0) uses names that JAX has removed since. Each is put
back where it is missing, so that newer versions of Acme and older ones of JAX are left as they are. The
rest keeps TensorFlow, which only carries Reverb's data here, off the accelerators, and hides what concerns
no user of ours: gym's notice, and that Acme's dependencies use deprecated names. Gym would also have
everybody's deprecation warnings shown from then on.
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
    """Sets attributes that `namespace` lacks."""
    for name, value in aliases.items():
        if not hasattr(namespace, name):
            setattr(namespace, name, value)


def _restore_removed_names() -> None:
    modules = {name: types.ModuleType(f"jax.{name}") for name in ("xla", "pxla")}
    _add_missing(jax, {**_TREE_FUNCTIONS, **modules})
    _add_missing(jax.xla, {"Device": jax.Device, "DeviceArray": jax.Array})  # type: ignore[attr-defined]
    _add_missing(jax.pxla, {"ShardedDeviceArray": jax.Array})  # type: ignore[attr-defined]
    _add_missing(jnp, {"DeviceArray": jax.Array})


def _import_gym() -> None:
    """Imports gym, as Acme will, without its notice; its filter for warnings is undone by the caller."""
    with contextlib.suppress(ImportError):
        importlib.import_module("gym_notices.notices").notices.clear()
        importlib.import_module("gym")


def _import_tensorflow() -> None:
    # TensorFlow Probability as a whole refuses older TensorFlows; its half for JAX works, where it does not
    # find TensorFlow imported. In the processes of Launchpad's nodes it is, before anything of ours.
    imported = sys.modules.pop("tensorflow", None)
    importlib.import_module("tensorflow_probability.substrates.jax")
    if imported is not None:
        sys.modules["tensorflow"] = imported
    tensorflow = importlib.import_module("tensorflow")
    # Too late where somebody has used TensorFlow on a GPU already: then it is theirs to decide.
    with contextlib.suppress(RuntimeError):
        tensorflow.config.set_visible_devices([], "GPU")


def _replace_composite_tensors() -> None:
    """Lets Acme's main branch mark a distribution for a use in TensorFlow that this TensorFlow has not."""
    probability: Any = importlib.import_module("tensorflow_probability")
    try:
        probability.experimental.auto_composite_tensor  # noqa: B018
    except ImportError:
        probability.experimental = types.SimpleNamespace(auto_composite_tensor=lambda kind: kind)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    _restore_removed_names()
    _import_tensorflow()
    _replace_composite_tensors()
    importlib.import_module("reverb")
    _import_gym()
